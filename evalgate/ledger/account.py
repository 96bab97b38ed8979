"""Read the ledger: states per tenant, signal and reason, and their course over time."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from evalgate.database import sql

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from datetime import datetime

    from evalgate.database import Database

PACKAGE: Final = "evalgate.ledger"
IN_JOURNAL: Final = "in_journal"
"""Acknowledged and not delivered yet: no row of the table says it, the running collector does."""
STEPS_MINUTES: Final = (1, 5, 15, 60, 360, 1440)
MAX_STEPS: Final = 60
BARS: Final = "▁▂▃▄▅▆▇█"


@dataclass(frozen=True, slots=True)
class Range:
    """A time range, whole minutes, both ends within it."""

    tenant: str
    """"" is every tenant."""
    since: datetime
    until: datetime

    def parameters(self) -> dict[str, object]:
        """Return what the queries bind."""
        since_s, until_s = int(self.since.timestamp()), int(self.until.timestamp())
        return {"tenant": self.tenant, "since_s": since_s - since_s % 60, "until_s": until_s}


@dataclass(frozen=True, slots=True)
class Line:
    """How much of one tenant and signal is in one state for one reason."""

    tenant: str
    signal: str
    state: str
    reason: str
    count: int
    uncounted_requests: int


@dataclass(frozen=True, slots=True)
class Course:
    """One state over time."""

    state: str
    counts: tuple[int, ...]
    """Of each step; all courses of a range have the same steps."""


def states(database: Database, within: Range) -> list[Line]:
    """Return every line, by tenant, signal, state and reason."""
    return [
        Line(
            str(r["tenant"]),
            str(r["signal"]),
            str(r["state"]),
            str(r["reason"]),
            int(r["count"]),
            int(r["uncounted_requests"]),
        )
        for r in database.rows(sql(PACKAGE, "states"), within.parameters())
    ]


def waiting(status: Mapping[str, Any], tenant: str) -> list[Line]:
    """Return what a collector's status says of its journal as lines of the ledger."""
    found = status.get("ledger", {}).get(IN_JOURNAL, {})
    return [
        Line(str(name), str(signal), IN_JOURNAL, "", int(n), 0)
        for name, signals in found.items()
        if tenant in ("", name)
        for signal, n in signals.items()
        if n
    ]


def courses(database: Database, within: Range) -> tuple[int, list[Course]]:
    """Return the minutes of a step, and each state over the steps of the range; the first step holds its beginning."""
    bounds = within.parameters()
    since_s, until_s = int(str(bounds["since_s"])), int(str(bounds["until_s"]))
    step = step_minutes((until_s - since_s) // 60)
    first, last = since_s // (60 * step), until_s // (60 * step)
    rows = database.rows(sql(PACKAGE, "course"), {**bounds, "step": step})
    found: dict[str, list[int]] = {}
    for r in rows:
        counts = found.setdefault(str(r["state"]), [0] * (last - first + 1))
        counts[min(max(int(r["at_s"]) // (60 * step) - first, 0), last - first)] += int(r["n"])
    return step, [Course(state, tuple(counts)) for state, counts in found.items()]


def step_minutes(minutes: int) -> int:
    """Return how long a step of a chart is, so that a range of so many minutes has at most sixty."""
    return next((s for s in STEPS_MINUTES if minutes < MAX_STEPS * s), STEPS_MINUTES[-1] * (1 + minutes // 86_400))


def bars(counts: Sequence[int]) -> str:
    """Return a line of bars, the highest for the most; a blank is none, a dot is fewer than none."""
    most = max(counts, default=0)
    return "".join(
        " " if n == 0 else "." if n < 0 else BARS[max(0, -(-n * len(BARS) // most) - 1)]  # any at all is a bar
        for n in counts
    )
