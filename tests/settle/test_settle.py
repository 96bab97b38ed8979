"""What settlement promises, on traces made for it."""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st
from opentelemetry.proto.logs.v1.logs_pb2 import LogRecord

from collector.settle import Limits, Outcome, Settler
from collector.settle.find import Progress
from exporters.clickhouse.insert import insert_batch
from exporters.clickhouse.rows import _copies
from schema.errors import Retryable
from tests.clickhouse.otlp import NOON, SECOND, batch_of, logs_record, span, spans_record, value
from tests.settle.cut import process

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from collector.journal.record import Record
    from exporters.clickhouse.connect import Database
    from schema.batch import SpanBatch

NOW = Limits(quiet_s=0)
CHAT = {
    "gen_ai.operation.name": "chat",
    "gen_ai.provider.name": "openai",
    "gen_ai.request.model": "gpt-4o",
    "gen_ai.response.model": "gpt-4o-2024-08-06",
    "gen_ai.usage.input_tokens": 10,
    "gen_ai.usage.output_tokens": 5,
}


@dataclass
class Sender:
    """Stores requests, each in an INSERT of its own."""

    db: Database
    count: int = 0

    def send(self, *records: Record, later_s: int = 0) -> None:
        self.count += 1
        at = NOON + later_s * SECOND + self.count
        stamped = [replace(r, sequence=self.count, received_unix_ns=at) for r in records]
        insert_batch(self.db, process(batch_of(*stamped)), f"insert/{self.count}")

    def spans(self, *spans: Any, **rest: Any) -> None:
        self.send(spans_record(spans), **rest)

    def trace(self, number: int = 1) -> dict[str, Any]:
        [row] = self.db.rows("SELECT * FROM traces WHERE trace_id = {id:String}", {"id": f"{number:032x}"})
        return row

    def span(self, number: int) -> dict[str, Any]:
        sql = "SELECT * FROM settled_spans WHERE lower(hex(span_id)) = {id:String}"
        [row] = self.db.rows(sql, {"id": f"{number:016x}"})
        return row


@pytest.fixture
def sender(embedded_db: Database) -> Sender:
    return Sender(embedded_db)


def settle(
    sender: Sender,
    limits: Limits = NOW,
    how: Callable[[SpanBatch], SpanBatch] = process,
    *,
    shared: bool | None = None,
) -> Outcome:
    return Settler(sender.db, how, limits, shared).settle()


def chat(trace: int, number: int, more: Mapping[str, Any] | None = None, *, parent: int = 0) -> Any:
    return span(trace, number, parent=parent, name="chat gpt-4o", attributes={**CHAT, **(more or {})})


def said(trace: int, number: int, text: str) -> LogRecord:
    """Return a log record that tells what a user said in a call."""
    return LogRecord(
        trace_id=trace.to_bytes(16, "big"),
        span_id=number.to_bytes(8, "big"),
        time_unix_nano=NOON + 1,
        event_name="gen_ai.user.message",
        body=value({"content": text}),
    )


def test_a_trace_that_came_whole_is_not_read_again(sender: Sender) -> None:
    sender.spans(span(1, 1), chat(1, 2, parent=1))
    assert sender.trace()["settled"] is True
    assert settle(sender) == Outcome()
    assert sender.db.rows("SELECT * FROM settlements") == []


def test_what_is_set_on_a_root_that_comes_last_holds_for_the_trace(sender: Sender) -> None:
    sender.spans(chat(1, 2, parent=1))
    sender.spans(span(1, 1, attributes={"session.id": "s-1", "user.id": "u-1"}))
    assert sender.span(2)["session_id"] is None
    assert settle(sender) == Outcome(settled=1, revised=1)
    assert (sender.span(2)["session_id"], sender.span(2)["user_id"]) == ("s-1", "u-1")
    assert (sender.trace()["session_id"], sender.trace()["settled"]) == ("s-1", True)


def test_a_call_recorded_by_two_spans_in_two_requests_counts_once(sender: Sender) -> None:
    sender.spans(chat(1, 2, parent=1))
    sender.spans(chat(1, 1))
    assert (sender.trace()["llm_calls"], sender.trace()["input_tokens"]) == (2, 20)
    settle(sender)
    row = sender.trace()
    assert (row["llm_calls"], row["input_tokens"], row["output_tokens"], row["span_count"]) == (1, 10, 5, 2)
    assert row["cost_usd"] == pytest.approx(10 * 2.5e-6 + 5 * 1e-5)
    assert sender.db.rows("SELECT model, input_tokens FROM calls") == [
        {"model": "gpt-4o-2024-08-06", "input_tokens": 10}
    ]


