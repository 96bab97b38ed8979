"""Everything that is told of issues, read once for all of them: what the command line and the pages show."""

from __future__ import annotations

import os
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from evalgate.align.coverage import cover, coverage_of
from evalgate.database import open_tenant
from evalgate.errors import BadInput
from evalgate.evals.overview import Overview, look, look_at, reads_database
from evalgate.files import read_json
from evalgate.gate.first import GATE_FILE
from evalgate.gate.settings import GateSettings, read_settings
from evalgate.issues.modes import lineage_of, read_taxonomy
from evalgate.issues.moves import histories
from evalgate.issues.occurrences import SHOWN_DAYS, Occurrences, affected, count_occurrences
from evalgate.issues.taxonomy import Action, Taxonomy
from evalgate.places import LAST_REPORT
from schema.alignment import DEFAULT_POLICY
from schema.issue import IssueStatus

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from evalgate.align.coverage import Coverage, Gap
    from evalgate.align.standing import Standing, Trusted
    from evalgate.database import TenantDatabase
    from evalgate.issues.lifecycle import Transition
    from evalgate.issues.taxonomy import Change
    from evalgate.run_files import RunShelf
    from schema.alignment import PermissionPolicy
    from schema.case import Case
    from schema.issue import Issue
    from schema.run import Run

FIRST: Final = (IssueStatus.REOPENED, IssueStatus.NEW, IssueStatus.ACKNOWLEDGED, IssueStatus.COVERED, IssueStatus.FIXED)
"""How issues are listed; others follow."""


@dataclass(frozen=True, slots=True)
class GateLine:
    """What one run said of an issue's cases."""

    run_id: str
    at: str
    passed: int
    of: int
    """Its cases that were judged in the run."""
    status: str
    """pass or fail, of these cases; what the gate decided of the whole run, where that is the last one it decided."""


@dataclass(frozen=True, slots=True)
class IssueView:
    """One issue and everything about it."""

    issue: Issue
    standing: Standing
    transitions: tuple[Transition, ...]
    """The first one first."""
    occurrences: Occurrences
    lineage: tuple[Change, ...]
    """What it came from, or went into; the earliest first."""
    cases: tuple[Case, ...]
    evaluators: tuple[Trusted, ...]
    gate_history: tuple[GateLine, ...]
    """By run, the latest first."""
    next: str | None
    """What to do about it, with the command."""
    gap: Gap | None = None
    """What it lacks, where it is active and has no evaluator that is trusted with it."""
    words: tuple[str, ...] = ()
    """Others that labels say for its failure mode."""


def issue_views(
    database: TenantDatabase,
    folder: Path = Path(),
    *,
    shelf: RunShelf | None = None,
    days: int = SHOWN_DAYS,
    affected_of: int | None = None,
    now: datetime | None = None,
) -> list[IssueView]:
    """Return all issues of a database and of the project in a folder: what was reopened first, then by status.

    `affected_of`: the issue whose users and sessions are counted.

    Reads a handful of statements, however many issues there are, and records moves that are due as `look_at` does.
    `shelf`: the runs that were read before; who asks often keeps it.

    Raises:
        EvalgateError: a file of the folder is wrong, or the database does not answer.

    """
    now = now or datetime.now(UTC)
    path = folder / GATE_FILE
    settings = read_settings(path, os.environ)[0] if path.is_file() else GateSettings()
    found = look_at(database, folder, policy=settings.policy.permission.policy, shelf=shelf, now=now)
    return views_of(database, found, folder, days=days, affected_of=affected_of, now=now)


def read_views(
    datasets: Sequence[str],
    dsn: str | None,
    tenant: str | None,
    evaluators: Path,
    *,
    judge_model: str | None = None,
    policy: PermissionPolicy = DEFAULT_POLICY,
    days: int = SHOWN_DAYS,
    affected_of: int | None = None,
) -> tuple[Overview, list[IssueView]]:
    """Return what `look` does, and all issues of it; files have neither moves nor days.

    Raises:
        BadInput: as `look`.

    """
    now = datetime.now(UTC)
    if not reads_database(datasets, dsn):
        found = look(datasets, dsn, tenant, evaluators, judge_model=judge_model, policy=policy)
        return found, _views(found, {}, Taxonomy({}), Path(), days, now)
    with open_tenant(dsn, tenant) as database:
        found = look_at(database, evaluators=evaluators, judge_model=judge_model, policy=policy, now=now)
        return found, views_of(database, found, days=days, affected_of=affected_of, now=now)


def views_of(
    database: TenantDatabase,
    found: Overview,
    folder: Path = Path(),
    *,
    days: int = SHOWN_DAYS,
    affected_of: int | None = None,
    now: datetime,
) -> list[IssueView]:
    """Return the issues of what was looked at in a database."""
    known = read_taxonomy(database, {i.failure_mode: i.id for i in found.known.issues})
    views = _views(found, histories(database), known, folder, days, now)
    sightings = found.known.sightings or {}
    return [
        replace(v, occurrences=replace(v.occurrences, affected=affected(database, sightings[v.issue.failure_mode])))
        if v.issue.id == affected_of and v.issue.failure_mode in sightings
        else v
        for v in views
    ]


