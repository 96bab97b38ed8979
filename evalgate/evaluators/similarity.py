"""How like two texts are, by rapidfuzz: the same figures as `checks.likeness`, ten times as fast."""

from __future__ import annotations

from evalgate.evaluators.checks.likeness import likeness


def fast_likeness(left: str, right: str, method: str) -> float:
    """Return how like two texts are, from 0 to 1."""
    from rapidfuzz.distance import LCSseq  # noqa: PLC0415 - a rule that compares needs it, no other

    return likeness(left, right, method, LCSseq.similarity)
