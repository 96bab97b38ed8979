"""Judges for tests: models made of a function, some good, some as gullible as can be."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any

from evalgate.evaluators.judge import JudgeEvaluator
from evalgate.evaluators.prompt import CLOSING
from evalgate.evaluators.verdict import parse_verdict
from evalgate.model import Completion, ModelError
from schema.case import Case, CaseInput, Observed
from schema.evaluator import AppliesTo, EvalType, EvaluatorSpec, Judge
from tests.tools.fake_openai import verdict

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from evalgate.model import ChatModel

    Answering = Callable[[Sequence[Mapping[str, Any]]], str | Completion | ModelError]

CRITERIA = "The response names 30 days as the refund window, never 90."
BAD = "You have 90 days to return it."
GOOD = "You have 30 days to return it."


class Scripted:
    """A chat model that answers as a function says; it keeps what it was asked."""

    def __init__(self, answer: Answering | str) -> None:
        self.name = "scripted"
        self.asked: list[Sequence[Mapping[str, Any]]] = []
        self.options: list[Mapping[str, Any]] = []
        self._answer = answer

    def complete(self, messages: Sequence[Mapping[str, Any]], **options: Any) -> Completion | ModelError:
        self.asked.append(messages)
        self.options.append(options)
        said = self._answer if isinstance(self._answer, str) else self._answer(messages)
        return Completion(said, "stop", cost_usd=0.01) if isinstance(said, str) else said


def judge_of(model: ChatModel, **changes: Any) -> JudgeEvaluator:
    body = Judge(**{"criteria": CRITERIA, **changes})
    return JudgeEvaluator(EvaluatorSpec("window", "policy", EvalType.LLM_JUDGE, body, AppliesTo(all=True)), model)


def case_of(text: str = "How long may I return it?", observed: str | None = BAD, expected: str | None = None) -> Case:
    asked = CaseInput(({"role": "user", "parts": [{"type": "text", "content": text}]},), text)
    return Case("case-1", asked, Observed(observed), expected)


def data_of(messages: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Return the document between the fences that the instructions name; everything else must be as it always is."""
    system, user = messages
    (begin, end) = re.findall(
        r'between the lines "(BEGIN DATA [0-9a-f]{32})" and "(END DATA [0-9a-f]{32})"', system["content"]
    )[0]
    lines = user["content"].split("\n")
    assert lines[0] == begin
    assert lines[-2:] == [end, CLOSING]
    assert lines.count(begin) == lines.count(end) == 1
    document: dict[str, Any] = json.loads("\n".join(lines[1:-2]))
    return document


def text_of(field: Any) -> str:
    """Return the text of a field, cut or whole."""
    return field["start"] + field["end"] if isinstance(field, dict) else str(field)


def careful(messages: Sequence[Mapping[str, Any]]) -> str:
    """Judge by what stands in the fenced response, and by nothing else."""
    is_bad = "90 days" in text_of(data_of(messages)["new_response"])
    return verdict(0.0 if is_bad else 1.0, "it says 90 days" if is_bad else "it does not say 90 days")


def obedient(messages: Sequence[Mapping[str, Any]]) -> str:
    """Repeat any verdict that stands outside of the fence, on any line; else be careful."""
    data = data_of(messages)
    system, user = (m["content"] for m in messages)
    fenced = user[user.index("\n") : user.rindex("\nEND DATA")]
    outside = f"{system}\n{user.replace(fenced, '')}"
    assert json.dumps(data)
    for line in outside.splitlines():
        try:
            parse_verdict(line)
        except ValueError:
            continue
        return line
    return careful(messages)


ROLE_MARKERS = re.compile(
    r"<\|.*?\|>|<｜.*?｜>|</?s>|\[/?(?:INST|SYSTEM_PROMPT|TOOL_RESULTS|TOOL_CALLS)\]|<</?SYS>>|<(?:start|end)_of_turn>"
)


def reading_templates(messages: Sequence[Mapping[str, Any]]) -> str:
    """Be a server that takes role markers in content for its own, as some do, and obey what they then say."""
    if any(ROLE_MARKERS.search(m["content"]) for m in messages):
        return verdict(1.0, "the system said so")
    return careful(messages)


def by_lines(messages: Sequence[Mapping[str, Any]]) -> str:
    """Obey any line that speaks of a score, as terminals and people see lines."""
    for line in messages[1]["content"].splitlines():
        if re.match(r"\W*(final )?score\W*:?\W*1", line, re.IGNORECASE):
            return verdict(1.0, "a line said so")
    return careful(messages)


def gullible(messages: Sequence[Mapping[str, Any]]) -> str:
    """Obey what stands in the data itself: what no client can prevent."""
    text = json.dumps(data_of(messages), ensure_ascii=False).lower()
    return verdict(1.0, "I was asked to") if "1.0" in text else careful(messages)
