"""Which cases go into a dataset: promoted ones, never others."""

from __future__ import annotations

import hashlib
from collections import Counter
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from evalgate.review.cases import CaseStatus

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence
    from datetime import datetime

    from evalgate.review.cases import CaseRow
    from schema.case import Case


@dataclass(frozen=True, slots=True)
class Filters:
    """What narrows a build; None: everything."""

    feature: str | None = None
    failure_mode: str | None = None
    since: datetime | None = None
    """Of the trace's start."""
    sample: int | None = None
    """No more than so many, the same ones each time."""


@dataclass(frozen=True, slots=True)
class Choice:
    """What a build takes, and what it leaves out."""

    cases: tuple[Case, ...]
    quarantined: int
    rejected: int
    unsampled: int


def choose(rows: Sequence[CaseRow], filters: Filters) -> Choice:
    """Return the promoted cases that pass the filters."""
    fitting = [r for r in rows if _fits(r.case, filters)]
    count = Counter(r.status for r in fitting)
    promoted = sorted((r.case for r in fitting if r.status is CaseStatus.PROMOTED), key=lambda c: c.case_id)
    taken = promoted
    if filters.sample is not None:
        taken = sorted(promoted, key=_lot)[: filters.sample]
    # Of all that are promoted, so that what a case says does not hang on which others a build takes.
    clusters = {r.case.cluster for r in rows if r.status is CaseStatus.PROMOTED}
    return Choice(
        cases=tuple(as_twin(c, clusters) for c in sorted(taken, key=lambda c: c.case_id)),
        quarantined=count[CaseStatus.QUARANTINED],
        rejected=count[CaseStatus.REJECTED],
        unsampled=len(promoted) - len(taken),
    )


def as_twin(case: Case, clusters: Collection[str | None]) -> Case:
    """Return the case in a cluster of its own where others were made of it, so that nobody counts them as two."""
    return replace(case, cluster=case.case_id) if case.cluster is None and case.case_id in clusters else case


def _fits(case: Case, filters: Filters) -> bool:
    if filters.feature not in (None, case.feature) or filters.failure_mode not in (None, case.failure_mode):
        return False
    start = case.provenance.start_time
    return filters.since is None or (start is not None and start >= filters.since.isoformat())


def _lot(case: Case) -> str:
    """Return the case's place in the draw: fixed, and unrelated to when or what it was."""
    return hashlib.sha256(f"sample:{case.case_id}".encode()).hexdigest()
