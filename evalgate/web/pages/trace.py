"""The page of a trace, its spans, its signals, and the trace as OTLP."""

from __future__ import annotations

import json
import os
from typing import TYPE_CHECKING, Any, Final

from starlette.responses import RedirectResponse, Response

from evalgate.database import sql
from evalgate.errors import BadInput
from evalgate.places import EVALUATORS
from evalgate.select.traces import resolve_trace
from evalgate.signals.weights import QUEUE_FILE, read_weights
from evalgate.terminal import safe_json
from evalgate.web.calls import KINDS, NAMES
from evalgate.web.errors import NotFound
from evalgate.web.otlp import trace_otlp
from evalgate.web.site import Page, address
from evalgate.web.trace_view import read_view

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from starlette.requests import Request

    from evalgate.database import TenantDatabase
    from evalgate.web.site import Site
    from evalgate.web.trace_view import TraceView

TRACE_ID_DIGITS: Final = 32
MAX_TEXT_CHARS: Final = 200_000
"""Of one value on the page of a span; the JSON has all of it."""
NAMED: Final = ("span_attributes", "resource_attributes", "scope_attributes")
SENT: Final = frozenset({*NAMED, "event_times", "event_names", "event_attributes"}) | {
    f"link_{name}" for name in ("traces", "spans", "states", "attributes")
}
"""Columns that the page of a span shows as tables of their own."""


async def trace(site: Site, request: Request) -> Response:
    """Show a trace; the beginning of an id is enough to get there."""
    trace_id = _asked(request)
    visitor = site.visitor(request)
    if len(trace_id) < TRACE_ID_DIGITS:
        whole = await site.read(request, lambda database: _resolve(database, trace_id))
        return RedirectResponse(address(request, "trace", trace_id=whole), 302)
    all_spans, is_whole = request.query_params.get("spans") == "all", "whole" in request.query_params

    def read(database: TenantDatabase) -> TraceView:
        try:
            return read_view(database, trace_id, visitor.name, all_spans=all_spans, is_whole=is_whole)
        except BadInput as e:
            raise NotFound(f"{e}, or the page of traces") from None

    found = await site.read(request, read)
    return site.page(
        request,
        "trace/page.html",
        {
            "view": found,
            "content": found.content,
            "row": found.content.trace.row,
            "token_names": dict(zip(KINDS, NAMES, strict=True)),
        },
    )


async def otlp(site: Site, request: Request) -> Response:
    """Give the trace as the JSON of one OTLP request, as a file."""
    trace_id = _asked(request)

    def read(database: TenantDatabase) -> tuple[str, bytes]:
        whole = _resolve(database, trace_id)
        return whole, json.dumps(trace_otlp(database, whole), ensure_ascii=False).encode()

    whole, body = await site.read(request, read)
    headers = {"content-disposition": f'attachment; filename="{whole}.otlp.json"'}
    return Response(body, headers=headers, media_type="application/json")


async def signals(site: Site, request: Request) -> Response:
    """Show every signal of a trace: what it was compared with, and what that adds to its priority."""
    trace_id = _asked(request)
    found = await site.read(
        request, lambda database: _signals(database, _resolve(database, trace_id), site.folder(request))
    )
    template = "trace/signals_part.html" if request.headers.get("hx-request") == "true" else "trace/signals.html"
    return site.page(request, template, {"found": found, "trace_id": found["trace_id"]})


async def span(site: Site, request: Request) -> Response:
    """Show one span: what its sender said, what was understood of it, and both as JSON."""
    which = {"trace_id": _asked(request), "span_id": request.path_params["span_id"].lower()}

    def read(database: TenantDatabase) -> dict[str, Any]:
        sent, understood = (database.rows(sql("evalgate.web", n), which) for n in ("sent_spans", "understood_span"))
        if not sent or not understood:
            raise NotFound(f"trace {which['trace_id'][:32]} has no span {which['span_id'][:16]}")
        return {**sent[0], **understood[0]}

    row = await site.read(request, read)
    events = list(zip(row["event_times"], row["event_names"], row["event_attributes"], strict=True))
    links = list(zip(row["link_traces"], row["link_spans"], row["link_attributes"], strict=True))
    return site.page(
        request,
        "trace/span.html",
        {
            "row": row,
            "understood": [
                (name, _told(value)) for name, value in row.items() if name not in SENT and _is_known(value)
            ],
            "attributes": [(name, _by_key(row[name])) for name in NAMED],
            "events": [(at, name, _by_key(attributes)) for at, name, attributes in events],
            "links": [(trace, span, _by_key(attributes)) for trace, span, attributes in links],
            "json": _cut(safe_json(row, indent=2)),
        },
    )


def _signals(database: TenantDatabase, trace_id: str, folder: Path) -> dict[str, Any]:
    from evalgate.select.where import Where  # noqa: PLC0415 - NumPy and SciPy take their time
    from evalgate.signals.measure import signals as read_signals  # noqa: PLC0415
    from evalgate.signals.population import window_around  # noqa: PLC0415
    from evalgate.signals.priority import prioritise  # noqa: PLC0415
    from evalgate.signals.show import trace_json  # noqa: PLC0415
    from evalgate.signals.words import part_words  # noqa: PLC0415

    weights = read_weights(folder / QUEUE_FILE, os.environ)
    only = Where().and_("trace_id", "=", trace_id)
    window = window_around(database, trace_id)
    found = read_signals(database, only, window=window, evaluators=folder / EVALUATORS)
    priority = prioritise(found, weights)
    if not len(priority.order):
        raise BadInput("of this trace there is feedback and no span: nothing can be compared")
    row = int(priority.order[0])
    told = trace_json(found, priority, row)
    place = int((priority.score > priority.score[row]).sum()) + 1
    parts = [
        {
            "name": name,
            "points": told["parts"].get(name, 0.0),
            "most": None if name == "more_of_same" else weights.of(name),
            "words": part_words(found, priority, name, row),
        }
        for name in sorted(priority.parts, key=lambda n: -abs(float(priority.parts[n][row])))
        if name != "more_of_same" or told["parts"].get(name)
    ]
    return {**told, "place": place, "of": found.population.size, "rows": parts}


def _asked(request: Request) -> str:
    return str(request.path_params["trace_id"]).strip().lower()


def _resolve(database: TenantDatabase, trace_id: str) -> str:
    try:
        return resolve_trace(database, trace_id)
    except BadInput as e:
        raise NotFound(str(e)) from None


def _is_known(value: Any) -> bool:
    return value is not None and value not in ("", [])


def _told(value: Any) -> str:
    if isinstance(value, str):
        return _cut(value)
    if isinstance(value, list):
        return ", ".join(str(v) for v in value)
    return "yes" if value is True else "no" if value is False else str(value)


def _cut(text: str) -> str:
    rest = len(text) - MAX_TEXT_CHARS
    return text if rest <= 0 else f"{text[:MAX_TEXT_CHARS]}… {rest} more characters"


def _by_key(texts: Mapping[str, str]) -> list[tuple[str, str]]:
    return sorted((key, _cut(text)) for key, text in texts.items())


PAGES: Final = (
    Page("/traces/{trace_id}", trace, "trace"),
    Page("/traces/{trace_id}/otlp.json", otlp, "trace_otlp"),
    Page("/traces/{trace_id}/signals", signals, "trace_signals"),
    Page("/traces/{trace_id}/spans/{span_id}", span, "span"),
)
