"""Two runs, case by case. It only informs: what a difference is worth, and whether it may ship, the gate decides."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Any

from schema.run import output_to_json
from schema.statistics import Change as Drops
from schema.statistics import change_interval

if TYPE_CHECKING:
    from collections.abc import Sequence

    from schema.run import Result, Run


LEVEL = 0.95


class Change(StrEnum):
    """What became of a case from one run to the other."""

    REGRESSED = "regressed"
    """It passed and fails now."""
    IMPROVED = "improved"
    """It failed and passes now."""
    UNCHANGED = "unchanged"
    """The same verdict."""
    NO_VERDICT = "no_verdict"
    """An error, or no evaluator, in one of the two: they cannot be compared."""
    REWORDED = "reworded"
    """The same id, and another content: another case."""
    NEW = "new"
    GONE = "gone"


PAIRED = (Change.REGRESSED, Change.IMPROVED, Change.UNCHANGED)
"""What the comparison counts: cases with the same id and the same content, and a verdict in both."""


@dataclass(frozen=True, slots=True)
class CaseChange:
    """One case in both runs; None: it is not in that one."""

    case_id: str
    change: Change
    before: Result | None
    now: Result | None

    @property
    def score_change(self) -> float | None:
        """Difference of the mean scores, where both were scored."""
        if self.before is None or self.now is None:
            return None
        was, is_ = self.before.mean_score, self.now.mean_score
        return is_ - was if was is not None and is_ is not None else None

    @property
    def evaluators(self) -> tuple[str, ...]:
        """Whose verdicts changed."""
        if self.before is None or self.now is None:
            return ()
        names = dict.fromkeys(s.evaluator for r in (self.before, self.now) for s in r.scores)
        return tuple(n for n in names if self.before.passed_by((n,)) != self.now.passed_by((n,)))


@dataclass(frozen=True, slots=True)
class Compared:
    """Run `before` against run `now`; cases in the order of `now`, then those that are gone."""

    before: Run
    now: Run
    cases: tuple[CaseChange, ...]
    evaluators_changed: tuple[str, ...]
    """Those that are another version in one of the two: their verdicts are not of the same ruler."""

    def of(self, *changes: Change) -> tuple[CaseChange, ...]:
        """Return the cases with one of these changes."""
        return tuple(c for c in self.cases if c.change in changes)

    @property
    def counts(self) -> dict[str, int]:
        """How many cases of each change."""
        counted = Counter(c.change for c in self.cases)
        return {str(change): counted[change] for change in Change}

    @property
    def pass_rates(self) -> tuple[float, float] | None:
        """Before and now, over the pairs; None where there are none."""
        pairs = self.of(*PAIRED)
        if not pairs:
            return None
        rates = [sum(r is not None and r.passed is True for r in side) / len(pairs) for side in _sides(pairs)]
        return rates[0], rates[1]

    @property
    def change_interval(self) -> tuple[float, float] | None:
        """95 % interval of the change of the pass rate, as a share; what is one cluster to the gate is one here."""
        drops = [
            ((c.now.cluster or c.now.content_hash), float(bool(c.before.passed)) - float(bool(c.now.passed)))
            for c in self.of(*PAIRED)
            if c.now is not None and c.before is not None
        ]
        found = change_interval(Drops.of(drops), LEVEL) if drops else None
        return (-found[1], -found[0]) if found else None

    @property
    def mean_score_change(self) -> float | None:
        """Mean difference of scores over the pairs; None where nothing was scored in both."""
        found = [d for c in self.of(*PAIRED) if (d := c.score_change) is not None]
        return sum(found) / len(found) if found else None


def compare(before: Run, now: Run) -> Compared:
    """Pair the cases of two runs by id and content."""
    was = {r.case_id: r for r in before.results}
    is_ = {r.case_id for r in now.results}
    cases = [CaseChange(r.case_id, _change(was.get(r.case_id), r), was.get(r.case_id), r) for r in now.results]
    cases += [CaseChange(r.case_id, Change.GONE, r, None) for r in before.results if r.case_id not in is_]
    versions = [{e.id: e.version for e in run.evaluators} for run in (before, now)]
    changed = tuple(sorted(i for i in versions[0] | versions[1] if versions[0].get(i) != versions[1].get(i)))
    return Compared(before, now, tuple(cases), changed)


def _sides(pairs: Sequence[CaseChange]) -> tuple[list[Result | None], list[Result | None]]:
    return [c.before for c in pairs], [c.now for c in pairs]


def compared_json(compared: Compared) -> dict[str, Any]:
    """Return the JSON object of a comparison; outputs stand with what changed."""
    return {
        "before": _run_json(compared.before),
        "now": _run_json(compared.now),
        "counts": compared.counts,
        "pairs": len(compared.of(*PAIRED)),
        "pass_rates": list(compared.pass_rates) if compared.pass_rates else None,
        "pass_rate_change_interval_95": list(compared.change_interval) if compared.change_interval else None,
        "mean_score_change": compared.mean_score_change,
        "evaluators_changed": list(compared.evaluators_changed),
        "cases": [_case_json(c) for c in compared.cases],
    }


def _change(before: Result | None, now: Result) -> Change:
    if before is None:
        return Change.NEW
    if before.content_hash != now.content_hash:
        return Change.REWORDED
    if before.passed is None or now.passed is None:
        return Change.NO_VERDICT
    if before.passed == now.passed:
        return Change.UNCHANGED
    return Change.IMPROVED if now.passed else Change.REGRESSED


def _run_json(run: Run) -> dict[str, Any]:
    return {
        "run_id": run.run_id,
        "started_at": run.started_at,
        "target": run.target,
        "dataset": run.dataset.name,
        "dataset_version": run.dataset.version,
    }


def _case_json(c: CaseChange) -> dict[str, Any]:
    told: dict[str, Any] = {
        "case_id": c.case_id,
        "change": c.change,
        "score_change": c.score_change,
        "evaluators": list(c.evaluators),
    }
    if c.change is not Change.UNCHANGED:
        asked = c.now or c.before
        told |= {"input_text": asked.input_text if asked else None}
        told |= {"before": _side_json(c.before), "now": _side_json(c.now)}
    return told


def _side_json(r: Result | None) -> dict[str, Any] | None:
    if r is None:
        return None
    return {
        "passed": r.passed,
        "flaky": r.flaky,
        "score": r.mean_score,
        "error": {"kind": r.error.kind, "message": r.error.message} if r.error else None,
        "output": output_to_json(r.first.output) if r.first.output else None,
        "reasons": [f"{s.evaluator}: {s.reason}" for s in r.scores if not s.passed],
    }
