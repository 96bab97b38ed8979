"""What drafts are made of, and what they must not repeat: from the database or from the files of the repository."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from evalgate.align.sources import known_of, read_known
from evalgate.database import DEFAULT_PATH, open_tenant
from evalgate.dataset.golden import GOLDEN
from evalgate.dataset.reading import read_leniently
from evalgate.dataset.store import DATASETS, list_names
from evalgate.errors import BadInput
from evalgate.issues.read import read_recorded
from evalgate.review.cases import list_cases
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
    remarks: tuple[str, ...] = ()
    """What is odd about them, in sentences without their full stops."""


def read_sources(asked: Asked, *, besides: Path | None = None, writes: bool = False, root: Path = DATASETS) -> Sources:
    """Return what drafts are made of; `besides` is a file that is written anew, and so is nothing that is there.

    `writes`: drafts will go into the database, so one that cannot be written to is told now, before a model is paid.

    Raises:
        BadInput: there is no labelled failure that fits, or the database cannot be written to.

    """
    if asked.is_database:
        with open_tenant(asked.dsn, asked.tenant, writes=writes) as database:
            known = known_of(database, read_recorded(database))
            there = [r.case for r in list_cases(database)]
    else:
        known = read_known([asked.dataset] if asked.dataset else [], asked.dsn, asked.tenant)
        there = list(known.cases)
    modes = _modes(asked, known.issues)
    bad = [c for c in known.cases if c.verdict is Verdict.BAD and c.provenance.synthesis is None]
    chosen = tuple(c for c in bad if not modes or c.failure_mode in modes)
    if not chosen:
        raise BadInput(_nothing(asked, modes, bad, len(known.cases), known.source))
    files = [root / f"{name}.jsonl" for name in list_names(root, drafts=True)]
    for path in (*files, *sorted(GOLDEN.glob("*.jsonl"))):
        if besides is None or path.resolve() != besides.resolve():
            there += read_leniently(path)[0]
    return Sources(chosen, tuple(there), known.source, known.remarks)


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
