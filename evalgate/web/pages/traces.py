"""The list of traces: a form of filters that stands in the address, pages by key, new ones on top."""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from datetime import UTC, datetime
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urlencode

from starlette.responses import Response

from evalgate.errors import BadInput
from evalgate.options import since_time
from evalgate.select.where import parse_where
from evalgate.web.errors import page_words
from evalgate.web.site import Page, address
from evalgate.web.trace_list import Asked, Sort, came_after, latest_receipt, list_page, read_cursor

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from starlette.requests import Request

    from evalgate.database import TenantDatabase
    from evalgate.select.where import Where
    from evalgate.web.site import Site
    from evalgate.web.trace_list import TracePage

STATES: Final = {"all": "All", "flagged": "Flagged", "failing": "Failing"}
TIMES: Final = {"": "Any time", "1h": "Last hour", "24h": "24 hours", "7d": "7 days", "30d": "30 days"}
SORTS: Final = {
    Sort.NEWEST: "Newest",
    Sort.SLOWEST: "Slowest",
    Sort.DEAREST: "Dearest",
    Sort.TOKENS: "Most tokens",
    Sort.ERRORS: "Most errors",
}
COLUMNS: Final = {
    "service": "Service",
    "feature": "Feature",
    "release": "Release",
    "environment": "Environment",
    "agent": "Agent",
    "user": "User",
    "session": "Session",
    "spans": "Spans",
    "calls": "Model calls",
    "tokens": "Tokens",
    "cost": "Cost",
    "duration": "Duration",
}
"""What may stand beside the trace and its reason."""
READ: Final[Mapping[str, tuple[str, ...]]] = MappingProxyType(
    {
        "feature": ("feature",),
        "release": ("release",),
        "environment": ("environment",),
        "agent": ("agent_name",),
        "user": ("user_id",),
        "session": ("session_id",),
        "spans": ("span_count",),
        "calls": ("llm_calls",),
        "tokens": ("input_tokens", "output_tokens"),
        "cost": ("cost_usd",),
    }
)
"""What of a trace they show, where it is not read anyway."""
USUAL: Final = ("service", "feature", "session", "tokens", "cost", "duration")
MAX_CONDITIONS: Final = 20
MAX_CHARS: Final = 500


@dataclass(frozen=True, slots=True)
class Filters:
    """What the form says, as it stands in the address."""

    state: str
    since: str
    text: str
    service: str
    where: tuple[str, ...]
    sort: Sort
    columns: tuple[str, ...]

    @property
    def is_bare(self) -> bool:
        """Tell whether nothing is asked for but the list."""
        return self.state == "all" and not (self.since or self.text or self.service or self.where)

    @property
    def read(self) -> frozenset[str]:
        """Return what is read of a trace for these columns."""
        return frozenset(itertools.chain.from_iterable(READ.get(c, ()) for c in self.columns))

    def conditions(self) -> Where:
        """Return the conditions. Raises BadInput, in words for the form."""
        more = (
            (self.state, "=", "" if self.state == "all" else "true"),
            ("service_name", "=", self.service),
            ("text", "~", self.text),
        )
        return conditions_of(self.where, more)


def conditions_of(where: Sequence[str], more: Iterable[tuple[str, str, str]]) -> Where:
    """Return conditions that were typed, and (field, operator, value) for each field of a form that is not empty.

    Raises:
        BadInput: one of them is none, in words for the form.

    """
    try:
        found = parse_where(where)
        for field, operator, value in more:
            found = found.and_(field, operator, value) if value else found
    except BadInput as e:
        raise BadInput(page_words(e)) from None
    return found


def read_where(request: Request) -> tuple[str, ...]:
    """Return the conditions that stand in an address, as they were typed.

    Raises:
        BadInput: they are too many, or too long.

    """
    where = tuple(w.strip() for w in request.query_params.getlist("where") if w.strip())
    if len(where) > MAX_CONDITIONS or any(len(w) > MAX_CHARS for w in where):
        raise BadInput(f"a list has at most {MAX_CONDITIONS} conditions, each of {MAX_CHARS} characters")
    return where


