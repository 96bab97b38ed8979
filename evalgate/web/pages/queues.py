"""The list of queues, what is in one, and what may be done with its items."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import UTC
from typing import TYPE_CHECKING, Final

from starlette.responses import RedirectResponse, Response

from evalgate.errors import BadInput
from evalgate.queue.blind import read_blind
from evalgate.queue.items import ItemState, count_states, list_items
from evalgate.queue.progress import progress
from evalgate.queue.store import assign as assign_items
from evalgate.queue.store import list_queues
from evalgate.queue.store import restore as put_back
from evalgate.queue.yields import measure_yield
from evalgate.review.agreement import agreement
from evalgate.web import forms
from evalgate.web.filling import asked_queue, fill_queue
from evalgate.web.pages.definition import definition_values
from evalgate.web.runner import STATE_WORDS
from evalgate.web.separated import attachment, separated
from evalgate.web.site import Page, address
from schema.identity import Scope

if TYPE_CHECKING:
    from collections import Counter
    from collections.abc import Sequence

    from starlette.datastructures import FormData
    from starlette.requests import Request

    from evalgate.database import TenantDatabase
    from evalgate.queue.definition import Queue
    from evalgate.queue.fill import Filled
    from evalgate.queue.items import Item
    from evalgate.queue.progress import Progress
    from evalgate.queue.yields import Yield
    from evalgate.review.agreement import AgreementReport
    from evalgate.web.site import Site

FIRST_QUEUE: Final = "flagged"
FIRST_WHERE: Final = "flagged = true"
PAGE_SIZE: Final = 100
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
        {
            **await definition_values(site, request),
            "queues": await site.read(request, read),
            "first": FIRST_QUEUE,
            "first_where": FIRST_WHERE,
        },
    )


async def fill(site: Site, request: Request) -> Response:
    """Add what is missing to a queue, and say what was added and what was not."""
    await site.form(request)
    actor = site.visitor(request).name

    def work(database: TenantDatabase) -> tuple[Queue, Filled]:
        queue = asked_queue(database, request)
        return queue, fill_queue(site.folder(request), database, queue, actor)

    queue, filled = await site.write(request, work)
    return site.page(request, "review/filled.html", {"queue": queue, "filled": filled})


async def items(site: Site, request: Request) -> Response:
    """Show the items of a queue in the order of review."""
    state, start = _state(request), _start(request)
    name = site.visitor(request).name

    def read(database: TenantDatabase) -> Opened:
        queue = asked_queue(database, request)
        every = list_items(database, queue, reviewer=name)
        shown = [i for i in every if state is None or i.state is state]
        blind = read_blind(database, name, [i.trace_id for i in shown[start : start + PAGE_SIZE]])
        page = tuple(map(blind.item, shown[start : start + PAGE_SIZE]))
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
        queue = asked_queue(database, request)
        blind = read_blind(database, None)
        agreed = agreement(database, queue=queue.name, without=blind.unfinished)
        # Who differs before all are through is nobody's business; whoever may label it would look again.
        disputed = {i.trace_id for i in list_items(database, queue) if i.is_disputed}
        left = tuple(d for d in agreed.disagreements if d.trace_id in disputed)
        return queue, measure_yield(database, queue), replace(agreed, disagreements=left)

    queue, found, agreed = await site.read(request, read)
    return site.page(request, "review/results.html", {"queue": queue, "found": found, "agreed": agreed})


async def items_csv(site: Site, request: Request) -> Response:
    """Give the items of a queue as CSV."""
    state, name = _state(request), site.visitor(request).name

    def read(database: TenantDatabase) -> Sequence[Item]:
        blind = read_blind(database, name)
        return [blind.item(i) for i in list_items(database, asked_queue(database, request), state=state)]

    rows = [_cells(item) for item in await site.read(request, read)]
    file = f"{request.path_params['name']}.csv"
    return Response(separated(HEAD, rows), headers=attachment(file), media_type="text/csv; charset=utf-8")


async def assign(site: Site, request: Request) -> Response:
    """Let a reviewer look at the chosen items first; without a name, anybody."""
    form = await site.form(request)
    chosen = [str(t) for t in form.getlist("item")]
    reviewer, actor = forms.text(form, "reviewer"), site.visitor(request).name
    if not chosen:
        raise BadInput("tick the items that are to be assigned")
    if len(chosen) > PAGE_SIZE:
        raise BadInput(f"at most {PAGE_SIZE} items, a page of them, are assigned at once")
    if reviewer and (not reviewer.isprintable() or len(reviewer) > 120):
        raise BadInput(f"{reviewer[:80]!r} is no name of a reviewer")
    await site.write(
        request, lambda database: assign_items(database, asked_queue(database, request), chosen, reviewer, actor=actor)
    )
    return _back(request, form)


async def restore(site: Site, request: Request) -> Response:
    """Put back an item that was removed."""
    form = await site.form(request)
    trace_id, actor = forms.text(form, "trace"), site.visitor(request).name
    await site.write(
        request,
        lambda database: put_back(database, asked_queue(database, request), trace_id, actor=actor, reason="page"),
    )
    return _back(request, form)


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
    where = {"state": forms.text(form, "state") or None, "start": forms.text(form, "start") or None}
    return RedirectResponse(address(request, "queue_items", where, name=request.path_params["name"]), 303)


PAGES: Final = (
    Page("/queues", queues, "queues"),
    Page("/queues/{name}/items", items, "queue_items"),
    Page("/queues/{name}/results", results, "queue_results"),
    Page("/queues/{name}/items.csv", items_csv, "queue_items_csv"),
    Page("/queues/{name}/fill", fill, "queue_fill", methods=("POST",), scope=Scope.REVIEW),
    Page("/queues/{name}/assign", assign, "queue_assign", methods=("POST",), scope=Scope.REVIEW),
    Page("/queues/{name}/restore", restore, "queue_restore", methods=("POST",), scope=Scope.REVIEW),
)
