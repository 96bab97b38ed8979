"""Retention by outcome: traces that somebody or something flagged live long, all others until their holding time ends.

log (decisions in order) ─▶ decide (which traces go, what the others stand for) ─▶ expire (rows go, the ledger is moved)
"""
