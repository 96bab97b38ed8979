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
from evalgate.stats.read import nothing, read_groups
from evalgate.stats.report import mean_figures

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from evalgate.database import TenantDatabase
    from evalgate.stats.figure import Figure
    from evalgate.stats.read import Group

MOST_TRACES: Final = 200_000
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
    where = part_of(started_since(Where(), since), one_in)
    text = sql(__package__, "traffic_days").replace("/* conditions */", where.sql)
    rows = {int(r["day_unix_s"]): r for r in database.rows(text, where.parameters)}
    if not rows:
        return None
    first = {int(r["day_unix_s"]): r for r in _first_chunks(database, hours)}
    of_day = {g.name: g for g in read_groups(database, where, DAY)}
    read = _Read(rows, first, of_day, one_in, least)
    found = [read.day(since.date() + timedelta(days=n)) for n in range(days)]
    groups = read_groups(database, where, by)
    whole = [g.of(EVERY) for g in of_day.values()]
    every = reduce(add, whole) if whole else nothing()
    total = totals(every.traces, every.weight, every.weight2, every.unseen_other)
    failing = [g.of(FAILING) for g in of_day.values()]
    calls = sum(float(r["with_calls"]) for r in rows.values())
    priced = sum(min(float(r["priced"]), float(r["with_calls"])) for r in rows.values())
    return Traffic(
        since=since,
        days=tuple(found),
        failing=figure_of(FAILING, reduce(add, failing) if failing else nothing(), least),
        traces=float(total.total[0]) * one_in,
        low=float(total.low[0]) * one_in,
        high=float(total.high[0]) * one_in,
        is_exact=bool(total.exact[0]) and one_in == 1 and not any(g.row["thinned"] for g in of_day.values()),
        unpriced=1 - priced / calls if calls else 0.0,
        one_in=one_in,
        by=by,
        groups=tuple(_group(g, one_in, least) for g in groups[:MOST_GROUPS]),
        more_groups=max(0, len(groups) - MOST_GROUPS),
    )


def read_reviewed(database: TenantDatabase, since: datetime) -> Reviewed:
    """Return how many traces that began since then are labelled, and how many of these are promoted cases."""
    where = started_since(Where(), since)
    text = sql(__package__, "reviewed").replace("/* conditions */", where.sql)
    (row,) = database.rows(text, where.parameters)
    return Reviewed(int(row["labelled"]), int(row["promoted"]))


def part_of(where: Where, one_in: int) -> Where:
    """Return conditions that one in so many of the traces meet besides, whichever the hash of their ids says."""
    if one_in <= 1:
        return where
    return Where(
        f"{where.sql} AND cityHash64(trace_id) % {{one_in:UInt32}} = 0",
        {**where.parameters, "one_in": one_in},
        where.fields,
    )


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
class _Read:
    """What the statements said of days, by the second they begin."""

    sums: Mapping[int, Mapping[str, Any]]
    first_chunks: Mapping[int, Mapping[str, Any]]
    groups: Mapping[str, Group]
    one_in: int
    least: Least

    def day(self, day: date) -> Day:
        at = int(datetime(day.year, day.month, day.day, tzinfo=UTC).timestamp())
        group, row = self.groups.get(day.isoformat()), self.sums.get(at)
        failing = figure_of(FAILING, group.of(FAILING) if group else nothing(), self.least)
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


def _group(group: Group, one_in: int, least: Least) -> OfGroup:
    means = {m.name: m.mean for m in mean_figures(group)}
    return OfGroup(
        name=group.name,
        traces=float(group.of(EVERY).weight[0]) * one_in,
        failing=figure_of(group.name, group.of(FAILING), least),
        mean_cost_usd=means.get("cost_usd"),
        mean_ms=means.get("duration_ms"),
    )
