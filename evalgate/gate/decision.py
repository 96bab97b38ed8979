"""What the gate says, as values: the decision, the checks behind it, the rates of evaluators, the comparison.

pass          nothing speaks against it                                        exit 0
fail          a blocking check failed                                          exit 1
inconclusive  no blocking check failed, and one of them cannot tell            exit 0, or 1 with `inconclusive: fail`
error         nothing can be said: no data, something vanished, all broke      exit 2, never green
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from fractions import Fraction
from typing import TYPE_CHECKING, Final

from evalgate.terminal import count_of
from schema.statistics import wilson_interval

if TYPE_CHECKING:
    from collections.abc import Sequence

    from schema.alignment import Grant, Permission
    from schema.evaluator import EvalType, Evidence, Score
    from schema.run import Result
    from schema.statistics import Corrected, WeightedShare


MOST_NAMES: Final = 5
"""In a sentence; all of them stand beside it."""


def names_of(names: Sequence[str]) -> str:
    """Return the first few names, and how many more there are."""
    more = len(names) - MOST_NAMES
    return ", ".join(names[:MOST_NAMES]) + (f" and {more} more" if more > 0 else "")


class Status(StrEnum):
    """What the gate says."""

    PASS = "pass"  # noqa: S105 - a verdict
    FAIL = "fail"
    INCONCLUSIVE = "inconclusive"
    ERROR = "error"


class CheckStatus(StrEnum):
    """What one check says."""

    PASS = "pass"  # noqa: S105 - a verdict
    FAIL = "fail"
    INCONCLUSIVE = "inconclusive"
    """The data do not tell harm from chance."""
    SKIPPED = "skipped"
    """It could not be applied, and need not be: `skipped_reason` says why."""
    INFO = "info"
    """Told, never decided by."""
    ERROR = "error"
    """It had to be applied and could not be."""


def sample_words(cases: int, clusters: int | None, noun: str) -> str:
    """Return how many cases, and in how many sessions where that is not the same."""
    return count_of(cases, "case") + (f" in {count_of(clusters, noun)}" if clusters is not None else "")


@dataclass(frozen=True, slots=True)
class Check:
    """One thing that was looked at."""

    id: str
    """rate:<evaluator>, paired:cases, paired:score:<evaluator>, must_not_break, group:feature=refunds, flaky,
    vanished:cases, missing:<evaluator>, demoted:<evaluator>, changed:cases, integrity:dataset, trajectory:steps ..."""
    evidence: Evidence
    status: CheckStatus
    blocking: bool
    """A failure stops the change. One that does not block is told as watched."""
    sentence: str
    """What was found, in words, with its figures."""
    evaluator: str | None = None
    failure_mode: str | None = None
    issue: int | None = None
    """The number of the failure mode's issue."""
    known: bool | None = None
    """True: a known open issue; False: a new regression; None: nothing failed, or there is nothing to tell by."""
    value: float | None = None
    threshold: float | None = None
    interval: tuple[float, float] | None = None
    """Of `value`."""
    level: float = 0.95
    """Of the interval. Paired checks have 1 - 2 alpha, so that each end is one of a one-sided test at alpha."""
    n: int | None = None
    """Cases it looked at."""
    p_value: float | None = None
    p_adjusted: float | None = None
    """Over the checks of this kind: by Holm for those that block, by Benjamini and Hochberg for those that are told."""
    minimum_detectable_effect: float | None = None
    """The least drop, as a share or in points of score, that so many cases show with the policy's power."""
    cases_to_settle: int | None = None
    """How many cases would show the drop that was seen, were it real; None where that is not the question."""
    clusters: int | None = None
    """What its cases come from: sessions, or contents where some are copies. None: each stands for itself."""
    clusters_to_settle: int | None = None
    """Of how many of these the cases to settle it would have to be, were they as large."""
    cluster_noun: str = "session"
    corrected: Corrected | None = None
    """The rate with the judge's own errors taken out."""
    cases: tuple[str, ...] = ()
    """Ids of the cases behind it, the failing ones."""
    skipped_reason: str | None = None

    @property
    def sample(self) -> str:
        """Return "30 cases", or "30 cases in 1 session"."""
        return sample_words(self.n or 0, self.clusters, self.cluster_noun)

    @property
    def to_settle(self) -> str | None:
        """Return what would settle it: "1170 cases in 39 sessions"; None where that is not the question."""
        if self.cases_to_settle is None:
            return None
        return sample_words(self.cases_to_settle, self.clusters_to_settle, self.cluster_noun)

    @property
    def stops(self) -> bool:
        """Whether this check alone fails the gate."""
        return self.blocking and self.status is CheckStatus.FAIL


