"""Coverage: which active issues have an evaluator that is trusted with them, and what the others lack."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from schema.alignment import DEFAULT_POLICY, Permission, Reason
from schema.verdict import Verdict

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from evalgate.align.standing import Standing
    from schema.case import Case

ENOUGH_TO_GENERATE: Final = 10
"""Labels of one failure mode that suffice for a first evaluator; 10 to 20 is the advice."""


@dataclass(frozen=True, slots=True)
class Gap:
    """An active issue without an evaluator that is trusted with it."""

    standing: Standing
    bad: int
    """Cases labelled with it."""
    good: int
    """Cases labelled good, of any feature."""
    todo: str
    """What to do next, with the command."""


@dataclass(frozen=True, slots=True)
class Coverage:
    """Shares of the active issues that are covered."""

    covered: tuple[Standing, ...]
    gaps: tuple[Gap, ...]
    """The frequent ones first."""

    @property
    def active(self) -> int:
        """Issues that want an evaluator."""
        return len(self.covered) + len(self.gaps)

    @property
    def share(self) -> float | None:
        """Covered / active; None where nothing is active."""
        return len(self.covered) / self.active if self.active else None

    @property
    def weighted(self) -> float | None:
        """The same by occurrences: how much of what people met is looked for."""
        covered = sum(s.issue.occurrences for s in self.covered)
        total = covered + sum(g.standing.issue.occurrences for g in self.gaps)
        return covered / total if total else None


def cover(standings: Iterable[Standing], cases: Sequence[Case] | None, options: str = "") -> Coverage:
    """Return what is covered of the active issues.

    `cases`: labelled ones, None where nobody has them at hand. `options`: what commands must be told to read them.
    """
    active = [s for s in standings if s.issue.is_active]
    bad = Counter(c.failure_mode for c in cases or () if c.verdict is Verdict.BAD)
    good = sum(c.verdict is Verdict.GOOD for c in cases or ())
    gaps = [
        Gap(s, of_mode, good, _todo(s, of_mode, good, options, counted=cases is not None))
        for s in active
        if not s.is_covered
        for of_mode in [bad[s.issue.failure_mode]]
    ]
    gaps.sort(key=lambda g: (-g.standing.issue.occurrences, g.standing.issue.id))
    return Coverage(tuple(s for s in active if s.is_covered), tuple(gaps))


def _todo(standing: Standing, bad: int, good: int, options: str, *, counted: bool) -> str:
    """Return the next step of an issue without a trusted evaluator."""
    generate = f"evalgate evals generate --issue {standing.issue.id}{options}"
    if not standing.evaluators:
        least = DEFAULT_POLICY.min_per_class
        if counted and bad < ENOUGH_TO_GENERATE:
            return f"label {ENOUGH_TO_GENERATE - bad} more bad ones ({bad} so far): evalgate label"
        if counted and good < least:
            return f"label {least - good} more good answers ({good} so far): evalgate label"
        return generate
    nearest = max(standing.evaluators, key=lambda t: (t.grant.permission is Permission.MONITOR, t.grant.mcc or -1))
    name, given = nearest.spec.id, nearest.grant
    if given.reason is Reason.NOT_MEASURED:
        return f"measure {name}: evalgate evals align {name}{options}"
    if given.reason is Reason.HAND_WRITTEN and nearest.measurement is not None:
        found = nearest.measurement.confusion
        return f"{name} misses {found.fn} of {found.positives} bad ones: {generate}"
    if given.permission is Permission.SKIP or given.reason is Reason.LOW_MCC:
        agrees = "" if given.mcc is None else f" (MCC {given.mcc:.2f})"
        return f"{name} agrees too little{agrees}: {generate}"
    more = f"{given.further_labels} labels more" if given.further_labels else "more labels"
    return f"{more} for {name}: evalgate label, then evalgate evals align {name}{options}"
