"""The queue runner: one item after another, the conversation beside the form; each action is a form of its own.

Looking changes nothing. What changes something is a POST that ends with a redirect, so that a reload repeats nothing:

    take       reserve an item and show it        label     save, and go on to the next
    skip       give it back, take the next        remove    out of the queue, with a reason
    release    give it back                       undo      the last label of this reviewer, and go back to it
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Final

from starlette.responses import JSONResponse, RedirectResponse, Response

from evalgate.errors import BadInput
from evalgate.queue.items import find_item
from evalgate.queue.reserve import extend as keep
from evalgate.queue.reserve import release, take
from evalgate.queue.store import remove as take_out
from evalgate.review.labels import undo as take_back
from evalgate.web import forms
from evalgate.web.errors import NotFound
from evalgate.web.filling import asked_queue
from evalgate.web.golden import keeping
from evalgate.web.label_form import LikeKnown, new_token, read_form
from evalgate.web.label_save import save_form
from evalgate.web.runner import NUMBERED, desk, positions, sheet
from evalgate.web.site import Page, address
from schema.identity import Scope

if TYPE_CHECKING:
    from collections.abc import Callable

    from starlette.datastructures import FormData
    from starlette.requests import Request

    from evalgate.database import TenantDatabase
    from evalgate.queue.definition import Queue
    from evalgate.web.label_form import LabelForm
    from evalgate.web.runner import Desk, Sheet
    from evalgate.web.site import Site

HEX: Final = frozenset("0123456789abcdef")


async def run(site: Site, request: Request) -> Response:
    """Show the item that is asked for, else the one that this reviewer has; else where the queue stands."""
    asked = _hex(request.query_params.get("trace", ""))
    is_whole = "whole" in request.query_params
    name = site.visitor(request).name

    def read(database: TenantDatabase) -> tuple[Desk, Sheet | None, str]:
        at = desk(database, asked_queue(database, request), name)
        which = asked or (at.mine.trace_id if at.mine else "")
        try:
            return at, sheet(database, at, which, is_whole=is_whole) if which else None, ""
        except NotFound:
            raise
        except BadInput:
            return at, None, which

    at, found, gone = await site.read(request, read)
    if gone:
        return site.page(request, "review/gone.html", {"at": at, "trace_id": gone})
    return _page(site, request, at, found)


async def take_next(site: Site, request: Request) -> Response:
    """Reserve the item that is named, else the next one."""
    form = await site.form(request)
    wanted, reviewer = _hex(forms.text(form, "to")), site.visitor(request).name

    def work(database: TenantDatabase) -> str | None:
        queue = asked_queue(database, request)
        if wanted and reviewer in find_item(database, queue, wanted).labelled_by:
            return wanted  # his own label: it can be read, and said differently, without a reservation
        item = take(database, queue, reviewer, trace_id=wanted or None)
        return item.trace_id if item else None

    return _to(request, await site.write(request, work))


async def label(site: Site, request: Request) -> Response:
    """Save the label and go on. Sent twice, it is one label; what cannot be saved stands in the form again."""
    form = await site.form(request)
    trace_id, reviewer = _trace(form), site.visitor(request).name

    def work(database: TenantDatabase) -> str | tuple[Desk, Sheet, BadInput] | None:
        queue = asked_queue(database, request)
        at = desk(database, queue, reviewer)
        sent: LabelForm | None = None
        try:
            sent = read_form(form)
            save_form(database, at, trace_id, sent)
        except BadInput as e:
            again = replace(sent, token=new_token()) if sent else None
            return at, sheet(database, at, trace_id, sent=again), e
        return _take_any(database, queue, reviewer, at.walk.next_open(trace_id))

    done = await site.write(request, work)
    if isinstance(done, tuple):
        at, found, error = done
        return _page(site, request, at, found, error=error, status=400)
    answer = _to(request, done, saved=trace_id)
    answer.background = keeping(site, request, trace_id)
    return answer


async def skip(site: Site, request: Request) -> Response:
    """Give the item back, and take the one after it."""
    form = await site.form(request)
    trace_id, reviewer = _trace(form), site.visitor(request).name

    def work(database: TenantDatabase) -> str | None:
        queue = asked_queue(database, request)
        following = desk(database, queue, reviewer).walk.next_open(trace_id)
        if following is None:
            raise BadInput("there is no other item that you may take now; release this one if you want to stop")
        release(database, queue, trace_id, reviewer)
        return _take_any(database, queue, reviewer, following)

    return _to(request, await site.write(request, work))


async def give_back(site: Site, request: Request) -> Response:
    """Give the item back and stop."""
    form = await site.form(request)
    trace_id, reviewer = _trace(form), site.visitor(request).name
    await site.write(request, lambda database: release(database, asked_queue(database, request), trace_id, reviewer))
    return _to(request, None)


async def remove(site: Site, request: Request) -> Response:
    """Take the item out of the queue, and go on to the next."""
    form = await site.form(request)
    trace_id, reviewer = _trace(form), site.visitor(request).name

    def work(database: TenantDatabase) -> str | None:
        queue = asked_queue(database, request)
        following = desk(database, queue, reviewer).walk.next_open(trace_id)
        take_out(database, queue, trace_id, actor=reviewer, reason=forms.text(form, "reason"))
        return _take_any(database, queue, reviewer, following)

    return _to(request, await site.write(request, work))


async def undo(site: Site, request: Request) -> Response:
    """Undo the label of this reviewer that is named by its trace, else his last one in the queue; go back to it."""
    form = await site.form(request)
    wanted, reviewer = _hex(forms.text(form, "of")), site.visitor(request).name

    def work(database: TenantDatabase) -> str:
        queue = asked_queue(database, request)
        (undone, *_) = take_back(database, 1, reviewer, queue=queue.name, trace_id=wanted or None)
        trace_id = undone.label.trace_id
        _take_any(database, queue, reviewer, trace_id, only=True)
        return trace_id

    trace_id = await site.write(request, work)
    answer = _to(request, trace_id, undone="1")
    answer.background = keeping(site, request, trace_id)
    return answer


async def extend(site: Site, request: Request) -> Response:
    """Keep the item for the whole time again: {"seconds": …}, or {"lost": why}."""
    form = await site.form(request)
    trace_id, reviewer = _trace(form), site.visitor(request).name

    def work(database: TenantDatabase) -> dict[str, object]:
        queue = asked_queue(database, request)
        try:
            keep(database, queue, trace_id, reviewer)
        except BadInput as e:
            return {"lost": str(e)}
        return {"seconds": queue.reserve_s}

    answer = await site.write(request, work)
    return JSONResponse(answer, 409 if "lost" in answer else 200)


def _take_any(
    database: TenantDatabase, queue: Queue, reviewer: str, wanted: str | None, *, only: bool = False
) -> str | None:
    """Take what is wanted, or whatever comes next where somebody else was faster; `only`: that or nothing."""
    if wanted is not None:
        try:
            item = take(database, queue, reviewer, trace_id=wanted)
        except BadInput:
            item = None
        if item is not None:
            return item.trace_id
    if only or not queue.is_open:
        return None
    item = take(database, queue, reviewer)
    return item.trace_id if item else None


def _page(
    site: Site, request: Request, at: Desk, found: Sheet | None, *, error: BadInput | None = None, status: int = 200
) -> Response:
    if found is None:
        return site.page(request, "review/start.html", {"at": at, "saved": _hex(request.query_params.get("saved", ""))})
    trace_id = found.item.trace_id
    place, of = positions(at, trace_id)
    until = found.item.reserved_until
    return site.page(
        request,
        "review/runner.html",
        {
            "at": at,
            "sheet": found,
            "content": found.content,
            "row": found.content.trace.row,
            "place": place,
            "of": of,
            "before": at.walk.beside(trace_id, -1),
            "after": at.walk.beside(trace_id, 1),
            "seconds_left": max(0, round((until - at.now).total_seconds())) if until and found.is_mine else None,
            "numbered": NUMBERED,
            "error": str(error) if error else "",
            "asked": error if isinstance(error, LikeKnown) else None,
            "kept": found.form.words if error else "",
            "saved": _hex(request.query_params.get("saved", "")),
            "is_undone": "undone" in request.query_params,
        },
        status=status,
    )


def _to(request: Request, trace_id: str | None, **query: str) -> Response:
    where = {"trace": trace_id, **query}
    return RedirectResponse(address(request, "queue", where, name=request.path_params["name"]), 303)


def _trace(form: FormData) -> str:
    trace_id = _hex(forms.text(form, "trace"))
    if len(trace_id) != 32:
        raise BadInput("this form is not complete: open the item again")
    return trace_id


def _hex(text: str) -> str:
    """Return a trace id, or "" where it is none."""
    lowered = text.strip().lower()
    return lowered if len(lowered) == 32 and set(lowered) <= HEX else ""


def _post(action: str, endpoint: Callable[..., object]) -> Page:
    return Page(f"/queues/{{name}}/{action}", endpoint, f"queue_{action}", methods=("POST",), scope=Scope.REVIEW)  # type: ignore[arg-type]  # a page's function


PAGES: Final = (
    Page("/queues/{name}", run, "queue"),
    _post("take", take_next),
    _post("label", label),
    _post("skip", skip),
    _post("release", give_back),
    _post("remove", remove),
    _post("undo", undo),
    _post("extend", extend),
)
