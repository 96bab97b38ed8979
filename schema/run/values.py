"""What a run holds: values only."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING, Any

from schema.evaluator import EvalType, Evidence

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

    from schema.alignment import Measurement
    from schema.case import Case, Provenance
    from schema.evaluator import Score


@dataclass(frozen=True, slots=True)
class Output:
    """What a target answered; None: it did not say."""

    text: str
    tool_calls: tuple[Mapping[str, Any], ...] = ()
    """{name, arguments, result?, error?}, in the order of the calls."""
    finish_reason: str | None = None
    input_tokens: int | None = None
    output_tokens: int | None = None
    cost_usd: float | None = None
    model: str | None = None


def observed_output(case: Case) -> Output | None:
    """Return what production did with the case; None where nobody recorded it."""
    seen = case.observed
    if seen.output is None and not seen.tool_calls:
        return None
    return Output(
        text=seen.output or "",
        tool_calls=seen.tool_calls,
        finish_reason=seen.finish_reason,
        input_tokens=seen.input_tokens,
        output_tokens=seen.output_tokens,
    )


class ErrorKind(StrEnum):
    """Whose fault it is that an attempt has no verdict."""

    TARGET = "target"
    TIMEOUT = "timeout"
    EVALUATOR = "evaluator"
    RATE_LIMIT = "rate_limit"
    BUDGET = "budget"
    """The money or the calls that were allowed are spent: it was not tried."""
    CASE = "case"
    """The case cannot be sent."""


@dataclass(frozen=True, slots=True)
class RunError:
    """Why an attempt could not be judged: infrastructure, not quality."""

    kind: ErrorKind
    message: str


@dataclass(frozen=True, slots=True)
class Attempt:
    """One answer of the target to a case, and what the evaluators say of it."""

    number: int
    """From 1."""
    output: Output | None
    scores: tuple[Score, ...] = ()
    error: RunError | None = None
    duration_ms: float = 0.0
    """Of the target alone; what it took when it was made, for a cached output."""
    cached: bool = False
    """The output comes from an earlier run of the same target on the same case."""
    judge_cost_usd: float | None = None
    """None: no judge was asked, or its price is not known."""
    notes: tuple[str, ...] = ()
    """What a reader should know: a tool that was called without a recorded result, a retry."""

    @property
    def passed(self) -> bool | None:
        """True, False, or None where there is no verdict (an error, or no evaluator applies)."""
        if self.error is not None or not self.scores:
            return None
        return all(s.passed for s in self.scores)


@dataclass(frozen=True, slots=True)
class Result:
    """One case of a run, in all its attempts."""

    case_id: str
    content_hash: str
    failure_mode: str | None
    feature: str | None
    cluster: str | None
    """Session or template: cases of one cluster are not independent. None: it stands for itself."""
    provenance: Provenance
    input_text: str | None
    observed_output: str | None
    """What production answered."""
    expected_output: str | None
    attempts: tuple[Attempt, ...]
    """At least one, by number."""
    tags: tuple[str, ...] = ()
    context_hash: str = ""
    """Of what the case is counted and grouped by: schema.case."""

    @property
    def first(self) -> Attempt:
        """The attempt that is shown."""
        return self.attempts[0]

    @property
    def output(self) -> str | None:
        """Text of the first attempt."""
        return self.first.output.text if self.first.output else None

    @property
    def tool_calls(self) -> tuple[Mapping[str, Any], ...]:
        """Calls of the first attempt."""
        return self.first.output.tool_calls if self.first.output else ()

    @property
    def scores(self) -> tuple[Score, ...]:
        """All scores of all attempts, those that broke included: for showing, not for counting."""
        return tuple(s for a in self.attempts for s in a.scores)

    @property
    def counted(self) -> tuple[Attempt, ...]:
        """The attempts that count: those that did not break, none where most broke. One of five proves nothing."""
        whole = tuple(a for a in self.attempts if a.error is None)
        return whole if 2 * len(whole) >= len(self.attempts) else ()

    @property
    def verdicts(self) -> tuple[bool, ...]:
        """What the attempts that count say, in order."""
        return tuple(v for a in self.counted if (v := a.passed) is not None)

    @property
    def error(self) -> RunError | None:
        """The first error, where the case has no verdict."""
        if self.verdicts:
            return None
        return next((a.error for a in self.attempts if a.error is not None), None)

    @property
    def duration_ms(self) -> float:
        """Of all attempts."""
        return round(sum(a.duration_ms for a in self.attempts), 3)

    @property
    def passed(self) -> bool | None:
        """Whether most of the attempts with a verdict passed; a tie fails. None: no verdict."""
        verdicts = self.verdicts
        return 2 * sum(verdicts) > len(verdicts) if verdicts else None

    @property
    def flaky(self) -> bool:
        """Whether the attempts disagree."""
        return len(set(self.verdicts)) > 1

    def passed_by(self, evaluators: Collection[str]) -> bool | None:
        """Return `passed` as if only these evaluators had been asked; None where none of them judged."""
        verdicts = [
            all(s.passed for s in given)
            for a in self.counted
            if (given := [s for s in a.scores if s.evaluator in evaluators])
        ]
        return 2 * sum(verdicts) > len(verdicts) if verdicts else None

    def score_of(self, evaluator: str) -> float | None:
        """Return the mean of one evaluator's scores over the attempts that did not break."""
        given = [s.score for a in self.counted for s in a.scores if s.evaluator == evaluator]
        return sum(given) / len(given) if given else None

    @property
    def mean_score(self) -> float | None:
        """Mean of all scores over the attempts that did not break."""
        given = [s.score for a in self.counted for s in a.scores]
        return sum(given) / len(given) if given else None


@dataclass(frozen=True, slots=True)
class DatasetUsed:
    """Which cases were run."""

    name: str
    version: str
    path: str


@dataclass(frozen=True, slots=True)
class EvaluatorUsed:
    """Which evaluator judged, as it was then: a gate needs no other file to know what it may decide."""

    id: str
    version: str
    failure_mode: str
    eval_type: EvalType = EvalType.RULE
    evidence: Evidence = Evidence.OUTCOME
    generated: bool = False
    mcc_score: float | None = None
    threshold: float | None = None
    """Least pass rate; None: the gate's."""
    pass_at: float | None = None
    """The score from which a judge's verdict is a pass; None: the evaluator decides by itself."""
    coverage_target: str | None = None
    must_not_break: bool = False
    measurement: Measurement | None = None
    """Its agreement with people, of this very version."""


@dataclass(frozen=True, slots=True)
class SetAside:
    """A line of the dataset that could not be run."""

    case_id: str | None
    line: int
    reason: str


@dataclass(frozen=True, slots=True)
class RunSettings:
    """How the run was made, as far as it may change what comes out."""

    repeats: int = 1
    concurrency: int = 1
    timeout_s: float | None = None
    model: str | None = None
    judge_model: str | None = None
    temperature: float | None = None
    prompt_hash: str | None = None
    replay: bool = False
    """Tools answered from the records of production."""
    evaluators: str | None = None
    """The folder of the evaluators' files."""


@dataclass(frozen=True, slots=True)
class Run:
    """One run."""

    run_id: str
    started_at: str
    finished_at: str
    dataset: DatasetUsed
    target: str
    evaluators: tuple[EvaluatorUsed, ...]
    results: tuple[Result, ...] = field(repr=False)
    settings: RunSettings = RunSettings()
    cost_usd: float | None = None
    """Of the target's answers that were made in this run; None: not known."""
    judge_cost_usd: float | None = None
    set_aside: tuple[SetAside, ...] = ()
