"""The list of traces: one page of it, found by looking back in windows that grow.

Sorted by time, a page is looked for in the latest hours first; where it is not full, in the hours before, of which more
and more are taken at once. A condition that nearly everything meets is answered out of a few thousand traces, however
many there are. A search that finds little stops after a while, says how far back it looked, and can go on from there.

Sorted by anything else, all traces of a time must be looked at.
"""

from __future__ import annotations

import math
import re
import time
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Final

from evalgate.database import sql
from evalgate.errors import BadInput
from evalgate.select.traces import TraceRow
from evalgate.select.where import Where
from evalgate.web.bounds import HOUR_S, bounded

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from evalgate.database import TenantDatabase

PAGE: Final = 50
FIRST_WINDOW: Final = 4000
"""Traces looked at first; each further window has four times as many."""
GROWTH: Final = 4
LONGEST_LOOK_S: Final = 1.5
"""After it no further window is looked at."""
SORTED_OF: Final = 200_000
"""About so many traces are sorted by something else than time where no time is named."""
NS: Final = 1_000_000_000
LATEST_NS: Final = 4_102_444_800 * NS
"""The end of 2099: beyond, ClickHouse's times of nanoseconds end soon."""
SLACK_S: Final = 6 * HOUR_S
"""How long after a trace began what was asked may come, for the list."""
CURSOR: Final = re.compile(r"(-?[0-9][0-9.e+-]{0,30})_([0-9a-f]{32})", re.ASCII)
TAIL_HOURS: Final = 2
RECENT_S: Final = 24 * HOUR_S


class Sort(StrEnum):
    """What the list is sorted by, the most first."""

    NEWEST = "newest"
    SLOWEST = "slowest"
    DEAREST = "dearest"
    TOKENS = "tokens"
    ERRORS = "errors"


KEY: Final = "toUnixTimestamp64Nano(start_time) /* key */"
"""Where the key of the list stands in its statement."""
KEYS: Final = {
    Sort.NEWEST: "toUnixTimestamp64Nano(start_time)",
    Sort.SLOWEST: "duration_ms",
    Sort.DEAREST: "ifNull(cost_usd, 0.)",
    Sort.TOKENS: "toFloat64(ifNull(input_tokens, 0) + ifNull(output_tokens, 0))",
    Sort.ERRORS: "toFloat64(error_count)",
}


COLUMNS: Final[Mapping[str, Any]] = MappingProxyType(
    {
        **dict.fromkeys(("duration_ms", "baseline_rate", "inclusion_probability", "sample_weight"), 0.0),
        **dict.fromkeys(("root_name", "service_name"), ""),
        **dict.fromkeys(("span_count", "error_count", "llm_calls"), 0),
        **dict.fromkeys(("input_tokens", "output_tokens", "cost_usd", "arrival_rate")),
        **dict.fromkeys(("session_id", "user_id", "agent_name", "feature", "environment", "release")),
        **dict.fromkeys(("failing", "baseline", "flagged"), False),
        **dict.fromkeys(("failure_reasons", "policy_versions", "trace_defects"), ()),
    }
)
"""Columns of a trace, and what stands in the place of one that was not read."""
USUAL: Final = frozenset(
    ("duration_ms", "root_name", "service_name", "failing", "failure_reasons", "baseline", "trace_defects")
)
KEY_COLUMNS: Final[Mapping[Sort, frozenset[str]]] = MappingProxyType(
    {
        Sort.DEAREST: frozenset(("cost_usd",)),
        Sort.TOKENS: frozenset(("input_tokens", "output_tokens")),
        Sort.ERRORS: frozenset(("error_count",)),
    }
)


@dataclass(frozen=True, slots=True)
class Cursor:
    """The last row of a page."""

    key: str
    trace_id: str

    def __str__(self) -> str:
        """Return it as it stands in an address."""
        return f"{self.key}_{self.trace_id}"


