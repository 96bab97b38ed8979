"""The decision. Pure: a run, perhaps a baseline, a policy; out comes pass, fail or error with everything behind it.

    error   no cases; more errors than allowed; nothing judged by an evaluator that may block     never green
    fail    a blocking evaluator below its threshold; a case that passed before and fails now;
            a case with a verdict in the baseline and none now
    pass    everything else

An evaluator blocks when its agreement with people (MCC) is at least 0.6, or was never measured (a rule someone wrote
by hand); it only watches from 0.4 to 0.6 and is skipped below. Thresholds are compared as exact fractions.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, replace
from enum import StrEnum
from fractions import Fraction
from typing import TYPE_CHECKING

from evalgate.gate.baseline import AcceptedCase, Baseline
from evalgate.terminal import count_of
from schema.statistics import MIN_DISCORDANT, mcnemar_p, weighted_share, wilson_interval

if TYPE_CHECKING:
    from collections.abc import Iterable

    from schema.evaluator import Score
    from schema.run import EvaluatorUsed, Result, Run
    from schema.statistics import WeightedShare

DEFAULT_THRESHOLD = 0.8
MCC_BLOCKS = 0.6
MCC_WATCHES = 0.4


class Status(StrEnum):
    """What the gate says."""

    PASS = "pass"  # noqa: S105 - a verdict
    FAIL = "fail"
    ERROR = "error"


EXIT_CODES = {Status.PASS: 0, Status.FAIL: 1, Status.ERROR: 2}


class Role(StrEnum):
    """What an evaluator's agreement with people entitles it to."""

    BLOCK = "block"
    MONITOR = "monitor"
    SKIP = "skip"


@dataclass(frozen=True, slots=True)
class Policy:
    """What is asked of a run."""

    threshold: float = DEFAULT_THRESHOLD
    """Least pass rate of each evaluator that does not name its own."""
    allow_errors: int = 0


@dataclass(frozen=True, slots=True)
class EvalResult:
    """One evaluator over the whole run."""

    evaluator: str
    failure_mode: str
    role: Role
    threshold: float
    passed_count: int
    sample_count: int
    mcc_score: float | None
    skipped: str | None
    """Why it does not count: low_mcc, no_cases; None: it counts."""

    @property
    def pass_rate(self) -> float | None:
        """Passed / judged, None where nothing was judged."""
        return self.passed_count / self.sample_count if self.sample_count else None

    @property
    def passed(self) -> bool | None:
        """Whether the pass rate reaches the threshold (equal is enough); None where it is skipped."""
        if self.skipped:
            return None
        return Fraction(self.passed_count, self.sample_count) >= Fraction(str(self.threshold))

    @property
    def interval(self) -> tuple[float, float] | None:
        """Wilson's 95 % interval of the pass rate."""
        return wilson_interval(self.passed_count, self.sample_count)

    @property
    def blocks(self) -> bool:
        """Whether this result stops the change."""
        return self.role is Role.BLOCK and self.passed is False


@dataclass(frozen=True, slots=True)
class Failing:
    """A case that a blocking evaluator failed."""

    result: Result
    scores: tuple[Score, ...]
    """The failed ones."""
    regression: bool
    """It passed in the baseline."""


@dataclass(frozen=True, slots=True)
class Comparison:
    """The run against the baseline, over the cases that say the same in both."""

    baseline_run_id: str
    same_version: bool
    compared: int
    regressions: tuple[str, ...]
    repaired: tuple[str, ...]
    new: int
    changed: int
    disappeared: tuple[str, ...]
    """Cases with a verdict in the baseline that the run lacks or no blocking evaluator judges any more."""
    evaluators_changed: tuple[str, ...]

    @property
    def p_value(self) -> float:
        """Exact one-sided McNemar: so many regressions by chance alone."""
        return mcnemar_p(len(self.regressions), len(self.repaired))

    @property
    def discordant(self) -> int:
        """Cases whose verdict changed."""
        return len(self.regressions) + len(self.repaired)

    @property
    def inconclusive(self) -> bool:
        """Whether there are too few changes for any test to say something."""
        return self.discordant < MIN_DISCORDANT


