"""What was erased is dropped from records, wherever a journal still has them."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from collector.decode.protobuf import parse
from collector.erase import remembered, tombstones
from collector.erase.eraser import erase_journal
from collector.erase.records import Forget
from collector.journal import cursor as cursors
from collector.journal.cursor import Cursor
from collector.journal.fs import Fs
from collector.journal.lock import DirectoryLock
from collector.journal.quarantine import FOLDER, Quarantine, find, read_records
from collector.ledger.outbox import Outbox
from schema.erasure import Erased, Erasure
from schema.ledger import State
from tests.redact.places import RECEIVED_UNIX_NS, record, value

if TYPE_CHECKING:
    from pathlib import Path

    from collector.journal.record import Record

LATER = RECEIVED_UNIX_NS + 1
A, B = b"a" * 16, b"b" * 16


def spans(*of: tuple[bytes, str], tenant: str = "default", sequence: int = 1, at: int = RECEIVED_UNIX_NS) -> Record:
    """Return a record of spans: the trace and the user of each."""
    request = ExportTraceServiceRequest()
    scope = request.resource_spans.add().scope_spans.add()
    for trace_id, user in of:
        span = scope.spans.add(trace_id=trace_id, span_id=b"12345678", name=user)
        span.attributes.add(key="user.id", value=value(user))
    return replace(record(request, "traces", sequence), tenant=tenant, received_unix_ns=at, members=len(of))


def names(records: Any) -> list[str]:
    found = []
    for r in records:
        for resource in parse(r).resource_spans:
            found += [s.name for scope in resource.scope_spans for s in scope.spans]
    return found


def forget(tmp_path: Path, erasure: Erasure, *records: Record) -> tuple[list[str], dict[str, int]]:
    """Return which spans are delivered after an erasure, and what the ledger says of the others."""
    tombstones.add(tmp_path, erasure)
    left, entries = Forget(tmp_path)(records)
    assert all(e.state is State.ERASED for e in entries)
    return names(left), {e.tenant: e.count for e in entries}


def test_a_trace_goes_and_what_stood_beside_it_stays(tmp_path: Path) -> None:
    found = forget(
        tmp_path, Erasure(LATER, trace_ids=(A.hex(),)), spans((A, "x"), (B, "y"), (A, "z")), spans((A, "w"), sequence=2)
    )
    assert found == (["y"], {"default": 3})


def test_a_user_takes_the_whole_trace_along_also_where_it_came_in_pieces(tmp_path: Path) -> None:
    other = spans((A, "nobody"), (B, "him"), sequence=2)
    assert forget(tmp_path, Erasure(LATER, user_id="her"), spans((A, "her")), other) == (["him"], {"default": 2})


def test_a_trace_whose_root_alone_names_the_user_goes_from_every_later_batch(tmp_path: Path) -> None:
    erasure = Erasure(LATER, user_id="her")
    tombstones.add(tmp_path, erasure)
    lane, other_lane = Forget(tmp_path), Forget(tmp_path)
    before, root, after = (spans((A, user), (B, "him"), sequence=i) for i, user in enumerate(("", "her", "")))
    assert names(lane([before])[0]) == ["", "him"], "nothing says yet that it is hers"
    assert names(lane([root])[0]) == ["him"]
    assert names(lane([after])[0]) == ["him"], "from now on it is known"
    assert names(other_lane([before])[0]) == ["him"], "to whoever has not delivered it yet, and after a restart"
    assert erase_journal.recall(erasure, tmp_path).trace_ids == (A.hex(),), (
        "what went through before is deleted by this"
    )
    assert A.hex().encode() not in (tmp_path / tombstones.FILE).read_bytes()
    erase_journal.finish(erasure, tmp_path)
    assert erase_journal.recall(erasure, tmp_path).trace_ids == ()
    assert not (tmp_path / remembered.FILE).exists(), "ids are kept no longer than they must be"
    assert names(Forget(tmp_path)([after])[0]) == ["him"], "hashes are"


def test_what_is_found_of_two_users_is_kept_apart(tmp_path: Path) -> None:
    hers, his = Erasure(LATER, user_id="her"), Erasure(LATER, user_id="him", tenant="default")
    for erasure in (hers, his):
        tombstones.add(tmp_path, erasure)
    Forget(tmp_path)([spans((A, "her"), (B, "him"))])
    erase_journal.finish(hers, tmp_path)
    assert erase_journal.recall(hers, tmp_path).trace_ids == ()
    assert erase_journal.recall(his, tmp_path).trace_ids == (B.hex(),)


def test_quarantine_forgets_a_trace_that_only_another_of_its_requests_ascribes(tmp_path: Path) -> None:
    journal = tmp_path / "journal"
    journal.mkdir()
    (journal / "LOCK").touch()
    quarantine = Quarantine(Fs(), journal, b"")
    for sequence, held in enumerate((spans((A, "x"), (B, "him")), spans((A, "her")))):
        kept = replace(held, sequence=sequence + 1)
        quarantine.keep_records([kept], reader="clickhouse", reason="poison", word="rejected", at_unix_ns=sequence + 1)
    erasure = Erasure(LATER, user_id="her")
    assert erase_journal(erasure, tmp_path, only_show=True)[0].count == 2
    erase_journal(erasure, tmp_path, only_show=False)
    left = [r for kept in find(journal / FOLDER) if kept.path for r in read_records(Fs(), kept.path)]
    assert names(left) == ["him"]
    assert erase_journal.recall(erasure, tmp_path).trace_ids == (A.hex(),), "the rest of it may be stored"


def test_a_tenant_goes_whole_and_others_are_not_touched(tmp_path: Path) -> None:
    records = spans((A, "x"), tenant="one"), spans((A, "y"), tenant="two", sequence=2)
    assert forget(tmp_path, Erasure(LATER, tenant="one"), *records) == (["y"], {"one": 1})


def test_the_same_trace_of_another_tenant_stays(tmp_path: Path) -> None:
    records = spans((A, "x"), tenant="one"), spans((A, "y"), tenant="two", sequence=2)
    erasure = Erasure(LATER, tenant="one", trace_ids=(A.hex(),))
    assert forget(tmp_path, erasure, *records) == (["y"], {"one": 1})


def test_what_is_received_after_the_erasure_is_new(tmp_path: Path) -> None:
    assert forget(tmp_path, Erasure(LATER, trace_ids=(A.hex(),)), spans((A, "x"), at=LATER)) == (["x"], {})


def test_log_records_go_with_their_trace(tmp_path: Path) -> None:
    request = ExportLogsServiceRequest()
    scope = request.resource_logs.add().scope_logs.add()
    scope.log_records.add(trace_id=A).body.string_value = "hers"
    scope.log_records.add().body.string_value = "nobody's"
    tombstones.add(tmp_path, Erasure(LATER, trace_ids=(A.hex(),)))
    (left,), (entry,) = Forget(tmp_path)([record(request, "logs")])
    assert (b"hers" in left.body, b"nobody's" in left.body, left.members) == (False, True, 1)
    assert (entry.signal, entry.count) == ("logs", 1)


@pytest.mark.parametrize("key", ["user.id", "enduser.id"])
@pytest.mark.parametrize("of_resource", [True, False])
def test_log_records_that_name_the_user_go_without_a_trace(tmp_path: Path, key: str, *, of_resource: bool) -> None:
    request = ExportLogsServiceRequest()
    for user in ("her", "him", None):
        resource = request.resource_logs.add()
        log = resource.scope_logs.add().log_records.add()
        log.body.string_value = f"of {user}"
        if user:
            (resource.resource if of_resource else log).attributes.add(key=key, value=value(user))
    tombstones.add(tmp_path, Erasure(LATER, user_id="her"))
    (left,), (entry,) = Forget(tmp_path)([record(request, "logs")])
    assert [f"of {user}".encode() in left.body for user in ("her", "him", None)] == [False, True, True]
    assert (entry.signal, entry.count) == ("logs", 1)


def test_without_an_erasure_records_are_handed_on_as_they_are(tmp_path: Path) -> None:
    records = [spans((A, "x"))]
    assert Forget(tmp_path)(records) == (records, ())
    forgetting = Forget(tmp_path)
    tombstones.add(tmp_path, Erasure(LATER, trace_ids=(B.hex(),)))
    assert forgetting(records)[0] is records
    tombstones.add(tmp_path, Erasure(LATER, trace_ids=(A.hex(),)))
    assert forgetting(records)[0] == [], "the list is read again when it changes"


def test_the_list_names_nobody_and_outlives_a_torn_line(tmp_path: Path) -> None:
    tombstones.add(tmp_path, Erasure(LATER, user_id="her@example.com", trace_ids=(A.hex(),)))
    path = tmp_path / tombstones.FILE
    assert b"example" not in path.read_bytes()
    assert A.hex().encode() not in path.read_bytes()
    path.write_bytes(path.read_bytes() + b'{"kind": "tra')
    tombstones.add(tmp_path, Erasure(LATER, trace_ids=(B.hex(),)))
    known = tombstones.read(tmp_path)
    assert all(known.covers(tombstones.TRACE, "any", t.hex(), RECEIVED_UNIX_NS) for t in (A, B))


@pytest.mark.parametrize("with_others", [True, False])
def test_quarantine_forgets_and_the_ledger_hears_of_it(tmp_path: Path, *, with_others: bool) -> None:
    journal = tmp_path / "journal"
    quarantine = Quarantine(Fs(), journal, b"")
    journal.mkdir()
    (journal / "LOCK").touch()
    held = spans((A, "hers"), *([(B, "his")] if with_others else []))
    quarantine.keep_records([held], reader="clickhouse", reason="poison", word="rejected", at_unix_ns=1)
    erasure = Erasure(LATER, trace_ids=(A.hex(),))
    shown = erase_journal(erasure, tmp_path, only_show=True)
    assert shown[0].count == 1
    erase_journal(erasure, tmp_path, only_show=False)
    left = [r for kept in find(journal / FOLDER) if kept.path for r in read_records(Fs(), kept.path)]
    assert names(left) == (["his"] if with_others else [])
    assert b"hers" not in b"".join(p.read_bytes() for p in journal.rglob("*") if p.is_file())
    outbox = Outbox(journal, Fs())
    booked = {(e.state, e.count) for token in outbox.waiting() for e in outbox.entries(token) or ()}
    assert booked == {(State.QUARANTINED, -1), (State.ERASED, 1)}


def test_every_pass_over_the_quarantine_is_booked(tmp_path: Path) -> None:
    journal = tmp_path / "journal"
    journal.mkdir()
    (journal / "LOCK").touch()
    quarantine = Quarantine(Fs(), journal, b"")
    for sequence, trace in enumerate((A, B), 1):
        kept = spans((trace, "x"), sequence=sequence)
        quarantine.keep_records([kept], reader="clickhouse", reason="poison", word="rejected", at_unix_ns=sequence)
    for known in ((A.hex(),), (A.hex(), B.hex())):
        erase_journal(Erasure(LATER, trace_ids=known), tmp_path, only_show=False)
    outbox = Outbox(journal, Fs())
    booked = [(e.state, e.count) for token in outbox.waiting() for e in outbox.entries(token) or ()]
    assert sorted(booked) == sorted(2 * [(State.QUARANTINED, -1), (State.ERASED, 1)])


def test_no_journal_is_said_and_not_made(tmp_path: Path) -> None:
    (told,) = erase_journal(Erasure(LATER, tenant="x"), tmp_path / "nowhere", only_show=False)
    assert told.is_left
    assert not (tmp_path / "nowhere").exists()


def test_what_every_exporter_has_confirmed_is_not_waited_for(tmp_path: Path) -> None:
    journal = tmp_path / "journal"
    journal.mkdir()
    found = [Erased(str(journal), "files", 0, until=5)]
    for reader, confirmed in (("clickhouse", 5), ("otlp", 3)):
        cursors.store(Fs(), journal, Cursor("ab", reader, confirmed, 1, 0))
    (waiting,) = erase_journal.waiting(found)
    assert (waiting.requests, "otlp" in waiting.note, "clickhouse" in waiting.note) == (2, True, False)
    assert waiting.is_stuck, "no process has the journal"
    lock = DirectoryLock.take(journal)
    try:
        assert not erase_journal.waiting(found)[0].is_stuck
        cursors.store(Fs(), journal, Cursor("ab", "otlp", 7, 1, 0))
        assert erase_journal.waiting(found) == []
        cursors.path_of(journal, "otlp").write_bytes(b"EGCUR2 not a cursor")
        assert erase_journal.waiting(found)[0].requests == 4, "nobody can tell how far it is"
    finally:
        lock.release()
