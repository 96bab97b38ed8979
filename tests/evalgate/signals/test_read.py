"""Signals of stored traces: what the statements read, and what the commands say."""

from __future__ import annotations

import json
from datetime import timedelta
from typing import TYPE_CHECKING, Any, cast

import pytest

from evalgate.app import run
from evalgate.select.where import Where, parse_where
from evalgate.signals import Weights, prioritise, signals
from evalgate.signals.population import read_population, recent_window, window_around
from tests.evalgate.traffic import START, Traffic

if TYPE_CHECKING:
    from pathlib import Path

    from evalgate.database import TenantDatabase

IDS = [f"{n:02x}" * 16 for n in range(1, 60)]
REQUEST = "Where is the armchair that I ordered on Monday?"


def tool(name: str, arguments: str = "{}", **changes: Any) -> dict[str, Any]:
    return {"span_kind": "tool", "counted": False, "tool_name": name, "tool_arguments": arguments, **changes}


class Gathered:
    """Takes rows as a database does, and stores them in one INSERT: each costs 0.1 s."""

    def __init__(self) -> None:
        self.rows: list[Any] = []

    def insert_rows(self, _table: str, rows: list[Any]) -> None:
        self.rows += rows


def store(database: TenantDatabase, traces: dict[str, list[dict[str, Any]]]) -> None:
    """Store traces; all their rows have the same columns."""
    gathered = Gathered()
    traffic = Traffic(cast("TenantDatabase", gathered))
    for trace_id, spans in traces.items():
        traffic.trace(trace_id, [{"session_id": None, "defects": [], "span_attributes": {}, **s} for s in spans])
    database.insert_rows("spans", gathered.rows)


def asked(number: int) -> list[dict[str, Any]]:
    """Return the spans of an ordinary trace: an agent, two tools, a model call."""
    agent = {
        "span_kind": "agent", "counted": False, "name": "answer", "input_text": f"{REQUEST} {number * 7919}",
        "output_text": "It is on its way and will be with you on Thursday.",
    }  # fmt: skip
    return [
        agent,
        tool("find", f'{{"n": {number}}}'),
        tool("track"),
        {"span_attributes": {"gen_ai.response.time_to_first_chunk": "0.25"}},
    ]


def test_a_tool_call_of_which_nobody_recorded_the_name_or_the_arguments_is_read(database: TenantDatabase) -> None:
    bare = {"span_kind": "tool", "counted": False, "name": "step"}
    store(database, {IDS[0]: [{"span_kind": "agent"}, bare, {**bare, "tool_name": "find"}, tool("find"), tool("find")]})
    found = read_population(database, Where(), recent_window(database))
    assert found.tools.of(0) == ("step", "find", "find", "find")
    assert found.same_calls.tolist() == [2.0]


def test_every_column_is_read_of_the_spans(database: TenantDatabase) -> None:
    call = {"role": "assistant", "parts": [{"type": "tool_call", "id": "1", "name": "pay", "arguments": {"n": 1}}]}
    doubt, refusal = "I'm not sure. Perhaps tomorrow, perhaps not.", "I’m sorry, but I can’t help with that."
    asked_once = {"session_id": "s", "input_text": "  WHERE is\nmy armchair?! ", "output_text": doubt}
    asked_twice = {"session_id": "s", "input_text": "where is my armchair", "output_messages": json.dumps([call])}
    asked_nearly = {"session_id": "s", "input_text": "where is my arm chair", "output_text": refusal}
    agent = [
        {"name": "root", "span_kind": "agent", "counted": False, "defects": ["missing_parent"]},
        tool("find", error=True, failing=True, failure_reasons=["tool_error"]),
        tool("find"),
        tool("find"),
        {"span_attributes": {"gen_ai.response.time_to_first_chunk": "0.25"}, "output_text": "Later."},
    ]
    store(database, {IDS[0]: [asked_once], IDS[1]: [asked_twice], IDS[2]: [asked_nearly], IDS[3]: agent})
    said = {"received_at": START, "time_unix_ns": 1, "trace_id": IDS[0], "span_id": "", "name": "tone"}
    database.insert_rows("feedback", [{**said, "value": "0.25", "source": "x", "polarity": "negative"}])
    p = read_population(database, parse_where(["failing = true"]), recent_window(database))
    assert list(p.trace) == IDS[:4]
    assert p.asked_for.tolist() == [True, False, False, True]  # negative feedback is failing
    assert p.hedges.tolist() == [3, 0, 0, 0]
    assert p.hedge_words.of(0) == ("i'm not sure", "perhaps", "perhaps")
    assert p.refusals.tolist() == [0, 0, 1, 0]
    assert p.likeness[1] == 1
    assert 0.75 < p.likeness[2] < 1
    assert p.like[:2].tolist() == [-1, 0]
    assert p.like[2] in {0, 1}
    assert [p.tools.of(i) for i in range(4)] == [(), ("pay",), (), ("find", "find", "find")]
    assert p.same_calls.tolist() == [0, 1, 0, 3]
    assert p.recovered.tolist() == [False, False, False, True]
    assert p.same_tool[3] == "find"
    assert p.first_chunk_s[3] == pytest.approx(0.25)
    assert p.defects.of(3) == ("missing_parent",)
    assert p.reasons.of(3) == ("tool_error",)
    assert p.judged.name.tolist() == ["tone"]
    assert p.judged.lowest.tolist() == [0.25]
    assert p.answer_words[0] == 7
    assert p.tokens[0] == 17


