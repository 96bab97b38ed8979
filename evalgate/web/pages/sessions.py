"""The list of sessions, and one session read from its beginning to its end."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final

from evalgate.errors import BadInput
from evalgate.options import since_time
from evalgate.web.pages.traces import TIMES, conditions_of, read_where
from evalgate.web.session_list import TURNS, list_sessions, read_session
from evalgate.web.site import Page

if TYPE_CHECKING:
    from starlette.requests import Request
    from starlette.responses import Response

    from evalgate.web.site import Site

STATES: Final = {"all": "All", "failing": "With failures"}
MAX_CHARS: Final = 300


async def sessions(site: Site, request: Request) -> Response:
    """List sessions. A condition that is none is said beside the form, which keeps what was written."""
    query = request.query_params
    state = query.get("state") or "all"
    if state not in STATES:
        raise BadInput(f"there is no state {state[:40]!r}; there are: {', '.join(STATES)}")
    since, service, user = (query.get(name, "").strip()[:MAX_CHARS] for name in ("since", "service", "user"))
    typed, after = read_where(request), query.get("after", "")
    values: dict[str, Any] = {
        "state": state,
        "states": STATES,
        "since": since,
        "times": TIMES if since in TIMES else {**TIMES, since: f"Since {since}"},
        "service": service,
        "user": user,
        "where": typed,
        "wrong": "",
        "page": None,
        "is_first": not after,
        "is_bare": state == "all" and not (since or service or user or typed),
    }
    try:
        where = conditions_of(typed, (("service_name", "=", service), ("user_id", "=", user)))
        begin = since_time(since or None, datetime.now(UTC))
    except BadInput as e:
        return site.page(request, "sessions/list.html", {**values, "wrong": str(e)}, status=400)
    page = await site.read(
        request,
        lambda database: list_sessions(database, where, begin, after=after, only_failing=state == "failing"),
    )
    return site.page(request, "sessions/list.html", {**values, "page": page})


async def session(site: Site, request: Request) -> Response:
    """Read one session."""
    key = request.path_params["session_id"]
    first = request.query_params.get("turn", "1")
    if not (first.isascii() and first.isdecimal() and len(first) < 7):
        raise BadInput("turn= is the number of a turn, from 1")
    found = await site.read(request, lambda database: read_session(database, key, int(first) - 1))
    return site.page(request, "sessions/session.html", {"session": found, "turns_of_page": TURNS})


PAGES: Final = (
    Page("/sessions", sessions, "sessions"),
    Page("/sessions/{session_id:path}", session, "session"),
)
