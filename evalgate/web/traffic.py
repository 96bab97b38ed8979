"""Figures of traffic for the dashboard: of each day, of the whole window, of each group.

Every statement is bounded. Of a window with more traces than `MOST_TRACES` a part is read, chosen by a hash of the
trace id: rates, shares and quantiles are of that part, with its intervals; totals are blown up by it. Times to the
first chunk stand in the attributes of spans, which are dear to read: they are of hours chosen by a hash.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from functools import reduce
from math import ceil
from operator import add
from typing import TYPE_CHECKING, Any, Final

from evalgate.database import sql
from evalgate.select.recent import CLOCK_AHEAD, started_since
from evalgate.select.where import Where
from evalgate.stats.estimate import totals
from evalgate.stats.figure import figure_of
from evalgate.stats.measures import DAY, EVERY, FAILING, Least
from evalgate.stats.read import nothing, read_crossed

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from evalgate.database import TenantDatabase
    from evalgate.stats.estimate import Sums
    from evalgate.stats.figure import Figure
    from evalgate.stats.read import Group

MOST_TRACES: Final = 50_000
"""That are summed up for one statement."""
MOST_TRACES_OF_SPANS: Final = 20_000
"""Whose spans are read for the time to the first chunk."""
MOST_GROUPS: Final = 12
BY: Final = ("feature", "service_name", "release")
DAYS: Final = (7, 14, 28)


@dataclass(frozen=True, slots=True)
class Day:
    """What one day brought. Numbers are weighted, and of all traces however few were read."""

    day: date
    failing: Figure
    traces: float = 0.0
    stored: float = 0.0
    flagged: float = 0.0
    cost_usd: float | None = None
    """None: nothing of the day has a price."""
    input_tokens: float = 0.0
    output_tokens: float = 0.0
    p50_ms: float | None = None
    p95_ms: float | None = None
    first_p50_s: float | None = None
    first_p95_s: float | None = None

    @property
    def label(self) -> str:
        """The day as axes say it."""
        return f"{self.day.day} {self.day:%b}"


@dataclass(frozen=True, slots=True)
class OfGroup:
    """What one feature, service or release brought."""

    name: str
    traces: float
    failing: Figure
    mean_cost_usd: float | None
    mean_ms: float | None


@dataclass(frozen=True, slots=True)
class Traffic:
    """A window of whole days, today's as far as it got."""

    since: datetime
    days: tuple[Day, ...]
    """Every day of the window, the oldest first."""
    failing: Figure
    traces: float
    low: float
    high: float
    is_exact: bool
    unpriced: float
    """The part of the traces with model calls whose cost nobody knows."""
    one_in: int
    """Of so many traces one was read."""
    by: str
    groups: tuple[OfGroup, ...]
    more_groups: int

    @property
    def stored(self) -> float:
        """Traces that are still here."""
        return sum(d.stored for d in self.days)

    @property
    def flagged(self) -> float:
        """Of these, those that are kept for people."""
        return sum(d.flagged for d in self.days)

    @property
    def cost_usd(self) -> float | None:
        """What is known of the cost; None where nothing is."""
        known = [d.cost_usd for d in self.days if d.cost_usd is not None]
        return sum(known) if known else None


@dataclass(frozen=True, slots=True)
class Reviewed:
    """How many traces of a window people looked at."""

    labelled: int
    promoted: int


