"""How an issue goes from status to status: what people may do, and what follows from labels, evaluators and runs. Pure.

    new ──acknowledge──▶ acknowledged ──covered──▶ covered ──fixed──▶ fixed ──verify──▶ verified
                               ▲                                        │                  │
                               └─acknowledge── reopened ◀───seen again──┴──────────────────┴── archived

`archive`, `ignore` and `reopen` (of what is over or ignored) are open to people from anywhere else.
"""

from __future__ import annotations

from dataclasses import dataclass
from types import MappingProxyType
from typing import TYPE_CHECKING, Final

from evalgate.errors import BadInput
from evalgate.terminal import count_of
from schema.issue import OVER, IssueStatus

if TYPE_CHECKING:
    from collections.abc import Mapping

NEW, ACKNOWLEDGED, COVERED, FIXED, VERIFIED, REOPENED, ARCHIVED, IGNORED = IssueStatus

BY_HAND: Final[Mapping[IssueStatus, frozenset[IssueStatus]]] = MappingProxyType(
    {
        NEW: frozenset({ACKNOWLEDGED, ARCHIVED, IGNORED}),
        ACKNOWLEDGED: frozenset({ARCHIVED, IGNORED}),
        COVERED: frozenset({ACKNOWLEDGED, VERIFIED, ARCHIVED, IGNORED}),
        FIXED: frozenset({VERIFIED, REOPENED, ARCHIVED, IGNORED}),
        VERIFIED: frozenset({REOPENED, ARCHIVED, IGNORED}),
        REOPENED: frozenset({ACKNOWLEDGED, VERIFIED, ARCHIVED, IGNORED}),
        ARCHIVED: frozenset({REOPENED, IGNORED}),
        IGNORED: frozenset({REOPENED, ARCHIVED}),
    }
)
"""What people may do. `covered` and `fixed` are not for them to say: evaluators and runs do."""
AUTOMATIC: Final[Mapping[IssueStatus, frozenset[IssueStatus]]] = MappingProxyType(
    {
        NEW: frozenset({COVERED}),
        ACKNOWLEDGED: frozenset({COVERED}),
        COVERED: frozenset({ACKNOWLEDGED, FIXED}),
        FIXED: frozenset({COVERED, REOPENED}),
        VERIFIED: frozenset({REOPENED}),
        REOPENED: frozenset({FIXED}),
        ARCHIVED: frozenset({REOPENED}),
        IGNORED: frozenset(),
    }
)
"""What follows by itself. One that was seen again waits for a person, even where an evaluator looks for it."""
WITH_REASON: Final = frozenset({VERIFIED, REOPENED, ARCHIVED, IGNORED})
"""What nobody may do by hand without saying why."""
COMMANDS: Final[Mapping[IssueStatus, str]] = MappingProxyType(
    {ACKNOWLEDGED: "acknowledge", VERIFIED: "verify", REOPENED: "reopen", ARCHIVED: "archive", IGNORED: "ignore"}
)
MAX_NAMED: Final = 3
"""Ids that a sentence names before it counts the rest."""


@dataclass(frozen=True, slots=True)
class Transition:
    """One move of one issue, as it was recorded."""

    number: int
    sequence: int
    """Of the issue's moves, from 1 on."""
    at: str
    """ISO 8601, UTC, as all times here."""
    from_status: IssueStatus
    to_status: IssueStatus
    since: str
    """Since when it holds; of a fix, since the run that showed it began."""
    actor: str
    reason: str
    is_automatic: bool


@dataclass(frozen=True, slots=True)
class Step:
    """A move that is due."""

    to_status: IssueStatus
    reason: str
    since: str | None = None
    """None: since it is made."""


@dataclass(frozen=True, slots=True)
class Judged:
    """What the last run that judged any case of an issue says."""

    run_id: str
    started_at: str
    total: int
    failing: tuple[str, ...] = ()
    """Its cases that fail there."""
    failed_before: str | None = None
    """The latest earlier run in which a case failed that passes now; None: nothing was ever fixed."""


@dataclass(frozen=True, slots=True)
class SeenAgain:
    """What production showed of an issue after it should have been over."""

    labelled: int = 0
    """Labelled traces that began since."""
    last: str | None = None
    """When the latest began."""
    judged: str = ""
    """What an evaluator said of production that its known mistakes do not explain; a sentence, empty for nothing."""

    def __bool__(self) -> bool:
        """Tell whether anything was seen."""
        return bool(self.labelled or self.judged)


