"""`evalgate evals`: one group of commands, to which the rooms of evaluators, alignment and generation add theirs."""
