"""ERASE: a person wants to be forgotten, while requests of hers are being delivered.

Injected: `evalgate erase --user` while one trace of hers is stored and labelled, one is decoded and not stored yet,
and one waits in the journal. First with no time to wait.
Holds: without the time it exits 1 and says what is under way; run again, it waits for it. Then no table, view or file
of the journal has anything of her traces, also where only the last of their spans names her, nor what she said of no
trace; what others sent is whole; the ledger has moved hers to erased, and its sum is what was received.
Figure: rows and files that went.
"""

from __future__ import annotations

import json
import threading
from datetime import UTC, datetime
from typing import TYPE_CHECKING
from urllib.request import Request, urlopen

from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from exporters.clickhouse.connect import connect
from tests.faults.content import evalgate, everything, post
from tests.faults.harness import until
from tests.redact.places import value

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.faults.harness import Collector, Launch

HERS, HIS = "her-words", "his-words"


def request(
    number: int, user: str | None, said: str, span: int = 1, session: str | None = None
) -> ExportTraceServiceRequest:
    """Return one span of a trace in which a user says something; None where the span does not say who."""
    made = ExportTraceServiceRequest()
    scope = made.resource_spans.add().scope_spans.add()
    sent = scope.spans.add(name="chat", start_time_unix_nano=1)
    sent.trace_id, sent.span_id = number.to_bytes(16, "big"), span.to_bytes(8, "big")
    content = json.dumps([{"role": "user", "parts": [{"type": "text", "content": f"{said} {number}"}]}])
    operation = ("gen_ai.operation.name", "chat")
    for key, text in (("user.id", user), operation, ("gen_ai.input.messages", content), ("session.id", session)):
        if text is not None:
            sent.attributes.add(key=key, value=value(text))
    return made


def feedback(collector: Collector, *entries: dict[str, object]) -> None:
    """Send feedback in one request."""
    body = json.dumps([{"name": "thumbs", **entry} for entry in entries]).encode()
    asked = Request(f"http://{collector.http}/v1/feedback", body, {"content-type": "application/json"})
    with urlopen(asked, timeout=20) as answer:  # noqa: S310 - http, to ourselves
        assert answer.status == 200


def log(user: str | None, said: str, **attributes: str) -> ExportLogsServiceRequest:
    """Return a log record of no trace."""
    made = ExportLogsServiceRequest()
    sent = made.resource_logs.add().scope_logs.add().log_records.add(time_unix_nano=1)
    sent.body.string_value = said
    for key, text in {"user.id": user, **{k.replace("_", "."): v for k, v in attributes.items()}}.items():
        if text is not None:
            sent.attributes.add(key=key, value=value(text))
    return made


def stored(collector: Collector) -> set[int]:
    """Return the numbers of the traces that are in the table."""
    return {int(row["id"], 16) for row in collector.rows("SELECT hex(trace_id) AS id FROM spans")}


def on_disk(folder: Path, word: str) -> list[Path]:
    """Return the files of a journal in which a word stands."""
    return [p for p in folder.rglob("*") if p.is_file() and word.encode() in p.read_bytes()]


def annotate(collector: Collector, number: int) -> None:
    """Put what reviewing makes of a trace into the tables."""
    trace = f"{number:032x}"
    now = datetime.now(UTC)
    row = {"tenant": "default", "annotation_id": trace, "created_at": now, "trace_id": trace, "span_id": "",
           "verdict": "bad", "failure_mode": "rude", "comment": "", "annotator": "me"}  # fmt: skip
    body = json.dumps({"provenance": {"trace_id": trace}, "input": HERS if number == 1 else HIS})
    event = {"tenant": "default", "case_id": trace, "at": now, "event": "created", "actor": "me", "reason": ""}
    with connect(collector.dsn) as database:
        database.insert_rows("annotations", [row])
        database.insert_rows("case_events", [{**event, "body": body}])


def test_nothing_of_her_is_left_and_all_of_him_is(
    launch: Launch, store: str, record_property: Callable[[str, object], None]
) -> None:
    collector = launch(dsn=store)
    go = collector.folder / "go"
    collector.start(failpoints=f"delivery.after_decode=pause:{go}@3")
    work = collector.folder / "work"
    work.mkdir()
    post(collector, "traces", request(1, "her", HERS))
    until(lambda: stored(collector) == {1}, "hers is stored")
    post(collector, "traces", request(2, "him", HIS))
    until(lambda: stored(collector) == {1, 2}, "and his")
    for number in (1, 2):
        annotate(collector, number)
    post(collector, "traces", request(3, "her", HERS))
    until((collector.folder / "go.reached").exists, "her second trace is past all checks and not stored")
    post(collector, "traces", request(4, "her", HERS))
    post(collector, "traces", request(5, "him", HIS))

    arguments = ("erase", "--user", "her", "--data-dir", str(collector.data_dir))
    shown = json.loads(evalgate(collector, work, *arguments, "--json"))
    assert not shown["erased"]
    assert {p["place"]: p["count"] for p in shown["places"]}["spans"] == 1
    assert stored(collector) == {1, 2}, "nothing is changed without --yes"

    doing = (*arguments, "--yes", "--json")
    late = json.loads(evalgate(collector, work, *doing, "--timeout", "0", code=1).splitlines()[0])
    assert stored(collector) == {2}, "what is stored goes at once"
    assert [p["count"] for p in late["places"] if p["unit"] == "waiting" and "run this again" in p["note"]] == [3]
    listed = collector.data_dir / "erased.jsonl"
    before = listed.read_bytes()

    def let_go() -> None:
        until(lambda: listed.read_bytes() != before, "the command has begun, and waits")
        go.touch()

    thread = threading.Thread(target=let_go)
    thread.start()
    done = json.loads(evalgate(collector, work, *doing).splitlines()[0])
    thread.join()
    assert stored(collector) == {2, 5}, "all of his that waited is delivered, and nothing of hers"
    assert on_disk(collector.journal, HERS) == [], "and no file of the journal has it any more"
    counts = {p["place"]: p["count"] for p in (*late["places"], *done["places"]) if p["count"]}
    assert (counts["spans"], counts["annotations"], counts["case_events"]) == (1, 1, 1), "spans: those that came late"
    tables = everything(collector)
    assert [name for name, rows in tables.items() if HERS.encode() in rows or b'"her"' in rows] == []
    assert HIS.encode() in tables["spans"]

    states = collector.rows("SELECT state, sum(count) AS n FROM ledger WHERE signal = 'traces' GROUP BY state")
    assert {row["state"]: row["n"] for row in states if row["n"]} == {"stored": 2, "erased": 3}
    record_property("figure", f"{sum(counts.values())} rows and files; 3 of 5 traces")