def window_of(now: datetime, days: int) -> datetime:
    """Return where a window of so many days begins: at midnight UTC, today included."""
    today = now.astimezone(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
    return today - timedelta(days=days - 1)


def read_traffic(
    database: TenantDatabase, now: datetime, days: int, by: str, least: Least | None = None
) -> Traffic | None:
    """Return what the window brought; None where it brought nothing."""
    least = least or Least()
    since = window_of(now, days)
    hours = _hours(database, since)
    one_in = max(1, ceil(sum(hours.values()) / MOST_TRACES))
    where, settings = bounds_of(database, since, one_in)
    text = sql(__package__, "traffic_days").replace("/* conditions */", where.sql) + settings
    rows = {int(r["day_unix_s"]): r for r in database.rows(text, where.parameters)}
    if not rows:
        return None
    first = {int(r["day_unix_s"]): r for r in _first_chunks(database, hours)}
    crossed = read_crossed(database, where, DAY, by, settings=settings)
    read = _Read(rows, first, _along(crossed, 0), one_in, least)
    found = [read.day(since.date() + timedelta(days=n)) for n in range(days)]
    groups = sorted(_along(crossed, 1).items(), key=lambda item: -float(item[1].every.weight[0]))
    every = reduce(add, (g.of(EVERY) for g in crossed.values()), nothing())
    total = totals(every.traces, every.weight, every.weight2, every.unseen_other)
    failing = reduce(add, (g.of(FAILING) for g in crossed.values()), nothing())
    calls = sum(float(r["with_calls"]) for r in rows.values())
    priced = sum(min(float(r["priced"]), float(r["with_calls"])) for r in rows.values())
    return Traffic(
        since=since,
        days=tuple(found),
        failing=figure_of(FAILING, failing, least),
        traces=float(total.total[0]) * one_in,
        low=float(total.low[0]) * one_in,
        high=float(total.high[0]) * one_in,
        is_exact=bool(total.exact[0]) and one_in == 1 and not any(g.row["thinned"] for g in crossed.values()),
        unpriced=1 - priced / calls if calls else 0.0,
        one_in=one_in,
        by=by,
        groups=tuple(_group(name, g, one_in, least) for name, g in groups[:MOST_GROUPS]),
        more_groups=max(0, len(groups) - MOST_GROUPS),
    )


def read_reviewed(database: TenantDatabase, since: datetime) -> Reviewed:
    """Return how many traces that began since then are labelled, and how many of these are promoted cases."""
    where, settings = bounds_of(database, since, 1)
    text = sql(__package__, "reviewed").replace("/* conditions */", where.sql) + settings
    (row,) = database.rows(text, where.parameters)
    return Reviewed(int(row["labelled"]), int(row["promoted"]))


def bounds_of(database: TenantDatabase, since: datetime, one_in: int) -> tuple[Where, str]:
    """Return conditions on traces that began since then, one in so many of them, and what else ends the statement.

    The setting reaches through the views to the parts of traces, and prunes by the primary key (evalgate.web.bounds).
    It takes whole traces: a hash of their ids, and hours from one on. On a cluster tables have other names, and the
    conditions say it all.
    """
    if database.opened.cluster:
        return part_of(since, one_in), ""
    hour = (since - CLOCK_AHEAD).replace(minute=0, second=0, microsecond=0)
    parts = f"received_hour >= toDateTime({int(hour.timestamp())}, ''UTC'')"
    parts += f" AND cityHash64(trace_id) % {one_in} = 0" if one_in > 1 else ""
    where = Where().and_("start_time", ">=", since.isoformat())
    return where, f"\nSETTINGS additional_table_filters = {{'trace_parts': '{parts}'}}"


def part_of(since: datetime, one_in: int) -> Where:
    """Return conditions on traces that began since then: on one in so many, by a hash of their ids."""
    if one_in <= 1:
        return started_since(Where(), since)
    where = Where().and_("start_time", ">=", since.isoformat())
    hour = (since - CLOCK_AHEAD).replace(minute=0, second=0, microsecond=0)
    bound = {"received_from": int(hour.timestamp()), "one_in": one_in}
    return Where(f"{where.sql} AND {sql(__package__, 'part')}", {**where.parameters, **bound}, where.fields)


def chosen_hours(hours: Mapping[int, int], most: int) -> list[int]:
    """Return hours that hold about so many traces together, each as likely as any other; all where they hold fewer."""
    chosen: list[int] = []
    seen = 0
    for hour in sorted(hours, key=lambda h: hashlib.sha256(b"%d" % h).digest()):
        if chosen and seen + hours[hour] > most:
            continue
        chosen.append(hour)
        seen += hours[hour]
    return sorted(chosen)


def _hours(database: TenantDatabase, since: datetime) -> dict[int, int]:
    """Return how many rows of traces each hour of receipt holds."""
    first = (since - CLOCK_AHEAD).timestamp()
    rows = database.rows(sql("evalgate.select", "hours"))
    return {int(r["hour_unix_s"]): int(r["n"]) for r in rows if int(r["hour_unix_s"]) >= first}


def _first_chunks(database: TenantDatabase, hours: Mapping[int, int]) -> list[dict[str, Any]]:
    chosen = [datetime.fromtimestamp(h, UTC) for h in chosen_hours(hours, MOST_TRACES_OF_SPANS)]
    return database.rows(sql(__package__, "first_chunks"), {"hours": chosen}) if chosen else []


@dataclass(frozen=True, slots=True)
class _Sums:
    """What the traces of a day, or of a group, add up to; all weighted."""

    every: Sums
    failing: Sums
    cost: float
    priced: float
    """Weight of the traces whose cost is known."""
    ms: float

    def __add__(self, other: _Sums) -> _Sums:
        return _Sums(
            self.every + other.every,
            self.failing + other.failing,
            self.cost + other.cost,
            self.priced + other.priced,
            self.ms + other.ms,
        )


@dataclass(frozen=True, slots=True)
class _Read:
    """What the statements said of days, by the second they begin."""

    sums: Mapping[int, Mapping[str, Any]]
    first_chunks: Mapping[int, Mapping[str, Any]]
    groups: Mapping[str, _Sums]
    one_in: int
    least: Least

    def day(self, day: date) -> Day:
        at = int(datetime(day.year, day.month, day.day, tzinfo=UTC).timestamp())
        group, row = self.groups.get(day.isoformat()), self.sums.get(at)
        failing = figure_of(FAILING, group.failing if group else nothing(), self.least)
        if row is None:
            return Day(day, failing)
        durations: Sequence[float] = row["durations_ms"]
        chunks: Sequence[float] = self.first_chunks[at]["first_chunks_s"] if at in self.first_chunks else ()
        return Day(
            day,
            failing,
            traces=float(row["traces"]) * self.one_in,
            stored=float(row["stored"]) * self.one_in,
            flagged=float(row["flagged"]) * self.one_in,
            cost_usd=float(row["cost_usd"]) * self.one_in if row["priced"] else None,
            input_tokens=float(row["input_tokens"]) * self.one_in,
            output_tokens=float(row["output_tokens"]) * self.one_in,
            p50_ms=float(durations[0]),
            p95_ms=float(durations[1]),
            first_p50_s=float(chunks[0]) if chunks else None,
            first_p95_s=float(chunks[1]) if chunks else None,
        )


def _along(crossed: Mapping[tuple[str, str], Group], place: int) -> dict[str, _Sums]:
    """Return the sums along one of the two names."""
    found: dict[str, _Sums] = {}
    for names, group in crossed.items():
        own = _Sums(group.of(EVERY), group.of(FAILING), *(float(group.row[c]) for c in ("cost", "priced", "ms")))
        known = found.get(names[place])
        found[names[place]] = own if known is None else known + own
    return found


def _group(name: str, group: _Sums, one_in: int, least: Least) -> OfGroup:
    weight = float(group.every.weight[0])
    return OfGroup(
        name=name,
        traces=weight * one_in,
        failing=figure_of(name, group.failing, least),
        mean_cost_usd=group.cost / group.priced if group.priced else None,
        mean_ms=group.ms / weight if weight else None,
    )
