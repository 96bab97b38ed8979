"""Coverage gaps: clusters of traffic that no case stands for, or whose failure modes no evaluator looks for."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING

from evalgate.cluster.store import cluster_of, list_clusters
from evalgate.database import sql
from evalgate.review.cases import CaseStatus, list_cases

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from evalgate.cluster.behaviour import Scope
    from evalgate.cluster.store import Stored
    from evalgate.database import TenantDatabase
    from evalgate.review.cases import CaseRow
    from schema.evaluator import EvaluatorSpec


@dataclass(frozen=True, slots=True)
class Covered:
    """A cluster, and what looks after it."""

    stored: Stored
    cases: tuple[str, ...]
    """Ids of cases, not rejected, whose trace is in it."""
    modes: tuple[tuple[str, int], ...]
    """Failure modes that people named in it, with how many of its traces show each; the frequent ones first."""
    evaluators: tuple[str, ...]
    """Ids of those that look for one of the modes."""
    unwatched: tuple[str, ...]
    """Modes that no evaluator looks for."""

    @property
    def lacks(self) -> tuple[str, ...]:
        """What is missing: "case", "evaluator"."""
        no_case = () if self.cases else ("case",)
        watched = bool(self.evaluators) if not self.modes else not self.unwatched
        needs = bool(self.modes) or not self.cases or self.stored.cluster.failing > 0
        return (*no_case, *(("evaluator",) if needs and not watched else ()))


@dataclass(frozen=True, slots=True)
class Coverage:
    """Clusters of the latest run of a scope."""

    gaps: tuple[Covered, ...]
    """Those that lack something, the heaviest first; of equals the one that lacks more."""
    covered: tuple[Covered, ...]
    cases_elsewhere: int
    """Cases whose trace was never grouped, or which have none: of no cluster."""

    @property
    def share(self) -> float | None:
        """The weighted part of clustered traffic that lacks nothing; None where there is none."""
        weight = [sum(c.stored.cluster.weight for c in some) for some in (self.covered, self.gaps)]
        return weight[0] / sum(weight) if sum(weight) else None


def read_coverage(database: TenantDatabase, scope: Scope, specs: Sequence[EvaluatorSpec]) -> Coverage:
    """Return what is covered of the clusters that the latest run saw."""
    clusters = list_clusters(database, scope)
    latest = max((s.number for s in clusters), default=0)
    modes = [(str(r["trace_id"]), str(r["failure_mode"])) for r in database.rows(sql(__package__, "modes"))]
    cases = [r for r in list_cases(database) if r.status is not CaseStatus.REJECTED]
    return coverage_of([s for s in clusters if s.number == latest], cluster_of(database, scope), cases, modes, specs)


def coverage_of(
    clusters: Iterable[Stored],
    where: Mapping[str, int],
    cases: Sequence[CaseRow],
    modes: Iterable[tuple[str, str]],
    specs: Sequence[EvaluatorSpec],
) -> Coverage:
    """Return what is covered; `where`: the cluster of a trace, `modes`: of a trace, what people named in it."""
    of_case: dict[int, list[str]] = {}
    elsewhere = 0
    for row in cases:
        own = where.get(row.case.provenance.trace_id or "", 0)
        of_case.setdefault(own, []).append(row.case.case_id)
        elsewhere += not own
    named: dict[int, Counter[str]] = {}
    for trace_id, mode in modes:
        if mode and (own := where.get(trace_id, 0)):
            named.setdefault(own, Counter())[mode] += 1
    found = [_covered(s, of_case.get(s.cluster.id, ()), named.get(s.cluster.id, Counter()), specs) for s in clusters]
    found.sort(key=lambda c: (-c.stored.cluster.weight, -len(c.lacks), c.stored.cluster.id))
    return Coverage(tuple(c for c in found if c.lacks), tuple(c for c in found if not c.lacks), elsewhere)


def _covered(stored: Stored, cases: Sequence[str], named: Counter[str], specs: Sequence[EvaluatorSpec]) -> Covered:
    modes = tuple(sorted(named.items(), key=lambda item: (-item[1], item[0])))
    watching = [s for s in specs if s.failure_mode in named]
    watched = {s.failure_mode for s in watching}
    return Covered(
        stored,
        tuple(sorted(cases)),
        modes,
        tuple(s.id for s in watching),
        tuple(mode for mode, _ in modes if mode not in watched),
    )
