"""Feedback finds its trace: what names a response or a session gets the ids of what it speaks of.

A row of `feedback` is what was said, and is never changed. Once its trace is known, the same row is written again with
the ids; that one makes the trace failing, through the view that does so for all feedback. A response is looked up by
its id; feedback on a session speaks of the session's latest trace that had begun when it was given.
"""

from __future__ import annotations

import hashlib
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, Final

import pyarrow as pa

from collector.settle.queries import statement
from schema.span import FEEDBACK

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from exporters.clickhouse.connect import Database

WINDOW: Final = timedelta(days=7)
"""How long feedback waits for its trace; the holding time of traces."""
MAX_ROWS: Final = 1000
MAX_TRACES_PER_SESSION: Final = 100
CLOCK_SLACK_NS: Final = 60 * 10**9
"""Clocks of senders differ: a trace that began so little after the feedback may still be meant."""

ROW: Final = pa.schema(
    [
        ("tenant", pa.string()),
        ("received_at", pa.timestamp("ns", "UTC")),
        *((f.name, f.type) for f in FEEDBACK if f.name != "origin"),
    ]
)


def resolve_feedback(db: Database, *, now: Callable[[], datetime] = lambda: datetime.now(UTC)) -> int:
    """Give waiting feedback its trace where that is known by now; return how many rows found theirs.

    May be repeated, and run by several at once: a row is written once.
    """
    pending = db.rows(statement("feedback_pending"), {"since": now() - WINDOW, "limit": MAX_ROWS})
    found = 0
    for tenant in sorted({row["tenant"] for row in pending}):
        rows = [row for row in pending if row["tenant"] == tenant]
        by_response = _by_response(db, tenant, rows)
        by_session = _by_session(db, tenant, rows)
        for row in rows:
            ids = by_response.get(row["response_id"] or "") or _at_the_time(by_session, row)
            if ids is not None:
                _write(db, {**row, "trace_id": ids[0], "span_id": ids[1]})
                found += 1
    return found


def _by_response(db: Database, tenant: str, rows: Sequence[Mapping[str, Any]]) -> dict[str, tuple[str, str]]:
    responses = sorted({row["response_id"] for row in rows if row["response_id"]})
    if not responses:
        return {}
    answer = db.rows(statement("feedback_by_response"), {"tenant": tenant, "responses": responses})
    return {row["response"]: (row["ids"][0], row["ids"][1]) for row in answer}


def _by_session(db: Database, tenant: str, rows: Sequence[Mapping[str, Any]]) -> dict[str, list[tuple[int, str]]]:
    """Return session -> (start, trace), the latest first."""
    sessions = sorted({row["session_id"] for row in rows if row["session_id"] and not row["response_id"]})
    if not sessions:
        return {}
    parameters = {"tenant": tenant, "sessions": sessions, "limit": MAX_TRACES_PER_SESSION}
    traces: dict[str, list[tuple[int, str]]] = {}
    for row in db.rows(statement("feedback_by_session"), parameters):
        traces.setdefault(row["session"], []).append((row["start_unix_ns"], row["trace"]))
    return traces


def _at_the_time(traces: Mapping[str, Sequence[tuple[int, str]]], row: Mapping[str, Any]) -> tuple[str, str] | None:
    until = row["time_unix_ns"] + CLOCK_SLACK_NS
    begun = (trace for start, trace in traces.get(row["session_id"] or "", ()) if start <= until)
    trace = next(begun, None)
    return None if trace is None else (trace, "")


def _write(db: Database, row: Mapping[str, Any]) -> None:
    """Write one row; its token says what it is, so that a second writer's is the same."""
    table = pa.Table.from_pylist([dict(row)], ROW)
    said = repr([row[name] for name in ROW.names]).encode()
    db.insert_arrow("feedback", table, f"feedback/{hashlib.blake2b(said, digest_size=16).hexdigest()}")
