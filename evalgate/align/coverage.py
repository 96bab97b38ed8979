"""Coverage: which active issues have an evaluator that is trusted with them, and what the others lack."""

from __future__ import annotations

from dataclasses import dataclass
from types import MappingProxyType
from typing import TYPE_CHECKING

from evalgate.align.usable import lacking_words, usable
from evalgate.review.disputes import DECIDE
from schema.alignment import Permission, Reason

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from evalgate.align.standing import Standing
    from schema.case import Case


@dataclass(frozen=True, slots=True)
class Gap:
    """An active issue without an evaluator that is trusted with it."""

    standing: Standing
    bad: int
    """Examples of it: cases labelled with it that an evaluator can be made from."""
    good: int
    """Examples of good answers, of any feature."""
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


def cover(
    standings: Iterable[Standing],
    cases: Sequence[Case] | None,
    options: str = "",
    *,
    disputed: Mapping[str, int] = MappingProxyType({}),
) -> Coverage:
    """Return what is covered of the active issues.

    `cases`: labelled ones, None where nobody has them at hand. `options`: what commands must be told to read them.
    `disputed`: traces on which reviewers differ, by failure mode that one of them names; none of them is in `cases`.
    """
    active = [s for s in standings if s.issue.is_active]
    there = usable(cases or ())
    gaps = []
    for standing in active:
        if not standing.is_covered:
            mode = standing.issue.failure_mode
            bad, good = there.count(mode)
            lacks = None if cases is None else _lacks(bad, good, disputed.get(mode, 0))
            gaps.append(Gap(standing, bad, good, _todo(standing, options, lacks)))
    return coverage_of(standings=[s for s in active if s.is_covered], gaps=gaps)


def coverage_of(standings: Iterable[Standing], gaps: Iterable[Gap]) -> Coverage:
    """Return coverage out of issues that are covered, and gaps."""
    ordered = sorted(gaps, key=lambda g: (-g.standing.issue.occurrences, g.standing.issue.id))
    return Coverage(tuple(standings), tuple(ordered))


def _lacks(bad: int, good: int, disputed: int) -> str | None:
    """Return what people have to say before an evaluator can be made; None: nothing."""
    words = lacking_words(bad, good)
    if words is None:
        return None
    if disputed:
        return f"settle {disputed} on which reviewers differ: {DECIDE}. Then {words}, if that is not enough"
    return f"{words}: evalgate label"


def _todo(standing: Standing, options: str, lacks: str | None) -> str:
    """Return the next step of an issue without a trusted evaluator."""
    generate = f"evalgate evals generate --issue {standing.issue.id}{options}"
    if not standing.evaluators:
        return lacks or generate
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