@dataclass(frozen=True, slots=True)
class Asked:
    """Which page of which list."""

    where: Where = field(default_factory=Where)
    sort: Sort = Sort.NEWEST
    since: datetime | None = None
    until: datetime | None = None
    after: Cursor | None = None
    """The page begins behind this row."""
    limit: int = PAGE
    columns: frozenset[str] | None = None
    """What of each trace is read besides USUAL; None: all of it."""


@dataclass(frozen=True, slots=True)
class TracePage:
    """What was found."""

    rows: tuple[TraceRow, ...]
    asked: dict[str, str]
    """Trace id to what the user said last, cut."""
    next: Cursor | None
    """Where the next page begins; None where there is none."""
    looked_back_to: datetime | None
    """The search ended here, and there are older traces; None: it looked at all there are."""


def read_cursor(text: str) -> Cursor | None:
    """Return the row that an address names; "" names none.

    Raises:
        BadInput: it is not one of our addresses.

    """
    if not text:
        return None
    match = CURSOR.fullmatch(text)
    if match is None:
        raise BadInput("the address of this page is damaged (after=): begin at the first page")
    return Cursor(match[1], match[2])


def list_page(
    database: TenantDatabase, asked: Asked, *, monotonic_s: Callable[[], float] = time.monotonic
) -> TracePage:
    """Return one page of the list."""
    deadline_s = monotonic_s() + LONGEST_LOOK_S
    until_ns = LATEST_NS if asked.until is None else nanoseconds(asked.until)
    since_ns = 0 if asked.since is None else nanoseconds(asked.since)
    if asked.sort is Sort.NEWEST and asked.after is not None:
        until_ns = min(until_ns, int(asked.after.key) + 1)
    found: list[TraceRow] = []
    windows = _Windows(database, asked.sort, since_ns, until_ns)
    while (window := windows.next()) is not None:
        began_s = monotonic_s()
        found += _rows(database, asked, window, asked.limit + 1 - len(found))
        now_s = monotonic_s()
        if len(found) > asked.limit or asked.sort is not Sort.NEWEST or now_s >= deadline_s:
            break
        windows.fit(deadline_s - now_s, took_s=now_s - began_s)
    looked_back_to = moment_of_ns(windows.reached_ns) if windows.reached_ns > since_ns else None
    is_full = len(found) > asked.limit
    rows = tuple(found[: asked.limit])
    if is_full:
        following = _cursor(rows[-1], asked.sort)
    elif looked_back_to is not None and asked.sort is Sort.NEWEST:
        following = Cursor(str(nanoseconds(looked_back_to) - 1), "f" * 32)
    else:
        following = None
    return TracePage(
        rows=rows,
        asked=_last_messages(database, rows),
        next=following,
        looked_back_to=None if is_full else looked_back_to,
    )


def latest_receipt(database: TenantDatabase, now: datetime) -> int:
    """Return when the last trace came, in nanoseconds: what comes later is new. Now, where nothing came for hours."""
    from_s = max(int((now - timedelta(hours=TAIL_HOURS)).timestamp()), 0) // HOUR_S * HOUR_S
    (row,) = database.rows(sql(__package__, "latest"), {"from_s": from_s})
    return int(row["received_unix_ns"]) or nanoseconds(now)


def came_after(
    database: TenantDatabase,
    where: Where,
    after_ns: int,
    *,
    columns: frozenset[str] | None = None,
    limit: int = PAGE,
) -> tuple[list[TraceRow], dict[str, str], int]:
    """Return the traces that came after a receipt, the latest first, what was asked in them, and the last receipt."""
    text = sql(__package__, "came_after").replace("/* conditions */", where.sql)
    since_ns = after_ns - HOUR_S * NS
    found = database.rows(bounded(database, text, since_ns), {"after_ns": after_ns, "limit": limit, **where.parameters})
    if not found:
        return [], {}, after_ns
    listed = some_traces(database, [r["trace_id"] for r in found], columns)
    # What went on, and came long before, is whole only now: it is not new.
    whole = [listed[r["trace_id"]] for r in found if r["trace_id"] in listed]
    ordered = [t.row for t in whole if t.received_unix_ns > after_ns]
    return ordered, _last_messages(database, ordered), max(r["received_unix_ns"] for r in found)


