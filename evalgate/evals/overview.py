"""All that is known of issues and evaluators, read once: what `issues`, `coverage` and `prune` look at."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from evalgate.align.sources import known_of, read_known
from evalgate.align.specs import load_specs
from evalgate.align.standing import Evidence, permissions, standings
from evalgate.align.store import ALIGNMENT
from evalgate.database import DEFAULT_PATH, open_tenant
from evalgate.issues.moves import update
from evalgate.issues.production import Production, read_production
from evalgate.issues.read import read_recorded
from evalgate.places import EVALUATORS
from evalgate.run_files import RUNS, RunShelf
from schema.alignment import DEFAULT_POLICY
from schema.errors import EvalgateError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from evalgate.align.sources import Known
    from evalgate.align.standing import Standing, Trusted
    from evalgate.database import TenantDatabase
    from schema.alignment import PermissionPolicy
    from schema.run import Run


@dataclass(frozen=True, slots=True)
class Overview:
    """Issues with where they stand, evaluators with what they may do, and the runs."""

    known: Known
    standings: tuple[Standing, ...]
    """By issue."""
    trusted: tuple[Trusted, ...]
    runs: tuple[Run, ...]
    """The newest last."""
    production: Production
    """What evaluators said of production; empty where it is not the database."""


def look(
    datasets: Sequence[str],
    dsn: str | None,
    tenant: str | None,
    evaluators: Path,
    *,
    judge_model: str | None = None,
    policy: PermissionPolicy = DEFAULT_POLICY,
) -> Overview:
    """Read everything.

    Raises:
        BadInput: a file is wrong, or there is nothing to read issues from.

    """
    if not reads_database(datasets, dsn):
        known = read_known(datasets, dsn, tenant)
        trusted = permissions(load_specs(evaluators), judge_model=judge_model, policy=policy)
        runs = RunShelf().recent()
        found = standings(known.issues, trusted, runs)
        return Overview(known, tuple(found), tuple(trusted), tuple(runs), Production())
    with open_tenant(dsn, tenant) as database:
        return look_at(database, evaluators=evaluators, judge_model=judge_model, policy=policy)


def reads_database(datasets: Sequence[str], dsn: str | None) -> bool:
    """Tell whether a command that was told so reads the database, and not files."""
    return not datasets and (dsn is not None or DEFAULT_PATH.is_dir())


def look_at(
    database: TenantDatabase,
    folder: Path = Path(),
    *,
    evaluators: Path = EVALUATORS,
    judge_model: str | None = None,
    policy: PermissionPolicy = DEFAULT_POLICY,
    shelf: RunShelf | None = None,
    now: datetime | None = None,
) -> Overview:
    """Read everything of a database and of the project in a folder; record the automatic moves of issues that are due.

    Who may only read is shown the issues as they stand; somebody who may write records it when he looks.

    Raises:
        BadInput: a file is wrong.

    """
    now = now or datetime.now(UTC)
    recorded = read_recorded(database)
    trusted = permissions(
        load_specs(folder / evaluators), judge_model=judge_model, folder=folder / ALIGNMENT, policy=policy
    )
    runs = (shelf or RunShelf(folder / RUNS)).recent()
    production = read_production(database, [t.spec.id for t in trusted], now)
    evidence = Evidence(recorded.sightings, production)
    found = standings(recorded.issues, trusted, runs, evidence)
    with suppress(EvalgateError):
        if update(database, found):
            recorded = read_recorded(database)
            found = standings(recorded.issues, trusted, runs, evidence)
    return Overview(known_of(database, recorded), tuple(found), tuple(trusted), tuple(runs), production)