def read_filters(request: Request) -> Filters:
    """Return what the address asks for.

    Raises:
        BadInput: it names a state, a sort or a column that there is not.

    """
    query = request.query_params
    state, sort = query.get("state") or "all", query.get("sort") or Sort.NEWEST
    if state not in STATES:
        raise BadInput(f"there is no state {state[:40]!r}; there are: {', '.join(STATES)}")
    if sort not in set(Sort):
        raise BadInput(f"there is no order {sort[:40]!r}; there are: {', '.join(Sort)}")
    asked = [c for c in query.getlist("col") if c]
    if unknown := [c for c in asked if c not in COLUMNS]:
        raise BadInput(f"there is no column {unknown[0][:40]!r}; there are: {', '.join(COLUMNS)}")
    return Filters(
        state=state,
        since=query.get("since", "").strip(),
        text=query.get("q", "").strip()[:MAX_CHARS],
        service=query.get("service", "").strip()[:MAX_CHARS],
        where=read_where(request),
        sort=Sort(sort),
        columns=tuple(c for c in COLUMNS if c in (asked or USUAL)),
    )


async def traces(site: Site, request: Request) -> Response:
    """List traces. A condition that is none is said beside the form, which keeps what was written."""
    now = datetime.now(UTC)
    filters = read_filters(request)
    values: dict[str, Any] = _form(filters)
    try:
        asked = Asked(
            where=filters.conditions(),
            sort=filters.sort,
            since=since_time(filters.since or None, now),
            after=read_cursor(request.query_params.get("after", "")),
            columns=filters.read,
        )
    except BadInput as e:
        return site.page(request, "traces/list.html", {**values, "wrong": str(e)}, status=400)

    def read(database: TenantDatabase) -> tuple[TracePage, int]:
        latest = latest_receipt(database, now) if asked.after is None and filters.sort is Sort.NEWEST else 0
        return list_page(database, asked), latest

    page, latest_ns = await site.read(request, read)
    values |= {"page": page, "is_first": asked.after is None, "tail": _tail(request, latest_ns) if latest_ns else ""}
    return site.page(request, "traces/list.html", values)


async def newer(site: Site, request: Request) -> Response:
    """Return the rows of traces that came since the list was read, for its top; nothing where none did."""
    filters = read_filters(request)
    after = request.query_params.get("came", "")
    if not (after.isascii() and after.isdecimal() and len(after) <= 19):
        raise BadInput("came= is a time of receipt in nanoseconds")
    where = filters.conditions()
    rows, asked, latest_ns = await site.read(
        request, lambda database: came_after(database, where, int(after), columns=filters.read)
    )
    if not rows:
        return Response(status_code=204)
    values = {**_form(filters), "rows": rows, "asked": asked, "tail": _tail(request, latest_ns)}
    return site.page(request, "traces/newer.html", values)


def _tail(request: Request, latest_ns: int) -> str:
    """Return the address of what came since then, of the list that a request asks for."""
    kept = [(k, v) for k, v in request.query_params.multi_items() if k not in ("after", "came")]
    return f"{address(request, 'traces_newer')}?{urlencode([*kept, ('came', str(latest_ns))])}"


def _form(filters: Filters) -> dict[str, Any]:
    return {
        "filters": filters,
        "states": STATES,
        "times": TIMES if filters.since in TIMES else {**TIMES, filters.since: f"Since {filters.since}"},
        "sorts": SORTS,
        "columns": COLUMNS,
        "wrong": "",
        "page": None,
        "tail": "",
        "is_first": True,
    }


PAGES: Final = (
    Page("/traces", traces, "traces"),
    Page("/traces/newer", newer, "traces_newer"),
)
