"""Find clusters in a corpus: features, groups, ids, and what is told of each. No database, no clock."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from evalgate.cluster.behaviour import Scope
from evalgate.cluster.features import BLOCKS, OF_TRAFFIC, reduced, term_counts
from evalgate.cluster.group import group
from evalgate.cluster.match import match
from evalgate.cluster.names import name_of, terms_of
from evalgate.terminal import one_line

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from evalgate.cluster.behaviour import Behaviour
    from evalgate.cluster.match import Event
    from evalgate.cluster.meaning import Meaning
    from evalgate.terminal import Step

COMMONEST: Final = 5
PATH_STEPS: Final = 8
LABEL_CHARS: Final = 120
TREND_LEVEL: Final = 0.05


class Trend(StrEnum):
    """How the share of a cluster in what was grouped changed from the first half of the window to the second."""

    NEW = "new"
    RISING = "rising"
    STEADY = "steady"
    FALLING = "falling"


@dataclass(frozen=True, slots=True)
class Settings:
    """How clusters are found. Chosen in bench/clusters.py."""

    scope: Scope = Scope.FAILING
    least: int | None = None
    """Traces of the smallest cluster; None: one in sixty, at least 5 and at most 25."""
    neighbours: int = 3
    """Of HDBSCAN: min_samples."""
    dimensions: int = 25
    join_below: float = 0.45
    seed: int = 1

    def least_of(self, n: int) -> int:
        """Return how many traces a cluster has at least, of n."""
        return self.least or max(5, min(25, n // 60))


@dataclass(frozen=True, slots=True)
class Cluster:
    """Traces that behave alike, as one run saw them. Everything but the members is of its window alone."""

    id: int
    name: str
    terms: tuple[str, ...]
    traces: int
    failing: int
    weight: float
    """Sum of what its traces stand for."""
    first_unix_ns: int
    last_unix_ns: int
    root_names: tuple[str, ...]
    """This and the following: the commonest first."""
    features: tuple[str, ...]
    failure_reasons: tuple[str, ...]
    tool_paths: tuple[str, ...]
    trend: Trend
    early: int
    late: int


@dataclass(frozen=True, slots=True)
class Member:
    """A trace and where it is."""

    behaviour: Behaviour
    cluster_id: int
    """0: like no others."""
    strength: float = 0.0
    representative: int = 0
    """1: the medoid; 0: stands for nobody."""


@dataclass(frozen=True, slots=True)
class Found:
    """What a run found."""

    clusters: tuple[Cluster, ...]
    """The heaviest first."""
    members: tuple[Member, ...]
    events: tuple[Event, ...]
    total_weight: float
    early_total: int
    late_total: int

    @property
    def novel(self) -> list[Member]:
        """Traces of the window that are like no others."""
        return [m for m in self.members if m.cluster_id == 0 and m.behaviour.in_window]


@dataclass(frozen=True, slots=True)
class Known:
    """What earlier runs said."""

    cluster_of: Mapping[str, int] = field(default_factory=dict)
    """Of traces that are grouped along or anew: the cluster they were in last, 0 for none."""
    next_id: int = 1


def find(
    behaviours: Sequence[Behaviour],
    settings: Settings,
    known: Known | None = None,
    step: Step | None = None,
    *,
    meaning: Meaning | None = None,
) -> Found:
    """Return the clusters of traces; the same traces and the same past give the same answer, in whatever order.

    With `meaning`, texts are compared by it and not by their words. Names are made of words all the same.
    """
    told = step or _silent
    known = known or Known()
    ordered = sorted(behaviours, key=lambda b: b.trace_id)
    if not ordered:
        return Found((), (), (), 0.0, 0, 0)
    blocks = BLOCKS if settings.scope is Scope.FAILING else OF_TRAFFIC
    points = reduced(ordered, dimensions=settings.dimensions, seed=settings.seed, blocks=blocks, meaning=meaning)
    told("grouping")
    grouping = group(
        points,
        least=settings.least_of(len(ordered)),
        neighbours=settings.neighbours,
        join_below=settings.join_below,
    )
    told("naming")
    labels = grouping.labels
    own = [np.flatnonzero(labels == g) for g in range(len(grouping.representatives))]
    is_seen = [any(ordered[i].in_window for i in places) for places in own]
    before = [known.cluster_of.get(b.trace_id, 0) for b in ordered]
    matched = match(labels.tolist(), before, counts=is_seen, next_id=known.next_id)
    middle = _middle(ordered)
    halves = Counter(b.start_unix_ns >= middle for b in ordered if b.in_window)
    counts, vocabulary = term_counts(ordered)
    terms = terms_of(counts, vocabulary, labels)
    told()
    clusters = [
        _describe(
            matched.ids[g], terms[g], [ordered[i] for i in own[g]], middle=middle, halves=halves, next_id=known.next_id
        )
        for g in range(len(own))
        if is_seen[g]
    ]
    rank = {i: n for chosen in grouping.representatives for n, i in enumerate(chosen, 1)}
    members = tuple(
        Member(b, matched.ids[g] if g >= 0 else 0, float(grouping.strengths[i]), rank.get(i, 0))
        for i, (b, g) in enumerate(zip(ordered, labels.tolist(), strict=True))
    )
    clusters.sort(key=lambda c: (-c.weight, c.id))
    total = sum(b.weight for b in ordered if b.in_window)
    return Found(tuple(clusters), members, matched.events, total, halves[False], halves[True])


def _silent(_: str = "", /) -> None:
    return None


def _middle(ordered: Iterable[Behaviour]) -> int:
    times = [b.start_unix_ns for b in ordered if b.in_window] or [0]
    return (min(times) + max(times)) // 2


def _describe(
    cluster_id: int,
    terms: tuple[str, ...],
    members: Sequence[Behaviour],
    *,
    middle: int,
    halves: Mapping[bool, int],
    next_id: int,
) -> Cluster:
    seen = [b for b in members if b.in_window]
    late = sum(b.start_unix_ns >= middle for b in seen)
    early = len(seen) - late
    is_new = cluster_id >= next_id and next_id > 1 and not early
    return Cluster(
        id=cluster_id,
        name=name_of(terms, *(_of_most(seen, of) for of in (_reasons, _path, _root))),
        terms=terms,
        traces=len(seen),
        failing=sum(b.failing for b in seen),
        weight=sum(b.weight for b in seen),
        first_unix_ns=min(b.start_unix_ns for b in seen),
        last_unix_ns=max(b.start_unix_ns for b in seen),
        root_names=_common(seen, _root),
        features=_common(seen, lambda b: [b.feature]),
        failure_reasons=_common(seen, _reasons),
        tool_paths=_common(seen, _path),
        trend=Trend.NEW if is_new else trend_of(early, late, halves[False], halves[True]),
        early=early,
        late=late,
    )


def trend_of(early: int, late: int, early_total: int, late_total: int) -> Trend:
    """Return how a share changed, by Fisher's exact test of both halves; steady where chance explains it."""
    from scipy.stats import fisher_exact  # noqa: PLC0415 - 0.5 s

    table = [[early, early_total - early], [late, late_total - late]]
    if not early_total or not late_total or fisher_exact(table).pvalue >= TREND_LEVEL:
        return Trend.STEADY
    return Trend.RISING if late / late_total > early / early_total else Trend.FALLING