@dataclass(frozen=True, slots=True)
class _Window:
    """A time that is looked at."""

    from_ns: int
    to_ns: int
    is_far_back: bool
    """More traces came after it than in it: which ones are meant is found before they are summed up."""


class _Windows:
    """Times that are looked at one after the other, the latest first, without gaps, until all time is covered.

    How many traces an hour has is taken from the hours of receipt: where traces are older than their receipt, windows
    hold fewer than meant, and more of them are looked at.
    """

    def __init__(self, database: TenantDatabase, sort: Sort, since_ns: int, until_ns: int) -> None:
        self._database = database
        self._hours = hours_of_receipt(database, since_s=_recent_s(until_ns))
        self._knows_all = False
        self._since_ns = since_ns
        self._wanted: float = FIRST_WINDOW
        self._counted = 0
        self.reached_ns = until_ns
        """What is later was looked at."""
        if sort is not Sort.NEWEST:
            self._wanted = SORTED_OF if since_ns == 0 else math.inf

    def next(self) -> _Window | None:
        """Return the next one; None where there is nothing older."""
        to_ns = self.reached_ns
        if to_ns <= self._since_ns:
            return None
        begin_ns = self._begin(to_ns)
        if begin_ns is None and not self._knows_all:
            self._hours, self._knows_all = hours_of_receipt(self._database), True
            begin_ns = self._begin(to_ns)
        self.reached_ns = self._since_ns if begin_ns is None else begin_ns
        later = sum(n for hour_ns, n in self._hours if hour_ns >= to_ns)
        return _Window(self.reached_ns, to_ns, is_far_back=later > self._counted)

    def _begin(self, to_ns: int) -> int | None:
        """Return the hour since which there are enough traces before `to_ns`; None where no hour that is known is."""
        self._counted = 0
        for hour_ns, n in self._hours:
            if self._since_ns < hour_ns < to_ns:
                self._counted += n
                if self._counted >= self._wanted:
                    return hour_ns
        return None

    def fit(self, left_s: float, *, took_s: float) -> None:
        """Make the next window larger, but not so large that it takes longer than what is left."""
        affordable = self._counted * left_s / max(took_s, 1e-3)
        self._wanted = max(min(self._wanted * GROWTH, affordable), FIRST_WINDOW)


def _rows(database: TenantDatabase, asked: Asked, window: _Window, limit: int) -> list[TraceRow]:
    key, where, from_ns = KEYS[asked.sort], asked.where, window.from_ns
    if where.reads_spans:
        where = where.spans_from(moment_of_ns(max(from_ns - HOUR_S * NS, 0)))
    candidates = f"AND {sql(__package__, 'candidates')}" if window.is_far_back else ""
    text = sql(__package__, "list_traces").replace(KEY, key).replace("/* candidates */", candidates)
    needed = None if asked.columns is None else asked.columns | KEY_COLUMNS.get(asked.sort, frozenset())
    found: list[TraceRow] = []
    after = asked.after
    while len(found) < limit:
        behind, bound = _behind(after, asked.sort)
        bound |= {**where.parameters, "from_ns": from_ns, "until_ns": window.to_ns, "limit": limit - len(found)}
        statement = bounded(database, text.replace("/* conditions */", f"{where.sql} {behind}"), from_ns)
        rows = database.rows(statement, bound)
        read = some_traces(database, [r["trace_id"] for r in rows], needed)
        # What went on in this time and began long before it is whole only now, and is found where it began.
        found += [t.row for r in rows if (t := read.get(r["trace_id"])) and t.row.start_unix_ns >= from_ns]
        if len(rows) < bound["limit"]:
            break
        after = Cursor(repr(rows[-1]["sort_key"]), rows[-1]["trace_id"])
    return found


