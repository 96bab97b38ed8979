"""Whatever an endpoint answers becomes a completion or a fault, never an exception."""

from __future__ import annotations

import json
from typing import Any

from hypothesis import example, given, settings
from hypothesis import strategies as st

from evalgate.evaluators.verdict import Verdict, parse_verdict
from evalgate.model.answer import Fault, read_answer
from evalgate.model.chat import Completion
from evalgate.model.retry import asked_wait_s
from evalgate.model.transport import HttpAnswer

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=6,
)
STATUS = st.sampled_from([200, 200, 200, 301, 400, 401, 404, 429, 500, 503])


def some(**fields: Any) -> st.SearchStrategy[dict[str, Any]]:
    """Return objects with some of these fields, or with anything in their place."""
    return st.fixed_dictionaries({}, optional={name: JSON | kind for name, kind in fields.items()})


CALL = some(id=st.text(), function=some(name=st.text(), arguments=st.text()))
MESSAGE = some(content=st.text(), refusal=st.text(), tool_calls=st.lists(CALL, max_size=2))
CHOICE = some(message=MESSAGE, finish_reason=st.sampled_from(["stop", "length", "content_filter"]))
USAGE = some(prompt_tokens=st.integers(), completion_tokens=st.integers())
ERROR = some(message=st.text(), code=st.text(), param=st.text(), type=st.text(), innererror=some(code=st.text()))
BODY = some(choices=st.lists(CHOICE, max_size=2), usage=USAGE, model=st.text(), error=ERROR)


@given(BODY | JSON, STATUS)
@settings(max_examples=150)
@example({"choices": [{"message": {"content": "", "tool_calls": 5}}]}, 200)
@example({"choices": [{"message": {"content": "", "tool_calls": [{"function": {"name": 5}}]}}]}, 200)
@example({"error": {"code": {"a": 1}, "message": ["x"], "innererror": 5, "param": {}}}, 400)
def test_any_json(body: Any, status: int) -> None:
    answer = read_answer(HttpAnswer(status, {}, json.dumps(body).encode()))
    if isinstance(answer, Completion):
        assert status == 200
        answer.text.encode("utf-8")
        assert isinstance(answer.input_tokens, int | None)
    else:
        assert "\n" not in answer.message
        assert len(answer.message) < 700


@given(st.binary(), STATUS)
def test_any_bytes(body: bytes, status: int) -> None:
    assert isinstance(read_answer(HttpAnswer(status, {}, body)), Fault)


@given(st.text() | st.binary().map(lambda b: b.decode("latin-1")))
def test_any_header(text: str) -> None:
    wait_s = asked_wait_s({"retry-after": text, "retry-after-ms": text}, 1e9)
    assert wait_s is None or 0 <= wait_s < float("inf")


@given(st.text() | JSON.map(json.dumps) | some(reasoning=st.text(), score=st.floats()).map(json.dumps))
def test_any_verdict(text: str) -> None:
    try:
        found = parse_verdict(text)
    except ValueError:
        return
    assert isinstance(found, Verdict)
    assert 0 <= found.score <= 1