def test_a_trace_goes_whole_when_only_its_root_names_her_and_comes_last(launch: Launch, store: str) -> None:
    collector = launch(dsn=store)
    go = collector.folder / "go"
    collector.start(failpoints=f"delivery.after_decode=pause:{go}@2")
    work = collector.folder / "work"
    work.mkdir()
    post(collector, "traces", request(1, None, HERS, span=1))
    until(lambda: stored(collector) == {1}, "a child of hers is stored, and nothing says that it is hers")
    post(collector, "traces", request(1, None, HERS, span=2))
    until((collector.folder / "go.reached").exists, "another is past all checks and not stored")
    post(collector, "traces", request(1, "her", HERS, span=3))
    post(collector, "traces", request(2, "him", HIS))
    post(collector, "traces", request(1, None, HERS, span=4))
    listed = collector.data_dir / "erased.jsonl"

    def let_go() -> None:
        until(listed.exists, "the command has begun")
        go.touch()

    thread = threading.Thread(target=let_go)
    thread.start()
    arguments = ("erase", "--user", "her", "--data-dir", str(collector.data_dir), "--yes", "--json")
    done = json.loads(evalgate(collector, work, *arguments).splitlines()[0])
    thread.join()
    assert (done["traces"], stored(collector)) == (1, {2})
    assert [name for name, rows in everything(collector).items() if HERS.encode() in rows] == []
    assert on_disk(collector.journal, HERS) == []
    assert not (collector.data_dir / "erasing.jsonl").exists(), "ids are kept no longer than it takes"
    states = collector.rows("SELECT state, sum(count) AS n FROM ledger WHERE signal = 'traces' GROUP BY state")
    assert {row["state"]: row["n"] for row in states if row["n"]} == {"stored": 1, "erased": 4}


def test_what_she_said_of_no_trace_goes_and_what_others_said_stays(launch: Launch, store: str) -> None:
    collector = launch(dsn=store)
    collector.start()
    work = collector.folder / "work"
    work.mkdir()
    post(collector, "traces", request(1, "her", HERS, session="of-her"))
    post(collector, "traces", request(2, "her", HERS, session="shared"))
    post(collector, "traces", request(3, "him", HIS, session="shared"))
    feedback(
        collector,
        {"session_id": "shared", "user_id": "her", "value": False, "comment": f"{HERS} 1"},
        {"session_id": "of-her", "value": False, "comment": f"{HERS} 2"},
        {"session_id": "of-her", "user_id": "him", "value": True, "comment": f"{HIS} 1"},
        {"session_id": "shared", "user_id": "him", "value": True, "comment": f"{HIS} 2"},
        {"session_id": "shared", "value": True, "comment": f"{HIS} 3, or anybody's"},
    )
    for made in (log("her", HERS), log(None, HERS, session_id="of-her"), log("him", HIS), log(None, HIS)):
        post(collector, "logs", made)
    arguments = ("erase", "--user", "her", "--data-dir", str(collector.data_dir), "--json")

    def all_stored() -> bool:
        (row,) = collector.rows("SELECT (SELECT count() FROM spans) AS spans, (SELECT count() FROM events) AS logs")
        return (row["spans"], row["logs"]) == (3, 9)

    until(all_stored, "all is stored")
    shown = json.loads(evalgate(collector, work, *arguments).splitlines()[0])
    done = json.loads(evalgate(collector, work, *arguments, "--yes").splitlines()[0])
    for told in (shown, done):
        counts = {p["place"]: p["count"] for p in told["places"]}
        assert (counts["spans"], counts["events"]) == (2, 4)
        assert counts["feedback"] >= 2, "settlement repeats what was said of a session for a trace of it"
    tables = everything(collector)
    assert [name for name, rows in tables.items() if HERS.encode() in rows] == []
    comments = sorted(row["comment"] for row in collector.rows("SELECT DISTINCT comment FROM feedback"))
    assert comments == [f"{HIS} 1", f"{HIS} 2", f"{HIS} 3, or anybody's"]
    assert tables["events"].count(HIS.encode()) == 5
