"""What drafts are made of, and what they must not repeat: from the database or from the files of the repository."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from evalgate.align.sources import read_known
from evalgate.database import DEFAULT_PATH, open_tenant
from evalgate.dataset.reading import read_leniently
from evalgate.dataset.store import DATASETS, list_names
from evalgate.errors import BadInput
from evalgate.issues.read import list_issues
from evalgate.review.cases import CaseStatus, list_cases
from schema.verdict import Verdict

if TYPE_CHECKING:
    from pathlib import Path

    from schema.case import Case
    from schema.issue import Issue


@dataclass(frozen=True, slots=True)
class Asked:
    """Where to look, and for what."""

    dataset: str | None
    failure_modes: tuple[str, ...]
    issue: int | None
    dsn: str | None
    tenant: str | None

    @property
    def is_database(self) -> bool:
        """Whether the database has the labels: no dataset is named, and there is one."""
        return self.dataset is None and (self.dsn is not None or DEFAULT_PATH.is_dir())


@dataclass(frozen=True, slots=True)
class Sources:
    """Labelled failures, and everything there is."""

    cases: tuple[Case, ...]
    """Bad ones of the wanted failure modes."""
    there: tuple[Case, ...]
    """Every case of the database, whatever became of it, and of every file of the project, quarantines too."""
    told: str
    """Where they are from, in words."""


def read_sources(asked: Asked, *, besides: Path | None = None, writes: bool = False, root: Path = DATASETS) -> Sources:
    """Return what drafts are made of; `besides` is a file that is written anew, and so is nothing that is there.

    `writes`: drafts will go into the database, so one that cannot be written to is told now, before a model is paid.

    Raises:
        BadInput: there is no labelled failure that fits, or the database cannot be written to.

    """
    if asked.is_database:
        with open_tenant(asked.dsn, asked.tenant, writes=writes) as database:
            rows, issues = list_cases(database), tuple(list_issues(database))
        cases = [r.case for r in rows if r.status is not CaseStatus.REJECTED]
        there, told = [r.case for r in rows], "the database"
    else:
        known = read_known([asked.dataset] if asked.dataset else [], asked.dsn, asked.tenant)
        cases, issues, told = list(known.cases), known.issues, known.source
        there = list(cases)
    modes = _modes(asked, issues)
    bad = [c for c in cases if c.verdict is Verdict.BAD and c.provenance.synthesis is None]
    chosen = tuple(c for c in bad if not modes or c.failure_mode in modes)
    if not chosen:
        raise BadInput(_nothing(asked, modes, bad, len(cases), told))
    for name in list_names(root, drafts=True):
        path = root / f"{name}.jsonl"
        if besides is None or path.resolve() != besides.resolve():
            there += read_leniently(path)[0]
    return Sources(chosen, tuple(there), told)


def _modes(asked: Asked, issues: tuple[Issue, ...]) -> frozenset[str]:
    if asked.issue is None:
        return frozenset(asked.failure_modes)
    found = next((i for i in issues if i.id == asked.issue), None)
    if found is None:
        raise BadInput(f"there is no issue {asked.issue}. List them: evalgate issues list")
    return frozenset({found.failure_mode, *asked.failure_modes})


def _nothing(asked: Asked, modes: frozenset[str], bad: list[Case], cases: int, source: str) -> str:
    where = source if asked.dataset or asked.is_database else f"{source}, which has no cases"
    if not bad:
        if not asked.dataset and not asked.is_database:
            return f"{where}: name a dataset with labelled cases: --dataset NAME, or start a database: evalgate up"
        return f"{where} has {cases} cases and none that is labelled bad. Label failing traces: evalgate label"
    there = sorted({c.failure_mode for c in bad if c.failure_mode})
    wanted = ", ".join(sorted(modes))
    return f"{where} has no case labelled bad with the failure mode {wanted!r}. There are: {', '.join(there) or 'none'}"