@dataclass(frozen=True, slots=True)
class Decision:
    """What the gate says, and everything behind it."""

    status: Status
    sentence: str
    """The verdict in words, without the status."""
    eval_results: tuple[EvalResult, ...]
    failing: tuple[Failing, ...]
    watched: tuple[Failing, ...]
    """Cases that only a watching evaluator failed."""
    errors: tuple[Result, ...]
    unscored: tuple[Result, ...]
    comparison: Comparison | None
    passed_cases: int
    judged_cases: int
    weighted: WeightedShare | None
    """The share of judged cases that passed, by what their traces stand for. Told, never decided by."""

    @property
    def exit_code(self) -> int:
        """0, 1 or 2."""
        return EXIT_CODES[self.status]

    @property
    def suite_pass_rate(self) -> float | None:
        """Evaluators that passed / evaluators that count; a skipped one is in neither."""
        counted = [e for e in self.eval_results if not e.skipped]
        return sum(e.passed is True for e in counted) / len(counted) if counted else None

    @property
    def case_pass_rate(self) -> float | None:
        """Cases that passed / cases with a verdict of blocking evaluators."""
        return self.passed_cases / self.judged_cases if self.judged_cases else None

    @property
    def case_interval(self) -> tuple[float, float] | None:
        """Wilson's 95 % interval of `case_pass_rate`."""
        return wilson_interval(self.passed_cases, self.judged_cases)


def decide(run: Run, baseline: Baseline | None, policy: Policy) -> Decision:
    """Judge a run."""
    evaluated = tuple(_evaluate(e, run.results, policy) for e in run.evaluators)
    blocking = {e.evaluator for e in evaluated if e.role is Role.BLOCK}
    watching = {e.evaluator for e in evaluated if e.role is Role.MONITOR}
    verdicts = {r.case_id: _verdict(r, blocking) for r in run.results}
    comparison = _compare(run, verdicts, baseline) if baseline else None
    regressed = set(comparison.regressions) if comparison else set()
    errors = tuple(r for r in run.results if r.error is not None)
    failing = tuple(_failing(r, blocking, regressed) for r in run.results if verdicts[r.case_id] is False)
    watched = tuple(
        _failing(r, watching, set())
        for r in run.results
        if verdicts[r.case_id] is not False and _verdict(r, watching) is False
    )
    draft = Decision(
        status=Status.ERROR,
        sentence="",
        eval_results=evaluated,
        failing=failing,
        watched=watched,
        errors=errors,
        unscored=tuple(r for r in run.results if r.error is None and not r.scores),
        comparison=comparison,
        passed_cases=sum(v is True for v in verdicts.values()),
        judged_cases=sum(v is not None for v in verdicts.values()),
        weighted=weighted_share(
            (v, r.provenance.sample_weight) for r in run.results if (v := verdicts[r.case_id]) is not None
        ),
    )
    status, sentence = _judge(run, draft, policy)
    return replace(draft, status=status, sentence=sentence)


def accept(run: Run, at: str) -> Baseline:
    """Return the baseline that this run makes."""
    roles = {e.id: _role(e) for e in run.evaluators}
    blocking = {i for i, role in roles.items() if role is Role.BLOCK}
    verdicts = {r.case_id: (r.content_hash, _verdict(r, blocking)) for r in run.results}
    return Baseline(
        version=run.dataset.version,
        run_id=run.run_id,
        accepted_at=at,
        evaluators={e.id: e.version for e in run.evaluators},
        cases={i: AcceptedCase(h, v) for i, (h, v) in verdicts.items() if v is not None},
    )


def _role(evaluator: EvaluatorUsed) -> Role:
    if evaluator.mcc_score is None or evaluator.mcc_score >= MCC_BLOCKS:
        return Role.BLOCK
    return Role.MONITOR if evaluator.mcc_score >= MCC_WATCHES else Role.SKIP


def _evaluate(evaluator: EvaluatorUsed, results: Iterable[Result], policy: Policy) -> EvalResult:
    scores = [s for r in results if r.error is None for s in r.scores if s.evaluator == evaluator.id]
    role = _role(evaluator)
    return EvalResult(
        evaluator=evaluator.id,
        failure_mode=evaluator.failure_mode,
        role=role,
        threshold=policy.threshold if evaluator.threshold is None else evaluator.threshold,
        passed_count=sum(s.passed for s in scores),
        sample_count=len(scores),
        mcc_score=evaluator.mcc_score,
        skipped="low_mcc" if role is Role.SKIP else None if scores else "no_cases",
    )


def _verdict(result: Result, evaluators: set[str]) -> bool | None:
    """Return whether a case passed by these evaluators, None where they gave no verdict."""
    scores = [s for s in result.scores if s.evaluator in evaluators]
    return all(s.passed for s in scores) if scores and result.error is None else None


