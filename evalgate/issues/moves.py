"""Moves of issues from status to status, as they are recorded: each with who, when and why, and none twice.

A move has its sequence to itself: of two who move an issue at the same moment the first has it; the other reads what
the first wrote, and is told where the issue stands now.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final, Protocol

from evalgate.database import sql
from evalgate.errors import BadInput
from evalgate.issues.lifecycle import Transition, check_move, since_of
from evalgate.once import append_once
from evalgate.select.traces import iso_time
from schema.errors import Retryable
from schema.issue import IssueStatus

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence
    from typing import Any

    from evalgate.database import TenantDatabase
    from evalgate.issues.lifecycle import Step
    from schema.issue import Issue

AUTOMATIC_ACTOR: Final = "evalgate"
MAX_TRIES: Final = 20


class Due(Protocol):
    """An issue and the automatic moves that are due; `evalgate.align.standing.Standing` is one."""

    @property
    def issue(self) -> Issue:
        """Return it as it stands once these are made."""

    @property
    def recorded(self) -> IssueStatus:
        """Return the status that they start from."""

    @property
    def due(self) -> tuple[Step, ...]:
        """Return them, the first one first."""


def utc_now() -> datetime:
    """Return the present moment."""
    return datetime.now(UTC)


def histories(database: TenantDatabase) -> dict[int, list[Transition]]:
    """Return the moves of every issue that ever moved, the first one first."""
    return _histories(database.rows(sql(__package__, "moves").replace("/* conditions */", "")))


def history(database: TenantDatabase, number: int) -> list[Transition]:
    """Return the moves of one issue, the first one first."""
    rows = database.rows(
        sql(__package__, "moves").replace("/* conditions */", "AND number = {number:UInt32}"), {"number": number}
    )
    return _histories(rows).get(number, [])


def move(
    database: TenantDatabase,
    number: int,
    to: IssueStatus,
    *,
    actor: str,
    reason: str = "",
    now: Callable[[], datetime] = utc_now,
) -> Transition:
    """Bring an issue to a status, because a person says so.

    Raises:
        BadInput: there is no such issue, or it cannot go there; the message says where it can.
        Retryable: others move it all the time.

    """
    require_issue(database, number)
    for _ in range(MAX_TRIES):
        known = history(database, number)
        status = known[-1].to_status if known else IssueStatus.NEW
        check_move(number, status, to, reason)
        made = _transition(number, known, to, now(), actor=actor, reason=" ".join(reason.split()))
        _write(database, made)
        if made in history(database, number):
            return made
    raise Retryable(f"others move issue {number} all the time; try again")


def update(
    database: TenantDatabase,
    standings: Iterable[Due],
    *,
    actor: str = AUTOMATIC_ACTOR,
    now: Callable[[], datetime] = utc_now,
) -> list[Transition]:
    """Record the automatic moves that are due; return those that were recorded.

    What somebody else moved meanwhile is left alone: what is due of it is found when it is looked at next.
    """
    waiting = [s for s in standings if s.due]
    if not waiting:
        return []
    known = histories(database)
    written = []
    for standing in waiting:
        number = standing.issue.id
        own = known.get(number, [])
        if (own[-1].to_status if own else IssueStatus.NEW) is not standing.recorded:
            continue
        for step in standing.due:
            since = datetime.fromisoformat(step.since) if step.since else None
            made = _transition(
                number, own, step.to_status, now(), since=since, actor=actor, reason=step.reason, is_automatic=True
            )
            _write(database, made)
            own = [*own, made]
            written.append(made)
    stored = histories(database)
    return [made for made in written if made in stored.get(made.number, [])]


def require_issue(database: TenantDatabase, number: int) -> str:
    """Return the failure mode of an issue that stands for itself.

    Raises:
        BadInput: there is none of this number, or it was merged into another.

    """
    rows = database.rows(sql(__package__, "issues"))
    for row in rows:
        if row["number"] == number:
            if row["merged_into"]:
                raise BadInput(
                    f"issue {number} was merged into issue {row['merged_into']} ({row['failure_mode']}). "
                    f"See: evalgate issues show {row['merged_into']}; take it back: evalgate modes undo"
                )
            return str(row["failure_mode"])
    known = ", ".join(f"{r['number']} {r['failure_mode']}" for r in rows[:10] if not r["merged_into"]) or "none"
    raise BadInput(f"there is no issue {number}. Known: {known}")


def merged_into(database: TenantDatabase, number: int) -> tuple[int, str] | None:
    """Return (number, failure mode) of the issue that an issue was merged into; None where it was not."""
    for row in database.rows(sql(__package__, "issues")):
        if row["number"] == number and row["merged_into"]:
            return int(row["merged_into"]), str(row["failure_mode"])
    return None


def _transition(
    number: int,
    known: Sequence[Transition],
    to: IssueStatus,
    at: datetime,
    *,
    actor: str,
    reason: str,
    since: datetime | None = None,
    is_automatic: bool = False,
) -> Transition:
    last = known[-1] if known else None
    made = Transition(
        number=number,
        sequence=(last.sequence if last else 0) + 1,
        at=_text(at),
        from_status=last.to_status if last else IssueStatus.NEW,
        to_status=to,
        since=_text(since or at),
        actor=actor,
        reason=reason,
        is_automatic=is_automatic,
    )
    return replace(made, since=since_of(made, last.since if last else None))


def _write(database: TenantDatabase, made: Transition) -> None:
    row = {
        "number": made.number,
        "at": datetime.fromisoformat(made.at),
        "event": "moved",
        "failure_mode": "",
        "sequence": made.sequence,
        "from_status": str(made.from_status),
        "to_status": str(made.to_status),
        "since": datetime.fromisoformat(made.since),
        "is_automatic": made.is_automatic,
        "actor": made.actor,
        "reason": made.reason,
    }
    append_once(database, "issue_events", [row], f"moved/{made.number}/{made.sequence}")


def _text(at: datetime) -> str:
    return at.astimezone(UTC).isoformat(timespec="microseconds")


def _histories(rows: Iterable[Mapping[str, Any]]) -> dict[int, list[Transition]]:
    found: dict[int, list[Transition]] = {}
    for r in rows:
        own = found.setdefault(int(r["number"]), [])
        own.append(
            Transition(
                number=int(r["number"]),
                sequence=int(r["sequence"]),
                at=iso_time(int(r["at_unix_us"]) * 1000),
                from_status=IssueStatus(r["from_status"]),
                to_status=IssueStatus(r["to_status"]),
                since=iso_time(int(r["since_unix_us"]) * 1000),
                actor=str(r["actor"]),
                reason=str(r["reason"]),
                is_automatic=bool(r["is_automatic"]),
            )
        )
    return found
