"""The chain of evidence: case, issue, annotations, spans; recorded with a dataset, verified without a database.

Two floors: `record` and `store` lie below datasets, which write chains; `verify` lies above the gate, whose reports it
reads. Nothing of the first imports anything of the second.
"""