def test_the_commands_list_and_explain(
    database: TenantDatabase, dsn: str, project: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["signals", "--dsn", dsn]) == 0
    assert "No traces yet" in capsys.readouterr().out
    loop = asked(40)
    many = {IDS[n]: asked(n) for n in range(21)}
    store(database, {**many, IDS[40]: [loop[0], *[tool("find", '{"x": "\x1b[31m"}')] * 5, loop[3]]})

    assert run(["signals", "--dsn", dsn, "--limit", "1"]) == 0
    out = capsys.readouterr().out
    assert IDS[40][:16] in out
    assert "find called 5 times with the same arguments" in out
    assert "22 traces, compared with 22, 1 shown" in out

    assert run(["signals", "--dsn", dsn, "--where", "llm_calls > 0", "--json", "--limit", "2"]) == 0
    document = json.loads(capsys.readouterr().out)
    assert (document["traces"], document["compared"], document["shown"]) == (22, 22, 2)
    (top, _) = document["rows"]
    assert top["trace_id"] == IDS[40]
    assert sum(top["parts"].values()) == pytest.approx(top["priority"], abs=0.01)
    assert top["signals"]["tool_loop"]["value"] == 5

    assert run(["signals", "--trace", IDS[40][:6], "--dsn", dsn]) == 0
    out = capsys.readouterr().out
    assert "place 1 of 22" in out
    assert "shop · answer · 1 tool (1 trace, fewer than 20" in out
    assert "250 ms is usual" in out

    (project / "evals").mkdir()
    (project / "evals" / "queue.yaml").write_text("weights: {tool_lop: 0}\n")
    assert run(["signals", "--dsn", dsn]) == 2
    assert "did you mean 'tool_loop'" in capsys.readouterr().err


def test_an_old_trace_is_compared_with_those_of_its_time(database: TenantDatabase) -> None:
    at = {IDS[n]: START + timedelta(days=days) for n, days in enumerate((-9, -6, -5, 0))}
    store(database, {trace: [{**span, "received_at": moment} for span in asked(1)] for trace, moment in at.items()})
    recent = recent_window(database, most=1)
    assert read_population(database, Where(), recent).trace.tolist() == [IDS[3]]
    assert window_around(database, IDS[3], most=1) == recent
    around = window_around(database, IDS[1], most=1)
    found = read_population(database, Where().and_("trace_id", "=", IDS[1]), around)
    assert found.trace.tolist() == IDS[:2]
    assert found.asked_for.tolist() == [False, True]
    assert found.tools.lengths.tolist() == [2, 2]


def test_another_tenant_is_compared_with_nobody(database: TenantDatabase) -> None:
    store(database, {IDS[0]: asked(0)})
    other = type(database)(database.opened, "globex")
    found = signals(other, Where())
    assert found.population.size == 0
    assert len(prioritise(found, Weights()).order) == 0
