"""Forgetting what a journal holds: what was erased does not come back from it.

evalgate erase ─▶ erased.jsonl in the data folder ─▶ every lane drops it from what is delivered from then on
               └▶ scrub of the journal, quarantine ─▶ what was delivered leaves the disk
"""
