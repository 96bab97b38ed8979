"""The list of traces and the list of cases, as people see them."""

from __future__ import annotations

import io
import json
import re
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest

from evalgate.app import run
from evalgate.review.labels import unlabelled
from evalgate.select.recent import is_bounded, recent_hour, started_since
from evalgate.select.show import print_list
from evalgate.select.traces import TraceRow, count_traces, last_messages, list_traces
from evalgate.select.where import Where, parse_where
from evalgate.terminal import Terminal, count_of
from tests.evalgate.test_terminal import Screen
from tests.evalgate.traffic import START, message

if TYPE_CHECKING:
    from evalgate.database import TenantDatabase
    from tests.evalgate.traffic import Traffic

A, B, C, D = ("0a" * 16, "0b" * 16, "0c" * 16, "0d" * 16)
WHY = ("feedback:user_feedback", "span_error", "feedback:thumbs of the night shift")


def row(trace_id: str, *, service: str = "shop", reasons: tuple[str, ...] = ()) -> TraceRow:
    return TraceRow(
        trace_id=trace_id,
        start_unix_ns=1_795_000_000_000_000_000,
        duration_ms=25.0,
        root_name="invoke_agent support",
        service_name=service,
        span_count=4,
        error_count=0,
        llm_calls=1,
        input_tokens=None,
        output_tokens=None,
        cost_usd=None,
        session_id=None,
        user_id=None,
        agent_name=None,
        feature=None,
        environment=None,
        release=None,
        failing=bool(reasons),
        failure_reasons=reasons,
        baseline=not reasons,
        baseline_rate=0.1,
        arrival_rate=None,
        policy_versions=(),
        flagged=True,
        inclusion_probability=1.0,
        sample_weight=1.0,
        trace_defects=(),
    )


def listed(rows: list[TraceRow], asked: dict[str, str], screen: io.StringIO) -> str:
    print_list(Terminal(screen, screen), rows, asked)
    return re.sub(r"\x1b\[[0-9;]*m", "", screen.getvalue())


