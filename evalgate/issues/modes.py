"""The taxonomy of failure modes in the database: renamed, merged, split, taken back. Labels stay as they were said."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final

from evalgate.database import sql
from evalgate.errors import BadInput
from evalgate.issues.moves import require_issue, utc_now
from evalgate.issues.taxonomy import Action, Change, Meaning, Row, Taxonomy, merge, rename, split, taxonomy, undoable
from evalgate.once import append_once
from evalgate.review.cases import CaseEvent, list_cases, record
from evalgate.review.numbers import issue_numbers, open_issues
from evalgate.select.traces import iso_time, resolve_trace
from schema.errors import Retryable
from schema.verdict import failure_mode_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from evalgate.database import TenantDatabase

MAX_TRIES: Final = 20
LIKE_AT_LEAST: Final = 82.0
"""Likeness of two names, 0 to 100, from which on they may be one mode. Below it, "tone" and "tool" begin to pass."""


@dataclass(frozen=True, slots=True)
class Mode:
    """A failure mode and its issue."""

    name: str
    issue: int
    labels: int
    """Standing labels that mean it."""
    words: tuple[str, ...] = ()
    """Others than its name that labels say for it."""


@dataclass(frozen=True, slots=True)
class Suggestion:
    """Two modes whose names are so alike that they may be one. Only people know."""

    fewer: Mode
    more: Mode
    """The one with more labels, of equals the older."""
    likeness: float


@dataclass(frozen=True, slots=True)
class Changed:
    """A change that was recorded, and what followed from it."""

    change: Change
    cases: tuple[str, ...]
    """Ids of the cases that say the new mode now."""


@dataclass(frozen=True, slots=True)
class _By:
    """Who makes a change, and why."""

    actor: str
    reason: str
    now: Callable[[], datetime]

    @property
    def words(self) -> str:
        return " ".join(self.reason.split())


def read_taxonomy(database: TenantDatabase, numbers: Mapping[str, int] | None = None) -> Taxonomy:
    """Return the modes and everything that was done to them. `numbers`: the issue of each, where that was read."""
    rows = database.rows(sql(__package__, "mode_changes"))
    undone = {int(r["change_id"]) for r in rows if r["undone"]}
    changes: dict[int, Change] = {}
    for r in rows:
        if r["undone"]:
            continue
        number = int(r["number"])
        row = Row(
            str(r["from_mode"]),
            str(r["to_mode"]),
            int(r["from_issue"]),
            int(r["issue"]),
            tuple(r["annotation_ids"]),
            is_stated=bool(r["stated"]),
        )
        if number in changes:
            changes[number] = replace(changes[number], rows=(*changes[number].rows, row))
        else:
            at = iso_time(int(r["at_unix_us"]) * 1000)
            actor, reason = str(r["actor"]), str(r["reason"])
            changes[number] = Change(number, Action(r["action"]), at, actor, reason, (row,), number in undone)
    last = max((int(r["number"]) for r in rows), default=0)
    return taxonomy(
        issue_numbers(database) if numbers is None else numbers, [changes[n] for n in sorted(changes)], last
    )


def list_modes(database: TenantDatabase, known: Taxonomy | None = None) -> list[Mode]:
    """Return every mode that stands for itself, the frequent ones first."""
    known = known or read_taxonomy(database)
    labels = {str(r["failure_mode"]): int(r["labels"]) for r in database.rows(sql(__package__, "mode_labels"))}
    found = [Mode(n, issue, labels.get(n, 0), known.aliases(n)) for n, issue in known.numbers.items()]
    return sorted(found, key=lambda m: (-m.labels, m.issue))


def suggest_merges(modes: Sequence[Mode]) -> list[Suggestion]:
    """Return pairs of modes with nearly the same name, the most alike first."""
    from rapidfuzz import fuzz, process  # noqa: PLC0415 - what --help need not read

    names = [_plain(m.name) for m in modes]
    found = []
    for i, name in enumerate(names):
        rest = names[i + 1 :]
        alike = process.extract(name, rest, scorer=fuzz.token_sort_ratio, score_cutoff=LIKE_AT_LEAST, limit=None)
        for _, likeness, place in alike:
            pair = sorted((modes[i], modes[i + 1 + place]), key=lambda m: (m.labels, -m.issue))
            found.append(Suggestion(pair[0], pair[1], float(likeness)))
    return sorted(found, key=lambda s: (-s.likeness, s.fewer.issue))


def rename_mode(
    database: TenantDatabase, old: str, new: str, *, actor: str, reason: str = "", now: Callable[[], datetime] = utc_now
) -> Changed:
    """Call a failure mode something else; its issue keeps its number.

    Raises:
        BadInput: as `taxonomy.rename`, or that is no name.

    """
    try:
        name = failure_mode_of(new)
    except ValueError as e:
        raise BadInput(str(e)) from None
    if name is None:
        raise BadInput("say what it is to be called")
    return _change(database, Action.RENAMED, lambda k: rename(k, k.means(old), name), _By(actor, reason, now))


def merge_issues(
    database: TenantDatabase,
    number: int,
    into: int,
    *,
    actor: str,
    reason: str = "",
    now: Callable[[], datetime] = utc_now,
) -> Changed:
    """Let the labels of an issue belong to another one, which keeps its number.

    Raises:
        BadInput: there is no such issue, or it was merged before.

    """
    old, target = require_issue(database, number), require_issue(database, into)
    return _change(database, Action.MERGED, lambda k: merge(k, old, target), _By(actor, reason, now))


def split_issue(
    database: TenantDatabase,
    number: int,
    trace_ids: Sequence[str],
    into: str,
    *,
    actor: str,
    reason: str = "",
    now: Callable[[], datetime] = utc_now,
) -> Changed:
    """Let the labels that say an issue of these traces belong to another mode, which is opened where it is new.

    Raises:
        BadInput: there is no such issue or trace, no label of these says the mode, or all labels of it do.

    """
    mode = require_issue(database, number)
    try:
        said = failure_mode_of(into)
    except ValueError as e:
        raise BadInput(str(e)) from None
    if said is None:
        raise BadInput("say what the split-off mode is called: --into MODE")
    wanted = [resolve_trace(database, t) for t in dict.fromkeys(trace_ids)]
    rows = database.rows(sql(__package__, "labels_of_mode"), {"failure_mode": mode})
    labels = [str(r["annotation_id"]) for r in rows if r["trace_id"] in set(wanted)]
    if not labels:
        raise BadInput(f"no label of {'this trace' if len(wanted) == 1 else 'these traces'} says {mode!r}")
    if len(labels) == len(rows):
        raise BadInput(f"that is every label of {mode!r}: call it so instead: evalgate modes rename {mode!r} {said!r}")
    name = read_taxonomy(database).means(said)
    if name == mode:
        raise BadInput(f"{said!r} means {mode!r}: say another name")
    issue = open_issues(database, [name], actor=actor)[name]
    return _change(
        database, Action.SPLIT, lambda k: split(k, mode, labels, Meaning(name, issue)), _By(actor, reason, now)
    )


def undo_change(
    database: TenantDatabase,
    number: int | None = None,
    *,
    actor: str,
    reason: str = "",
    now: Callable[[], datetime] = utc_now,
) -> Changed:
    """Take back the latest change, or the one named.

    Raises:
        BadInput: as `taxonomy.undoable`.

    """
    for _ in range(MAX_TRIES):
        known = read_taxonomy(database)
        found = undoable(known, number)
        row = found.stated
        _append(database, known.last_number + 1, found.action, (row,), _By(actor, reason, now), undone=found.number)
        after = read_taxonomy(database)
        if any(c.number == found.number and c.is_undone for c in after.changes):
            cases = correct_cases(database, found.modes, actor=actor, known=after)
            return Changed(replace(found, is_undone=True), cases)
    raise Retryable("others change failure modes all the time; try again")


def lineage(database: TenantDatabase, number: int) -> list[Change]:
    """Return the changes that an issue came from, or went into; undone ones, too, the earliest first."""
    return lineage_of(read_taxonomy(database), number)


def lineage_of(known: Taxonomy, number: int) -> list[Change]:
    """Return the same of a taxonomy that was read."""
    return [c for c in known.changes if number in (c.stated.from_issue, c.stated.issue)]


def correct_cases(
    database: TenantDatabase, modes: Iterable[str], *, actor: str, known: Taxonomy | None = None
) -> tuple[str, ...]:
    """Let the cases of these modes say what their labels mean by now; return the ids of those that said otherwise.

    May be run again, and repairs what was cut short. A case without a label keeps its mode as the words have it.
    """
    known = known or read_taxonomy(database)
    meant = {str(r["annotation_id"]): str(r["failure_mode"]) for r in database.rows(sql(__package__, "meanings"))}
    changed = []
    for mode in sorted(set(modes)):
        for row in list_cases(database, failure_mode=mode):
            case = row.case
            now = meant.get(case.provenance.annotation_id or "") or known.means(mode)
            if now != case.failure_mode:
                changed.append(replace(case, failure_mode=now))
    record(database, changed, CaseEvent.RENAMED, actor=actor, reason="its failure mode was renamed, merged or split")
    return tuple(c.case_id for c in changed)


def _change(
    database: TenantDatabase,
    action: Action,
    plan: Callable[[Taxonomy], tuple[Row, ...]],
    by: _By,
) -> Changed:
    """Record what is planned on the taxonomy as it stands; again where somebody else changed it meanwhile."""
    for _ in range(MAX_TRIES):
        known = read_taxonomy(database)
        try:
            rows = plan(known)
        except BadInput:
            # Two statements read the taxonomy: what another wrote between them may look like what cannot be.
            if read_taxonomy(database).last_number == known.last_number:
                raise
            continue
        at = _append(database, known.last_number + 1, action, rows, by)
        made = Change(known.last_number + 1, action, at, by.actor, by.words, rows)
        after = read_taxonomy(database)
        if made in after.changes:
            return Changed(made, correct_cases(database, made.modes, actor=by.actor, known=after))
    raise Retryable("others change failure modes all the time; try again")


def _append(
    database: TenantDatabase,
    number: int,
    action: Action,
    rows: Iterable[Row],
    by: _By,
    *,
    undone: int = 0,
) -> str:
    at = by.now()
    values: list[Mapping[str, Any]] = [
        {
            "number": number,
            "change_id": undone or number,
            "at": at,
            "action": str(action),
            "from_mode": r.from_mode,
            "to_mode": r.to_mode,
            "from_issue": r.from_issue,
            "issue": r.issue,
            "annotation_ids": list(r.annotation_ids),
            "stated": int(r.is_stated),
            "actor": by.actor,
            "reason": by.words,
            "undone": int(bool(undone)),
        }
        for r in rows
    ]
    append_once(database, "mode_changes", values, str(number))
    return at.astimezone(UTC).isoformat(timespec="microseconds")


def _plain(name: str) -> str:
    return name.casefold().replace("_", " ").replace("-", " ")
