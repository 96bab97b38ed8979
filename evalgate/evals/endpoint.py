"""Try an endpoint as a judge: it answers, in the form that is asked for, and tells a right answer from a wrong one."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from evalgate.evaluators.judge import JudgeEvaluator
from evalgate.evaluators.verdict import parse_verdict
from evalgate.model.chat import Completion, ModelError
from schema.case import Case, CaseInput
from schema.evaluator import AppliesTo, EvalType, EvaluatorError, EvaluatorSpec, Judge, Score
from schema.run import Output

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from typing import Any

    from evalgate.model.client import OpenAIModel

CRITERIA = "The answer names the capital of the country that the request asks for."
QUESTION = "What is the capital of France?"
RIGHT = "The capital of France is Paris."
WRONG = "The capital of France is Berlin."
FILLER = "France has many rivers, and every one of them has been described at length. " * 800
"""60 000 characters, some 14 000 tokens."""


@dataclass(frozen=True, slots=True)
class Checked:
    """What an endpoint can do. `error` is set where it is of no use as a judge at all."""

    model: str
    answers: bool
    error: str | None
    right: Score | None = None
    wrong: Score | None = None
    structured_output: str | None = None
    """json_schema, json_object or none; None: nothing was answered."""
    max_tokens: str | None = None
    """The name of the parameter that it takes."""
    temperature: bool | None = None
    latency_ms: float | None = None
    """Of the first answer."""
    input_tokens: int | None = None
    output_tokens: int | None = None
    cost_usd: float | None = None
    """Of the first answer."""
    reads_long: bool | None = None
    """Whether it still judges rightly where the answer is long; None: it was not asked."""
    is_bare: bool = True
    """Whether the answer was the verdict alone, without a fence or thoughts around it."""

    @property
    def is_usable(self) -> bool:
        """Whether it gives verdicts, and the right answer a better one."""
        if self.error or self.right is None or self.wrong is None:
            return False
        return self.right.passed and not self.wrong.passed and self.reads_long is not False


class _Watched:
    """Passes calls on and keeps the answers."""

    def __init__(self, model: OpenAIModel) -> None:
        self._model = model
        self.answers: list[Completion | ModelError] = []

    @property
    def name(self) -> str:
        return self._model.name

    def complete(self, messages: Sequence[Mapping[str, Any]], **options: Any) -> Completion | ModelError:
        answer = self._model.complete(messages, **options)
        self.answers.append(answer)
        return answer


def check_model(model: OpenAIModel, *, with_long: bool = False) -> Checked:
    """Ask the model to judge a right and a wrong answer, round the cache; after an error only the first.

    `with_long`: and both again, behind and before text of which nothing is left out, but that a short context may lose.
    """
    watched = _Watched(model)
    body = Judge(CRITERIA)
    spec = EvaluatorSpec("check", "wrong_capital", EvalType.LLM_JUDGE, body, AppliesTo(all=True))
    judge = JudgeEvaluator(spec, watched, is_fresh=True)
    case = Case("check", CaseInput(({"role": "user", "parts": [{"type": "text", "content": QUESTION}]},), QUESTION))
    right = judge(case, Output(RIGHT))
    first = watched.answers[0] if watched.answers else None
    if not isinstance(first, Completion):
        return Checked(model.name, answers=False, error=_message(right))
    wrong = None if isinstance(right, EvaluatorError) else judge(case, Output(WRONG))
    reads_long = None
    if with_long and isinstance(wrong, Score):
        long_right, long_wrong = judge(case, Output(f"{RIGHT}\n{FILLER}")), judge(case, Output(f"{FILLER}\n{WRONG}"))
        scores = [s for s in (long_right, long_wrong) if isinstance(s, Score)]
        reads_long = [s.passed for s in scores] == [True, False]
    dialect = model.dialect
    return Checked(
        model=first.model or model.name,
        answers=True,
        error=_message(right) or _message(wrong),
        right=right if isinstance(right, Score) else None,
        wrong=wrong if isinstance(wrong, Score) else None,
        structured_output=dialect.response_format,
        max_tokens=dialect.max_tokens,
        temperature=dialect.temperature,
        latency_ms=first.latency_ms,
        input_tokens=first.input_tokens,
        output_tokens=first.output_tokens,
        cost_usd=first.cost_usd,
        reads_long=reads_long,
        is_bare=_is_bare(first.text),
    )


def _message(said: Score | EvaluatorError | None) -> str | None:
    return said.message if isinstance(said, EvaluatorError) else None


def _is_bare(text: str) -> bool:
    try:
        parse_verdict(text)
    except ValueError:
        return False
    return text.lstrip().startswith("{")