@pytest.mark.parametrize("services", [("shop", "shop"), ("shop", "support-agent-of-the-north")])
def test_at_110_columns_a_reason_stays_whole_and_a_line_a_line(
    services: tuple[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "110")
    monkeypatch.setenv("TERM", "xterm")
    rows = [row(A, service=services[0], reasons=WHY), row(B, service=services[1])]
    text = listed(rows, {A: "Can I return my shoes? " * 9, B: "x" * 99}, Screen())
    assert max(map(len, text.splitlines())) <= 110
    for words in (A[:16], B[:16], *WHY, "baseline 10 %", "Can I", "xxxxx", "…"):
        assert words in text


def test_what_all_traces_share_is_said_once() -> None:
    text = listed([row(A), row(B)], {}, io.StringIO())
    assert text.splitlines()[0].split() == ["TRACE", "STARTED", "(UTC)", "TOOK", "SPANS", "WHY"]
    assert text.splitlines()[-1] == "all of them: service shop, name invoke_agent support"
    text = listed([row(A), row(B, service="other")], {B: "hello"}, io.StringIO())
    assert "SERVICE" in text
    assert "ASKED" in text
    assert text.splitlines()[-1] == "all of them: name invoke_agent support"
    assert "SERVICE" in listed([row(A)], {}, io.StringIO())


def test_asked_is_the_users_last_message_of_the_root_most_span(traffic: Traffic) -> None:
    tool = {"span_kind": "tool", "input_text": "a tool's input"}
    traffic.trace(A, [{"input_text": "Where is\nmy parcel?"}, {"input_text": "rewritten"}, tool])
    traffic.trace(B, [tool, {"input_text": "the model's"}, {"input_text": "later"}])
    traffic.trace(C, [{"input_text": "y" * 5000, "service_name": "other"}])
    traffic.trace(D, [tool])
    asked = last_messages(traffic.database, parse_where([]), 10)
    assert {t: asked.get(t) for t in (A, B, C, D)} == {
        A: "Where is\nmy parcel?",
        B: "the model's",
        C: "y" * 400,
        D: None,
    }
    assert set(last_messages(traffic.database, parse_where(["service_name = other"]), 10)) == {C}


def test_the_command_shows_it_on_one_line(
    traffic: Traffic, dsn: str, project: object, capsys: pytest.CaptureFixture[str]
) -> None:
    traffic.trace(
        A, [{"input_text": "Where is\nmy\x1b[2J parcel?", "input_messages": json.dumps([message("user", "")])}]
    )
    assert run(["traces", "--dsn", dsn]) == 0
    out = capsys.readouterr().out
    assert "Where is my\\x1b[2J parcel?" in out
    assert "1 trace, 0 flagged, 0 failing\n" in out
    assert "only what was received" not in out
    assert run(["traces", "--dsn", dsn, "--json"]) == 0
    document = json.loads(capsys.readouterr().out)
    assert document["rows"][0]["asked"] == "Where is\nmy\x1b[2J parcel?"
    assert document["received_since"] is None


@pytest.fixture
def days(traffic: Traffic) -> TenantDatabase:
    """Three days with one failing trace each, C the latest; a part of C comes on the day after."""
    for trace_id, day in ((C, 0), (B, 1), (A, 2)):
        at = START - timedelta(days=day)
        traffic.trace(trace_id, [{"received_at": at, "start_time": at, "failing": True}])
    late = START + timedelta(days=1)
    traffic.trace(C, [{"received_at": late, "start_time": START, "span_id": b"late\0\0\0\0"}])
    return traffic.database


def test_a_list_that_names_no_time_looks_at_the_latest_hours(days: TenantDatabase) -> None:
    assert recent_hour(days, 10) is None
    assert recent_hour(days, 4) is None
    assert recent_hour(days, 3) == START - timedelta(days=1)
    assert recent_hour(days, 1) == START + timedelta(days=1)
    hour = recent_hour(days, 3)
    assert hour is not None
    where = Where().received_from(hour)
    assert {r.trace_id for r in list_traces(days, where, 10)} == {B, C}
    assert count_traces(days, where).traces == 2


def test_the_latest_hours_are_told(
    days: TenantDatabase,
    dsn: str,
    project: object,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("evalgate.select.commands.recent_hour", lambda db, _most: recent_hour(db, 3))
    assert run(["traces", "--dsn", dsn]) == 0
    out = capsys.readouterr().out
    assert "2 traces, 2 flagged, 2 failing\n" in out
    assert "only what was received since 2026-11-19 09:00 UTC; for older traces: --since DATE" in out
    for conditions in (["--since", "2026-11-01"], ["--where", "trace_id ~ 0a"], ["--where", "start_time > 2026-11-01"]):
        assert run(["traces", "--dsn", dsn, *conditions]) == 0
        out = capsys.readouterr().out
        assert A[:16] in out
        assert "only what was received" not in out


def test_since_finds_what_started_then_whenever_the_rest_came(days: TenantDatabase) -> None:
    for since, found in (
        (START, [C]),
        (START - timedelta(days=1), [C, B]),
        (START - timedelta(days=1, hours=-1), [C]),
        (datetime(1, 1, 2, tzinfo=UTC), [C, B, A]),
        (datetime(9999, 1, 1, tzinfo=UTC), []),
    ):
        where = started_since(Where(), since)
        assert [r.trace_id for r in list_traces(days, where, 10)] == found
        assert unlabelled(days, since) == found


def test_since_reads_only_the_hours_from_then_on(days: TenantDatabase) -> None:
    where = started_since(Where(), START)
    assert where.parameters["received_from"] == int((START - timedelta(hours=1)).timestamp())
    assert "received_hour >=" in where.sql


def test_conditions_on_times_and_ids_bound_themselves() -> None:
    assert is_bounded(parse_where(["trace_id ~ ab", "failing = true"]))
    assert is_bounded(parse_where(["end_time < 2026-11-20"]))
    assert not is_bounded(parse_where(["failing = true", "session_id = start_time"]))


def test_cases_are_listed_by_status_failure_mode_and_time(
    traffic: Traffic,
    dsn: str,
    project: object,
    capsys: pytest.CaptureFixture[str],
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    path = tmp_path_factory.mktemp("labels") / "labels.jsonl"
    modes = {A: "tone", B: "policy", C: "tone", D: "policy"}
    for trace_id in modes:
        traffic.refund(trace_id)
    labels = [{"trace_id": t, "verdict": "bad", "failure_mode": mode} for t, mode in modes.items()]
    for label in labels:
        path.write_text(json.dumps(label))
        assert run(["label", "--from", str(path), "--dsn", dsn]) == 0
        assert "1 label saved\n1 case quarantined" in capsys.readouterr().out

    def listing() -> list[tuple[str, str]]:
        assert run(["cases", "list", "--json", "--dsn", dsn]) == 0
        return [(c["status"], c["provenance"]["trace_id"]) for c in json.loads(capsys.readouterr().out)]

    q, p, r = "quarantined", "promoted", "rejected"
    assert listing() == [(q, B), (q, D), (q, A), (q, C)]
    ids = {c["provenance"]["trace_id"]: c["case_id"] for c in _cases(dsn, capsys)}
    assert run(["cases", "promote", ids[B], ids[C], "--dsn", dsn]) == 0
    assert run(["cases", "reject", ids[A], "--dsn", dsn]) == 0
    capsys.readouterr()
    assert listing() == [(q, D), (p, B), (p, C), (r, A)]
    assert run(["cases", "list", "--status", "rejected", "--dsn", dsn]) == 0
    assert "1 case: 0 quarantined, 0 promoted, 1 rejected" in capsys.readouterr().out


def _cases(dsn: str, capsys: pytest.CaptureFixture[str]) -> list[dict[str, Any]]:
    assert run(["cases", "list", "--json", "--dsn", dsn]) == 0
    found: list[dict[str, Any]] = json.loads(capsys.readouterr().out)
    return found


def test_numbers_agree_with_their_nouns() -> None:
    assert [count_of(n, "case") for n in (0, 1, 2)] == ["0 cases", "1 case", "2 cases"]


def test_conditions_on_spans_are_met_by_one_span_and_words_by_one_text(traffic: Traffic) -> None:
    traffic.refund(A, "You get your money back.")
    traffic.trace(B, [{"tool_name": "policy", "finish_reasons": []}, {"error": True, "error_type": "Timeout"}])
    traffic.trace(C, [{"input_text": "money", "output_text": "back"}])

    def found(*texts: str) -> set[str]:
        where = parse_where(texts).spans_from(START - timedelta(hours=1))
        return {r.trace_id for r in list_traces(traffic.database, where, 10)}

    assert found("tool_name = policy") == {A, B}
    assert found("tool_name = policy", "span.error = true") == {A}
    assert found("text ~ MONEY back") == {A}
    assert found("text ~ money", "text ~ back") == {A, C}
    assert found("finish_reasons = stop", "span.model = m-1", "service_name = shop") >= {C}
    assert (
        list_traces(traffic.database, parse_where(["tool_name = policy"]).spans_from(START + timedelta(days=9)), 9)
        == []
    )
