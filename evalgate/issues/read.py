"""Issues as the database has them: how often, since when, with which cases. Who covers them is said elsewhere."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING

from evalgate.database import sql
from evalgate.review.cases import CaseStatus, list_cases
from evalgate.review.numbers import issue_numbers, open_issues
from evalgate.select.traces import iso_time
from schema.errors import EvalgateError
from schema.issue import Issue

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from evalgate.database import TenantDatabase
    from schema.case import Case


def list_issues(database: TenantDatabase, *, actor: str = "") -> list[Issue]:
    """Return every issue by its number, open, without evaluators.

    A failure mode whose labels are older than issues, or whose labeller was cut short, gets its number now.
    """
    sightings = database.rows(sql(__package__, "sightings"))
    numbers = issue_numbers(database)
    if lacking := {str(r["failure_mode"]) for r in sightings} - numbers.keys():
        with suppress(EvalgateError):  # who may only read sees them when somebody who writes has looked
            numbers = open_issues(database, lacking, actor=actor)
    cases = [r.case for r in list_cases(database) if r.status is not CaseStatus.REJECTED]
    return join(numbers, sightings, cases)


def join(numbers: Mapping[str, int], sightings: Iterable[Mapping[str, object]], cases: Sequence[Case]) -> list[Issue]:
    """Return the issues that these make.

    A sighting is {failure_mode, trace_id, labelled_unix_us, start_unix_ns}. Where its trace has expired, the case has
    kept when it began; where there is no case, the label's time is the best that is known.
    """
    began = {
        c.provenance.trace_id: c.provenance.start_time
        for c in cases
        if c.provenance.trace_id and c.provenance.start_time
    }
    seen: dict[str, list[str]] = {mode: [] for mode in numbers}
    for row in sightings:
        start_ns, labelled_us = int(str(row["start_unix_ns"])), int(str(row["labelled_unix_us"]))
        known = began.get(str(row["trace_id"]))
        at = iso_time(start_ns) if start_ns else known or iso_time(labelled_us * 1000)
        if str(row["failure_mode"]) in seen:
            seen[str(row["failure_mode"])].append(at)
    ids: dict[str, list[str]] = {}
    for case in cases:
        if case.failure_mode:
            ids.setdefault(case.failure_mode, []).append(case.case_id)
    return [
        Issue(
            id=number,
            failure_mode=mode,
            first_seen=min(seen[mode], default=None),
            last_seen=max(seen[mode], default=None),
            occurrences=len(seen[mode]),
            cases=tuple(sorted(ids.get(mode, ()))),
        )
        for mode, number in sorted(numbers.items(), key=lambda item: item[1])
    ]