def _views(  # noqa: PLR0917 - everything that was read
    found: Overview,
    moves: Mapping[int, Sequence[Transition]],
    known: Taxonomy,
    folder: Path,
    days: int,
    now: datetime,
) -> list[IssueView]:
    covered = cover(found.standings, found.known.labelled, found.known.options, disputed=found.known.disputed)
    gaps = {g.standing.issue.id: g for g in covered.gaps}
    cases = {c.case_id: c for c in found.known.cases}
    decided = dict(_decided(folder / LAST_REPORT))
    views = []
    for standing in found.standings:
        issue = standing.issue
        counted = Occurrences((), (), issue.occurrences)
        if found.known.sightings is not None:
            counted = count_occurrences(
                issue.failure_mode,
                found.known.sightings,
                found.production,
                issue.evaluators,
                today=now.astimezone(UTC).date(),
                days=days,
            )
        views.append(
            IssueView(
                issue=issue,
                standing=standing,
                transitions=tuple(moves.get(issue.id, ())),
                occurrences=counted,
                lineage=tuple(lineage_of(known, issue.id)),
                cases=tuple(cases[i] for i in issue.cases if i in cases),
                evaluators=standing.evaluators,
                gate_history=tuple(_gate_lines(issue, found.runs, decided)),
                next=next_step(standing, gaps.get(issue.id)),
                gap=gaps.get(issue.id),
                words=known.aliases(issue.failure_mode),
            )
        )
    return sorted(views, key=lambda v: order(v.standing, is_rising=v.occurrences.is_rising))


def coverage_of_views(views: Iterable[IssueView]) -> Coverage:
    """Return what is covered of the active issues of which these are views."""
    active = [v for v in views if v.issue.is_active]
    return coverage_of([v.standing for v in active if v.gap is None], [v.gap for v in active if v.gap is not None])


def order(standing: Standing, *, is_rising: bool = False) -> tuple[bool, int, bool, int, int]:
    """Return the place of an issue in a list: what stands in labels, by status, what rises, the frequent ones first."""
    issue = standing.issue
    place = FIRST.index(issue.status) if issue.status in FIRST else len(FIRST)
    return (not issue.occurrences, place, not is_rising, -issue.occurrences, issue.id)


def find_view(views: Sequence[IssueView], number: int, source: str = "the database") -> IssueView:
    """Return the view of one issue.

    Raises:
        BadInput: there is none, or it was merged into another.

    """
    for view in views:
        if view.issue.id == number:
            return view
    if (into := _keeper(views, number)) is not None:
        own = into.issue
        raise BadInput(
            f"issue {number} was merged into issue {own.id} ({own.failure_mode}). See: evalgate issues show {own.id}"
        )
    known = ", ".join(f"{v.issue.id} {v.issue.failure_mode}" for v in views[:10]) or "none"
    raise BadInput(f"there is no issue {number} in {source}. Known: {known}")


def _keeper(views: Iterable[IssueView], number: int) -> IssueView | None:
    """Return the issue that one was merged into; None: it was not."""
    return next((v for v in views if any(_merges(c, number) for c in v.lineage)), None)


def _merges(change: Change, number: int) -> bool:
    is_merge = change.action is Action.MERGED and not change.is_undone
    return is_merge and any(r.from_issue == number for r in change.rows)


def next_step(standing: Standing, gap: Gap | None) -> str | None:
    """Return what to do about an issue, with the command; None: nothing."""
    number, status = standing.issue.id, standing.issue.status
    if status is IssueStatus.REOPENED:
        return f"see what came back, and take it up: evalgate issues acknowledge {number}"
    if gap is not None:
        return gap.todo
    if not standing.issue.occurrences:
        return None
    if status is IssueStatus.COVERED:
        return "make its cases pass: evalgate run"
    if status is IssueStatus.FIXED:
        return f"does it hold in production? evalgate issues verify {number} --evidence"
    if status is IssueStatus.VERIFIED:
        return f'if it is done with: evalgate issues archive {number} --reason "…"'
    return None


def _gate_lines(issue: Issue, runs: Sequence[Run], decided: dict[str, str]) -> Iterator[GateLine]:
    """Yield what each run said of the issue's cases, by every evaluator that judged them, the latest first."""
    own = set(issue.cases)
    for run in reversed(runs):
        verdicts = [r.passed for r in run.results if r.case_id in own and r.passed is not None]
        if verdicts:
            status = decided.get(run.run_id) or ("pass" if all(verdicts) else "fail")
            yield GateLine(run.run_id, run.started_at, sum(verdicts), len(verdicts), status)


def _decided(path: Path) -> Iterator[tuple[str, str]]:
    """Yield what the last gate said, by run. A report that is damaged says nothing: it is written anew by the next."""
    if not path.is_file():
        return
    try:
        value: Any = read_json(path)
    except BadInput:
        return
    waiting = [value]
    while waiting:
        item = waiting.pop()
        if isinstance(item, list):
            waiting.extend(item)
        elif isinstance(item, dict):
            run = item.get("run")
            if isinstance(run, dict) and isinstance(run.get("run_id"), str) and isinstance(item.get("status"), str):
                yield run["run_id"], item["status"]
            else:
                waiting.extend(v for v in item.values() if isinstance(v, (dict, list)))
