"""One link of what a report rests on, and what was found of it."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Standing(StrEnum):
    """What is to be said of a link."""

    HOLDS = "holds"
    BROKEN = "broken"
    ABSENT = "absent"
    """There is nothing to verify, and need not be: written by hand, no baseline, spans that retention took."""


@dataclass(frozen=True, slots=True)
class Link:
    """One link of the chain of evidence, and what was found."""

    name: str
    """report, run, dataset, evaluator:ID, baseline, chains, chain:CASE, span:TRACE/SPAN ..."""
    standing: Standing
    sentence: str
