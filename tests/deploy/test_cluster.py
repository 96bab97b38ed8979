"""Two servers together answer as one does, and store what is sent to them once."""

from __future__ import annotations

import json
import time
import uuid
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pytest

from collector.normalize import _record as record_of
from collector.settle import Limits, Settler
from collector.settle.feedback import resolve_feedback
from evalgate.app import run
from evalgate.database import open_tenant
from evalgate.erase.database import erase
from exporters.clickhouse.check import look, put_right
from exporters.clickhouse.connect import Database, connect
from exporters.clickhouse.insert import insert_batch
from exporters.clickhouse.migrate import load, migrate
from exporters.clickhouse.rows import blocks, plain
from schema.erasure import Erasure
from schema.errors import ConfigError, Retryable
from tests.clickhouse.otlp import batch_of, span, spans_record, with_feedback
from tests.deploy.conftest import Pair, drop, empty
from tests.settle.cut import arrivals, captures, process, requests, store

pytestmark = pytest.mark.server

VIEWS = ("traces", "flagged_traces", "settled_spans", "calls", "unpriced_models", "otel_traces", "feedback", "events")
ENGINES = "SELECT name, engine_full FROM system.tables WHERE database = currentDatabase() AND engine LIKE '%MergeTree'"
JOIN = "SELECT count() AS n FROM traces AS t JOIN feedback AS f ON t.trace_id = f.trace_id"
CHOSEN = {
    "otel-genai-openai/tool_error": "logs first",
    "pydantic-ai/tool_error": "delivered twice",
    "openlit/anthropic_tool": "children first",
    "google-adk/error_500": "any order",
}
"""Captures by their names, as every view must have something to answer: failures, logs, calls with a price."""
LEDGER = "SELECT tenant, signal, state, sum(count) AS n FROM ledger GROUP BY tenant, signal, state"


def answers(db: Database) -> dict[str, list[str]]:
    """Return the rows of every view as text, in one order."""
    found = {view: db.rows(f"SELECT * FROM {view}") for view in VIEWS} | {"ledger": db.rows(LEDGER)}
    return {view: sorted(json.dumps(row, default=str, sort_keys=True) for row in rows) for view, rows in found.items()}


def spans(db: Database) -> int:
    return int(db.rows("SELECT count() AS n FROM spans")[0]["n"])


def traffic(traces: int = 40) -> Any:
    batch = batch_of(spans_record([span(t, 2 * t + i, parent=2 * t * i) for t in range(1, traces + 1) for i in (0, 1)]))
    return with_feedback(batch, {"trace_id": f"{3:032x}"}, {"trace_id": f"{4:032x}"})


@pytest.mark.thorough
def test_the_same_corpus_gives_the_same_answers_before_and_after_settlement(pair: Pair) -> None:
    """Captures of a few spans, cut into requests of one, some repeated, logs among them."""
    cut = captures()
    records = {id_: [record_of(0, *p) for p in requests(cut[id_], order)] for id_, order in CHOSEN.items()}
    single = f"{pair.alone(1)[: -len('/default')]}/s_{uuid.uuid4().hex}"
    with connect(single, create_database=True) as one, connect(pair.dsn()) as two:
        migrate(one)
        for db in (one, two):
            store(db, arrivals(records))
        expected = answers(one)
        assert {view for view in VIEWS if not expected[view]} <= {"feedback", "unpriced_models"}
        assert answers(two) == expected
        outcomes = [Settler(db, process, Limits(quiet_s=0)).settle() for db in (one, two)]
        assert outcomes[0] == outcomes[1]
        assert outcomes[0].revised > 0
        expected = answers(one)
        assert answers(two) == expected
        one.command(f"DROP DATABASE {single.rpartition('/')[2]}")


def test_a_token_is_stored_once_whichever_server_takes_it(pair: Pair) -> None:
    batch = traffic()
    for entry in (0, 1, 0):
        with connect(pair.dsn(entry)) as db:
            insert_batch(db, batch, "t/1")
    with connect(pair.dsn(1)) as db:
        assert spans(db) == 80
        assert db.rows("SELECT sum(span_count) AS n, count() AS t, sum(failing) AS f FROM traces") == [
            {"n": 80, "t": 40, "f": 2}
        ]
        assert db.rows("SELECT sum(count) AS n FROM ledger") == [{"n": 80}]


