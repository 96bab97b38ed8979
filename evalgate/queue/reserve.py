"""Who looks at which item right now.

What happens to the reservation of an item is numbered, and a number is stored once: whoever takes an item writes the
number after the last one that was read, and has it if that row is his. So of two who take at once, in whatever
processes, on whatever machines, one gets the item and the other goes on to the next. Nobody must give an item back: a
reservation ends with the label, or with its time.

Times are those of the database's clock, which all who review share; the clocks of their machines may differ. `now` is
there so that tests move it.
"""

from __future__ import annotations

from dataclasses import asdict, replace
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Final

from evalgate.errors import BadInput
from evalgate.once import append_once
from evalgate.queue.items import (
    Hold,
    HoldEvent,
    ItemState,
    find_item,
    list_items,
    read_hold,
    refusal,
    server_now,
)
from evalgate.queue.store import closed, remove_expired
from schema.errors import Retryable

if TYPE_CHECKING:
    from collections.abc import Iterable

    from evalgate.database import TenantDatabase
    from evalgate.queue.definition import Queue
    from evalgate.queue.items import Item

MAX_TRIES: Final = 50


def take(
    database: TenantDatabase, queue: Queue, reviewer: str, now: datetime | None = None, *, trace_id: str | None = None
) -> Item | None:
    """Reserve an item for a reviewer and return it: the one he has, else the next, else None; or the one he names.

    He has one item of a queue at a time: with another one that he names, what he had is given back.

    Raises:
        BadInput: the queue is closed, he has no name, or may not have the item that he names; the words say why.
        Retryable: others take items all the time.

    """
    if not reviewer.strip():
        raise BadInput("say who reviews: --annotator NAME")
    if not queue.is_open:
        raise BadInput(closed(queue))
    for _ in range(MAX_TRIES):
        at = now or server_now(database)
        items = list_items(database, queue, reviewer=reviewer, now=at)
        mine = [i for i in items if i.reserved_by == reviewer]
        item = _named(queue, items, reviewer, trace_id) if trace_id else _next(queue, items, reviewer)
        if item is None:
            return None
        if remove_expired(database, queue, [item]):
            remove_expired(database, queue, (i for i in items if i is not item))
            continue
        if item in mine:  # and another one, perhaps, that an undo gave back to him
            _give_back(database, queue, (i for i in mine if i is not item), reviewer, at)
            return item
        until = at + timedelta(seconds=queue.reserve_s)
        if _append(database, queue, Hold(item.trace_id, _after(item.hold), HoldEvent.TAKEN, reviewer, at, until)):
            _give_back(database, queue, mine, reviewer, at)
            return replace(item, state=ItemState.RESERVED, reserved_by=reviewer, reserved_until=until)
    raise Retryable("others take items all the time; try again")


def extend(
    database: TenantDatabase, queue: Queue, trace_id: str, reviewer: str, now: datetime | None = None
) -> datetime:
    """Keep an item for the whole time again, also one whose time is over and that nobody took; return until when.

    Raises:
        BadInput: the reviewer has not got it, or somebody else has it by now; the words say why.
        Retryable: others take items all the time.

    """
    for _ in range(MAX_TRIES):
        at = now or server_now(database)
        item = find_item(database, queue, trace_id, now=at)
        if why := refusal(queue, item, reviewer):
            raise BadInput(f"trace {trace_id[:16]} {why}")
        if item.hold is None or item.hold.reviewer != reviewer or item.hold.event is HoldEvent.RELEASED:
            raise BadInput(f"trace {trace_id[:16]} is not with {reviewer}: take it first")
        if item.reserved_by != reviewer:  # its time is over; he may have another one by now
            taken = take(database, queue, reviewer, now, trace_id=trace_id)
            return taken.reserved_until if taken and taken.reserved_until else at
        until = at + timedelta(seconds=queue.reserve_s)
        if _append(
            database, queue, replace(item.hold, number=_after(item.hold), event=HoldEvent.EXTENDED, until=until)
        ):
            return until
    raise Retryable("others take items all the time; try again")


def release(database: TenantDatabase, queue: Queue, trace_id: str, reviewer: str, now: datetime | None = None) -> bool:
    """Give an item back; False where the reviewer has not got it."""
    at = now or server_now(database)
    hold = read_hold(database, queue.name, trace_id)
    if hold is None or hold.event is HoldEvent.RELEASED or hold.reviewer != reviewer or hold.until <= at:
        return False
    given_back = replace(hold, number=hold.number + 1, event=HoldEvent.RELEASED, until=at)
    return _append(database, queue, given_back)


def may_label(
    database: TenantDatabase, queue: Queue, trace_id: str, reviewer: str, now: datetime | None = None
) -> None:
    """Return if a label of this reviewer is welcome. Ask before saving it.

    A reservation that has expired does no harm while nobody else took the item, and who labelled it may say it
    differently while it is his label that stands.

    Raises:
        BadInput: somebody else has it, or it is not to be labelled any more; the words say what happened.

    """
    check_label(queue, find_item(database, queue, trace_id, now=now), reviewer)


def check_label(queue: Queue, item: Item, reviewer: str) -> None:
    """Do the same with an item that was just read. Pure.

    Raises:
        BadInput: as above; of a closed queue only what he holds is still welcome.

    """
    if not queue.is_open and item.reserved_by != reviewer:
        raise BadInput(f"nothing was saved: {closed(queue)}")
    if reviewer in item.labelled_by and item.state is not ItemState.REMOVED:
        return
    if why := refusal(queue, item, reviewer):
        raise BadInput(
            f"your reservation of trace {item.trace_id[:16]} is over: it {why}. Nothing was saved; take the next"
        )


def _give_back(database: TenantDatabase, queue: Queue, items: Iterable[Item], reviewer: str, now: datetime) -> None:
    for item in items:
        release(database, queue, item.trace_id, reviewer, now)


def _next(queue: Queue, items: list[Item], reviewer: str) -> Item | None:
    mine = next((i for i in items if i.reserved_by == reviewer), None)
    return mine or next((i for i in items if i.is_open and not refusal(queue, i, reviewer)), None)


def _named(queue: Queue, items: list[Item], reviewer: str, trace_id: str) -> Item:
    item = next((i for i in items if i.trace_id == trace_id), None)
    if item is None:
        raise BadInput(f"trace {trace_id[:32]} is not in the queue {queue.name}")
    if why := refusal(queue, item, reviewer):
        raise BadInput(f"trace {trace_id[:16]} {why}")
    return item


def _after(hold: Hold | None) -> int:
    """Return the number of what happens next. It must be that of what was read and decided by, and no later one."""
    return hold.number + 1 if hold else 1


def _append(database: TenantDatabase, queue: Queue, hold: Hold) -> bool:
    """Write what happens to a reservation; False where its number was somebody else's."""
    row = {"queue": queue.name, **asdict(hold), "event": str(hold.event)}
    append_once(database, "queue_reservations", [row], f"{queue.name}/{hold.trace_id}/{hold.number}")
    stored = read_hold(database, queue.name, hold.trace_id)
    if stored is None or stored.number < hold.number:
        raise Retryable("the database has not stored the reservation; try again")
    # With a later number of his own, the reviewer has it in another window: his it is.
    return stored == hold or (stored.number > hold.number and stored.reviewer == hold.reviewer)
