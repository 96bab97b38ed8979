"""Making queues from pages and putting traces into them: with the project's points, in the visitor's name."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from evalgate.errors import BadInput
from evalgate.places import EVALUATORS
from evalgate.queue.fill import conditions_of, fill, modes_of_issues
from evalgate.queue.store import change_queue, create_queue, find_queue
from evalgate.signals.weights import QUEUE_FILE, read_weights
from evalgate.web.errors import NotFound

if TYPE_CHECKING:
    from pathlib import Path

    from starlette.requests import Request

    from evalgate.database import TenantDatabase
    from evalgate.queue.definition import Queue
    from evalgate.queue.fill import Filled
    from evalgate.signals.weights import Weights


def asked_queue(database: TenantDatabase, request: Request) -> Queue:
    """Return the queue that an address names.

    Raises:
        NotFound: there is none.

    """
    try:
        return find_queue(database, str(request.path_params["name"]))
    except BadInput as e:
        raise NotFound(str(e)) from None


def points_of(folder: Path) -> Weights:
    """Return the points of the project's file."""
    return read_weights(folder / QUEUE_FILE, os.environ)


def fill_queue(folder: Path, database: TenantDatabase, queue: Queue, actor: str) -> Filled:
    """Add what is missing to a queue, by the files of a project folder; raises as `evalgate.queue.fill.fill`."""
    return fill(database, queue, weights=points_of(folder), actor=actor, evaluators=folder / EVALUATORS)


def make_and_fill(folder: Path, database: TenantDatabase, queue: Queue, actor: str, reason: str = "") -> Filled:
    """Store a new queue, or another definition of one, and fill it.

    Raises:
        BadInput: it cannot be, or its filters name what is not there; nothing was stored.

    """
    check_filters(database, queue)
    store = change_queue if queue.version else create_queue
    return fill_queue(folder, database, store(database, queue, actor=actor, reason=reason), actor)


def check_filters(database: TenantDatabase, queue: Queue) -> None:
    """Raise BadInput where a queue is of clusters or issues that are not there."""
    conditions_of(database, queue)
    modes_of_issues(database, queue)
