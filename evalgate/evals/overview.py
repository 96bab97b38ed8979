"""All that is known of issues and evaluators, read once: what `issues`, `coverage` and `prune` look at."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from evalgate.align.sources import read_known
from evalgate.align.specs import load_specs
from evalgate.align.standing import permissions, standings
from evalgate.issues.store import read_issues
from evalgate.run_files import recent_runs
from schema.alignment import DEFAULT_POLICY

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from evalgate.align.sources import Known
    from evalgate.align.standing import Standing, Trusted
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
    known = read_known(datasets, dsn, tenant)
    trusted = permissions(load_specs(evaluators), judge_model=judge_model, policy=policy)
    runs = recent_runs()
    found = standings(known.issues, trusted, runs, before=read_issues())
    return Overview(known, tuple(found), tuple(trusted), tuple(runs))