def test_every_row_of_a_trace_is_on_one_server_and_both_have_some(pair: Pair) -> None:
    with connect(pair.dsn()) as db:
        insert_batch(db, traffic(), "t/1")
        with db.shards() as shards:
            ids = [
                {r["trace_id"] for r in s.rows("SELECT lower(hex(trace_id)) AS trace_id FROM spans")} for s in shards
            ]
            said = [{r["trace_id"] for r in s.rows("SELECT trace_id FROM feedback")} for s in shards]
    assert ids[0]
    assert ids[1]
    assert not ids[0] & ids[1]
    assert all(feedback <= traces for feedback, traces in zip(said, ids, strict=True))


def test_while_one_server_takes_nothing_the_batch_waits(pair: Pair) -> None:
    batch = traffic()
    with connect(pair.dsn()) as db, connect(pair.alone(1, f"{pair.database}_local")) as second:
        second.command("RENAME TABLE spans TO spans_away")
        with pytest.raises(Retryable):
            insert_batch(db, batch, "t/1")
        second.command("RENAME TABLE spans_away TO spans")
        insert_batch(db, batch, "t/1", again=True)
        assert spans(db) == 80
        assert db.rows("SELECT count() AS n FROM traces WHERE span_count = 2") == [{"n": 40}]


def test_what_one_server_has_already_is_stored_on_the_other_alone(own_pair: Pair) -> None:
    """The token is remembered for two INSERTs here: after four, the rows themselves are looked for."""
    batch = traffic()
    (block,) = (b for b in blocks(batch) if b.table == "spans")
    with connect(own_pair.dsn()) as db, db.servers() as servers:
        of_first = pa.array([_shard(db, i) == 0 for i in block.rows["trace_id"].to_pylist()])
        assert 0 < pc.sum(of_first).as_py() < 80
        for server in servers:
            server.command("ALTER TABLE spans MODIFY SETTING non_replicated_deduplication_window = 2")
        for inserts_since in (0, 4):
            token = f"t/{inserts_since}"
            servers[0].insert_arrow("spans", plain(block.rows).filter(of_first), f"{token}/{block.day}")
            for number in range(inserts_since):
                other = batch_of(spans_record([span(t, 1000 + t + 100 * number) for t in range(1, 41)]))
                insert_batch(db, other, f"o/{number}")
            insert_batch(db, batch, token, again=True)
            assert spans(db) == 80 + 40 * inserts_since
            assert db.rows("SELECT sum(count) AS n FROM ledger WHERE signal = 'traces'") == [{"n": spans(db)}]
            empty(own_pair)


def _shard(db: Database, trace_id: bytes) -> int:
    return int(db.rows("SELECT cityHash64(unhex({i:String})) % 2 AS n", {"i": trace_id.hex()})[0]["n"])


def test_feedback_on_a_response_finds_its_trace_on_the_other_server(pair: Pair) -> None:
    calls = [
        span(
            t,
            t,
            attributes={"gen_ai.operation.name": "chat", "gen_ai.request.model": "m", "gen_ai.response.id": f"r{t}"},
        )
        for t in range(1, 9)
    ]
    batch = process(batch_of(spans_record(calls)))
    with connect(pair.dsn()) as db:
        insert_batch(db, batch, "t/1")
        now_unix_ns = time.time_ns()  # feedback waits for its trace for a few days
        said = [{"response_id": f"r{t}", "time_unix_ns": now_unix_ns} for t in range(1, 9)]
        insert_batch(db, with_feedback(batch_of(spans_record([span(99, 99)], received=now_unix_ns)), *said), "t/2")
        assert resolve_feedback(db) == 8
        assert db.rows("SELECT count() AS n FROM traces WHERE failing") == [{"n": 8}]