@dataclass(frozen=True, slots=True)
class EvalResult:
    """One evaluator over the whole run."""

    evaluator: str
    failure_mode: str
    eval_type: EvalType
    evidence: Evidence
    grant: Grant
    """What its measured agreement with people entitles it to, and why."""
    threshold: float
    passed_count: int
    """Cases of which most attempts passed; a tie fails."""
    sample_count: int
    """Cases it judged."""
    mean_score: float | None
    mcc_score: float | None
    skipped: str | None
    """Why it does not count: low_mcc, undefined_mcc, no_cases; None: it counts."""
    corrected: Corrected | None = None
    effective_n: float | None = None
    """Cases, less what those of one cluster share; None: as many as `sample_count`."""

    @property
    def role(self) -> Permission:
        """Block, monitor or skip."""
        return self.grant.permission

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
        """Wilson's 95 % interval of the pass rate, of the effective number of cases."""
        n = self.sample_count if self.effective_n is None else self.effective_n
        return wilson_interval((self.pass_rate or 0.0) * n, n)


@dataclass(frozen=True, slots=True)
class Failing:
    """A case that an evaluator failed."""

    result: Result
    scores: tuple[Score, ...]
    """The failed ones, of the attempts that failed."""
    regression: bool
    """It passed in the base."""
    known: bool | None = None
    """True: its failure mode is a known open issue and it failed in the base too or is new; False: a new regression."""
    issue: int | None = None
    """The number of its failure mode's issue."""
    flaky: bool = False
    """Its attempts disagree."""


@dataclass(frozen=True, slots=True)
class Comparison:
    """The run against its base, over the cases that say the same in both and the evaluators that both have."""

    baseline_run_id: str
    accepted_at: str | None
    same_version: bool
    compared: int
    regressions: tuple[str, ...]
    repaired: tuple[str, ...]
    flaky: tuple[str, ...]
    """Changed verdicts of cases whose attempts disagree, here or there: in neither of the two above."""
    new: int
    changed: int
    disappeared: tuple[str, ...]
    """Cases with a verdict in the base that the run lacks or no evaluator judges any more."""
    evaluators_changed: tuple[str, ...]
    evaluators_missing: tuple[str, ...]
    """Evaluators that judged in the base and that the run lacks, or that judged nothing."""


@dataclass(frozen=True, slots=True)
class EvidenceScore:
    """One kind of evidence, summed up."""

    evidence: Evidence
    score: float | None
    """Share of what was judged that passed; None: there is no evidence of this kind, which is not 100 %."""
    passed: int
    judged: int
    """Verdicts of evaluators of this kind (one a case and evaluator), or checks, for integrity."""
    checks: tuple[str, ...]
    """Ids of its checks."""
    status: CheckStatus
    """The worst of its blocking checks; skipped where there is none."""


@dataclass(frozen=True, slots=True)
class Decision:
    """What the gate says, and everything behind it."""

    status: Status
    sentence: str
    """The verdict in words, without the status."""
    exit_code: int
    """0, 1 or 2; an inconclusive decision is 0, or 1 where the policy says so."""
    checks: tuple[Check, ...]
    evidence: tuple[EvidenceScore, ...]
    """All five kinds, also those without evidence."""
    eval_results: tuple[EvalResult, ...]
    failing: tuple[Failing, ...]
    """Cases that a blocking evaluator failed."""
    watched: tuple[Failing, ...]
    """Cases that only a watching evaluator failed."""
    errors: tuple[Result, ...]
    unscored: tuple[Result, ...]
    flaky: tuple[str, ...]
    """Cases whose attempts disagree."""
    repeated: int
    """Cases with more than one attempt that has a verdict."""
    comparison: Comparison | None
    passed_cases: int
    judged_cases: int
    case_interval: tuple[float, float] | None
    """Wilson's 95 % interval of `case_pass_rate`, of the effective number of cases."""
    weighted: WeightedShare | None
    """The share of judged cases that passed, by what their traces stand for. Told, never decided by."""
    missing_permission: tuple[str, ...]
    """What evaluators that may not block would need, one sentence each."""

    @property
    def blocked(self) -> bool:
        """Whether the change may not ship."""
        return self.exit_code != 0

    @property
    def suite_pass_rate(self) -> float | None:
        """Evaluators that passed / evaluators that count; a skipped one is in neither."""
        counted = [e for e in self.eval_results if not e.skipped]
        return sum(e.passed is True for e in counted) / len(counted) if counted else None

    @property
    def case_pass_rate(self) -> float | None:
        """Cases that passed / cases with a verdict of blocking evaluators."""
        return self.passed_cases / self.judged_cases if self.judged_cases else None
