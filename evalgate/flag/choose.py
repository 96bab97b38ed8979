"""Which traces a flagger is asked about. Pure; the same traces and rate give the same choice.

    signals say so, or nobody need ask     failing, a signal of EVIDENCE at 0.7 or more: not asked
    signals are not sure                   one of TEXTUAL between 0.2 and 0.7: all are asked
    signals find nothing                   a share `rate` is asked, by a hash of the trace id

Traces that people have judged are not asked about. The share is random with respect to everything that can be seen of a
trace, so what is found in it, divided by the rate, is what the signals miss. Where a run asks about fewer than were
chosen, those of both kinds are left out by the same hash.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Final

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Collection

    from numpy.typing import NDArray

    from evalgate.signals import Signals

TEXTUAL: Final = ("refusal", "hedging", "asked_again", "tool_loop", "fast_and_short")
"""Signals that read words, and can be wrong about what they mean."""
EVIDENCE: Final = ("failure", "low_score", "judges_differ", *TEXTUAL)
UNSURE: Final = 0.2
"""Strength from which on a textual signal says something."""
SURE: Final = 0.7
"""From here on it is enough."""


class Why(StrEnum):
    """Why a trace was chosen."""

    AMBIGUOUS = "ambiguous"
    SAMPLE = "sample"


@dataclass(frozen=True, slots=True)
class Choice:
    """One trace to ask about."""

    trace_id: str
    why: Why
    signals: tuple[str, ...] = ()
    """The textual signals that are not sure."""


@dataclass(frozen=True, slots=True)
class Chosen:
    """What is asked, in its order, and what is not."""

    choices: tuple[Choice, ...]
    asked_for: int
    """Traces that meet the conditions."""
    labelled: int
    """By people."""
    decided: int
    """By signals."""
    ambiguous: int
    passed: int
    """Signals found nothing."""
    known: int
    """Ambiguous or of the share, and asked about before."""


def choose(signals: Signals, rate: float, *, labelled: Collection[str], known: Collection[str]) -> Chosen:
    """Return which traces to ask about; `labelled` and `known` (asked about before) are not among them."""
    p = signals.population
    trace = p.trace
    judged = np.isin(trace, list(labelled)) if labelled else np.zeros(p.size, bool)
    unsure = _between(signals)
    sure = p.failing | np.any([signals.columns[n].strength >= SURE for n in EVIDENCE], axis=0)
    open_ = p.asked_for & ~judged & ~sure
    ambiguous = open_ & np.any(list(unsure.values()), axis=0)
    passed = open_ & ~ambiguous
    place = np.array([unit(str(t)) for t in trace], np.float64)
    sample = passed & (place < rate)
    # Both kinds in one order, each spread over all of it.
    order = np.where(sample, place / rate if rate else 1.0, place)
    rows = [int(r) for r in np.argsort(order, kind="stable") if sample[r] or ambiguous[r]]
    choices = [
        Choice(
            str(trace[r]),
            Why.AMBIGUOUS if ambiguous[r] else Why.SAMPLE,
            tuple(name for name, column in unsure.items() if column[r]),
        )
        for r in rows
        if str(trace[r]) not in known
    ]
    return Chosen(
        choices=tuple(choices),
        asked_for=int(p.asked_for.sum()),
        labelled=int((p.asked_for & judged).sum()),
        decided=int((p.asked_for & ~judged & sure).sum()),
        ambiguous=int(ambiguous.sum()),
        passed=int(passed.sum()),
        known=len(rows) - len(choices),
    )


def unit(trace_id: str) -> float:
    """Return a number from 0 to 1 that is the trace's own, and has nothing to do with the sampler's."""
    digest = hashlib.blake2b(trace_id.encode("ascii", "replace"), digest_size=8, person=b"evalgate-flag").digest()
    return int.from_bytes(digest, "big") / 2**64


def _between(signals: Signals) -> dict[str, NDArray[np.bool_]]:
    columns = {name: signals.columns[name].strength for name in TEXTUAL}
    return {name: (strength >= UNSURE) & (strength < SURE) for name, strength in columns.items()}
