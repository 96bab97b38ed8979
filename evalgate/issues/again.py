"""Issues that labels show again after they should have been over: told to who labelled, not to who looks next week."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from evalgate.database import sql
from evalgate.issues.lifecycle import Facts, due
from evalgate.issues.moves import update
from evalgate.issues.read import read_recorded
from evalgate.issues.sightings import seen_again
from schema.issue import OVER

if TYPE_CHECKING:
    from evalgate.database import TenantDatabase
    from evalgate.issues.lifecycle import Step, Transition
    from schema.issue import Issue, IssueStatus


@dataclass(frozen=True, slots=True)
class Reopening:
    """An issue that is to be reopened."""

    issue: Issue
    recorded: IssueStatus
    due: tuple[Step, ...]


def reopen_seen(database: TenantDatabase) -> dict[str, Transition]:
    """Record the issues that labels show again; return these moves by failure mode. Evaluators and runs are not asked.

    Raises:
        EvalgateError: the database may not be written, or does not answer.

    """
    if not any(r["status"] in OVER for r in database.rows(sql(__package__, "issues"))):
        return {}
    recorded = read_recorded(database)
    found = []
    for issue in recorded.issues:
        if seen := seen_again(issue, recorded.sightings.get(issue.failure_mode, ())):
            steps = due(issue.status, Facts(seen=seen), issue.since)
            found.append(Reopening(replace(issue, status=steps[-1].to_status), issue.status, steps))
    names = {i.id: i.failure_mode for i in recorded.issues}
    return {names[t.number]: t for t in update(database, found)}
