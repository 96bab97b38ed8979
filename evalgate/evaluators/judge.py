"""A judge: a model that is asked how good an output is, by criteria in words.

What cannot be read as a verdict is asked for once more and is then an error, never a guess; so are a refusal, an
answer that was cut, an answer that only repeats a piece of the data, and a model that does not answer. A judge that is
asked `repeats` times needs every verdict: a mean of those that happened to come would be another judge's. What is too
long for the judge may fail by what it saw; it cannot pass by that.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from statistics import fmean
from typing import TYPE_CHECKING

from evalgate.evaluators.ask import SHOWN_CHARS, NoVerdict, Question, ask
from evalgate.evaluators.prompt import VERDICT_SCHEMA, judge_prompt
from evalgate.evaluators.verdict import Verdict, parse_verdict
from evalgate.terminal import one_line
from schema.evaluator import EvaluatorError, Judge, Score

if TYPE_CHECKING:
    from evalgate.evaluators.prompt import JudgePrompt
    from evalgate.model.chat import ChatModel, Completion
    from schema.case import Case
    from schema.evaluator import EvaluatorSpec
    from schema.run import Output

REASON_CHARS = 1000
ROUNDED = 9
"""Digits of a mean: three times 0.8 is 0.8, also in floats."""


@dataclass(frozen=True, slots=True)
class JudgeEvaluator:
    """Judges by asking a model. Safe from many threads."""

    spec: EvaluatorSpec
    model: ChatModel
    is_swapped: bool = False
    """The new response stands before the original one: to measure what the order does."""
    is_fresh: bool = False
    """No verdict comes from the cache: to measure how steady the judge is."""

    @property
    def judge(self) -> Judge:
        """What the file says of the judge."""
        assert isinstance(self.spec.body, Judge)  # noqa: S101 - whoever made it looked
        return self.spec.body

    def fresh(self) -> JudgeEvaluator:
        """Return the judge that takes no verdict from the cache."""
        return replace(self, is_fresh=True)

    def __call__(self, case: Case, output: Output) -> Score | EvaluatorError:
        """Judge one output."""
        judge = self.judge
        try:
            prompt = judge_prompt(judge, case, output, is_swapped=self.is_swapped)
        except (TypeError, ValueError, RecursionError) as e:
            return self._error(f"the case cannot be shown to a judge: {one_line(str(e), SHOWN_CHARS)}")
        verdicts: list[Verdict] = []
        calls: list[Completion] = []
        for number in range(judge.repeats):
            verdict = self._ask(prompt, calls, is_fresh=self.is_fresh or number > 0)
            if isinstance(verdict, EvaluatorError):
                return verdict
            verdicts.append(verdict)
        scores = tuple(v.score for v in verdicts)
        mean = round(fmean(scores), ROUNDED)
        if mean >= judge.pass_at and not prompt.is_judged_whole:
            return self._error(f"the judge did not see {_unseen(prompt)}, and what it saw would pass")
        return Score(
            evaluator=self.spec.id,
            score=mean,
            passed=mean >= judge.pass_at,
            reason=_reason(verdicts, mean, _unseen(prompt)),
            cost_usd=_cost(calls),
            cached=all(c.cached for c in calls),
            repeats=scores if len(scores) > 1 else (),
        )

    def _ask(self, prompt: JudgePrompt, calls: list[Completion], *, is_fresh: bool) -> Verdict | EvaluatorError:
        question = Question(VERDICT_SCHEMA, self.judge.max_output_tokens)
        said = ask(self.model, prompt, question, parse_verdict, calls, is_fresh=is_fresh)
        return self._error(said.message) if isinstance(said, NoVerdict) else said

    def _error(self, message: str) -> EvaluatorError:
        return EvaluatorError(self.spec.id, message)


def _unseen(prompt: JudgePrompt) -> str:
    return " and ".join(map(str, prompt.data.cuts))


def _reason(verdicts: list[Verdict], mean: float, unseen: str) -> str:
    """Return the reasoning of the verdict that is nearest the mean, and what one must know of it."""
    nearest = min(verdicts, key=lambda v: abs(v.score - mean))
    notes = []
    if len(verdicts) > 1:
        scores = sorted(v.score for v in verdicts)
        notes.append(f"mean of {len(scores)} verdicts from {scores[0]:g} to {scores[-1]:g}")
    if unseen:
        notes.append(f"the judge did not see {unseen}")
    told = f" ({'; '.join(notes)})" if notes else ""
    return one_line(nearest.reasoning, REASON_CHARS) + told


def _cost(calls: list[Completion]) -> float | None:
    costs = [c.cost_usd for c in calls]
    known = [c for c in costs if c is not None]
    return sum(known) if len(known) == len(costs) else None
