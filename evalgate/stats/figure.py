"""One estimate as people and programs read it: a rate or why there is none, its interval, what it rests on."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, Final

from evalgate.stats.estimate import rates
from evalgate.stats.measures import MIN_GREATEST

if TYPE_CHECKING:
    from evalgate.stats.estimate import Rates, Sums
    from evalgate.stats.measures import Least

WORD: Final = "insufficient data"


@dataclass(frozen=True, slots=True)
class Figure:
    """A rate."""

    name: str
    rate: float | None
    """None: there is not enough to tell one; `why` says what is lacking."""
    low: float
    high: float
    """The 95 % interval; (0, 1) where nothing is known."""
    effective_n: float
    design_effect: float
    traces: int
    """Rows that it rests on."""
    events: int
    """Rows that have it."""
    why: str | None = None

    def to_json(self) -> dict[str, Any]:
        """Return the JSON object; numbers as they are, not rounded."""
        found = asdict(self)
        interval = [found.pop("low"), found.pop("high")]
        status = "estimate" if self.rate is not None else "insufficient_data"
        return {"name": self.name, "status": status, "rate": self.rate, "interval_95": interval, **found}


def figure_of(name: str, sums: Sums, least: Least) -> Figure:
    """Return the figure of sums of length one."""
    found = rates(sums, min_effective_n=least.effective_n, min_events=least.events)
    told = bool(found.sufficient[0])
    return Figure(
        name=name,
        rate=float(found.rate[0]) if told else None,
        low=float(found.low[0]),
        high=float(found.high[0]),
        effective_n=float(found.effective_n[0]),
        design_effect=float(found.design_effect[0]),
        traces=int(sums.traces[0]),
        events=int(sums.events[0]),
        why=None if told else _why(sums, found, least),
    )


def _why(sums: Sums, found: Rates, least: Least) -> str:
    effective_n, greatest = float(found.effective_n[0]), float(sums.unseen_other[0])
    weight, traces, events = float(sums.weight[0]), int(sums.traces[0]), int(sums.events[0])
    if not traces:
        return "no traces"
    if effective_n < least.effective_n:
        return f"effective n is {effective_n:.3g}, {least.effective_n:g} are needed"
    if not events:
        return "none seen"
    if events >= traces:
        return "nothing else seen"
    if weight < MIN_GREATEST * greatest:
        return f"one trace that was not kept may stand for {greatest:.3g} of {weight:.3g}"
    rare = "with it" if float(sums.event_weight[0]) * 2 <= weight else "without it"
    seen = f"{float(found.sessions[0]):.2g}"
    return (
        f"only {seen} {'session or trace' if seen == '1' else 'sessions or traces'} {rare}, {least.events:g} are needed"
    )
