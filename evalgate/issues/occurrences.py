"""How often an issue was seen, day by day, beside what the days before let one expect.

What people labelled and what evaluators said of production are two series: a day of much labelling is no day of many
failures, and what a machine says is no label.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, timedelta
from typing import TYPE_CHECKING, Final

from evalgate.database import sql
from evalgate.issues.production import Production, read_production
from evalgate.issues.read import read_recorded
from schema.statistics.counts import expected_count

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from evalgate.database import TenantDatabase
    from evalgate.issues.sightings import Sighting

SHOWN_DAYS: Final = 28
HISTORY_DAYS: Final = 28
"""Before each day, that its band rests on."""
IDS_AT_ONCE: Final = 500
"""Of a statement: the served database takes no long lists."""
RISING_DAYS: Final = 2
"""An issue rises when one of so many last days lies above its band; today is not over, and counts."""


@dataclass(frozen=True, slots=True)
class Day:
    """One day, UTC."""

    date: str
    """YYYY-MM-DD."""
    count: int
    """Traces that began on it."""
    weighted: float
    """How many traces these stand for."""
    expected_low: float | None
    """Of `weighted`, 95 %; None: there is too little history to tell."""
    expected_high: float | None

    @property
    def is_above(self) -> bool:
        """Whether more was seen than the days before let one expect."""
        return self.expected_high is not None and self.weighted > self.expected_high


@dataclass(frozen=True, slots=True)
class Affected:
    """Whose the labelled traces of an issue are."""

    users: int = 0
    """Distinct ones."""
    sessions: int = 0
    without_user: int = 0
    """Labelled traces that name no user, or have expired."""
    without_session: int = 0


@dataclass(frozen=True, slots=True)
class Occurrences:
    """What was seen of one issue."""

    days: tuple[Day, ...]
    """What people labelled; the last one is today."""
    machine: tuple[Day, ...]
    """What its evaluators failed in production, the same days; empty where none of them says anything of production."""
    total: int = 0
    """Labelled traces, of whatever time."""
    machine_total: int = 0
    """Traces that its evaluators failed, as far back as they are read."""
    affected: Affected | None = None
    """Whose the labelled traces are; None where it was not asked for."""

    @property
    def is_rising(self) -> bool:
        """Whether yesterday or today lies above what was to be expected, by people or by machines."""
        return any(d.is_above for d in (*self.days[-RISING_DAYS:], *self.machine[-RISING_DAYS:]))


def occurrences(
    database: TenantDatabase, failure_mode: str, *, days: int = SHOWN_DAYS, evaluators: Sequence[str] = ()
) -> Occurrences:
    """Return what was seen of a failure mode; `evaluators`: whose verdicts on production count."""
    now = datetime.now(UTC)
    found = read_recorded(database)
    production = read_production(database, evaluators, now)
    counted = count_occurrences(failure_mode, found.sightings, production, evaluators, today=now.date(), days=days)
    return replace(counted, affected=affected(database, found.sightings.get(failure_mode, ())))


def affected(database: TenantDatabase, sightings: Sequence[Sighting]) -> Affected:
    """Return whose these traces are."""
    ids = [s.trace_id for s in sightings]
    users: set[str] = set()
    sessions: set[str] = set()
    with_user = with_session = 0
    for start in range(0, len(ids), IDS_AT_ONCE):
        for row in database.rows(sql(__package__, "affected"), {"trace_ids": ids[start : start + IDS_AT_ONCE]}):
            users.update(row["users"])
            sessions.update(row["sessions"])
            with_user += int(row["with_user"])
            with_session += int(row["with_session"])
    return Affected(len(users), len(sessions), len(ids) - with_user, len(ids) - with_session)


def count_occurrences(
    failure_mode: str,
    sightings: Mapping[str, Sequence[Sighting]],
    production: Production,
    evaluators: Iterable[str],
    *,
    today: date,
    days: int = SHOWN_DAYS,
) -> Occurrences:
    """Return what was seen of a failure mode, of what was read of all.

    A band rests on days from the first labelled trace of any mode on: before it nobody looked.
    """
    own = sightings.get(failure_mode, ())
    failing = {t.trace_id: (t.at, t.sample_weight) for name in evaluators for t in production.failing.get(name, ())}
    first = min((s.at[:10] for seen in sightings.values() for s in seen), default=None)
    speaks = [day for name in evaluators for day in production.judged.get(name, {})]
    machine = _days(failing.values(), min(speaks), today, days) if speaks else ()
    return Occurrences(
        days=_days(((s.at, s.sample_weight) for s in own), first, today, days),
        machine=machine,
        total=len(own),
        machine_total=len(failing),
    )


def _days(seen: Iterable[tuple[str, float]], first: str | None, today: date, days: int) -> tuple[Day, ...]:
    """Return the last days, with bands over those before them from `first` on."""
    counts: dict[str, int] = {}
    weights: dict[str, float] = {}
    for at, weight in seen:
        counts[at[:10]] = counts.get(at[:10], 0) + 1
        weights[at[:10]] = weights.get(at[:10], 0.0) + weight
    names = [str(today - timedelta(days=n)) for n in range(days + HISTORY_DAYS - 1, -1, -1)]
    since = next((i for i, name in enumerate(names) if first is not None and name >= first), len(names))
    found = []
    for place in range(len(names) - days, len(names)):
        history = [weights.get(name, 0.0) for name in names[max(since, place - HISTORY_DAYS) : place]]
        band = expected_count(history)
        name = names[place]
        low, high = (band.low, band.high) if band else (None, None)
        found.append(Day(name, counts.get(name, 0), weights.get(name, 0.0), low, high))
    return tuple(found)
