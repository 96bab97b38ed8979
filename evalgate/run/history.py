"""A dataset across its runs: what got better, what broke, how scores are spread. Pure.

A regression case is one that a failure in production taught us: it names a failure mode. From one run to the next

    improvement rate = regression cases that pass now and did not in the run before / all regression cases
    regressions      = cases, of any kind, that passed in the run before and fail now

over the cases that are the same and have a verdict in both. Fewer than `MIN_CASES` are "insufficient data": the
interval is told, the rate is not made much of.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from evalgate.run.compare import PAIRED, Change, compare
from schema.statistics import wilson_interval

if TYPE_CHECKING:
    from collections.abc import Sequence

    from schema.run import Run

MIN_CASES = 20
"""With fewer, a 95 % interval spans 40 points and more."""
BANDS = ((0.0, 0.4, "poor"), (0.4, 0.6, "weak"), (0.6, 0.8, "fair"), (0.8, 1.0, "good"))
"""Of a case's mean score; the lower end belongs to the band. 0.8 is where a judge passes."""


@dataclass(frozen=True, slots=True)
class Share:
    """A part of some cases."""

    count: int
    total: int

    @property
    def rate(self) -> float | None:
        """None where there is no case."""
        return self.count / self.total if self.total else None

    @property
    def interval(self) -> tuple[float, float] | None:
        """Wilson's 95 % interval."""
        return wilson_interval(self.count, self.total)

    @property
    def is_enough(self) -> bool:
        """Whether the rate may stand by itself."""
        return self.total >= MIN_CASES

    def to_json(self) -> dict[str, Any]:
        """Return the JSON object."""
        return {
            "count": self.count,
            "total": self.total,
            "rate": self.rate,
            "interval_95": list(self.interval) if self.interval else None,
            "status": "estimate" if self.is_enough else "insufficient_data",
        }


@dataclass(frozen=True, slots=True)
class Step:
    """One run, and what changed since the one before."""

    run: Run
    passed: Share
    """Of cases with a verdict."""
    failures_passing: Share
    """Of regression cases with a verdict: those that pass."""
    grades: tuple[tuple[str, Share], ...]
    """Of scored cases, by band."""
    errors: int
    improved: Share | None
    """The improvement rate; None for the first run."""
    regressions: Share | None
    """Of the cases that passed in the run before."""
    evaluators_changed: tuple[str, ...] = ()
    """Another version than in the run before: what changed may be the ruler."""

    def to_json(self) -> dict[str, Any]:
        """Return the JSON object."""
        return {
            "run_id": self.run.run_id,
            "started_at": self.run.started_at,
            "target": self.run.target,
            "dataset_version": self.run.dataset.version,
            "passed": self.passed.to_json(),
            "regression_cases_passing": self.failures_passing.to_json(),
            "grades": {name: share.to_json() for name, share in self.grades},
            "errors": self.errors,
            "improvement_rate": self.improved.to_json() if self.improved else None,
            "regressions": self.regressions.to_json() if self.regressions else None,
            "evaluators_changed": list(self.evaluators_changed),
        }


def history(runs: Sequence[Run]) -> tuple[Step, ...]:
    """Return a step for each run of one dataset, the oldest first."""
    return tuple(_step(runs[n - 1] if n else None, run) for n, run in enumerate(runs))


def _step(before: Run | None, now: Run) -> Step:
    judged = [r for r in now.results if r.passed is not None]
    failures = [r for r in judged if r.failure_mode is not None]
    improved = regressions = None
    changed: tuple[str, ...] = ()
    if before is not None:
        compared = compare(before, now)
        changed = compared.evaluators_changed
        pairs = compared.of(*PAIRED)
        learnt = [c for c in pairs if c.now is not None and c.now.failure_mode is not None]
        improved = Share(sum(c.change is Change.IMPROVED for c in learnt), len(learnt))
        passing = [c for c in pairs if c.before is not None and c.before.passed]
        regressions = Share(sum(c.change is Change.REGRESSED for c in passing), len(passing))
    return Step(
        run=now,
        passed=Share(sum(r.passed is True for r in judged), len(judged)),
        failures_passing=Share(sum(r.passed is True for r in failures), len(failures)),
        grades=_grades([s for r in now.results if (s := r.mean_score) is not None]),
        errors=sum(r.error is not None for r in now.results),
        improved=improved,
        regressions=regressions,
        evaluators_changed=changed,
    )


def _grades(scores: Sequence[float]) -> tuple[tuple[str, Share], ...]:
    counted = {name: 0 for _, _, name in BANDS}
    for score in scores:
        # 1e-9: a mean of 0.8 may be a little less in binary
        counted[next(name for low, _, name in reversed(BANDS) if score + 1e-9 >= low or low == 0.0)] += 1
    return tuple((name, Share(n, len(scores))) for name, n in counted.items())
