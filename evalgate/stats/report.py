"""What `evalgate stats` says: of a window of time, or of each group in it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np

from evalgate.stats.estimate import UNSEEN_95, means, rates, totals
from evalgate.stats.figure import Figure, figure_of
from evalgate.stats.measures import BAD, EVERY, FAILING, MODE, REASON, THUMBS_DOWN, Least
from evalgate.stats.rare import Mode, Traffic
from evalgate.stats.strata import overall

if TYPE_CHECKING:
    from evalgate.stats.read import Group, Labelled

LARGE_PART: Final = 0.1
UNLIKE: Final = 2
"""Times the mean weight of the others: few traces that all count for the same carry much each, and are no news."""


@dataclass(frozen=True, slots=True)
class Population:
    """How many traces there were, and what is left of them."""

    traces: float
    low: float
    high: float
    exact: bool
    stored: int
    thinned: int
    """Of these, traces of a time of which only the flagged ones are left."""
    thinned_for: float
    """How many the thinned ones stand for."""
    failing: int
    late: int
    """Of the thinned ones, those that failed when the others were gone: seen only in the sample."""
    late_unseen: float
    """Up to this share of all traces may have failed so, unseen (95 %)."""
    apart: int
    rate_0: int
    arrival_rate: float
    """The least that samplers before us let through."""
    heaviest_weight: float
    """How many traces the one stands for that stands for most."""
    heaviest_trace_id: str
    first_unix_s: int
    last_unix_s: int

    @property
    def leans_on_one(self) -> bool:
        """Whether one trace, unlike the others, carries a tenth of all figures or more."""
        others = (self.traces - self.heaviest_weight) / (self.stored - 1) if self.stored > 1 else 0.0
        is_unlike = self.heaviest_weight > max(1.0, UNLIKE * others)
        return is_unlike and self.heaviest_weight >= LARGE_PART * self.traces


@dataclass(frozen=True, slots=True)
class Mean:
    """A mean of a number of each trace."""

    name: str
    mean: float
    low: float
    high: float
    effective_n: float


@dataclass(frozen=True, slots=True)
class Labels:
    """What people said, and of how many traces."""

    modes: tuple[Figure, ...]
    """Of all traces."""
    among_failing: tuple[Figure, ...]
    """The same modes, of failing traces."""
    bad: Figure | None
    failing: int
    others: int
    unsampled: int


def population(group: Group) -> Population:
    """Return how many traces a group had."""
    every, row = group.of(EVERY), group.row
    found = totals(every.traces, every.weight, every.weight2, every.unseen_other)
    weight = float(every.weight[0])
    return Population(
        traces=float(found.total[0]),
        low=float(found.low[0]),
        high=float(found.high[0]),
        exact=bool(found.exact[0]) and not row["thinned"],
        stored=int(row["traces"]),
        thinned=int(row["thinned"]),
        thinned_for=float(row["thinned_weight"]),
        failing=int(group.of(FAILING).events[0]),
        late=int(row["late"]),
        late_unseen=min(1.0, UNSEEN_95 * float(every.unseen_other[0]) / weight) if row["thinned"] and weight else 0.0,
        apart=int(row["apart"]),
        rate_0=int(row["rate_0"]),
        arrival_rate=1 / max(float(row["unseen_event"]), 1.0),
        heaviest_weight=float(row["heaviest_weight"]),
        heaviest_trace_id=str(row["heaviest_trace_id"]),
        first_unix_s=int(row["first_unix_s"]),
        last_unix_s=int(row["last_unix_s"]),
    )


def measure_figures(group: Group, least: Least) -> list[Figure]:
    """Return the rates of a group: failing, each reason, thumbs down. What no trace has is left out, not failing."""
    reasons = sorted(
        (m for m in group.sums if m.startswith(REASON)), key=lambda m: -float(group.sums[m].event_weight[0])
    )
    names = [FAILING, *reasons, *([THUMBS_DOWN] if THUMBS_DOWN in group.sums else [])]
    return [figure_of(name, group.of(name), least) for name in names]


def mean_figures(group: Group) -> list[Mean]:
    """Return the means of a group: cost where it is known, duration."""
    row = group.row
    columns = (("cost_usd", "cost", "priced", "cost_bb"), ("duration_ms", "ms", "weight", "session_aa"))
    made = []
    for name, a, b, bb in columns:
        sums = (row[f"{a}_aa"], row[f"{a}_ab"], row[bb], row[a], row[b])
        found = means(*(np.array([float(x)]) for x in sums))
        if not np.isnan(found.mean[0]):
            made.append(
                Mean(name, float(found.mean[0]), float(found.low[0]), float(found.high[0]), float(found.effective_n[0]))
            )
    return made


def label_figures(group: Group, failing: Labelled, others: Labelled, least: Least) -> Labels:
    """Return the rate of each labelled failure mode, of failing traces and of all."""
    known = {m for part in (failing, others) for m in part.sums if m.startswith(MODE)}
    names = sorted(known, key=lambda m: (-_events(failing, m) - _events(others, m), m))
    return Labels(
        modes=tuple(_overall(n.removeprefix(MODE), group, (failing, others), n, least) for n in names),
        among_failing=tuple(figure_of(n.removeprefix(MODE), failing.of(n), least) for n in names),
        bad=_overall("labelled bad", group, (failing, others), BAD, least) if failing.traces + others.traces else None,
        failing=failing.traces,
        others=others.traces,
        unsampled=failing.unsampled + others.unsampled,
    )


def _overall(name: str, group: Group, parts: tuple[Labelled, Labelled], measure: str, least: Least) -> Figure:
    """Return the share of a mode among all traces."""
    failing, others = parts
    p = rates(group.of(FAILING), min_events=least.events)
    q1, q0 = (rates(part.of(measure), min_events=least.events) for part in parts)
    found = overall(p, q1, q0, min_events=least.events)
    events = _events(failing, measure) + _events(others, measure)
    read = failing.traces + others.traces
    effective_n = float(q1.effective_n[0] + q0.effective_n[0])
    told = bool(found.sufficient[0]) and effective_n >= least.effective_n
    why = None
    if effective_n < least.effective_n:
        why = f"effective n of labels is {effective_n:.3g}, {least.effective_n:g} are needed"
    elif not events:
        why = "none seen"
    elif not told:
        kind = "sampled others" if q0.high[0] - q0.low[0] > q1.high[0] - q1.low[0] else "failing traces"
        count = others.traces if kind == "sampled others" else failing.traces
        why = f"{count} {kind} are labelled, too few"
    return Figure(
        name=name,
        rate=float(found.rate[0]) if told else None,
        low=float(found.low[0]),
        high=float(found.high[0]),
        effective_n=effective_n,
        design_effect=float(max(q1.design_effect[0], q0.design_effect[0])),
        traces=read,
        events=events,
        why=None if told else why,
    )


def traffic_of(group: Group, weeks: float, labels: Labels) -> Traffic:
    """Return what comes in a week, from what came in so many."""
    every, failing = group.of(EVERY), group.of(FAILING)
    others = float(every.weight[0] - failing.event_weight[0])
    sampled = int(group.row["sampled"])
    flagged = float(failing.event_weight[0]) + sampled
    read = labels.failing + labels.others
    return Traffic(
        traces_per_week=float(every.weight[0]) / weeks,
        failing_per_week=float(failing.event_weight[0]) / weeks,
        flagged_per_week=flagged / weeks,
        rate=sampled / others if others > 0 else 0.0,
        labelled=read / flagged if flagged > 0 else 0.0,
    )


def known_modes(group: Group, labels: Labels, least: Least) -> list[Mode]:
    """Return labelled modes and failure reasons with what is known of how often they are."""
    found = []
    failing = figure_of(FAILING, group.of(FAILING), least).rate
    for figure, among in zip(labels.modes, labels.among_failing, strict=True):
        shown = failing * among.rate if failing is not None and among.rate is not None else None
        if figure.rate is not None:
            surely = min(1.0, (shown or 0.0) / figure.rate)
            found.append(Mode(figure.name, "mode", figure, figure.rate, surely))
        else:  # of failing traces enough is known: what is said is of those
            found.append(Mode(f"{figure.name} (of failing traces)", "mode", among, shown, 1.0))
    reasons = (f for f in measure_figures(group, least) if f.name.startswith(REASON))
    return [*found, *(Mode(f.name.removeprefix(REASON), "reason", f, f.rate, 1.0) for f in reasons)]


def _events(part: Labelled, measure: str) -> int:
    return int(part.of(measure).events[0])
