"""Ask a model for a verdict about fenced data: it is read strictly, asked for once more, and never guessed."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, TypeVar

from evalgate.model.chat import ModelError
from evalgate.terminal import one_line

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from evalgate.evaluators.prompt import JudgePrompt
    from evalgate.model.chat import ChatModel, Completion

Read = TypeVar("Read")
SHOWN_CHARS: Final = 120
"""Of an answer that is no verdict."""


@dataclass(frozen=True, slots=True)
class NoVerdict:
    """Why there is none."""

    message: str
    error: ModelError | None = None
    """What was wrong where the model was not asked or did not answer; None: it answered, and that is no verdict."""


@dataclass(frozen=True, slots=True)
class Question:
    """What is asked of a model, apart from the data."""

    schema: Mapping[str, Any]
    max_output_tokens: int
    who: str = "the judge"
    """What messages call the model."""
    setting: str = "max_output_tokens of the judge"
    """What to raise where an answer is cut; empty: nothing can be raised."""


def ask(
    model: ChatModel,
    prompt: JudgePrompt,
    question: Question,
    read: Callable[[str], Read],
    calls: list[Completion],
    *,
    is_fresh: bool = False,
) -> Read | NoVerdict:
    """Return what `read` makes of the answer; one that it refuses (ValueError) is asked for once more, round the cache.

    An answer that only repeats a piece of the data is none. `calls` gets every answer that was paid for.
    """
    said = ""
    for fresh in (is_fresh, True):
        answer = model.complete(
            prompt.messages,
            temperature=0.0,
            max_tokens=question.max_output_tokens,
            json_schema=question.schema,
            fresh=fresh,
        )
        if isinstance(answer, ModelError):
            return NoVerdict(f"{answer.kind}: {answer.message}", answer)
        calls.append(answer)
        if prompt.was_cut_short(answer.input_tokens):
            return NoVerdict(
                f"the endpoint read {answer.input_tokens} tokens of a prompt of {prompt.chars} characters and left "
                "the rest out without a word: give the model a longer context"
            )
        if answer.refusal:
            return NoVerdict(f"{question.who} refused: {one_line(answer.refusal, SHOWN_CHARS)}")
        try:
            verdict = read(answer.text)
            if prompt.repeats(answer.text):
                raise ValueError("it repeats a piece of the data")  # noqa: TRY301 - one reason among others
            return verdict  # noqa: TRY300 - as above
        except ValueError as e:
            if answer.finish_reason == "length":
                raised = f"; raise {question.setting}" if question.setting else ""
                return NoVerdict(f"{question.who}'s answer was cut at {question.max_output_tokens} tokens{raised}")
            said = f"{question.who}'s answer is no verdict, twice: {e}: {one_line(answer.text, SHOWN_CHARS)!r}"
    return NoVerdict(said)
