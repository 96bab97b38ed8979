"""Run a dataset against a target and judge what comes back."""
