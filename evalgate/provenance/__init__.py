"""The chain of evidence: case, issue, annotations, spans; recorded with a dataset, verified without a database."""
