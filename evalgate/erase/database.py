"""Erase from the database: every table that says something of a trace, and what is summed up of it."""

from __future__ import annotations

from string import Template
from typing import TYPE_CHECKING, Any, Final

from evalgate.database import sql
from evalgate.erase.loose import loose_targets
from evalgate.erase.target import IDS_AT_A_TIME, IN_TENANT, OF_ID, Target
from schema.erasure import Erased
from schema.errors import EvalgateError
from schema.ledger import FEEDBACK_SCOPE, State

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from evalgate.database import Database
    from schema.erasure import Erasure

TRIES: Final = 5
"""An INSERT that was under way may bring rows while others go."""

BY_ID: Final = ("spans", "events", "span_revisions", "settlements", "trace_parts", "retention_decisions")
"""Tables whose trace_id is FixedString(16). The view otel_traces and all others read from these."""
BY_HEX: Final = (
    "feedback",
    "annotations",
    "holds",
    "cluster_members",
    "model_flags",
    "queue_items",
    "queue_reservations",
)
BY_CASE: Final = ("case_events",)
BY_TENANT: Final = (
    "issue_events",
    "mode_changes",
    "cluster_runs",
    "cluster_sightings",
    "cluster_events",
    "queue_events",
)
"""Tables that say nothing of one trace: they go with their tenant."""
OF_HEX: Final = "trace_id IN {ids:Array(String)}"
OF_CASE: Final = (
    "case_id IN (SELECT case_id FROM case_events "
    "WHERE JSONExtractString(body, 'provenance', 'trace_id') IN {ids:Array(String)} "
    "OR hasAny(JSONExtract(body, 'provenance', 'synthesis', 'also_from', 'Array(String)'), {ids:Array(String)}))"
)
"""Cases of the traces, and those in which words of the traces stand beside others."""
OF_TENANT: Final = "tenant = {tenant:String}"
TABLES: Final[Mapping[str, str]] = {
    **dict.fromkeys(BY_ID, OF_ID),
    **dict.fromkeys(BY_HEX, OF_HEX),
    **dict.fromkeys(BY_CASE, OF_CASE),
    **dict.fromkeys(BY_TENANT, ""),
}
"""Every table with content, to the condition on its rows, "" where none is of a trace; names are ours alone."""
COUNTED: Final = {"spans": "traces", "events": "logs"}
"""Tables whose rows the ledger counts, to its signal."""


def traces_of(database: Database, erasure: Erasure) -> tuple[str, ...]:
    """Return the ids of all traces that an erasure concerns."""
    tenant = erasure.tenant or ""
    if erasure.user_id is not None:
        named = {"user": erasure.user_id, "tenant": tenant, "at": erasure.at_unix_ns}
        rows = database.rows(sql(__package__, "traces_of_user"), named)
    elif erasure.is_whole_tenant:
        rows = database.rows(sql(__package__, "traces_of_tenant"), {"tenant": tenant})
    else:
        return erasure.trace_ids
    return tuple(sorted({row["trace_id"] for row in rows}))


def targets(erasure: Erasure, trace_ids: Sequence[str], table: str) -> Iterator[Target]:
    """Yield what is to go of one table, in pieces that a statement can name."""
    tenant = erasure.tenant or ""
    if erasure.is_whole_tenant:
        yield Target(table, OF_TENANT, {"tenant": tenant})
        return
    if table in BY_TENANT:
        return
    for i in range(0, len(trace_ids), IDS_AT_A_TIME):
        ids = list(trace_ids[i : i + IDS_AT_A_TIME])
        yield Target(table, f"{TABLES[table]} AND {IN_TENANT}", {"ids": ids, "tenant": tenant})


def count(database: Database, target: Target) -> int:
    """Return how many rows are meant."""
    (row,) = database.rows(_text("count", target), target.parameters)
    return int(row["n"])


def show(database: Database, erasure: Erasure, trace_ids: Sequence[str], contexts: Sequence[str] = ()) -> list[Erased]:
    """Return how many rows would go; what is meant twice counts twice."""
    counts = dict.fromkeys(TABLES, 0)
    for target in loose_targets(database, erasure, contexts):
        counts[target.table] += count(database, target)
    for table in TABLES:
        counts[table] += sum(count(database, t) for t in targets(erasure, trace_ids, table))
    return [Erased(table, "rows", n) for table, n in counts.items()]


def erase(
    database: Database,
    erasure: Erasure,
    trace_ids: Sequence[str],
    contexts: Sequence[str] = (),
    step: Callable[[], None] = lambda: None,
) -> list[Erased]:
    """Delete the rows, look that they are gone, and say so in the ledger. `step` is called after each table.

    `contexts`: sessions and responses of the user alone (loose.py).

    Raises:
        EvalgateError: rows are still there.

    """
    counts = dict.fromkeys(TABLES, 0)
    said = []
    for target in loose_targets(database, erasure, contexts):
        counts[target.table] += _delete(database, target)
        said += [target] if target.table == "feedback" else []
    for table in TABLES:
        for target in targets(erasure, trace_ids, table):
            counts[table] += _delete(database, target)
        step()
    for target in said:  # settlement may have repeated a row meanwhile that it had read before
        counts[target.table] += _delete(database, target)
    return [Erased(table, "rows", n) for table, n in counts.items()]


def _delete(database: Database, target: Target) -> int:
    gone = 0
    for _ in range(TRIES):
        left = count(database, target)
        if left == 0:
            return gone
        members = _members(database, target)
        with database.shards() as shards:
            for shard in shards:
                shard.command(_text("delete", target), target.parameters)
        database.insert_rows("ledger", list(_moved(target.table, members)))
        gone += left
    if left := count(database, target):
        raise EvalgateError(
            f"{left} rows of {target.table} came while others were erased: something still sends them. "
            "Stop it, then run this again"
        )
    return gone


def _members(database: Database, target: Target) -> list[dict[str, Any]]:
    return database.rows(_text("members", target), target.parameters) if target.table in COUNTED else []


def _moved(table: str, members: Sequence[Mapping[str, Any]]) -> Iterator[dict[str, Any]]:
    """Yield the rows of the ledger that move what was stored to what was erased."""
    for row in members:
        for state, sign in ((State.STORED, -1), (State.ERASED, 1)):
            yield {
                "tenant": row["tenant"],
                "minute": row["minute"],
                "signal": "feedback" if row["is_feedback"] else COUNTED[table],
                "state": str(state),
                "reason": "",
                "count": sign * int(row["n"]),
                "uncounted_requests": 0,
            }


def _text(name: str, target: Target) -> str:
    if target.table not in TABLES:
        raise ValueError(f"{target.table!r} is no table of ours")
    return Template(sql(__package__, name)).substitute(
        table=target.table, condition=target.condition, feedback_scope=FEEDBACK_SCOPE
    )