@dataclass(frozen=True, slots=True)
class Facts:
    """What is known of an issue besides its status."""

    trusted: tuple[str, ...] = ()
    """Ids of the evaluators that are trusted with it."""
    untrusted: tuple[str, ...] = ()
    """Ids of those that look for it, and are not."""
    judged: Judged | None = None
    """None: no run of this machine judged any of its cases by a trusted evaluator."""
    last_seen: str | None = None
    """When the latest labelled trace began: no run before it has fixed the issue."""
    seen: SeenAgain = SeenAgain()
    """Of an issue that is over: what was seen since."""


TO_VERIFIED: Final = (
    "The way there: an evaluator that may block makes it covered (evalgate evals generate --issue {number}), a run in "
    "which its cases pass makes it fixed (evalgate run)"
)
"""By what an issue comes to where somebody can verify it."""


def allowed(from_status: IssueStatus, to_status: IssueStatus) -> bool:
    """Tell whether a person may move an issue so."""
    return to_status in BY_HAND[from_status]


def check_move(number: int, from_status: IssueStatus, to_status: IssueStatus, reason: str) -> None:
    """Accept what a person may do.

    Raises:
        BadInput: it is not allowed, which says what is, or it lacks a reason.

    """
    if from_status is to_status:
        raise BadInput(f"issue {number} is {to_status} already")
    if not allowed(from_status, to_status):
        can = [f"evalgate issues {COMMANDS[s]} {number}" for s in IssueStatus if s in BY_HAND[from_status]]
        way = (
            f". {TO_VERIFIED.format(number=number)}"
            if to_status is VERIFIED and from_status in (NEW, ACKNOWLEDGED)
            else ""
        )
        raise BadInput(
            f"issue {number} is {from_status}: it cannot become {to_status} by hand. "
            f"Possible now: {', '.join(can)}{way}"
        )
    if to_status in WITH_REASON and not reason.strip():
        raise BadInput(
            f'say why, for whoever reads it later: evalgate issues {COMMANDS[to_status]} {number} --reason "…"'
        )


def next_status(status: IssueStatus, facts: Facts, since: str | None = None) -> Step | None:
    """Return the automatic move that is due; None: it stays. `since`: when it came to its status, if it ever moved.

    A run that began before an issue came to its status says nothing new of it: what was seen again is not fixed by the
    run that seemed to fix it.
    """
    judged, seen = facts.judged, facts.seen
    is_later = judged is not None and (since is None or judged.started_at > since)
    if status in OVER and seen:
        return Step(REOPENED, _seen_again(status, seen, since))
    if status is FIXED and judged is not None and is_later and judged.failing:
        return Step(COVERED, f"{_names(judged.failing)} of its {judged.total} cases fail again in run {judged.run_id}")
    if status in (NEW, ACKNOWLEDGED) and facts.trusted:
        return Step(COVERED, f"{_names(facts.trusted)} may block because of it")
    if status in (COVERED, REOPENED) and facts.trusted and judged is not None and is_later:
        shown_since = facts.last_seen is not None and facts.last_seen > judged.started_at
        if not judged.failing and judged.failed_before is not None and not shown_since:
            cases = "its only case passes" if judged.total == 1 else f"all of its {judged.total} cases pass"
            reason = f"{cases} in run {judged.run_id}; in run {judged.failed_before} some failed"
            return Step(FIXED, reason, judged.started_at)
        return None
    if status is COVERED and facts.untrusted and not facts.trusted:
        # Where no evaluator looks for it at all, this may just be a folder without them.
        return Step(ACKNOWLEDGED, f"{_names(facts.untrusted)} may not block because of it any more")
    return None


def due(status: IssueStatus, facts: Facts, since: str | None = None) -> tuple[Step, ...]:
    """Return all automatic moves that are due, one after the other; those after the first stand on the same facts."""
    steps: list[Step] = []
    while step := next_status(status, facts, since):
        steps.append(step)
        if step.to_status in OVER or step.to_status is REOPENED:
            break
        status = step.to_status
    return tuple(steps)


def since_of(transition: Transition, before: str | None) -> str:
    """Return since when an issue should not be seen any more: of a verified one that was fixed, since the fix."""
    was_fixed = transition.from_status is FIXED and transition.to_status is VERIFIED
    return before if was_fixed and before is not None else transition.since


def _seen_again(status: IssueStatus, seen: SeenAgain, since: str | None) -> str:
    # Which ones is no part of it: a move is for everybody, and who labels a trace blind must not learn of it here.
    labelled = f"{count_of(seen.labelled, 'labelled trace')} began after that" if seen.labelled else ""
    when = f" since {since[:19]}" if since else ""
    return f"{status}{when}, and seen again: {'; '.join(filter(None, (labelled, seen.judged)))}"


def _names(ids: tuple[str, ...]) -> str:
    shown = ", ".join(ids[:MAX_NAMED])
    return f"{shown} and {len(ids) - MAX_NAMED} more" if len(ids) > MAX_NAMED else shown
