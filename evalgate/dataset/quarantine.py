"""Drafts of cases without a database: evals/datasets/<name>.quarantine.jsonl, beside the dataset they may join.

Nothing runs a quarantine and no gate reads it: a person promotes a draft (`evalgate dataset promote`), which moves its
line into the dataset.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from evalgate.dataset.store import DATASETS, QUARANTINE, add_cases, check_name, read_cases
from evalgate.errors import BadInput
from evalgate.files import to_json_line, write_atomic
from schema.case import case_to_json

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence
    from datetime import datetime
    from pathlib import Path

    from evalgate.dataset.store import Change
    from schema.case import Case


@dataclass(frozen=True, slots=True)
class Drafted:
    """What was put into a quarantine."""

    path: Path
    added: tuple[str, ...]
    known: int
    """Drafts that were there already, or in the dataset itself."""


def quarantine_path(name: str, root: Path = DATASETS) -> Path:
    """Return the file of a dataset's drafts."""
    return root / f"{check_name(name)}{QUARANTINE}.jsonl"


def read_drafts(name: str, root: Path = DATASETS) -> tuple[Case, ...]:
    """Read a dataset's drafts; none where there is no file.

    Raises:
        BadInput: a line that is no case.

    """
    path = quarantine_path(name, root)
    return read_cases(path) if path.exists() else ()


def add_drafts(name: str, drafts: Sequence[Case], root: Path = DATASETS) -> Drafted:
    """Put drafts into quarantine; one whose id is there, or in the dataset, stays as it is.

    Raises:
        BadInput: a file cannot be read or written.

    """
    path, dataset = quarantine_path(name, root), root / f"{check_name(name)}.jsonl"
    before = read_drafts(name, root)
    known = {c.case_id for c in (*before, *(read_cases(dataset) if dataset.exists() else ()))}
    new = [c for c in drafts if c.case_id not in known]
    if new:
        _write(path, (*before, *new))
    return Drafted(path, tuple(c.case_id for c in new), len(drafts) - len(new))


def promote_drafts(
    name: str, wanted: Collection[str], *, everything: bool, at: datetime, root: Path = DATASETS
) -> Change:
    """Move drafts into their dataset: those whose ids begin so, or all. The dataset is written first.

    A draft asks what another case asks; both become one cluster, so that nobody counts them as two.

    Raises:
        BadInput: there is no such draft, or several begin so.

    """
    drafts = read_drafts(name, root)
    if not drafts:
        raise BadInput(
            f"{quarantine_path(name, root)} holds no drafts. Make some: evalgate dataset build --from-run RUN"
        )
    chosen = list(drafts) if everything else [_one(drafts, w) for w in wanted]
    if not chosen:
        raise BadInput("name the drafts to promote, or --all. List them: evalgate dataset promote NAME --list")
    dataset = root / f"{check_name(name)}.jsonl"
    clusters = {c.cluster for c in chosen}
    twins = [
        replace(c, cluster=c.case_id)
        for c in (read_cases(dataset) if dataset.exists() else ())
        if c.cluster is None and c.case_id in clusters
    ]
    change = add_cases(name, [*chosen, *twins], criteria=None, at=at, root=root)
    ids = {c.case_id for c in chosen}
    _write(quarantine_path(name, root), [c for c in drafts if c.case_id not in ids])
    return change


def _one(drafts: Sequence[Case], prefix: str) -> Case:
    found = [c for c in drafts if c.case_id.startswith(prefix) or c.case_id.startswith(f"case-{prefix}")]
    if not found:
        raise BadInput(f"no draft begins with {prefix!r}. List them: evalgate dataset promote NAME --list")
    if len(found) > 1 and not any(c.case_id == prefix for c in found):
        raise BadInput(f"{prefix!r} is not unique: {', '.join(c.case_id for c in found[:4])}. Give more digits")
    return next((c for c in found if c.case_id == prefix), found[0])


def _write(path: Path, cases: Sequence[Case]) -> None:
    if not cases:
        path.unlink(missing_ok=True)
        return
    write_atomic(path, "".join(to_json_line(case_to_json(c)) + "\n" for c in sorted(cases, key=lambda c: c.case_id)))
