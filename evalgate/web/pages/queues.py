"""The list of queues, what is in one, and what may be done with its items."""

from __future__ import annotations

import os
from dataclasses import dataclass
from datetime import UTC
from typing import TYPE_CHECKING, Final

from starlette.responses import RedirectResponse, Response

from evalgate.errors import BadInput
from evalgate.queue.definition import Queue
from evalgate.queue.fill import fill as fill_queue
from evalgate.queue.items import ItemState, count_states, list_items
from evalgate.queue.progress import progress
from evalgate.queue.store import assign as assign_items
from evalgate.queue.store import create_queue, find_queue, list_queues
from evalgate.queue.store import restore as put_back
from evalgate.queue.yields import measure_yield
from evalgate.review.agreement import agreement
from evalgate.signals.weights import QUEUE_FILE, read_weights
from evalgate.web.errors import NotFound
from evalgate.web.runner import STATE_WORDS
from evalgate.web.separated import attachment, separated
from evalgate.web.site import Page, address
from schema.identity import Scope

if TYPE_CHECKING:
    from collections import Counter
    from collections.abc import Sequence
    from pathlib import Path

    from starlette.datastructures import FormData
    from starlette.requests import Request

    from evalgate.database import TenantDatabase
    from evalgate.queue.fill import Filled
    from evalgate.queue.items import Item
    from evalgate.queue.progress import Progress
    from evalgate.queue.yields import Yield
    from evalgate.review.agreement import AgreementReport
    from evalgate.signals.weights import Weights
    from evalgate.web.site import Site

