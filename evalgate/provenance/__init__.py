"""The chain of evidence verified: from a report back to case, issue, annotations and spans, without a database.

Chains are recorded and kept with the datasets (evalgate/dataset/{provenance,chains}.py); this room lies above the gate,
whose reports it reads.
"""