def _behind(after: Cursor | None, sort: Sort) -> tuple[str, dict[str, Any]]:
    """Return a condition, and what it binds: behind this row."""
    if after is None:
        return "", {}
    kind = "Int64" if sort is Sort.NEWEST else "Float64"
    value = int(after.key) if sort is Sort.NEWEST else float(after.key)
    condition = f"AND ({KEYS[sort]}, trace_id) < ({{after_key:{kind}}}, {{after_id:String}})"
    return condition, {"after_key": value, "after_id": after.trace_id}


@dataclass(frozen=True, slots=True)
class Listed:
    """A trace of a list."""

    row: TraceRow
    received_unix_ns: int
    """When the first of it came."""


def some_traces(
    database: TenantDatabase, trace_ids: Sequence[str], columns: frozenset[str] | None = None
) -> dict[str, Listed]:
    """Return traces by id, whole. What is not among `columns` or USUAL is empty in the rows."""
    if not trace_ids:
        return {}
    named = "".join(f", {name}" for name in COLUMNS if columns is None or name in columns or name in USUAL)
    text = sql(__package__, "some_traces").replace("/* columns */", named)
    found = {}
    for r in database.rows(text, {"trace_ids": list(trace_ids)}):
        received_ns = r.pop("received_unix_ns")
        found[r["trace_id"]] = Listed(TraceRow(**{**COLUMNS, **{n: _value(v) for n, v in r.items()}}), received_ns)
    return found


def _value(value: Any) -> Any:
    return tuple(value) if isinstance(value, list) else value


def _last_messages(database: TenantDatabase, rows: Sequence[TraceRow]) -> dict[str, str]:
    if not rows:
        return {}
    starts = [r.start_unix_ns for r in rows]
    text = bounded(database, sql(__package__, "asked"), min(starts), max(starts) + SLACK_S * NS)
    found = database.rows(text, {"trace_ids": [r.trace_id for r in rows]})
    return {r["trace_id_hex"]: r["asked"] for r in found}


def _cursor(row: TraceRow, sort: Sort) -> Cursor:
    match sort:
        case Sort.NEWEST:
            key: float = row.start_unix_ns
        case Sort.SLOWEST:
            key = row.duration_ms
        case Sort.DEAREST:
            key = row.cost_usd or 0.0
        case Sort.TOKENS:
            key = float((row.input_tokens or 0) + (row.output_tokens or 0))
        case Sort.ERRORS:
            key = float(row.error_count)
    return Cursor(repr(key), row.trace_id)


def hours_of_receipt(database: TenantDatabase, since_s: int = 0) -> list[tuple[int, int]]:
    """Return (beginning in nanoseconds, traces) of each hour since then in which something was received."""
    rows = database.rows(sql(__package__, "hours_since"), {"from_s": since_s})
    return [(r["hour_unix_s"] * NS, r["n"]) for r in rows]


def _recent_s(until_ns: int) -> int:
    """Return where the hours begin that are looked at first: reading all of them costs 20 ms in a million traces."""
    until_s = min(until_ns // NS, int(time.time()))
    return max(until_s - RECENT_S, 0) // HOUR_S * HOUR_S


def hour_of(hours: Sequence[tuple[int, int]], traces: int) -> int:
    """Return the hour since which about so many traces came; 0 where there are fewer.

    `hours` are the beginnings of hours of receipt in nanoseconds, the latest first, and how many traces each has.
    """
    counted = 0
    for hour_ns, n in hours:
        counted += n
        if counted >= traces:
            return hour_ns
    return 0


def nanoseconds(moment: datetime) -> int:
    """Return the nanoseconds of an aware time since 1970; 0 for what is before."""
    since = moment - datetime(1970, 1, 1, tzinfo=UTC)
    return max((since.days * 86_400 + since.seconds) * NS + since.microseconds * 1000, 0)


def moment_of_ns(ns: int) -> datetime:
    """Return the time so many nanoseconds since 1970."""
    return datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=ns // 1000)