FIRST_QUEUE: Final = "flagged"
FIRST_WHERE: Final = "flagged = true"
PAGE_SIZE: Final = 100
MAX_LINES: Final = 20
HEAD: Final = (
    "trace_id", "state", "score", "random", "assigned_to", "reserved_by", "labelled_by", "verdict", "failure_mode",
    "added_at", "why",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Listed:
    """A queue in the list."""

    queue: Queue
    counts: Counter[ItemState]
    mine: int
    """Items that this visitor labelled."""

    @property
    def segments(self) -> list[tuple[str, str, int]]:
        """Return (state, words, items) of what is not removed."""
        return [(str(state), words, self.counts[state]) for state, words in STATE_WORDS.items()]

    @property
    def filters(self) -> list[str]:
        """Return what narrows it, each in words."""
        q = self.queue
        words = [*q.where, *(f"signal {s}" for s in q.signals)]
        words += [f"like issue #{n}" for n in q.issues] + [f"cluster {n}" for n in q.clusters]
        return [*words, f"says “{q.text}”"] if q.text else words


@dataclass(frozen=True, slots=True)
class Opened:
    """A page of the items of a queue."""

    listed: Listed
    items: tuple[Item, ...]
    start: int
    total: int
    """In the state that is asked for."""
    done: Progress


async def queues(site: Site, request: Request) -> Response:
    """List the queues; where there is none, one click makes the first."""
    name = site.visitor(request).name

    def read(database: TenantDatabase) -> list[Listed]:
        found = [_listed(q, list_items(database, q), name) for q in list_queues(database)]
        return sorted(found, key=lambda found: not found.queue.is_open)

    return site.page(
        request,
        "review/queues.html",
        {"queues": await site.read(request, read), "first": FIRST_QUEUE, "first_where": FIRST_WHERE},
    )


async def create(site: Site, request: Request) -> Response:
    """Make a queue, and fill it."""
    form = await site.form(request)
    queue = _read_queue(form)
    visitor, folder = site.visitor(request), site.folder

    def work(database: TenantDatabase) -> Filled:
        made = create_queue(database, queue, actor=visitor.name)
        return fill_queue(database, made, weights=_weights(folder), actor=visitor.name)

    filled = await site.write(request, work)
    if filled.added:
        return RedirectResponse(address(request, "queue", name=queue.name), 303)
    return site.page(request, "review/filled.html", {"name": queue.name, "filled": filled})


async def fill(site: Site, request: Request) -> Response:
    """Add what is missing to a queue, and say what was added and what was not."""
    await site.form(request)
    visitor, folder = site.visitor(request), site.folder

    def work(database: TenantDatabase) -> Filled:
        return fill_queue(database, _queue(database, request), weights=_weights(folder), actor=visitor.name)

    filled = await site.write(request, work)
    return site.page(request, "review/filled.html", {"name": request.path_params["name"], "filled": filled})


async def items(site: Site, request: Request) -> Response:
    """Show the items of a queue in the order of review."""
    state, start = _state(request), _start(request)
    name = site.visitor(request).name

    def read(database: TenantDatabase) -> Opened:
        queue = _queue(database, request)
        every = list_items(database, queue, reviewer=name)
        shown = [i for i in every if state is None or i.state is state]
        page = tuple(shown[start : start + PAGE_SIZE])
        return Opened(_listed(queue, every, name), page, start, len(shown), progress(database, queue))

    found = await site.read(request, read)
    return site.page(
        request,
        "review/items.html",
        {
            "found": found,
            "queue": found.listed.queue,
            "state": state,
            "states": list(ItemState),
            "page_size": PAGE_SIZE,
        },
    )


async def results(site: Site, request: Request) -> Response:
    """Say what reviewing the queue came to: what was found, by signal, and how far reviewers agree."""

    def read(database: TenantDatabase) -> tuple[Queue, Yield, AgreementReport]:
        queue = _queue(database, request)
        return queue, measure_yield(database, queue), agreement(database, queue=queue.name)

    queue, found, agreed = await site.read(request, read)
    return site.page(request, "review/results.html", {"queue": queue, "found": found, "agreed": agreed})


async def items_csv(site: Site, request: Request) -> Response:
    """Give the items of a queue as CSV."""
    state = _state(request)

    def read(database: TenantDatabase) -> Sequence[Item]:
        return list_items(database, _queue(database, request), state=state)

    rows = [_cells(item) for item in await site.read(request, read)]
    name = f"{request.path_params['name']}.csv"
    return Response(separated(HEAD, rows), headers=attachment(name), media_type="text/csv; charset=utf-8")


async def assign(site: Site, request: Request) -> Response:
    """Let a reviewer look at the chosen items first; without a name, anybody."""
    form = await site.form(request)
    chosen = [str(t) for t in form.getlist("item")]
    reviewer, actor = _text(form, "reviewer").strip(), site.visitor(request).name
    if not chosen:
        raise BadInput("tick the items that are to be assigned")
    if reviewer and (not reviewer.isprintable() or len(reviewer) > 120):
        raise BadInput(f"{reviewer[:80]!r} is no name of a reviewer")
    await site.write(
        request, lambda database: assign_items(database, _queue(database, request), chosen, reviewer, actor=actor)
    )
    return _back(request, form)


async def restore(site: Site, request: Request) -> Response:
    """Put back an item that was removed."""
    form = await site.form(request)
    trace_id, actor = _text(form, "trace"), site.visitor(request).name
    await site.write(
        request, lambda database: put_back(database, _queue(database, request), trace_id, actor=actor, reason="page")
    )
    return _back(request, form)


def _read_queue(form: FormData) -> Queue:
    where = tuple(line.strip() for line in _text(form, "where").splitlines() if line.strip())
    if len(where) > MAX_LINES:
        raise BadInput(f"a queue has at most {MAX_LINES} conditions, one on a line")
    return Queue(
        name=_text(form, "name").strip(),
        where=where,
        text=_text(form, "text").strip(),
        reviewers=_number(form, "reviewers", 1),
        random_share=_number(form, "random", 10) / 100,
        size=_number(form, "size", 100),
        instructions=_text(form, "instructions").strip(),
    )


def _listed(queue: Queue, every: Sequence[Item], name: str) -> Listed:
    return Listed(queue, count_states(every), sum(name in i.labelled_by for i in every))


def _cells(item: Item) -> tuple[object, ...]:
    why = "; ".join(f"{name} {points:+.1f} ({item.words.get(name, '')})" for name, points in item.parts.items())
    return (
        item.trace_id,
        item.state,
        round(item.score, 3),
        "yes" if item.is_random else "",
        item.assigned_to,
        item.reserved_by,
        ", ".join(item.labelled_by),
        item.verdict,
        item.failure_mode,
        item.added_at.astimezone(UTC).isoformat(timespec="seconds"),
        why,
    )


def _queue(database: TenantDatabase, request: Request) -> Queue:
    try:
        return find_queue(database, str(request.path_params["name"]))
    except BadInput as e:
        raise NotFound(str(e)) from None


def _weights(folder: Path) -> Weights:
    return read_weights(folder / QUEUE_FILE, os.environ)


def _state(request: Request) -> ItemState | None:
    asked = request.query_params.get("state", "")
    if not asked:
        return None
    try:
        return ItemState(asked)
    except ValueError:
        raise BadInput(f"{asked[:40]!r} is no state; they are {', '.join(ItemState)}") from None


def _start(request: Request) -> int:
    text = request.query_params.get("start", "0")
    return int(text) if text.isascii() and text.isdigit() and len(text) < 8 else 0


def _back(request: Request, form: FormData) -> Response:
    where = {"state": _text(form, "state") or None, "start": _text(form, "start") or None}
    return RedirectResponse(address(request, "queue_items", where, name=request.path_params["name"]), 303)


def _number(form: FormData, name: str, default: int) -> int:
    text = _text(form, name).strip() or str(default)
    if not text.isascii() or not text.isdigit() or len(text) > 6:
        raise BadInput(f"{name} is a whole number, not {text[:20]!r}")
    return int(text)


def _text(form: FormData, name: str) -> str:
    value = form.get(name, "")
    return value if isinstance(value, str) else ""


PAGES: Final = (
    Page("/queues", queues, "queues"),
    Page("/queues", create, "queues", methods=("POST",), scope=Scope.REVIEW),
    Page("/queues/{name}/items", items, "queue_items"),
    Page("/queues/{name}/results", results, "queue_results"),
    Page("/queues/{name}/items.csv", items_csv, "queue_items_csv"),
    Page("/queues/{name}/fill", fill, "queue_fill", methods=("POST",), scope=Scope.REVIEW),
    Page("/queues/{name}/assign", assign, "queue_assign", methods=("POST",), scope=Scope.REVIEW),
    Page("/queues/{name}/restore", restore, "queue_restore", methods=("POST",), scope=Scope.REVIEW),
)