def path_of(tools: Sequence[str]) -> str:
    """Return the tools of a trace in their order, as people read it; repeats in a row are counted."""
    runs: list[list[Any]] = []
    for tool in tools:
        if runs and runs[-1][0] == tool:
            runs[-1][1] += 1
        else:
            runs.append([tool, 1])
    told = [name if n == 1 else f"{name} ×{_about(n)}" for name, n in runs[:PATH_STEPS]]
    return " → ".join([*told, *(["…"] if len(runs) > PATH_STEPS else [])])


def _about(n: int) -> str:
    return str(n) if n < 4 else "4+"


def _reasons(b: Behaviour) -> Sequence[str]:
    return b.failure_reasons


def _path(b: Behaviour) -> Sequence[str]:
    return [path_of(b.tools)]


def _root(b: Behaviour) -> Sequence[str]:
    return [b.root_name]


def _of_most(seen: Sequence[Behaviour], of: Callable[[Behaviour], Iterable[str]]) -> str:
    """Return the commonest value, if half of the traces have it."""
    value = next(iter(_common(seen, of)), "")
    return value if 2 * sum(value in map(_told, of(b)) for b in seen) >= len(seen) else ""


def _told(value: str) -> str:
    return one_line(value, LABEL_CHARS)


def _common(seen: Sequence[Behaviour], of: Callable[[Behaviour], Iterable[str]]) -> tuple[str, ...]:
    """Return the commonest values, without empty ones; as safe text on one line."""
    counted = Counter(value for b in seen for value in set(of(b)) if value)
    ordered = sorted(counted.items(), key=lambda item: (-item[1], item[0]))
    return tuple(_told(value) for value, _ in ordered[:COMMONEST])
