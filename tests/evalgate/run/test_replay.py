"""Replay: the recorded results of tools, and nothing else, answer the tools of a target."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

import pytest

from evalgate.run.engine import request_of
from evalgate.run.replay import NoRecord, Replay, ToolFailed, describe_tools
from evalgate.run.targets.load import load_target
from schema.case import parse_case
from schema.run import Output

if TYPE_CHECKING:
    from pathlib import Path

ORDER_1 = {"name": "order", "arguments": {"id": 1}, "result": {"state": "sent"}}
ORDER_2 = {"name": "order", "arguments": {"id": 2}, "result": {"state": "lost"}}
SEARCH = {"name": "search", "arguments": {"q": "return window"}, "result": ["30 days"]}
BROKEN = {"name": "refund", "arguments": {}, "error": "declined"}


def replay(*records: Any) -> Replay:
    return Replay({"replay": list(records)})


def test_calls_are_matched_by_arguments_whatever_their_order() -> None:
    played = replay(ORDER_1, SEARCH, ORDER_2)
    assert played.call("order", {"id": 2}) == {"state": "lost"}
    assert played.call("search", {"q": "return window"}) == ["30 days"]
    assert played.call("order", {"id": 1}) == {"state": "sent"}
    assert played.notes == ()


def test_the_same_call_again_gets_the_next_record_of_it_and_then_the_last_one() -> None:
    played = replay(ORDER_1, {**ORDER_1, "result": {"state": "there"}})
    states = [played.call("order", {"id": 1})["state"] for _ in range(3)]
    assert states == ["sent", "there", "there"]


def test_other_arguments_get_the_next_record_of_that_name_and_a_note() -> None:
    played = replay(SEARCH)
    assert played.call("search", {"q": "returns"}) == ["30 days"]
    assert played.notes == ('search({"q": "returns"}) was answered by the record of search({"q": "return window"})',)
    with pytest.raises(NoRecord):
        played.call("search", {"q": "yet another"})


def test_a_tool_without_a_record_is_no_answer_and_a_note() -> None:
    played = replay(ORDER_1)
    with pytest.raises(NoRecord, match="no result of delete was recorded"):
        played.call("delete", {"id": 1})
    assert played.notes == ('no recorded result of delete({"id": 1})',)


def test_a_tool_that_failed_in_production_fails_again() -> None:
    with pytest.raises(ToolFailed, match="declined"):
        replay(BROKEN).call("refund", None)


def test_a_result_that_was_too_large_to_keep_is_not_made_up() -> None:
    played = replay({"name": "search", "arguments": {}, "omitted": "a result of 70000 characters"})
    with pytest.raises(NoRecord, match="was not recorded"):
        played.call("search")
    assert played.notes == ("the result of search(null) was not recorded",)


def test_null_is_a_result() -> None:
    assert replay({"name": "ping", "arguments": {}, "result": None}).call("ping", {}) is None


def test_a_case_file_can_be_replayed_as_it_is() -> None:
    assert Replay({"observed": {"tool_calls": [ORDER_1]}}).call("order", {"id": 1}) == {"state": "sent"}
    with pytest.raises(NoRecord):
        Replay({}).call("order", {"id": 1})


def test_tools_are_described_by_how_they_were_called() -> None:
    calls: list[dict[str, Any]] = [
        ORDER_1,
        {"name": "order", "arguments": {"id": 2.5, "full": True}},
        {"name": "ping", "arguments": None},
    ]
    order, ping = describe_tools(calls)
    assert order["parameters"] == {
        "type": "object",
        "properties": {"full": {"type": "boolean"}, "id": {"type": "number"}},
        "required": ["id"],
    }
    assert ping["parameters"] == {"type": "object", "properties": {}, "required": []}


AGENT = """\
from evalgate.run.replay import NoRecord, Replay

def answer(request):
    tools = Replay(request)
    state = tools.call("order", {"id": 1})["state"]
    try:
        tools.call("refund", {"id": 1})
    except NoRecord:
        state += ", nobody knows of a refund"
    return {"output": state, "tool_calls": [{"name": "order", "arguments": {"id": 1}}]}
"""


def test_a_function_plays_its_tools_from_the_request(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "path", list(sys.path))
    monkeypatch.setattr(sys, "modules", dict(sys.modules))
    (project / "agent.py").write_text(AGENT)
    case = parse_case({"case_id": "c", "input": "Q", "observed": {"tool_calls": [ORDER_1]}})
    answer = load_target("python:agent.py:answer").target(request_of(case, replay=True), 5)
    assert isinstance(answer, Output)
    assert answer.text == "sent, nobody knows of a refund"
