"""Sessions: the list of them, and one of them as a conversation."""

from __future__ import annotations

import base64
import binascii
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from evalgate.database import sql
from evalgate.errors import BadInput
from evalgate.web.bounds import bounded
from evalgate.web.errors import NotFound
from evalgate.web.trace_list import (
    LATEST_NS,
    NS,
    SLACK_S,
    hour_of,
    hours_of_receipt,
    moment_of_ns,
    nanoseconds,
    some_traces,
)

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime
    from typing import Any

    from evalgate.database import TenantDatabase
    from evalgate.select.traces import TraceRow
    from evalgate.select.where import Where

PAGE: Final = 50
SUMMED: Final = 20_000
"""About so many traces are grouped where no time is named."""
MAX_TRACES: Final = 1000
"""Of one session that are shown."""
TURNS: Final = 30
"""On one page of a session."""
MAX_CHARS: Final = 4000
"""Of what was said in one turn; the trace has all of it."""
OF_TURNS: Final = frozenset(("session_id", "user_id", "input_tokens", "output_tokens", "cost_usd"))
HEX_DIGITS: Final = frozenset("0123456789abcdef")


@dataclass(frozen=True, slots=True)
class Session:
    """One session, as far as it lies in the time that was looked at."""

    key: str
    is_named: bool
    """It has an id of its own; else it is a trace of no session."""
    first_trace: str
    trace_count: int
    failing_count: int
    first_unix_ns: int
    last_unix_ns: int
    tokens: int
    cost_usd: float | None
    user: str | None
    service: str
    reasons: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class SessionPage:
    """What was found."""

    sessions: tuple[Session, ...]
    asked: Mapping[str, str]
    """Trace id to what the user said, of the first trace of each session."""
    next: str
    """Where the next page begins, as it stands in an address; "" where there is none."""
    since_ns: int
    """Traces since then were grouped; 0: all."""


@dataclass(frozen=True, slots=True)
class Turn:
    """One trace of a session."""

    row: TraceRow
    asked: str
    answered: str
    tools: tuple[str, ...]
    tool_count: int


@dataclass(frozen=True, slots=True)
class Conversation:
    """A session from its beginning to its end."""

    key: str
    rows: tuple[TraceRow, ...]
    """All traces of it, in order of start."""
    turns: tuple[Turn, ...]
    """Those of this page."""
    first: int
    """The number of the first turn of this page, from 0."""
    is_cut: bool
    """There are more than MAX_TRACES; the latest are here."""


def list_sessions(
    database: TenantDatabase, where: Where, since: datetime | None, *, after: str = "", only_failing: bool = False
) -> SessionPage:
    """Return a page of sessions, the last active first.

    Raises:
        BadInput: `after` is not one of our addresses.

    """
    key, name = _read(after)
    until_ns = LATEST_NS if not after else key + 1
    hours = [] if since else hours_of_receipt(database)
    since_ns = nanoseconds(since) if since else hour_of([h for h in hours if h[0] < until_ns], SUMMED)
    if where.reads_spans:
        where = where.spans_from(moment_of_ns(max(since_ns - SLACK_S * NS, 0)))
    text = (
        sql(__package__, "list_sessions")
        .replace("/* conditions */", where.sql)
        .replace("/* having */", "failing_count > 0 AND" if only_failing else "")
    )
    bound: dict[str, object] = {
        **where.parameters, "from_ns": since_ns, "until_ns": LATEST_NS, "after_key": key, "after_id": name,
        "limit": PAGE + 1,
    }  # fmt: skip
    found = [_session(r) for r in database.rows(bounded(database, text, since_ns), bound)]
    shown = tuple(found[:PAGE])
    following = ""
    if len(found) > PAGE:
        following = _address(shown[-1].last_unix_ns, shown[-1].key)
    elif since is None and since_ns > 0:
        following = _address(since_ns - 1, "\U0010ffff")
    firsts = [s.first_trace for s in shown]
    asked = _asked(database, firsts, [s.first_unix_ns for s in shown])
    return SessionPage(shown, asked, following, since_ns)


def read_session(database: TenantDatabase, key: str, first: int) -> Conversation:
    """Return a session and the turns of one page of it, which begins with the turn `first`.

    Raises:
        NotFound: there is no such session.

    """
    found = database.rows(sql(__package__, "session_traces"), {"session": key, "limit": MAX_TRACES + 1})
    began = {r["trace_hex"]: r["began_unix_ns"] for r in found[:MAX_TRACES]}
    if len(key) == 32 and not set(key) - HEX_DIGITS:
        began.setdefault(key, 0)
    read = some_traces(database, list(began), OF_TURNS)
    own = [t.row for t in read.values() if (t.row.session_id or t.row.trace_id) == key]
    rows = sorted(own, key=lambda r: (r.start_unix_ns, r.trace_id))
    if not rows:
        raise NotFound("there is no such session. Those that are here: /sessions")
    first = max(min(first, len(rows) - 1), 0) // TURNS * TURNS
    shown = rows[first : first + TURNS]
    starts = [r.start_unix_ns for r in shown]
    text = bounded(database, sql(__package__, "session_turns"), min(starts), max(starts) + SLACK_S * NS)
    said = {
        r["trace_hex"]: r for r in database.rows(text, {"trace_ids": [r.trace_id for r in shown], "chars": MAX_CHARS})
    }
    turns = tuple(_turn(r, said.get(r.trace_id)) for r in shown)
    return Conversation(key, tuple(rows), turns, first, is_cut=len(found) > MAX_TRACES)


def _turn(row: TraceRow, said: Mapping[str, Any] | None) -> Turn:
    if said is None:
        return Turn(row, "", "", (), 0)
    return Turn(row, said["asked"], said["answered"], tuple(said["tools"]), said["tool_count"])


def _asked(database: TenantDatabase, trace_ids: list[str], starts: list[int]) -> dict[str, str]:
    if not trace_ids:
        return {}
    text = bounded(database, sql(__package__, "asked"), min(starts), max(starts) + SLACK_S * NS)
    return {r["trace_id_hex"]: r["asked"] for r in database.rows(text, {"trace_ids": trace_ids})}


def _session(r: Mapping[str, Any]) -> Session:
    return Session(
        key=r["session_key"],
        is_named=bool(r["is_named"]),
        first_trace=r["first_trace"],
        trace_count=r["trace_count"],
        failing_count=r["failing_count"],
        first_unix_ns=r["first_unix_ns"],
        last_unix_ns=r["last_unix_ns"],
        tokens=r["tokens"],
        cost_usd=r["cost"],
        user=r["some_user"],
        service=r["last_service"],
        reasons=tuple(r["reasons"]),
    )


def _address(key: int, name: str) -> str:
    """Return a place in the list as it stands in an address; a name may hold anything."""
    return f"{key}_{base64.urlsafe_b64encode(name.encode()).decode().rstrip('=')}"


def _read(after: str) -> tuple[int, str]:
    if not after:
        return LATEST_NS, ""
    key, _, name = after.partition("_")
    try:
        if key.isascii() and key.isdecimal() and len(key) <= 19:
            return int(key), base64.urlsafe_b64decode(name + "=" * (-len(name) % 4)).decode()
    except (ValueError, binascii.Error):
        pass
    raise BadInput("the address of this page is damaged (after=): begin at the first page")
