"""Queues in the database: each change is a further version, and nobody overwrites what he has not read."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final

from evalgate.database import sql
from evalgate.errors import BadInput
from evalgate.once import append_once
from evalgate.queue.definition import check, check_person, from_body, to_body
from evalgate.queue.items import find_item, find_items, moment
from schema.errors import EvalgateError, Retryable
from schema.fields import did_you_mean

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from datetime import datetime

    from evalgate.database import TenantDatabase
    from evalgate.queue.definition import Queue
    from evalgate.queue.items import Item


RETENTION: Final = "retention"
EXPIRED: Final = "its trace is gone: the time is over that it is kept"


@dataclass(frozen=True, slots=True)
class Change:
    """One version of a queue."""

    version: int
    at: datetime
    event: str
    """created, changed, closed or opened."""
    actor: str
    reason: str


def list_queues(database: TenantDatabase) -> list[Queue]:
    """Return every queue by its name, closed ones too."""
    rows = database.rows(sql(__package__, "queues"))
    return [from_body(str(r["queue"]), int(r["version"]), str(r["body"])) for r in rows]


def find_queue(database: TenantDatabase, name: str) -> Queue:
    """Return one queue.

    Raises:
        BadInput: there is none of this name.

    """
    known = {q.name: q for q in list_queues(database)}
    if name in known:
        return known[name]
    if not known:
        raise BadInput("there is no queue yet. Make one: evalgate queue create NAME")
    raise BadInput(f"there is no queue {name[:80]!r}.{did_you_mean(name, known)}")


def create_queue(database: TenantDatabase, queue: Queue, *, actor: str, reason: str = "") -> Queue:
    """Store a new queue and return it with its version.

    Raises:
        BadInput: it cannot be, or one has this name.

    """
    check(queue)
    if any(q.name == queue.name for q in list_queues(database)):
        raise BadInput(f"there is a queue {queue.name} already. Change it: evalgate queue edit {queue.name}")
    try:
        return _append(database, replace(queue, version=0), "created", actor, reason)
    except Retryable:
        raise BadInput(
            f"somebody made a queue {queue.name} just now. See it: evalgate queue show {queue.name}"
        ) from None


def change_queue(database: TenantDatabase, queue: Queue, *, actor: str, reason: str = "") -> Queue:
    """Store another definition of a queue as it was read: `version` says which; return it with its new version.

    Raises:
        BadInput: it cannot be.
        Retryable: somebody else changed it since it was read.

    """
    check(queue)
    known = find_queue(database, queue.name)
    event = "changed" if known.is_open == queue.is_open else "opened" if queue.is_open else "closed"
    return _append(database, queue, event, actor, reason)


def close_queue(database: TenantDatabase, queue: Queue, *, actor: str, reason: str = "") -> Queue:
    """Close a queue: nothing is given out and nothing is added; what was done stays, and it can be opened again."""
    return change_queue(database, replace(queue, is_open=False), actor=actor, reason=reason)


def history(database: TenantDatabase, name: str) -> list[Change]:
    """Return what happened to the definition of a queue, the first first."""
    return [
        Change(int(r["version"]), moment(r["at_unix_us"]), str(r["event"]), str(r["actor"]), str(r["reason"]))
        for r in database.rows(sql(__package__, "versions"), {"queue": name})
    ]


def remove(database: TenantDatabase, queue: Queue, trace_id: str, *, actor: str, reason: str) -> None:
    """Take a trace out of a queue: no later fill brings it back, only `restore`.

    Raises:
        BadInput: it is not in the queue, is out already, somebody else holds it, the queue is closed, or nobody says
            why.

    """
    if not reason.strip():
        raise BadInput("say why it goes, so that whoever finds it missing knows: --reason TEXT")
    item = find_item(database, queue, trace_id)
    if item.state == "removed":
        raise BadInput(f"trace {trace_id} was removed from {queue.name} already")
    if item.reserved_by and item.reserved_until and item.reserved_by != actor:
        until = f"{item.reserved_until:%H:%M} UTC"
        raise BadInput(f"trace {trace_id[:16]} is with {item.reserved_by} until {until}: remove it when it is free")
    if not queue.is_open and item.reserved_by != actor:
        raise BadInput(closed(queue))
    _happened(database, queue, [trace_id], "removed", actor=actor, reason=reason)


def closed(queue: Queue) -> str:
    """Return what to tell whoever wants something of a queue that is closed."""
    return f"the queue {queue.name} is closed. Open it again: evalgate queue edit {queue.name} --open"


def remove_expired(database: TenantDatabase, queue: Queue, items: Iterable[Item]) -> set[str]:
    """Take those open items out whose traces are gone at the end of the time that they are kept; return their ids."""
    waiting = [i.trace_id for i in items if i.is_open]
    if not waiting:
        return set()
    kept = {str(r["trace"]) for r in database.rows(sql(__package__, "kept"), {"trace_ids": waiting})}
    gone = [t for t in waiting if t not in kept]
    _happened(database, queue, gone, "removed", actor=RETENTION, reason=EXPIRED)
    return set(gone)


def restore(database: TenantDatabase, queue: Queue, trace_id: str, *, actor: str, reason: str = "") -> None:
    """Put a trace back that was removed.

    Raises:
        BadInput: it is not in the queue, or was not removed.

    """
    if find_item(database, queue, trace_id).state != "removed":
        raise BadInput(f"trace {trace_id} was not removed from {queue.name}")
    _happened(database, queue, [trace_id], "restored", actor=actor, reason=reason)


def requeue(database: TenantDatabase, queue: Queue, trace_id: str, *, actor: str, reason: str) -> None:
    """Have a trace that is done labelled again: labels count that are given from now on.

    Raises:
        BadInput: it is not in the queue, is not done, or nobody says why.

    """
    if not reason.strip():
        raise BadInput("say why it is looked at again: --reason TEXT")
    if find_item(database, queue, trace_id).state != "done":
        raise BadInput(f"trace {trace_id} is not done in {queue.name}: it will be looked at anyway")
    _happened(database, queue, [trace_id], "requeued", actor=actor, reason=reason)


def assign(
    database: TenantDatabase, queue: Queue, trace_ids: Sequence[str], reviewer: str, *, actor: str, reason: str = ""
) -> None:
    """Let a reviewer look at these first; "" lets anybody.

    Raises:
        BadInput: one is not in the queue, or nobody can be called so; nothing was assigned.

    """
    if reviewer:
        check_person(reviewer, "the reviewer")
    chosen = list(dict.fromkeys(trace_ids))
    find_items(database, queue, chosen)
    _happened(database, queue, chosen, "assigned", actor=actor, reason=reason, assigned_to=reviewer)


def _happened(
    database: TenantDatabase,
    queue: Queue,
    trace_ids: Sequence[str],
    event: str,
    **more: str,
) -> None:
    rows = [{"queue": queue.name, "trace_id": t, "event": event, **more} for t in dict.fromkeys(trace_ids)]
    if rows:
        database.insert_rows("queue_items", rows)


def _append(database: TenantDatabase, queue: Queue, event: str, actor: str, reason: str) -> Queue:
    """Write the next version, or nothing where somebody has it."""
    stored = replace(queue, version=queue.version + 1)
    row = {
        "queue": queue.name,
        "version": stored.version,
        "event": event,
        "body": to_body(stored),
        "actor": actor,
        "reason": reason,
    }
    append_once(database, "queue_events", [row], f"{queue.name}/{stored.version}")
    known = next((q for q in list_queues(database) if q.name == queue.name), None)
    if known is None:
        raise EvalgateError(f"the queue {queue.name} was erased while it was written; run this again")
    if known.version < stored.version or (known.version == stored.version and known != stored):
        raise Retryable(f"somebody else changed the queue {queue.name} just now; look at it, and change it again")
    return stored
