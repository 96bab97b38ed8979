"""The log of retention: what was decided, in one order that all agree on.

An entry is appended with the number after the last one that its writer has read. INSERTs of the same number have the
same deduplication token, so the first is stored and every other is not: whoever lost reads on and decides again.

    settings    holding times that are in force from here on
    hold        traces that must stay; their rows in `holds` were written before
    release     and may go again
    decided     what a run removes is certain: what it does from here on is finished by whoever comes
    done        and it was
    erase       somebody erases: nothing is decided until `erased`, or for an hour

An erasure counts what it removes, as retention does; of what both removed the ledger would be told twice.
"""

from __future__ import annotations

import json
import uuid
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Final, Literal

import pyarrow as pa

from schema.errors import Retryable

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from datetime import datetime

    from exporters.clickhouse.connect import Database

Kind = Literal["settings", "hold", "release", "decided", "done", "erase", "erased"]
TABLE: Final = "retention_log"
ROW: Final = pa.schema(
    [
        ("number", pa.uint64()),
        ("kind", pa.string()),
        ("run", pa.string()),
        ("actor", pa.string()),
        ("reason", pa.string()),
        ("body", pa.string()),
        ("entry", pa.string()),
    ]
)
READ: Final = f"SELECT number, at, kind, run, actor, reason, body FROM {TABLE} ORDER BY number"  # noqa: S608 - a constant
WHOSE: Final = f"SELECT entry FROM {TABLE} WHERE number = {{number:UInt64}}"  # noqa: S608 - as above
MAX_TRIES: Final = 100
LONGEST_ERASURE: Final = timedelta(hours=1)


@dataclass(frozen=True, slots=True)
class Entry:
    """One decision."""

    number: int
    at: datetime
    kind: str
    run: str
    actor: str
    reason: str
    body: Mapping[str, Any]


def read(db: Database) -> list[Entry]:
    """Return all entries in their order. Raises Retryable, Permanent."""
    return [Entry(**{**row, "body": json.loads(row["body"] or "{}")}) for row in db.rows(READ)]


def last_number(entries: Sequence[Entry]) -> int:
    """Return the number of the last one, 0 before the first."""
    return entries[-1].number if entries else 0


def append(
    db: Database,
    kind: Kind,
    *,
    after: int,
    actor: str,
    run: str = "",
    reason: str = "",
    body: Mapping[str, Any] | None = None,
) -> bool:
    """Append an entry behind number `after`; False: somebody else has. Raises Retryable, Permanent."""
    entry = uuid.uuid4().hex
    row = {"kind": kind, "run": run, "actor": actor, "reason": reason, "body": json.dumps(body or {}), "entry": entry}
    rows = pa.Table.from_pylist([{"number": after + 1, **row}], ROW)
    db.insert_arrow(TABLE, rows, f"retention/{after + 1}")
    return [r["entry"] for r in db.rows(WHOSE, {"number": after + 1})] == [entry]


def append_last(
    db: Database, kind: Kind, *, actor: str, run: str = "", reason: str = "", body: Mapping[str, Any] | None = None
) -> int:
    """Append an entry wherever the end is by now; return its number.

    Raises:
        Retryable: others appended all the time.

    """
    for _ in range(MAX_TRIES):
        after = last_number(read(db))
        if append(db, kind, after=after, actor=actor, run=run, reason=reason, body=body):
            return after + 1
    raise Retryable("others write to the log of retention all the time; try again")


def unfinished(entries: Sequence[Entry]) -> list[str]:
    """Return the runs that decided something and are not done with it, oldest first."""
    done = {e.run for e in entries if e.kind == "done"}
    return [e.run for e in entries if e.kind == "decided" and e.run not in done]


def is_erasing(entries: Sequence[Entry], now: datetime) -> bool:
    """Tell whether somebody erases; one that began an hour ago and said no more is taken for dead."""
    ended = {e.run for e in entries if e.kind == "erased"}
    return any(e.kind == "erase" and e.run not in ended and now - e.at < LONGEST_ERASURE for e in entries)