def test_a_call_recorded_in_two_traces_counts_once(sender: Sender) -> None:
    response = {"gen_ai.response.id": "resp-1"}
    sender.spans(chat(1, 1, response))
    sender.spans(chat(2, 2, response))
    assert settle(sender).settled == 2
    assert sender.trace(1)["llm_calls"] + sender.trace(2)["llm_calls"] == 1
    assert settle(sender) == Outcome()


def test_what_many_traces_call_their_response_is_no_id(sender: Sender) -> None:
    for number in range(1, 11):
        sender.spans(chat(number, number, {"gen_ai.response.id": "constant"}))
    assert settle(sender) == Outcome()


def test_a_span_delivered_twice_is_one(sender: Sender) -> None:
    sender.spans(chat(1, 1))
    sender.spans(chat(1, 1))
    sender.spans(chat(2, 3), chat(2, 3))
    settle(sender)
    for trace in (1, 2):
        row = sender.trace(trace)
        assert (row["span_count"], row["llm_calls"], row["input_tokens"], row["settled"]) == (1, 1, 10, True)
    assert len(sender.db.rows("SELECT 1 FROM settled_spans")) == 2
    assert len(sender.db.rows("SELECT 1 FROM spans")) == 4


def test_log_records_a_minute_late_bring_the_content(sender: Sender) -> None:
    sender.spans(chat(1, 1))
    settle(sender)
    assert sender.trace()["trace_defects"] == ["withheld_content"]
    sender.send(logs_record([said(1, 1, "How late?")]), later_s=60)
    assert sender.trace()["settled"] is False
    assert settle(sender) == Outcome(settled=1, revised=1)
    assert sender.span(1)["input_text"] == "How late?"
    assert sender.span(1)["defects"] == []
    assert (sender.trace()["trace_defects"], sender.trace()["settled"]) == ([], True)


def test_log_records_before_their_span_are_joined_and_once_if_delivered_twice(sender: Sender) -> None:
    for _ in range(2):
        sender.send(logs_record([said(1, 1, "same"), said(1, 1, "same")]))
    sender.spans(chat(1, 1))
    settle(sender)
    assert sender.span(1)["input_text"] == "same"
    assert len(json.loads(sender.span(1)["input_messages"])) == 2


def test_pieces_after_a_settlement_add_up_and_are_settled_again(sender: Sender) -> None:
    sender.spans(chat(1, 2, parent=1))
    sender.spans(chat(1, 1))
    settle(sender)
    sender.spans(span(1, 9, attributes=CHAT, start=NOON + 9 * SECOND, end=NOON + 10 * SECOND))
    assert (sender.trace()["llm_calls"], sender.trace()["input_tokens"], sender.trace()["settled"]) == (2, 20, False)
    settle(sender)
    assert (sender.trace()["llm_calls"], sender.trace()["input_tokens"], sender.trace()["settled"]) == (2, 20, True)


def test_a_second_pass_changes_nothing(sender: Sender) -> None:
    sender.spans(chat(1, 2, parent=1))
    sender.spans(chat(1, 1))
    settle(sender)
    before = contents(sender.db)
    assert settle(sender) == Outcome()
    sender.db.command("TRUNCATE TABLE settlement_progress")
    assert settle(sender) == Outcome()
    assert contents(sender.db) == before


