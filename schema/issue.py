"""An issue: one failure mode that people have named, followed from its first sighting.

`evals/issues.jsonl` is what CI knows of issues, one per line, by id:

    {"id": 3, "failure_mode": "policy_hallucination", "status": "open", "first_seen": "<ISO 8601, UTC>",
     "last_seen": "...", "occurrences": 12, "cases": ["case-..."], "evaluators": ["refund-window"]}
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from schema.fields import Fields, Malformed
from schema.verdict import failure_mode_of

MAX_ID = (1 << 32) - 1


class IssueStatus(StrEnum):
    """Where an issue stands."""

    OPEN = "open"
    """No evaluator that may block looks for it."""
    COVERED = "covered"
    """One does."""
    FIXED = "fixed"
    """And in the last run all its cases pass, some of which failed in a run before. Whether that holds in production
    is for people to say."""


@dataclass(frozen=True, slots=True)
class Issue:
    """One issue as it stands."""

    id: int
    """Small and of one tenant: given when the mode was first named, never given again."""
    failure_mode: str
    status: IssueStatus = IssueStatus.OPEN
    first_seen: str | None = None
    """When the earliest trace that shows it began; ISO 8601, UTC."""
    last_seen: str | None = None
    occurrences: int = 0
    """Traces that people labelled with it, bad or partial. 0: all its labels were taken back."""
    cases: tuple[str, ...] = ()
    """Ids of its cases that nobody rejected, sorted."""
    evaluators: tuple[str, ...] = ()
    """Ids of the evaluators that look for it, sorted."""

    @property
    def is_active(self) -> bool:
        """Whether it wants an evaluator: it stands in labels, and is not fixed."""
        return self.occurrences > 0 and self.status is not IssueStatus.FIXED


def issue_to_json(issue: Issue) -> dict[str, Any]:
    """Return the JSON object of an issue; keys in the order people read them."""
    return {
        "id": issue.id,
        "failure_mode": issue.failure_mode,
        "status": issue.status,
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
    status = fields.text("status")
    if status not in list(IssueStatus):
        raise Malformed(f"an issue: 'status' must be open, covered or fixed, not {status!r}")
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
    )
    fields.close()
    return issue
