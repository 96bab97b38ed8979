"""What is stored once under a number is stored again after an erasure: ClickHouse remembers tokens of erased rows."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from evalgate.cluster.behaviour import Scope
from evalgate.cluster.find import Found
from evalgate.cluster.store import list_runs
from evalgate.cluster.store import save as save_run
from evalgate.erase.database import erase
from evalgate.erase.turn import turn
from evalgate.issues.modes import rename_mode
from evalgate.issues.moves import move
from evalgate.queue.definition import Queue
from evalgate.queue.items import ItemState
from evalgate.queue.reserve import take
from evalgate.queue.store import create_queue
from evalgate.review.numbers import open_issues
from schema.erasure import Erasure
from schema.issue import IssueStatus
from tests.evalgate.traffic import START

if TYPE_CHECKING:
    from evalgate.database import TenantDatabase

TRACE = "0a" * 16


def erased(database: TenantDatabase, *trace_ids: str) -> None:
    """Erase these traces, or all that the tenant has, as the command does."""
    with turn(database.opened, 5, lambda _: None):
        erase(database.opened, Erasure(time.time_ns(), database.tenant, trace_ids), trace_ids)


def arrives(database: TenantDatabase, queue: Queue) -> None:
    """Let the trace be there, and in the queue."""
    parts = {"received_hour": START, "trace_id": bytes.fromhex(TRACE), "span_count": 1}
    database.insert_rows("trace_parts", [parts])
    database.insert_rows("queue_items", [{"queue": queue.name, "trace_id": TRACE, "event": "added"}])


def everything(database: TenantDatabase) -> object:
    """Store once whatever is; return what each found stored."""
    queue = create_queue(database, Queue("weekly"), actor="ann")
    arrives(database, queue)
    item = take(database, queue, "ann")
    assert item is not None
    numbers = open_issues(database, ["made up"], actor="ann")
    moved = move(database, 1, IssueStatus.ACKNOWLEDGED, actor="ann")
    renamed = rename_mode(database, "made up", "invented", actor="ann").change
    save_run(database, Found((), (), (), 0.0, 0, 0), 1, Scope.FAILING, {}, actor="ann")
    runs = [run.number for run in list_runs(database)]
    return queue, item.reserved_by, numbers, moved.sequence, renamed.number, runs


def test_after_an_erasure_of_the_tenant_all_begins_again(database: TenantDatabase) -> None:
    first = everything(database)
    erased(database)
    assert everything(database) == first


def test_a_trace_that_was_erased_and_came_again_is_reserved_again(database: TenantDatabase) -> None:
    queue = create_queue(database, Queue("weekly"), actor="ann")
    arrives(database, queue)
    take(database, queue, "ann")
    erased(database, TRACE)
    arrives(database, queue)
    item = take(database, queue, "bob")
    assert item is not None
    assert (item.state, item.reserved_by) == (ItemState.RESERVED, "bob")