@pytest.mark.parametrize("hours", [1, 24 * 365])
def test_a_clock_that_was_set_back_does_not_stop_settlement(
    sender: Sender, hours: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    sender.spans(chat(1, 2, parent=1))
    sender.spans(chat(1, 1))
    right = Progress.read
    with monkeypatch.context() as wrong_clock:
        wrong_clock.setattr(Progress, "read", lambda db, *, quiet_s: _later(right(db, quiet_s=quiet_s), hours))
        assert settle(sender).settled == 1
    sender.spans(span(1, 3, parent=1, attributes={"session.id": "s-1"}))
    sender.spans(chat(2, 5, parent=4))
    sender.spans(chat(2, 4))
    for _ in range(2):
        settle(sender)
    assert (sender.trace()["settled"], sender.trace()["span_count"], sender.trace()["llm_calls"]) == (True, 3, 1)
    assert (sender.trace(2)["settled"], sender.trace(2)["llm_calls"]) == (True, 1)


def _later(progress: Progress, hours: int) -> Progress:
    return replace(progress, now_unix_ns=progress.now_unix_ns + hours * 3600 * SECOND)


def contents(db: Database) -> list[Any]:
    tables = ("settled_spans", "traces", "span_revisions", "settlements")
    return [sorted(map(str, db.rows(f"SELECT * FROM {table}"))) for table in tables]


class Cut:
    """A database whose connection is lost after some inserts."""

    def __init__(self, db: Database, inserts: int) -> None:
        self._db, self._left = db, inserts

    def __getattr__(self, name: str) -> Any:
        return getattr(self._db, name)

    def insert_arrow(self, table: str, rows: pa.Table, token: str) -> None:
        if self._left == 0:
            raise Retryable("connection lost")
        self._left -= 1
        self._db.insert_arrow(table, rows, token)


@pytest.mark.parametrize("inserts", [0, 1])
def test_a_pass_that_is_cut_between_its_writes_is_made_good_by_the_next(sender: Sender, inserts: int) -> None:
    sender.spans(chat(1, 2, parent=1), span(2, 5, parent=4))
    sender.spans(chat(1, 1, {"session.id": "s"}))
    cut: Any = Cut(sender.db, inserts)
    with pytest.raises(Retryable):
        Settler(cut, process, NOW).settle()
    assert sender.trace()["settled"] is False
    assert settle(sender).settled == 2
    row = sender.trace()
    assert (row["llm_calls"], row["session_id"], row["settled"]) == (1, "s", True)
    assert sender.span(2)["session_id"] == "s"
    assert settle(sender) == Outcome()


def test_a_trace_that_is_still_arriving_waits(sender: Sender) -> None:
    sender.spans(chat(1, 2, parent=1))
    assert settle(sender, Limits(quiet_s=3600)) == Outcome()
    assert settle(sender).settled == 1


def test_a_pass_takes_so_many_traces_and_says_that_there_are_more(sender: Sender) -> None:
    for number in (1, 2, 3):
        sender.spans(chat(number, number, parent=99))
    outcomes = [settle(sender, Limits(quiet_s=0, max_traces_per_pass=2)) for _ in range(3)]
    assert [(o.settled, o.more) for o in outcomes] == [(2, True), (1, False), (0, False)]


def test_a_failure_is_raised_and_never_lowered(sender: Sender) -> None:
    sender.spans(span(1, 2, parent=1, status={"code": 2}))
    sender.spans(span(1, 1))

    def nothing_fails(batch: SpanBatch) -> SpanBatch:
        n = len(batch)
        clear = {"failing": pa.array([False] * n), "failure_reasons": pa.array([[]] * n, pa.list_(pa.string()))}
        return process(batch).with_columns(clear)

    settle(sender, how=nothing_fails)
    assert (sender.span(2)["failing"], sender.span(2)["failure_reasons"]) == (True, ["span_error"])
    assert (sender.trace()["failing"], sender.trace()["failure_reasons"]) == (True, ["span_error"])


def test_what_only_the_whole_shows_to_fail_flags_the_trace(sender: Sender) -> None:
    sender.spans(chat(1, 2, parent=1))
    sender.send(logs_record([said(1, 1, "no matter")]))
    sender.spans(span(1, 1))

    def all_fail(batch: SpanBatch) -> SpanBatch:
        n = len(batch)
        failing = {"failing": pa.array([True] * n), "failure_reasons": pa.array([["late"]] * n, pa.list_(pa.string()))}
        return process(batch).with_columns(failing)

    assert sender.trace()["flagged"] is False
    settle(sender, how=all_fail)
    row = sender.trace()
    assert (row["flagged"], row["failing"], row["failure_reasons"], row["sample_weight"]) == (True, True, ["late"], 1.0)


def test_a_parent_that_never_came_is_a_defect_until_it_comes(sender: Sender) -> None:
    sender.spans(span(1, 2, parent=1))
    settle(sender)
    assert (sender.trace()["trace_defects"], sender.span(2)["defects"]) == (["missing_parent"], ["missing_parent"])
    sender.spans(span(1, 1))
    settle(sender)
    assert (sender.trace()["trace_defects"], sender.span(2)["defects"]) == ([], [])


def test_a_parent_in_another_process_need_not_come(sender: Sender) -> None:
    sender.spans(span(1, 2, parent=1, flags=0x301))
    settle(sender)
    assert (sender.trace()["trace_defects"], sender.trace()["settled"]) == ([], True)


@pytest.mark.parametrize("limits", [Limits(quiet_s=0, max_spans_per_trace=1), Limits(quiet_s=0, max_bytes_per_trace=9)])
def test_a_trace_that_is_too_large_keeps_what_its_pieces_said(sender: Sender, limits: Limits) -> None:
    sender.spans(chat(1, 2, parent=1))
    sender.spans(chat(1, 1))
    before = sender.trace()
    assert settle(sender, limits) == Outcome(not_settled=1)
    row = sender.trace()
    assert "not_settled" in row["trace_defects"]
    changed = {name for name in row if row[name] != before[name]}
    assert changed == {"trace_defects", "settled"}
    assert settle(sender, limits) == Outcome()


def test_a_trace_on_which_a_processor_fails_costs_no_other(sender: Sender) -> None:
    for trace in (1, 2):
        sender.spans(chat(trace, 10 + trace, parent=20 + trace))
        sender.spans(chat(trace, 20 + trace))

    def refuses(batch: SpanBatch) -> SpanBatch:
        if (batch.trace_id[:, -1] == 1).any():
            raise KeyError("nobody foresaw this")
        return process(batch)

    outcome = settle(sender, how=refuses)
    assert (outcome.settled, outcome.not_settled) == (1, 1)
    assert (sender.trace(1)["llm_calls"], sender.trace(2)["llm_calls"]) == (2, 1)
    assert "not_settled" in sender.trace(1)["trace_defects"]


def test_who_read_less_does_not_undo_who_read_more(sender: Sender) -> None:
    """Two collectors on one database: one reads, the other reads more and writes first, then the first one writes."""
    sender.spans(chat(1, 2, parent=1))
    sender.spans(chat(1, 1))
    overtaken: list[Outcome] = []

    def slowly(batch: SpanBatch) -> SpanBatch:
        if not overtaken:
            overtaken.append(Outcome())
            sender.spans(span(1, 3, parent=1, attributes={"session.id": "s"}))
            overtaken[0] = settle(sender, shared=True)
        return process(batch)

    settle(sender, how=slowly, shared=True)
    assert overtaken[0].settled == 1
    row = sender.trace()
    assert (row["llm_calls"], row["span_count"], row["session_id"], row["settled"]) == (1, 3, "s", True)
    assert {sender.span(n)["session_id"] for n in (1, 2, 3)} == {"s"}


def test_what_is_no_longer_true_is_not_written_over_who_found_nothing_to_say(sender: Sender) -> None:
    """As above, but to the one that read more nothing differs from what is stored, so there is no later revision."""
    sender.spans(span(1, 2, parent=1))
    arrived: list[bool] = []

    def slowly(batch: SpanBatch) -> SpanBatch:
        if not arrived:
            arrived.append(True)
            sender.spans(span(1, 1))
            assert settle(sender, shared=True) == Outcome(settled=1, revised=0)
        return process(batch)

    settle(sender, how=slowly, shared=True)
    assert (sender.span(2)["defects"], sender.trace()["trace_defects"]) == ([], [])
    assert sender.trace()["settled"] is True


def test_unpriced_models_are_listed_with_what_they_used(sender: Sender) -> None:
    unknown = {"gen_ai.request.model": "nobody-1", "gen_ai.response.model": "nobody-1"}
    sender.spans(chat(1, 1, unknown), chat(2, 2), span(3, 3))
    [row] = sender.db.rows("SELECT provider, model, calls, input_tokens, output_tokens FROM unpriced_models")
    assert row == {"provider": "openai", "model": "nobody-1", "calls": 1, "input_tokens": 10, "output_tokens": 5}
    assert sender.trace(1)["cost_usd"] is None


def ids() -> st.SearchStrategy[list[int]]:
    return st.lists(st.integers(1, 4), max_size=12)


@given(ids())
def test_the_copies_of_a_span_in_one_insert_are_numbered_in_order(numbers: list[int]) -> None:
    batch = batch_of(spans_record([span(1, n) for n in numbers]))
    seen: dict[int, int] = {}
    expected = []
    for n in numbers:
        expected.append(seen.get(n, 0))
        seen[n] = seen.get(n, 0) + 1
    assert np.array_equal(_copies(batch), expected)
