"""What a run comes to: counts, rates, scores, cost. Pure."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any

from schema.statistics import weighted_share, wilson_interval

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from schema.run.values import Result, Run
    from schema.statistics import WeightedShare

BINS = 10
"""Of the histogram of scores, 0 to 1."""


def summarise(run: Run) -> dict[str, Any]:
    """Return counts and rates: of the run, per evaluator, per failure mode.

    A pass rate is passed / (passed + failed); errors and unscored cases are counted beside it, never in it. The unit
    is the case: repeats make its verdict surer, not the run larger. `weighted` is the same, each case by what its trace
    stands for in production; null where no case says so.
    """
    per_evaluator = {}
    for used in run.evaluators:
        verdicts = [(v, r) for r in run.results if (v := r.passed_by((used.id,))) is not None]
        scores = [s for r in run.results if (s := r.score_of(used.id)) is not None]
        per_evaluator[used.id] = {
            "scored": len(verdicts),
            "passed": sum(v for v, _ in verdicts),
            **_interval(sum(v for v, _ in verdicts), len(verdicts)),
            **_scores(scores),
            "weighted": weighted_json(weighted_share([(v, r.provenance.sample_weight) for v, r in verdicts])),
        }
    modes: dict[str, list[Result]] = {}
    for r in run.results:
        modes.setdefault(r.failure_mode or "", []).append(r)
    judged = [(v, r.provenance.sample_weight) for r in run.results if (v := r.passed) is not None]
    return {
        **_tally(run.results),
        "set_aside": len(run.set_aside),
        "flaky": sum(r.flaky for r in run.results),
        **_scores([s for r in run.results if (s := r.mean_score) is not None]),
        "weighted": weighted_json(weighted_share(judged)),
        "evaluators": per_evaluator,
        "failure_modes": {mode: _tally(results) for mode, results in sorted(modes.items())},
        "attempts": count_attempts(run.results),
        "duration_ms": _durations(run.results),
    }


def weighted_json(share: WeightedShare | None) -> dict[str, Any] | None:
    """Return the JSON object of a weighted pass rate."""
    if share is None:
        return None
    return {
        "status": "insufficient_data" if share.rate is None else "estimate",
        "pass_rate": share.rate,
        "pass_rate_interval_95": [share.low, share.high],
        "effective_n": share.effective_n,
        "cases": share.counted,
        "cases_without_weight": share.unweighted,
    }


def histogram(scores: Iterable[float]) -> list[int]:
    """Return how many scores lie in each tenth of 0 to 1; the last one holds 1 itself."""
    counts = [0] * BINS
    for score in scores:
        # 1e-9: 0.3 is a little less than 3 / 10 in binary, and belongs to the bin it is written in
        counts[min(BINS - 1, max(0, int(score * BINS + 1e-9)))] += 1
    return counts


def count_attempts(results: Iterable[Result]) -> dict[str, int]:
    """Return how many attempts there were, how many of them from the cache, and how many broke."""
    attempts = [a for r in results for a in r.attempts]
    return {
        "total": len(attempts),
        "cached": sum(a.cached for a in attempts),
        "errors": sum(a.error is not None for a in attempts),
    }


def _scores(scores: Sequence[float]) -> dict[str, Any]:
    return {"mean_score": sum(scores) / len(scores) if scores else None, "score_histogram": histogram(scores)}


def _durations(results: Iterable[Result]) -> dict[str, float | None]:
    """Return what an answer of the target took; cached ones are left out."""
    taken = sorted(a.duration_ms for r in results for a in r.attempts if a.output is not None and not a.cached)
    if not taken:
        return {"median": None, "p95": None, "max": None}
    last = len(taken) - 1
    return {"median": taken[last // 2], "p95": taken[min(last, -(-95 * len(taken) // 100) - 1)], "max": taken[last]}


def _tally(results: Iterable[Result]) -> dict[str, Any]:
    rows = list(results)
    count = Counter(r.passed for r in rows)
    errors = sum(r.error is not None for r in rows)
    return {
        "total": len(rows),
        "passed": count[True],
        "failed": count[False],
        "errors": errors,
        "unscored": count[None] - errors,
        **_interval(count[True], count[True] + count[False]),
    }


def _interval(passed: int, total: int) -> dict[str, Any]:
    interval = wilson_interval(passed, total)
    return {
        "pass_rate": passed / total if total else None,
        "pass_rate_interval_95": list(interval) if interval else None,
    }
