"""Decide what goes: which traces, by all that is known of each at this moment, and what the others stand for.

    days that are old enough ─▶ candidates of each ─▶ decisions, by trace ─▶ counts ─▶ "decided" in the log

Ids are in a table from the first step on, so memory is bounded however many there are. Nothing is changed before the
entry in the log; a decision without one is nobody's.
"""

from __future__ import annotations

import secrets
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import TYPE_CHECKING, Any, Final

from collector.retention import log
from collector.retention.queries import ID, command, rows, statement
from schema.failpoints import failpoint
from schema.ledger import FEEDBACK_SCOPE

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from collector.retention.settings import Settings
    from exporters.clickhouse.connect import Database

FIRST: Final = date(1970, 1, 1)
LAST: Final = date(2149, 1, 1)
"""What the type Date can say, but for its end."""
MAX_TRACES_AT_ONCE: Final = 250_000
"""That one statement decides on: it has a state in memory for each."""
TRIES: Final = 5


@dataclass(frozen=True, slots=True)
class Moment:
    """When a run decides."""

    now: datetime
    """By the clock of the database or of this process, whichever is behind: a clock that runs ahead removes nothing."""
    quiet_s: float = 600.0
    """A day into which rows came so lately is left for later: what comes to it must be counted or stay."""

    @property
    def today(self) -> date:
        """The day that has not ended."""
        return self.now.date()


@dataclass(frozen=True, slots=True)
class Decision:
    """What a run removes."""

    run: str
    traces: int = 0
    stays: int = 0
    """Traces whose weight is kept from now on."""
    counts: Mapping[str, int] | None = None
    """Rows that the ledger counts, by signal."""
    until: date = FIRST
    """No row that was received on a later day is meant."""

    def document(self) -> dict[str, Any]:
        """Return it for the log."""
        return {
            "traces": self.traces,
            "stays": self.stays,
            "counts": dict(self.counts or {}),
            "until": self.until.isoformat(),
        }


def decide(
    db: Database,
    moment: Callable[[], Moment],
    actor: str,
) -> Decision | None:
    """Decide what goes now and write it to the log; None where nothing does.

    A trace of which something comes while this goes on is decided on anew; so is all where somebody else writes to the
    log: a hold, settings, another collector's decision.

    Raises:
        Retryable, Permanent: as the database does; nothing was decided.

    """
    for number in range(TRIES):
        entries = log.read(db)
        settings = log.in_force(entries)
        if settings is None:
            return None
        when = moment()
        if log.is_erasing(entries, when.now):
            return None  # the next pass decides
        decision = _prepare(db, settings, when)
        if decision is None:
            return None
        # What comes within the last try is too late: it would be for ever where there is much of it.
        if number < TRIES - 1 and _touched(db, decision, when):
            continue
        failpoint("retention.before_decide")
        after = log.last_number(entries)
        document = decision.document()
        if log.append(db, "decided", after=after, actor=actor, run=decision.run, body=document):
            return decision
    return None  # the next pass tries again


def _prepare(db: Database, settings: Settings, when: Moment) -> Decision | None:
    values: dict[str, Any] = {
        **settings.values(),
        "run": f"{when.now:%Y%m%dT%H%M%S}-{secrets.token_hex(4)}",
        "today": when.today,
        "feedback_scope": FEEDBACK_SCOPE,
    }
    days = due_days(db, settings, when)
    if not days:
        return None
    flagged_until = when.today - timedelta(min(settings.shortest_flagged_days, (when.today - FIRST).days) + 1)
    for day in days:
        of_day = {**values, "first_day": day, "last_day": day, "flagged_until": max(flagged_until, FIRST)}
        command(db, statement("candidates"), of_day)
    decide_on_candidates(db, values)
    command(db, statement("decide_traceless"), {**values, "days": days})
    (found,) = rows(db, statement("decided"), values)
    if not found["traces"] and not found["traceless"] and not found["stays"]:
        return None
    until = max(found["until_goes"], found["until_stays"])
    command(db, _count(), {**values, "until": until})
    counts = {row["signal"]: int(row["n"]) for row in rows(db, statement("counted"), values)}
    return Decision(values["run"], int(found["traces"]), int(found["stays"]), counts, until)


def due_days(db: Database, settings: Settings, when: Moment) -> list[date]:
    """Return the days of receipt that are old enough for something to go, and quiet."""
    oldest_days = (when.today - FIRST).days
    if settings.shortest_days >= oldest_days:
        return []
    until = when.today - timedelta(settings.shortest_days + 1)
    quiet_since = when.now - timedelta(seconds=when.quiet_s)
    found = rows(db, statement("days"), {"until": until})
    return [row["day"] for row in found if row["touched_at"] <= quiet_since]


def decide_on_candidates(db: Database, values: Mapping[str, Any]) -> None:
    """Decide on the candidates of a run, some at a time."""
    (found,) = rows(db, statement("count_candidates"), values)
    parts = -(-int(found["n"]) // MAX_TRACES_AT_ONCE)
    for part in range(parts):
        piece = {**values, "first_day": FIRST, "last_day": LAST, "parts": parts, "part": part}
        command(db, statement("decide", **OF_CANDIDATES), piece)


def _touched(db: Database, decision: Decision, when: Moment) -> bool:
    """Tell whether something of what is to go changed since it was decided."""
    since = when.now - timedelta(days=1)
    values = {
        "run": decision.run,
        "today": when.today,
        "first_day": since.date(),
        "last_day": LAST,
        "since": when.now,
    }
    (found,) = rows(db, statement("touched", id="id"), values)
    return bool(found["n"])


def _count() -> str:
    return statement("count", id=ID, traceless=statement("traceless_of_run", received="received_at"))


_AMONG: Final = (
    "AND (tenant, {0}) IN (SELECT tenant, trace_id FROM retention_decisions WHERE run = {{run:String}} "
    "AND fate = 'candidate' AND cityHash64(trace_id) % {{parts:UInt32}} = {{part:UInt32}})"
)
OF_CANDIDATES: Final = {
    "and_trace_id": _AMONG.format("trace_id"),
    "and_hex_id": _AMONG.format("toFixedString(unhex(feedback.trace_id), 16)"),
}
"""Marks of the statement `rows_of_traces`: only candidates of a run."""


def day_list(days: Sequence[date]) -> str:
    """Return days as people write ranges."""
    return days[0].isoformat() if len(days) == 1 else f"{days[0]} to {days[-1]}" if days else "none"
