"""Captures cut into requests of one span, in the orders in which they may arrive, stored one request per INSERT."""

from __future__ import annotations

import random
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from collector.decode import decode
from collector.processors.cost import CostProcessor
from collector.processors.failure import with_failures
from collector.processors.normalise import canonical
from exporters.clickhouse.insert import insert_batch
from schema.span import CANONICAL
from tests.normalise.payload import CORPUS
from tests.normalise.test_corpus import split

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence
    from pathlib import Path

    from collector.journal.record import Record
    from exporters.clickhouse.connect import Database
    from schema.batch import SpanBatch

Parts = list["tuple[str, bytes]"]
RECEIVED = 1_790_000_000_000_000_000
COST = CostProcessor()


def process(batch: SpanBatch) -> SpanBatch:
    """Run the processors of the pipeline that read more than the trace id."""
    return with_failures(COST(canonical(batch)))


def captures() -> dict[str, list[Path]]:
    """Return the bodies of every capture that is more than one span in one body, spans first."""
    found: dict[str, list[Path]] = {}
    for body in sorted(CORPUS.glob("*/*.otlp.*"), key=lambda p: (".logs." in p.name, p.name)):
        found.setdefault(f"{body.parent.name}/{body.name.split('.')[0]}", []).append(body)
    return found


def _is_log(part: tuple[str, bytes]) -> bool:
    return ".logs." in part[0]


def _shuffled(parts: Parts) -> Parts:
    mixed = list(parts)
    random.Random(len(parts)).shuffle(mixed)  # noqa: S311 - an order, not a secret
    return mixed


ORDERS: Mapping[str, Callable[[Parts], Parts]] = {
    # As SimpleSpanProcessor sends them: a span when it ends, so children first.
    "children first": lambda parts: parts[::-1],
    "logs first": lambda parts: sorted(parts, key=lambda p: not _is_log(p)),
    "logs last": lambda parts: sorted(parts, key=_is_log),
    "delivered twice": lambda parts: [*parts, *parts],
    "twice, any order": lambda parts: _shuffled([*parts, *parts]),
    "any order": _shuffled,
}


def whole(bodies: Sequence[Path], record: Callable[[str, bytes], Record]) -> SpanBatch:
    """Return what the processors make of a capture that came in one piece."""
    return process(decode([record(b.name, b.read_bytes()) for b in bodies]))


def requests(bodies: Sequence[Path], order: str) -> Parts:
    """Return a capture as requests of one span each."""
    return ORDERS[order]([part for body in bodies for part in split(body)])


def store(db: Database, waves: Iterable[Sequence[Record]]) -> None:
    """Store each wave as one journal batch: one INSERT per table."""
    for number, wave in enumerate(waves):
        insert_batch(db, process(decode(wave)), f"wave {number}".replace(" ", "/"))


def arrivals(of_tenant: Mapping[str, list[Record]]) -> list[list[Record]]:
    """Return waves: the first request of every tenant, then the second of each, and so on; each with its receipt.

    Tenants keep captures apart, whose fake servers give out the same ids.
    """
    length = max(map(len, of_tenant.values()))
    waves: list[list[Record]] = []
    sequence = 0
    for i in range(length):
        wave = []
        for tenant, records in of_tenant.items():
            if i < len(records):
                sequence += 1
                received = RECEIVED + sequence
                wave.append(replace(records[i], tenant=tenant, sequence=sequence, received_unix_ns=received))
        waves.append(wave)
    return waves


def expected_spans(batch: SpanBatch) -> dict[tuple[bytes, bytes], dict[str, Any]]:
    """Return the canonical columns of every span by (trace id, span id)."""
    columns = {name: batch.columns[name].to_pylist() for name in batch.columns}
    found: dict[tuple[bytes, bytes], dict[str, Any]] = {}
    for row in range(len(batch)):
        key = (batch.trace_id[row].tobytes(), batch.span_id[row].tobytes())
        found.setdefault(key, {name: _plain(name, values[row]) for name, values in columns.items()})
    return found


def stored_spans(db: Database) -> dict[str, dict[tuple[bytes, bytes], dict[str, Any]]]:
    """Return by tenant the same of the view settled_spans, which must have each span once."""
    found: dict[str, dict[tuple[bytes, bytes], dict[str, Any]]] = {}
    for r in db.rows("SELECT * FROM settled_spans"):
        spans = found.setdefault(r["tenant"], {})
        assert (r["trace_id"], r["span_id"]) not in spans, r["tenant"]
        spans[r["trace_id"], r["span_id"]] = {n: _plain(n, r[n]) for n in CANONICAL.names}
    return found


def _plain(name: str, value: Any) -> Any:
    is_list = CANONICAL.field(name).type.num_fields > 0
    return list(value or ()) if is_list else value
