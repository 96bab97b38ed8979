"""The numbers of issues: given once, at the first label of a failure mode."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from evalgate.database import sql
from evalgate.once import append_once
from schema.errors import Retryable

if TYPE_CHECKING:
    from collections.abc import Iterable

    from evalgate.database import TenantDatabase

MAX_TRIES: Final = 100


def issue_numbers(database: TenantDatabase) -> dict[str, int]:
    """Return the number of each failure mode that has one."""
    return _read(database)[0]


def present_modes(database: TenantDatabase) -> dict[str, str]:
    """Return what words of labels mean by now, where their failure mode was renamed or merged into another."""
    return {str(r["said"]): str(r["failure_mode"]) for r in database.rows(sql(__package__, "renamed"))}


def open_issues(database: TenantDatabase, modes: Iterable[str], *, actor: str) -> dict[str, int]:
    """Give each of these failure modes a number, unless it has one; return the numbers of all, {} when asked for none.

    A word that means another mode by now gets none: its labels belong to the issue of that mode.

    Two who label at once never give two modes one number, nor one mode two: a number is stored once, whoever comes
    second reads what the first wrote, and tries the next.

    Raises:
        Retryable: others open issues all the time.

    """
    wanted = sorted(set(modes))
    if not wanted:
        return {}
    known, last = _read(database)
    if any(mode not in known for mode in wanted):
        names = present_modes(database)
        wanted = sorted({names.get(mode, mode) for mode in wanted})
    for mode in wanted:
        tries = 0
        while mode not in known:
            tries += 1
            if tries > MAX_TRIES:
                raise Retryable("others open issues all the time; try again")
            _append(database, last + 1, mode, actor)
            known, last = _read(database)
    return known


def _read(database: TenantDatabase) -> tuple[dict[str, int], int]:
    """Return the numbers by failure mode, and the last that was given, be it to one that was merged into another."""
    rows = database.rows(sql(__package__, "numbers"))
    found = {str(r["failure_mode"]): int(r["number"]) for r in reversed(rows) if not r["merged_into"]}
    return found, max((int(r["number"]) for r in rows), default=0)


def _append(database: TenantDatabase, number: int, mode: str, actor: str) -> None:
    """Write the number, or nothing where somebody has it."""
    row = {"number": number, "event": "opened", "failure_mode": mode, "actor": actor}
    append_once(database, "issue_events", [row], f"opened/{number}")
