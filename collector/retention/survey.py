"""What there is, when it goes, and what other settings would remove: nothing is changed."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from datetime import date, timedelta
from typing import TYPE_CHECKING, Final

from collector.retention.decide import FIRST, LAST
from collector.retention.queries import TABLES, rows, statement
from collector.retention.settings import FOREVER_DAYS, Settings
from schema.errors import ConfigError, EvalgateError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from exporters.clickhouse.connect import Database

PARTS_AT_ONCE: Final = 2_000_000
"""Rows of sums that one statement looks at; a trace has one or a few."""
FLAGGED, REVIEWED, OTHER, HELD, TRACELESS, GONE = "flagged", "reviewed", "other", "held", "no trace", "no spans"
LATE_DAYS: Final = 30
"""How long a failure that came too late is told of."""


@dataclass(frozen=True, slots=True)
class Share:
    """Traces of one tenant, last day and class."""

    tenant: str
    last_day: date
    kind: str
    """One of flagged, reviewed (annotated, or a case was made of it), other, held, no trace, no spans.

    "no trace": log records and feedback that name none. "no spans": those that name one of which no span is there,
    since it has gone or never came.
    """
    traces: int
    """Those of which spans are there."""
    spans: int
    records: int = 0
    """Log records and feedback of what has no spans."""
    is_flagged: bool = False
    """Of "no spans": whether it is kept as long as what is flagged, for what it says of its trace."""

    def days(self, settings: Settings) -> int:
        """Return for how many days they are kept."""
        holding = settings.of(self.tenant)
        if self.kind == HELD:
            return FOREVER_DAYS
        return holding.flagged_days if self.kind in (FLAGGED, REVIEWED) or self.is_flagged else holding.other_days

    def is_due(self, settings: Settings, today: date) -> bool:
        """Tell whether they go today, or should have before."""
        goes = self.goes_on(settings)
        return goes is not None and goes <= today

    def goes_on(self, settings: Settings) -> date | None:
        """Return the first day on which they go; None: never."""
        days = self.days(settings)
        return None if days >= (LAST - self.last_day).days else self.last_day + timedelta(days + 1)


@dataclass(frozen=True, slots=True)
class Due:
    """What goes; false where it is nothing."""

    traces: int
    records: int
    """Log records and feedback without a trace."""

    def __bool__(self) -> bool:
        """Tell whether it is anything."""
        return self.traces > 0 or self.records > 0

    def words(self) -> str:
        """Return "3 traces", or "3 traces and 2 log records or feedback without a trace"."""
        some = "1 log record" if self.records == 1 else f"{self.records} log records"
        told = [f"{self.traces} traces"] if self.traces != 1 else ["1 trace"]
        told = told if self.traces or not self.records else []
        return " and ".join([*told, *([f"{some} or feedback without a trace"] if self.records else [])])


def survey(db: Database, today: date, step: Callable[[int, int], None] = lambda _done, _all: None) -> list[Share]:
    """Return what there is. `step` is called with what is done of it. Raises Retryable, Permanent."""
    (size,) = rows(db, statement("rows_of_parts"), {})
    parts = max(1, -(-int(size["n"]) // PARTS_AT_ONCE))
    sums: dict[tuple[str, date, str, bool], list[int]] = defaultdict(lambda: [0, 0, 0])
    for part in range(parts):
        step(part, parts)
        values = {"today": today, "first_day": FIRST, "last_day": LAST, "parts": parts, "part": part}
        for row in rows(db, statement("survey", **_SOME), values):
            kind = _kind(row)
            found = sums[row["tenant"], row["last_day"], kind, kind == GONE and bool(row["flagged"] or row["reviewed"])]
            if row["has_spans"]:
                found[0] += int(row["traces"])
                found[1] += int(row["n_spans"])
            else:
                found[2] += int(row["n_records"])
    for row in rows(db, statement("survey_traceless"), {}):
        sums[row["tenant"], row["last_day"], TRACELESS, False][2] += int(row["records"])
    step(parts, parts)
    return [
        Share(tenant, last_day, kind, traces, spans, records, is_flagged)
        for (tenant, last_day, kind, is_flagged), (traces, spans, records) in sorted(sums.items())
    ]


def _kind(row: Mapping[str, object]) -> str:
    if not row["held"] and not row["has_spans"]:
        return GONE
    return HELD if row["held"] else FLAGGED if row["flagged"] else REVIEWED if row["reviewed"] else OTHER


_SOME: Final = {
    "and_trace_id": "AND cityHash64(trace_id) % {parts:UInt32} = {part:UInt32}",
    "and_hex_id": ("AND cityHash64(toFixedString(unhex(feedback.trace_id), 16)) % {parts:UInt32} = {part:UInt32}"),
}


def bytes_per_span(holders: Sequence[Database]) -> float | None:
    """Return what a span takes on disk with all that belongs to it; None where nobody may know, or nothing is there.

    `holders`: the databases with the rows.
    """
    size = spans = 0
    try:
        for row in (r for db in holders for r in rows(db, statement("bytes"), {"tables": list(TABLES)})):
            size += int(row["bytes"])
            spans += int(row["n"]) if row["table"] == "spans" else 0
    except EvalgateError:  # a user without rights on system tables
        return None
    return size / spans if spans else None


def late_failures(db: Database, today: date) -> int:
    """Return how many traces were found to fail, of late, after they had gone."""
    (row,) = rows(db, statement("late"), {"since": today - timedelta(days=LATE_DAYS)})
    return int(row["n"])


def newly_due(shares: Iterable[Share], today: date, old: Settings, new: Settings) -> Due:
    """Return what goes today by the new settings and would not by the old."""
    found = [s for s in shares if s.is_due(new, today) and not s.is_due(old, today)]
    return Due(sum(s.traces for s in found), sum(s.records for s in found))


def shortened(old: Settings, new: Settings) -> Sequence[tuple[tuple[str, ...], str]]:
    """Return the keys of the configuration that keep something for less long, each with what it says now."""
    found: list[tuple[tuple[str, ...], str]] = []
    for name in ("flagged_days", "other_days"):
        before, after = getattr(old.default, name), getattr(new.default, name)
        if after < before:
            found.append(((name,), _instead(name, before, after)))
        for tenant in sorted({*old.tenants, *new.tenants}):
            of_old, of_new = getattr(old.of(tenant), name), getattr(new.of(tenant), name)
            if of_new < of_old and (of_old, of_new) != (before, after):
                found.append((("tenants", tenant, name), _instead(name, of_old, of_new)))
    return found


def _instead(name: str, before: int, after: int) -> str:
    was = "nothing was removed before" if before >= FOREVER_DAYS else f"{before} are in force"
    return f"{name} {after}, where {was}"


def refusal(where: Callable[..., str], keys: Sequence[tuple[tuple[str, ...], str]], due: Due) -> ConfigError:
    """Return the error that says which line would remove what, and what to do."""
    lines = [f"{where(*key)}: {what}" for key, what in keys]
    lines[-1] += (
        f": {due.words()}, kept now, would go at once. Nothing was changed. See them: evalgate retention plan "
        "--config FILE. If that is meant: evalgate retention accept --config FILE --reason WHY, then start again; "
        "without a file: --flagged-days N, --other-days N"
    )
    return ConfigError("\n".join(lines))
