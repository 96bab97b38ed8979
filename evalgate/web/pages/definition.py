"""What a queue is: the form that makes one, and the one that changes it."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Final

from starlette.responses import RedirectResponse

from evalgate.errors import BadInput
from evalgate.queue.definition import Queue
from evalgate.queue.store import change_queue
from evalgate.signals.weights import Weights
from evalgate.web import forms
from evalgate.web.errors import page_words
from evalgate.web.filling import asked_queue, check_filters, make_and_fill, points_of
from evalgate.web.queue_form import SIGNALS, form_of, form_sent, read_queue
from evalgate.web.site import Page, address
from schema.errors import EvalgateError
from schema.identity import Scope

if TYPE_CHECKING:
    from starlette.datastructures import FormData
    from starlette.requests import Request
    from starlette.responses import Response

    from evalgate.database import TenantDatabase
    from evalgate.queue.fill import Filled
    from evalgate.web.queue_form import QueueForm
    from evalgate.web.site import Site

UNSAID: Final = Queue("")
"""What a new queue is where the form does not say."""


async def definition_values(site: Site, request: Request, form: QueueForm | None = None) -> dict[str, object]:
    """Return what the template of the fields needs; None: those of a new queue."""
    try:
        points = await site.databases.compute(partial(points_of, site.folder(request)))
    except EvalgateError:
        points = Weights()  # the file is wrong: filling says how, and no page need fail of it
    return {"form": form or form_of(UNSAID), "signals": SIGNALS, "points": points.model_dump()}


async def create(site: Site, request: Request) -> Response:
    """Make a queue, and fill it; what cannot be made stands in the form again."""
    sent = await site.form(request)
    actor = site.visitor(request).name

    def work(database: TenantDatabase) -> tuple[Queue, Filled] | str:
        try:
            queue = read_queue(sent, UNSAID)
            return queue, make_and_fill(site.folder(request), database, queue, actor)
        except BadInput as e:
            return page_words(e)

    made = await site.write(request, work)
    if isinstance(made, str):
        values = {
            **await definition_values(site, request, form_sent(sent, UNSAID)),
            "queue": UNSAID,
            "error": made,
            "is_saved": False,
        }
        return site.page(request, "review/definition.html", values, status=400)
    queue, filled = made
    return filled_page(site, request, queue, filled)


def filled_page(site: Site, request: Request, queue: Queue, filled: Filled) -> Response:
    """Go to a queue that was made and filled; where there is something to be told first, tell it."""
    if filled.added and queue.random_share:
        return RedirectResponse(address(request, "queue", name=queue.name), 303)
    return site.page(request, "review/filled.html", {"queue": queue, "filled": filled})


async def edit_page(site: Site, request: Request) -> Response:
    """Show what a queue is, as a form."""
    queue = await site.read(request, lambda database: asked_queue(database, request))
    values = {"queue": queue, "error": "", "is_saved": "saved" in request.query_params}
    return site.page(
        request, "review/definition.html", {**await definition_values(site, request, form_of(queue)), **values}
    )


async def edit(site: Site, request: Request) -> Response:
    """Change what a queue is, close it, or open it again. What is in it stays."""
    sent = await site.form(request)
    actor = site.visitor(request).name

    def work(database: TenantDatabase) -> tuple[Queue, str]:
        known = asked_queue(database, request)
        try:
            wanted = _wanted(sent, known)
            check_filters(database, wanted)
            if wanted != known:
                change_queue(database, wanted, actor=actor, reason=forms.text(sent, "reason"))
        except BadInput as e:
            return known, page_words(e)
        return wanted, ""

    queue, error = await site.write(request, work)
    if error:
        values = {
            **await definition_values(site, request, form_sent(sent, queue)),
            "queue": queue,
            "error": error,
            "is_saved": False,
        }
        return site.page(request, "review/definition.html", values, status=400)
    return RedirectResponse(address(request, "queue_edit", {"saved": 1}, name=queue.name), 303)


def _wanted(sent: FormData, known: Queue) -> Queue:
    if forms.whole(sent, "version", "the version") != known.version:
        raise BadInput("somebody changed this queue since you opened its form; saving now overwrites that")
    is_open = forms.text(sent, "open") == "yes" if "open" in sent else known.is_open
    return replace(read_queue(sent, known), name=known.name, is_open=is_open)


PAGES: Final = (
    Page("/queues", create, "queues", methods=("POST",), scope=Scope.REVIEW),
    Page("/queues/{name}/edit", edit_page, "queue_edit"),
    Page("/queues/{name}/edit", edit, "queue_edit", methods=("POST",), scope=Scope.REVIEW),
)
