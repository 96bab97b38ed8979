"""Drafts of cases without a database: evals/datasets/<name>.quarantine.jsonl, beside the dataset they may join.

Nothing runs a quarantine and no gate reads it: a person promotes a draft (`evalgate promote`), which moves its line
into the dataset.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime
from typing import TYPE_CHECKING

from evalgate.dataset.build import as_twin
from evalgate.dataset.store import DATASETS, QUARANTINE, check_name, merge_cases, read_cases
from evalgate.errors import BadInput
from evalgate.files import alone, to_json_line, write_atomic
from evalgate.review.promotion import check_promotion
from schema.case import case_to_json

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from evalgate.dataset.store import Change
    from schema.case import Case
    from schema.draft import Approval


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
    with alone(root):
        before = read_drafts(name, root)
        known = {c.case_id for c in (*before, *(read_cases(dataset) if dataset.exists() else ()))}
        new = [c for c in drafts if c.case_id not in known]
        if new:
            write_drafts(path, (*before, *new))
    return Drafted(path, tuple(c.case_id for c in new), len(drafts) - len(new))


def promote_drafts(
    name: str, drafts: Sequence[Case], approval: Approval, source: Path, *, root: Path = DATASETS
) -> Change:
    """Move drafts of a file into a dataset. The dataset is written first; what is there already only leaves the file.

    What somebody else promoted meanwhile stays as he promoted it.

    A draft may ask what another case asks; both become one cluster, so that nobody counts them as two.

    Raises:
        BadInput: a file cannot be read or written; who approves had a variant made himself, or gives no reason.

    """
    check_promotion(drafts, actor=approval.by, reason=approval.reason)
    dataset = root / f"{check_name(name)}.jsonl"
    with alone(root):
        waiting = {c.case_id: c for c in read_cases(source)} if source.exists() else {}
        drafts = [waiting[c.case_id] for c in drafts if c.case_id in waiting]
        if not drafts:
            raise BadInput(f"{source} holds none of these drafts any more: somebody else promoted them meanwhile")
        there = read_cases(dataset) if dataset.exists() else ()
        known = {c.case_id for c in there}
        clusters = {c.cluster for c in drafts}
        twins = [t for c in there if (t := as_twin(c, clusters)) is not c]
        new = [_let_in(c, approval) for c in drafts if c.case_id not in known]
        at = datetime.fromisoformat(approval.at)
        change = merge_cases(name, [*new, *twins], criteria=None, at=at, root=root)
        for draft in drafts:
            del waiting[draft.case_id]
        write_drafts(source, list(waiting.values()))
    return change


def _let_in(draft: Case, approval: Approval) -> Case:
    return replace(draft, provenance=replace(draft.provenance, promoted=approval))


def write_drafts(path: Path, cases: Sequence[Case]) -> None:
    """Write a file of drafts by their ids; without any, there is no file.

    Raises:
        BadInput: it cannot be written.

    """
    if not cases:
        path.unlink(missing_ok=True)
        return
    write_atomic(path, "".join(to_json_line(case_to_json(c)) + "\n" for c in sorted(cases, key=lambda c: c.case_id)))
