"""Issues as the database has them: how often, since when, with which cases. Who covers them is said elsewhere."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from evalgate.database import sql
from evalgate.issues.sightings import Sighting, sightings_of
from evalgate.review.cases import CaseRow, CaseStatus, list_cases
from evalgate.review.numbers import open_issues
from evalgate.select.traces import iso_time
from schema.errors import EvalgateError
from schema.issue import Issue, IssueStatus
from schema.verdict import Severity

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from evalgate.database import TenantDatabase
    from schema.case import Case


@dataclass(frozen=True, slots=True)
class Recorded:
    """Issues with what they rest on."""

    issues: tuple[Issue, ...]
    """By number, as they were last recorded, without evaluators; none that was merged into another."""
    sightings: Mapping[str, tuple[Sighting, ...]]
    """By failure mode, the earliest first."""
    cases: tuple[CaseRow, ...]
    """All that nobody rejected."""


def list_issues(database: TenantDatabase, *, actor: str = "") -> list[Issue]:
    """Return every issue by its number, as it was last recorded, without evaluators."""
    return list(read_recorded(database, actor=actor).issues)


def read_recorded(database: TenantDatabase, *, actor: str = "") -> Recorded:
    """Return every issue, its sightings and its cases.

    A failure mode whose labels are older than issues, or whose labeller was cut short, gets its number now.
    """
    rows = database.rows(sql(__package__, "sightings"))
    known = _issues(database)
    if lacking := {str(r["failure_mode"]) for r in rows} - {i.failure_mode for i in known}:
        with suppress(EvalgateError):  # who may only read sees them when somebody who writes has looked
            open_issues(database, lacking, actor=actor)
            known = _issues(database)
    cases = tuple(r for r in list_cases(database) if r.status is not CaseStatus.REJECTED)
    found = sightings_of(rows, _began(r.case for r in cases))
    return Recorded(tuple(join(known, found, [r.case for r in cases])), found, cases)


def join(issues: Iterable[Issue], sightings: Mapping[str, Sequence[Sighting]], cases: Iterable[Case]) -> list[Issue]:
    """Return the issues with what sightings and cases say of them."""
    ids: dict[str, list[str]] = {}
    for case in cases:
        if case.failure_mode:
            ids.setdefault(case.failure_mode, []).append(case.case_id)
    found = []
    for issue in issues:
        seen = sightings.get(issue.failure_mode, ())
        found.append(
            replace(
                issue,
                first_seen=min((s.at for s in seen), default=None),
                last_seen=max((s.at for s in seen), default=None),
                occurrences=len(seen),
                cases=tuple(sorted(ids.get(issue.failure_mode, ()))),
                severity=max((s.severity for s in seen if s.severity), key=list(Severity).index, default=None),
            )
        )
    return found


def _issues(database: TenantDatabase) -> list[Issue]:
    return [
        Issue(
            id=int(r["number"]),
            failure_mode=str(r["failure_mode"]),
            status=IssueStatus(r["status"]),
            since=None if r["status"] == IssueStatus.NEW else iso_time(int(r["since_unix_us"]) * 1000),
        )
        for r in database.rows(sql(__package__, "issues"))
        if not r["merged_into"]
    ]


def _began(cases: Iterable[Case]) -> dict[str, str]:
    """Return when traces began, as their cases have kept it, by trace id."""
    return {
        c.provenance.trace_id: c.provenance.start_time
        for c in cases
        if c.provenance.trace_id and c.provenance.start_time
    }
