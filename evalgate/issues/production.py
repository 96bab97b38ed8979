"""What evaluators said of production, where their verdicts come as feedback: evidence of machines, not of people."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from types import MappingProxyType
from typing import TYPE_CHECKING, Final

from evalgate.database import sql
from evalgate.figures import percent
from evalgate.select.traces import iso_time
from schema.statistics.counts import binomial_tail

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from evalgate.database import TenantDatabase

KEPT: Final = timedelta(days=90)
"""How far back verdicts are read."""
MOST: Final = 100_000
"""Verdicts that are read at most."""
MISTAKEN: Final = 0.05
"""Probability, above which failing verdicts may well be mistakes of the evaluator."""


@dataclass(frozen=True, slots=True)
class FailingTrace:
    """A trace that an evaluator judged as failing."""

    trace_id: str
    at: str
    """When it began, ISO 8601, UTC."""
    sample_weight: float


@dataclass(frozen=True, slots=True)
class Production:
    """Verdicts of evaluators on production, by the evaluator's id."""

    failing: Mapping[str, tuple[FailingTrace, ...]] = field(default_factory=lambda: MappingProxyType({}))
    judged: Mapping[str, Mapping[str, int]] = field(default_factory=lambda: MappingProxyType({}))
    """Traces that it judged on each day, as they were received: evaluator to YYYY-MM-DD to count."""

    def judged_since(self, evaluator: str, day: str) -> int:
        """Return how many traces an evaluator judged on the days after this one."""
        return sum(n for at, n in self.judged.get(evaluator, {}).items() if at > day)


def read_production(database: TenantDatabase, evaluators: Sequence[str], now: datetime) -> Production:
    """Return what these evaluators said of production in the last 90 days."""
    if not evaluators:
        return Production()
    since = now.astimezone(UTC) - KEPT
    bound = {"names": list(evaluators), "since_unix_ms": int(since.timestamp() * 1000)}
    judged: dict[str, dict[str, int]] = {}
    for row in database.rows(sql(__package__, "judged"), bound):
        judged.setdefault(str(row["name"]), {})[str(row["day"])] = int(row["traces"])
    if not judged:
        return Production()
    failing: dict[str, list[FailingTrace]] = {}
    for row in database.rows(sql(__package__, "judged_failing"), {**bound, "limit": MOST}):
        trace = FailingTrace(str(row["trace_id"]), iso_time(int(row["start_unix_ns"])), float(row["sample_weight"]))
        failing.setdefault(str(row["name"]), []).append(trace)
    return Production({name: tuple(found) for name, found in failing.items()}, judged)


def unexplained(production: Production, evaluator: str, mistakes: float, since: str) -> str:
    """Return a sentence where an evaluator judged more traces as failing than its mistakes explain; else "".

    `mistakes`: the share of good answers that it fails. Counted are traces that began after `since`, of those that were
    judged on later days: so many or more would be its mistakes with a probability below 5 % (binomial, one-sided).
    """
    failing = [t for t in production.failing.get(evaluator, ()) if t.at > since]
    if not failing:
        return ""
    judged = max(production.judged_since(evaluator, since[:10]), len(failing))
    if binomial_tail(len(failing), judged, mistakes) >= MISTAKEN:
        return ""
    wrong = f"; it fails {percent(mistakes)} of good ones" if mistakes else ""
    latest = max(failing, key=lambda t: t.at)
    return (
        f"{evaluator} failed {len(failing)} of {judged} traces that it judged in production since{wrong}, "
        f"the latest {latest.trace_id}"
    )
