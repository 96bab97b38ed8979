"""Where labelled cases and issues come from: the database, or the files of the repository."""

from __future__ import annotations

import shlex
from collections import Counter
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import TYPE_CHECKING

from evalgate.align.labelled import seen_hash
from evalgate.database import DEFAULT_PATH, open_tenant
from evalgate.dataset.store import load
from evalgate.errors import BadInput
from evalgate.issues.agreement import read_agreement
from evalgate.issues.read import read_recorded
from evalgate.issues.store import ISSUES, issues_of_cases, read_issues
from evalgate.review.disputes import disputed_modes, disputes, item_of
from evalgate.terminal import count_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence
    from pathlib import Path

    from evalgate.database import TenantDatabase
    from evalgate.dataset.store import Dataset
    from evalgate.issues.agreement import Agreement
    from evalgate.issues.read import Recorded
    from evalgate.issues.sightings import Sighting
    from schema.case import Case
    from schema.issue import Issue


@dataclass(frozen=True, slots=True)
class Known:
    """What is known of failures, and from where."""

    issues: tuple[Issue, ...]
    """By id; where they stand is what the source says, and no more."""
    cases: tuple[Case, ...]
    """Labelled; each once, told apart by id and by what was asked and answered."""
    source: str
    """In words."""
    datasets: tuple[str, ...] = ()
    """Names or files, where it is those."""
    remarks: tuple[str, ...] = ()
    """What is odd about the cases, in sentences without their full stops."""
    sightings: Mapping[str, Sequence[Sighting]] | None = None
    """Labelled traces by failure mode; None where it is not the database."""
    disputed: Mapping[str, int] = field(default_factory=lambda: MappingProxyType({}))
    """Traces on which reviewers differ, by failure mode that one of them names; none of them is among the cases."""
    agreement: Mapping[str, Agreement] = field(default_factory=lambda: MappingProxyType({}))
    """How far people agree with each other, by failure mode; only the database has what each of them said."""

    @property
    def labelled(self) -> tuple[Case, ...] | None:
        """The cases; None where nobody has them at hand to count them: there is the snapshot of issues alone."""
        return self.cases if self.sightings is not None else self.cases or None

    @property
    def options(self) -> str:
        """What a command has to be told to read the same; begins with a space unless it is nothing."""
        return "".join(f" --dataset {shlex.quote(name)}" for name in self.datasets)


def read_known(datasets: Sequence[str], dsn: str | None, tenant: str | None, *, snapshot: Path = ISSUES) -> Known:
    """Return the cases and issues of these datasets; with none, of the database.

    Without either, what `evals/issues.jsonl` says of issues.

    Raises:
        BadInput: there is neither a dataset, nor a database, nor a snapshot.

    """
    if datasets:
        found = [load(name) for name in datasets]
        cases = _each_once(found)
        issues = issues_of_cases(cases, read_issues(snapshot))
        source = " and ".join(d.name for d in found)
        return Known(tuple(issues), cases, source, tuple(datasets), tuple(_namesakes(cases)))
    if dsn is None and not DEFAULT_PATH.is_dir():
        if not snapshot.is_file():
            raise BadInput(
                f"there is no database here ({DEFAULT_PATH}), and no {snapshot}. Name files: --dataset NAME; or say "
                "where the database is: --dsn, EVALGATE_DSN; or start one: evalgate up"
            )
        return Known(read_issues(snapshot), (), str(snapshot))
    with open_tenant(dsn, tenant) as database:
        return known_of(database, read_recorded(database))


def known_of(database: TenantDatabase, recorded: Recorded) -> Known:
    """Return what the database knows; cases about which reviewers differ are left out, as of a golden dataset."""
    disputed = disputes(database)
    cases = tuple(r.case for r in recorded.cases)
    agreed = tuple(c for c in cases if item_of(c) not in disputed)
    return Known(
        recorded.issues,
        agreed,
        "the database",
        remarks=tuple(_disputed(len(cases) - len(agreed))),
        agreement=read_agreement(database),
        disputed=disputed_modes(disputed),
        sightings=recorded.sightings,
    )


def _each_once(datasets: Iterable[Dataset]) -> tuple[Case, ...]:
    """Return the cases of all of them. Where one is in several, its newest label counts, of equally new the last."""
    kept: dict[tuple[str, str], Case] = {}
    for case in (c for d in datasets for c in d.cases):
        before = kept.get((case.case_id, seen_hash(case)))
        if before is None or (case.provenance.labelled_at or "") >= (before.provenance.labelled_at or ""):
            kept[case.case_id, seen_hash(case)] = case
    return tuple(kept.values())


def _disputed(count: int) -> Iterator[str]:
    """Yield a remark where reviewers differ: what an evaluator should say there, nobody knows yet."""
    if count:
        are = "is" if count == 1 else "are"
        yield f"{count_of(count, 'case')} {are} left out, for reviewers differ; decide: evalgate label --adjudicate"


def _namesakes(cases: Iterable[Case]) -> Iterator[str]:
    """Yield a remark where different cases have one id."""
    count = Counter(c.case_id for c in cases)
    if shared := sorted(i for i, n in count.items() if n > 1):
        more = f" and {len(shared) - 1} more" if len(shared) > 1 else ""
        yield (
            f"{count_of(len(shared), 'id')} ({shared[0]}{more}) stand for different cases in these datasets: "
            "each is counted as the case that it is"
        )
