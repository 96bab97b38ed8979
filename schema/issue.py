"""An issue: one failure mode that people have named, followed from its first sighting.

`evals/issues.jsonl` is what CI knows of issues, one per line, by id:

    {"id": 3, "failure_mode": "policy_hallucination", "status": "covered", "since": "<ISO 8601, UTC>",
     "severity": "high", "first_seen": "...", "last_seen": "...", "occurrences": 12, "cases": ["case-..."],
     "evaluators": ["refund-window"]}

Its status goes this way; `archive`, `ignore` and `reopen` lead there from anywhere a person says so:

    new ─▶ acknowledged ─▶ covered ─▶ fixed ─▶ verified ─▶ archived
                 ▲                      └────────┴────────────┴──▶ reopened (seen again) ─▶ acknowledged
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Final

from schema.fields import Fields, Malformed
from schema.verdict import Severity, failure_mode_of

MAX_ID = (1 << 32) - 1


class IssueStatus(StrEnum):
    """Where an issue stands."""

    NEW = "new"
    """Somebody labelled it; nobody has taken it up."""
    ACKNOWLEDGED = "acknowledged"
    """Somebody has. No evaluator that may block looks for it."""
    COVERED = "covered"
    """One does."""
    FIXED = "fixed"
    """And in the last run all its cases pass, some of which failed in a run before. Whether that holds in production
    is for people to say."""
    VERIFIED = "verified"
    """They said so."""
    REOPENED = "reopened"
    """It was seen again after it was fixed, verified or archived."""
    ARCHIVED = "archived"
    """Done with. Comes back when it is seen again."""
    IGNORED = "ignored"
    """People do not mind it. Comes back only by hand."""


OVER: Final = frozenset({IssueStatus.FIXED, IssueStatus.VERIFIED, IssueStatus.ARCHIVED})
"""Of an issue that should not be seen any more: where it is, that is news."""
ACTIVE: Final = frozenset({IssueStatus.NEW, IssueStatus.ACKNOWLEDGED, IssueStatus.COVERED, IssueStatus.REOPENED})
"""Of an issue that wants attention."""


@dataclass(frozen=True, slots=True)
class Issue:
    """One issue as it stands."""

    id: int
    """Small and of one tenant: given when the mode was first named, never given again."""
    failure_mode: str
    """What it is called now."""
    status: IssueStatus = IssueStatus.NEW
    first_seen: str | None = None
    """When the earliest trace that shows it began; ISO 8601, UTC."""
    last_seen: str | None = None
    occurrences: int = 0
    """Traces that people labelled with it, bad or partial. 0: all its labels were taken back."""
    cases: tuple[str, ...] = ()
    """Ids of its cases that nobody rejected, sorted."""
    evaluators: tuple[str, ...] = ()
    """Ids of the evaluators that look for it, sorted."""
    since: str | None = None
    """When it came to its status, ISO 8601, UTC. None: it never moved. Of a verified one that was fixed before: since
    when it was fixed, for that is when it should have ended."""
    severity: Severity | None = None
    """The worst that a label says."""

    @property
    def is_active(self) -> bool:
        """Whether it wants attention: it stands in labels, and is neither over nor ignored."""
        return self.occurrences > 0 and self.status in ACTIVE

    @property
    def is_over(self) -> bool:
        """Whether it should not be seen any more."""
        return self.status in OVER


def issue_to_json(issue: Issue) -> dict[str, Any]:
    """Return the JSON object of an issue; keys in the order people read them."""
    return {
        "id": issue.id,
        "failure_mode": issue.failure_mode,
        "status": issue.status,
        "since": issue.since,
        "severity": issue.severity,
        "first_seen": issue.first_seen,
        "last_seen": issue.last_seen,
        "occurrences": issue.occurrences,
        "cases": list(issue.cases),
        "evaluators": list(issue.evaluators),
    }


def parse_issue(value: Any) -> Issue:
    """Read an issue.

    Raises:
        ValueError: in words for who reads the file.

    """
    fields = Fields(value, "an issue")
    number = fields.optional_int("id")
    if number is None or not 1 <= number <= MAX_ID:
        raise Malformed("an issue: 'id' must be a whole number from 1 on")
    status = _one_of(fields.text("status"), IssueStatus, "status")
    severity = fields.optional_text("severity")
    occurrences = fields.optional_int("occurrences") or 0
    if occurrences < 0:
        raise Malformed("an issue: 'occurrences' must be a count")
    issue = Issue(
        id=number,
        failure_mode=failure_mode_of(fields.text("failure_mode")) or "",
        status=IssueStatus(status),
        first_seen=fields.optional_text("first_seen"),
        last_seen=fields.optional_text("last_seen"),
        occurrences=occurrences,
        cases=fields.texts("cases"),
        evaluators=fields.texts("evaluators"),
        since=fields.optional_moment("since"),
        severity=Severity(_one_of(severity, Severity, "severity")) if severity else None,
    )
    fields.close()
    return issue


def _one_of(said: str, known: type[StrEnum], name: str) -> str:
    if said not in list(known):
        *others, last = (str(member) for member in known)
        raise Malformed(f"an issue: {name!r} must be {', '.join(others)} or {last}, not {said!r}")
    return said