def _failing(result: Result, evaluators: set[str], regressed: set[str]) -> Failing:
    failed = tuple(s for s in result.scores if s.evaluator in evaluators and not s.passed)
    return Failing(result, failed, result.case_id in regressed)


def _compare(run: Run, verdicts: dict[str, bool | None], baseline: Baseline) -> Comparison:
    now = {r.case_id: r for r in run.results}
    same = [i for i, c in baseline.cases.items() if i in now and now[i].content_hash == c.content_hash]
    paired = [i for i in same if verdicts[i] is not None]
    versions = {e.id: e.version for e in run.evaluators}
    return Comparison(
        baseline_run_id=baseline.run_id,
        same_version=baseline.version == run.dataset.version,
        compared=len(paired),
        regressions=tuple(i for i in paired if baseline.cases[i].passed and verdicts[i] is False),
        repaired=tuple(i for i in paired if not baseline.cases[i].passed and verdicts[i] is True),
        new=sum(i not in baseline.cases for i in now),
        changed=sum(i in now for i in baseline.cases) - len(same),
        disappeared=tuple(i for i in baseline.cases if i not in now or (verdicts[i] is None and now[i].error is None)),
        evaluators_changed=tuple(
            sorted(
                i for i in versions.keys() | baseline.evaluators.keys() if versions.get(i) != baseline.evaluators.get(i)
            )
        ),
    )


def _judge(run: Run, found: Decision, policy: Policy) -> tuple[Status, str]:
    """Return the status and the sentence for what was found."""
    total = len(run.results)
    if total == 0:
        return Status.ERROR, (
            f"the run has no cases, so nothing was proved. Add some: evalgate dataset build --name {run.dataset.name}"
        )
    if len(found.errors) > policy.allow_errors:
        kinds = Counter(r.error.kind for r in found.errors if r.error)
        words = ", ".join(f"{n} {kind}" for kind, n in sorted(kinds.items()))
        return Status.ERROR, (
            f"{count_of(len(found.errors), 'case')} of {total} could not be judged ({words}). "
            f"Fix the cause and run again, or allow them: --allow-errors {len(found.errors)}"
        )
    if found.judged_cases == 0:
        return Status.ERROR, (
            f"no case of {total} was judged by an evaluator that may block. "
            "Write one for their failure modes in evals/evaluators, or give one 'applies_to: all'"
        )
    if reasons := _reasons(found):
        return Status.FAIL, "; ".join(reasons)
    passed, judged = found.passed_cases, count_of(found.judged_cases, "judged case")
    return Status.PASS, f"{passed} of {judged} passed, every evaluator reached its threshold"


def _reasons(found: Decision) -> list[str]:
    reasons = []
    for e in found.eval_results:
        if e.blocks:
            rates = f"{percent(e.pass_rate)}, needs {percent(e.threshold)}"
            reasons.append(f"{e.evaluator} passed {e.passed_count} of {e.sample_count} ({rates})")
    if found.comparison and (broken := len(found.comparison.regressions)):
        verb = "fails" if broken == 1 else "fail"
        reasons.append(f"{count_of(broken, 'case')} that passed before {verb} now")
    if found.comparison and (gone := len(found.comparison.disappeared)):
        verb = "has" if gone == 1 else "have"
        reasons.append(f"{count_of(gone, 'case')} judged before {verb} no verdict now")
    return reasons


def percent(rate: float | None) -> str:
    """Return a rate as people read it: 80 %, 33.3 %; never rounded up to 100 % or down to 0 %."""
    if rate is None:
        return "–"
    text = f"{rate * 100:.1f}".removesuffix(".0")
    if text == "100" and rate < 1:
        text = ">99.9"
    if text == "0" and rate > 0:
        text = "<0.1"
    return f"{text} %"


def weighted_words(share: WeightedShare | None) -> str | None:
    """Return what is to be said of a weighted pass rate; None where it says no more than the plain one."""
    if share is None or share.equal:
        return None
    told = "insufficient data" if share.rate is None else percent(share.rate)
    interval = f"95 % interval {percent(share.low)} to {percent(share.high)}"
    without = f", {share.unweighted} without a weight" if share.unweighted else ""
    return (
        f"{told} ({interval}), each case by what its trace stands for; effective n {share.effective_n:.3g} of "
        f"{count_of(share.counted, 'case')}{without}. Cases are chosen: a rate of production is evalgate stats"
    )