def test_what_is_erased_is_gone_from_both_servers(pair: Pair) -> None:
    with connect(pair.dsn()) as db:
        insert_batch(db, traffic(), "t/1")
        gone = erase(db, Erasure(time.time_ns(), tenant="default"), ())
        assert {e.place: e.count for e in gone}["spans"] == 80
        assert spans(db) == 0
        assert db.rows("SELECT state, sum(count) AS n FROM ledger GROUP BY state HAVING n != 0") == [
            {"state": "erased", "n": 80}
        ]


def test_a_join_is_made_over_all_servers_and_a_tenant_reads_its_rows(
    pair: Pair, capsys: pytest.CaptureFixture[str]
) -> None:
    with connect(pair.dsn()) as db:
        insert_batch(db, traffic(), "t/commands")
        assert db.rows("SELECT count() AS n FROM traces AS t JOIN feedback AS f ON t.trace_id = f.trace_id") == [
            {"n": 2}
        ]
    assert run(["ledger", "--dsn", pair.dsn(1)]) == 0, capsys.readouterr().err
    with open_tenant(pair.dsn(), None, writes=True) as tenant:
        assert len(tenant.rows("SELECT tenant FROM tenant_traces(tenant = {tenant:String})")) == 40


def test_a_server_that_lost_its_tables_gets_them_again(own_pair: Pair) -> None:
    with connect(own_pair.alone(1)) as db:
        db.command(f"DROP DATABASE `{own_pair.database}_local` SYNC")
    with connect(own_pair.dsn(), create_database=True) as db:
        with pytest.raises(Retryable, match="There is no table"):
            migrate(db, dry_run=True)
        assert migrate(db) == [m.name for m in load()]
        assert migrate(db) == migrate(db, dry_run=True) == []
        insert_batch(db, traffic(), "t/1")
        assert spans(db) == 80


def test_a_column_that_one_server_lacks_is_added_there_and_above(own_pair: Pair) -> None:
    with connect(own_pair.alone(1, f"{own_pair.database}_local")) as second:
        second.command("ALTER TABLE events DROP COLUMN severity_text")
    with connect(own_pair.dsn()) as db:
        put_right(db, create_schema=True)
        assert not look(db)
        with db.servers() as servers:
            assert not any(look(s) for s in servers)


def test_where_a_shard_has_several_servers_their_tables_are_replicas(two_servers: tuple[int, int]) -> None:
    """As far as it can be tried without Keeper: the server takes every statement, and makes tables it cannot fill."""
    pair = Pair(two_servers, f"r_{uuid.uuid4().hex}", "replicas")
    try:
        with connect(pair.dsn(), create_database=True) as db:
            assert [(p.shard, p.replica) for p in db.places()] == [(1, 1), (1, 2)]
            assert migrate(db) == [m.name for m in load()]
            with db.servers() as servers, db.shards() as shards:
                assert len(servers) == 2
                assert len(shards) == 1
                for server in servers:
                    tables = {r["name"]: r["engine_full"] for r in server.rows(ENGINES)}
                    plain = {name for name, engine in tables.items() if not engine.startswith("Replicated")}
                    assert plain == {"migrations"}
                    path = f"'/clickhouse/tables/{{shard}}/{pair.database}_local/"
                    assert tables["spans"].startswith(f"ReplicatedMergeTree({path}spans', '{{replica}}') PARTITION")
                    assert tables["ledger"].startswith(
                        f"ReplicatedSummingMergeTree({path}ledger', '{{replica}}', (count"
                    )
                    assert "replicated_deduplication_window_seconds = 2592000" in tables["trace_parts"]
    finally:
        drop(pair)


def test_a_cluster_that_the_server_does_not_know_is_named(pair: Pair) -> None:
    wrong = pair.alone(0, pair.database) + "?cluster=nowhere"
    with connect(wrong) as db, pytest.raises(ConfigError, match="no cluster 'nowhere', but evalgate"):
        migrate(db)


def test_a_server_outside_of_the_cluster_is_named(pair: Pair, clickhouse_server: str) -> None:
    stranger = clickhouse_server.removeprefix("http://")
    with connect(f"{pair.dsn()},{stranger}") as db, pytest.raises(ConfigError, match="does not find itself"):
        migrate(db)
