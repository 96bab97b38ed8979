"""`evalgate promote`: let cases and drafts into datasets, from the database and from files, each with its reason.

place                                   who put it there                           where it goes
the database, quarantined               a label, dataset build --from-run,         promoted there; dataset build
                                        synthesize                                 writes it
evals/datasets/NAME.quarantine.jsonl    the last two, without a database           NAME.jsonl
any file of drafts (--from FILE)        synthesize --out                           the dataset of --dataset
"""

from __future__ import annotations

from contextlib import ExitStack
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from evalgate.database import DEFAULT_PATH, open_tenant
from evalgate.dataset.quarantine import promote_drafts, quarantine_path
from evalgate.dataset.reading import read_leniently
from evalgate.dataset.store import DATASETS, QUARANTINE, list_names, read_cases
from evalgate.errors import BadInput
from evalgate.options import Dsn, Json, Tenant  # noqa: TC001 - typer reads them at run time
from evalgate.review.actor import actor_or_user
from evalgate.review.cases import CaseEvent, CaseRow, CaseStatus, by_id, list_cases, record
from evalgate.review.disputes import disputed_items, item_of
from evalgate.review.promotion import check_promotion, disputed_words, is_own
from evalgate.review.show import print_case, print_text
from evalgate.terminal import Terminal, count_of, one_line
from schema.case import case_to_json
from schema.draft import Approval

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from evalgate.database import TenantDatabase
    from evalgate.dataset.store import Change
    from schema.case import Case

PREFIX = "case-"
SHOWN_CHARS = 60
SHOWN_IDS = 4


@dataclass(frozen=True, slots=True)
class Where:
    """The database that was asked for, and who asks."""

    dsn: str | None
    tenant: str | None
    actor: str

    @property
    def is_database(self) -> bool:
        """Whether there is one: named, or of this folder."""
        return self.dsn is not None or (Path.cwd() / DEFAULT_PATH).is_dir()


@dataclass(frozen=True, slots=True)
class Waiting:
    """A case that could be promoted, and where it lies."""

    case: Case
    file: Path | None
    """Its quarantine; None: the database."""
    dataset: str | None = None
    """Where it would go; None: the database decides when a dataset is built."""
    is_promoted: bool = False
    is_disputed: bool = False
    """Reviewers differ about its trace, and nobody has decided."""

    @property
    def is_synthetic(self) -> bool:
        """Whether it is a variant of another case."""
        return self.case.provenance.is_variant


@dataclass(frozen=True, slots=True)
class Asked:
    """What is to be promoted, by whom and why."""

    ids: tuple[str, ...]
    actor: str
    reason: str
    everything: bool
    synthetic: bool


@dataclass(frozen=True, slots=True)
class Done:
    """What was promoted."""

    new: tuple[Waiting, ...]
    already: int
    own: int
    """Drafts that the actor had made himself, left out."""
    disputed: int
    """Cases about which reviewers differ: left out of all, let in where they were named."""
    changes: tuple[Change, ...]
    """Of datasets on disk."""


def promote(
    cases: Annotated[list[str] | None, typer.Argument(metavar="ID", help="Ids, or the beginnings of some.")] = None,
    *,
    reason: Annotated[str, typer.Option("--reason", help="Why these are good cases; it is kept with them.")] = "",
    everything: Annotated[bool, typer.Option("--all", help="All that wait, synthesized drafts apart.")] = False,
    synthetic: Annotated[
        bool, typer.Option("--synthetic", help="With --all or --list: synthesized drafts, and no others.")
    ] = False,
    failure_mode: Annotated[str | None, typer.Option("--failure-mode", help="Only of this failure mode.")] = None,
    dataset: Annotated[
        str | None, typer.Option("--dataset", metavar="NAME", help="Only drafts in the file beside this dataset.")
    ] = None,
    source: Annotated[
        Path | None, typer.Option("--from", metavar="FILE", help="Drafts of this file, into --dataset.")
    ] = None,
    only_list: Annotated[
        bool, typer.Option("--list", help="List what waits, with ID show it whole; promote nothing.")
    ] = False,
    actor: Annotated[
        str | None,
        typer.Option("--actor", "--by", help="Who decides this.  [default: your user name]", show_default=False),
    ] = None,
    tenant: Tenant = None,
    dsn: Dsn = None,
    json: Json = False,
) -> None:
    """Let cases and drafts into datasets, with a reason. Nobody lets in a draft that he had synthesized himself."""
    terminal = Terminal()
    where = Where(dsn, tenant, actor_or_user(actor))
    asked = Asked(tuple(cases or ()), where.actor, reason.strip(), everything, synthetic)
    if source is not None and dataset is None:
        raise BadInput(f"say which dataset the drafts of {source} go into: --dataset NAME")
    with ExitStack() as stack:
        database = None
        if dataset is None and where.is_database:
            database = stack.enter_context(open_tenant(dsn, tenant, writes=not only_list))
        named = None if everything or only_list else asked.ids
        found = [*(_in_database(database, named) if database else ()), *_in_files(dataset, source)]
        waiting = [w for w in found if failure_mode in (None, w.case.failure_mode)]
        if only_list:
            open_ = [w for w in waiting if not (w.is_promoted or (synthetic and not w.is_synthetic))]
            if asked.ids:
                _show(terminal, [_one(open_, i) for i in asked.ids], _all_cases(database, dataset), json=json)
            else:
                _list(terminal, open_, json=json)
            return
        done = _decide(waiting, asked, database)
    if done.disputed:
        terminal.note(disputed_words(done.disputed, are_left_out=everything))
    if json:
        terminal.emit(
            {
                "promoted": [w.case.case_id for w in done.new],
                "already": done.already,
                "own_drafts": done.own,
                "disputed": done.disputed,
                "datasets": [
                    {"name": c.dataset.name, "version": c.dataset.version, "added": list(c.added)} for c in done.changes
                ],
            }
        )
        return
    terminal.say(f"promoted: {len(done.new)}{f' ({done.already} already)' if done.already else ''}")
    if done.own:
        terminal.say(f"left out: {count_of(done.own, 'draft')} that {where.actor} had made; somebody else has to look")
    for change in done.changes:
        d = change.dataset
        terminal.say(f"{d.name}: version {d.version}, {count_of(len(change.added), 'case')} added; commit {d.path}")
    if any(w.file is None for w in done.new):
        terminal.say("next: evalgate dataset build --name NAME")


def _decide(waiting: Sequence[Waiting], asked: Asked, database: TenantDatabase | None) -> Done:
    """Promote what is asked for, all of it or nothing.

    Raises:
        BadInput: nothing is asked for, or it may not be promoted.

    """
    if asked.everything == bool(asked.ids):
        raise BadInput("name cases, or say --all. What waits: evalgate promote --list")
    if not asked.reason:
        raise BadInput("say why these are good cases: --reason WHY. It is kept with them")
    own = disputed = 0
    if asked.everything:
        fitting = [w for w in waiting if not w.is_promoted and w.is_synthetic is asked.synthetic]
        agreed = [w for w in fitting if not w.is_disputed]
        chosen = [w for w in agreed if not is_own(w.case, asked.actor)]
        own, disputed = len(agreed) - len(chosen), len(fitting) - len(agreed)
        if not chosen:
            raise BadInput(_nothing(waiting, asked, own, disputed))
    else:
        chosen = list({w.case.case_id: w for w in (_one(waiting, i) for i in asked.ids)}.values())
    new = tuple(w for w in chosen if not w.is_promoted)
    if not asked.everything:
        disputed = sum(w.is_disputed for w in new)
    check_promotion([w.case for w in new], actor=asked.actor, reason=asked.reason)
    at = datetime.now(UTC).isoformat(timespec="seconds")
    changes = _into_files(new, Approval(asked.actor, at, asked.reason))
    in_database = [w.case for w in new if w.file is None]
    if database is not None and in_database:
        record(database, in_database, CaseEvent.PROMOTED, actor=asked.actor, reason=asked.reason)
    return Done(new, len(chosen) - len(new), own, disputed, tuple(changes))


def _into_files(chosen: Iterable[Waiting], approval: Approval) -> list[Change]:
    groups: dict[tuple[Path, str], list[Case]] = {}
    for w in chosen:
        if w.file is not None and w.dataset is not None:
            groups.setdefault((w.file, w.dataset), []).append(w.case)
    return [promote_drafts(name, drafts, approval, file) for (file, name), drafts in sorted(groups.items())]


def _in_files(dataset: str | None, source: Path | None) -> list[Waiting]:
    if source is not None:
        return [Waiting(c, source, dataset) for c in read_cases(source)]
    if dataset is not None:
        names = [dataset]
    else:
        names = [n.removesuffix(QUARANTINE) for n in list_names(drafts=True) if n.endswith(QUARANTINE)]
    paths = [(name, quarantine_path(name)) for name in names]
    return [Waiting(c, path, name) for name, path in paths if path.is_file() for c in read_cases(path)]


def _in_database(database: TenantDatabase, ids: Sequence[str] | None) -> list[Waiting]:
    """Return the cases whose ids begin so; with None, those that are quarantined."""
    if ids is None:
        rows = list_cases(database, status=CaseStatus.QUARANTINED)
    else:
        found = [r for i in dict.fromkeys(ids) for r in list_cases(database, prefix=_full(i))]
        rows = list(by_id(found).values())
    disputed = disputed_items(database) if rows else frozenset()
    return [
        Waiting(
            r.case,
            None,
            is_promoted=r.status is CaseStatus.PROMOTED,
            is_disputed=not r.case.provenance.is_draft and item_of(r.case) in disputed,
        )
        for r in rows
    ]


def _one(waiting: Sequence[Waiting], prefix: str) -> Waiting:
    found = [w for w in waiting if w.case.case_id.startswith(_full(prefix))]
    exact = [w for w in found if w.case.case_id == _full(prefix)]
    if not found:
        raise BadInput(f"no case or draft begins with {prefix!r}. What waits: evalgate promote --list")
    if len(exact or found) > 1:
        places = ", ".join(f"{w.case.case_id} ({w.file or 'the database'})" for w in found[:SHOWN_IDS])
        raise BadInput(f"{prefix!r} is not unique: {places}. Give more digits, or --dataset NAME for those of a file")
    return (exact or found)[0]


def _full(prefix: str) -> str:
    return prefix if prefix.startswith(PREFIX) else f"{PREFIX}{prefix}"


def _nothing(waiting: Sequence[Waiting], asked: Asked, own: int, disputed: int) -> str:
    if disputed:
        return f"nothing was promoted; {disputed_words(disputed, are_left_out=True)}"
    if own:
        return (
            f"nothing was promoted: {asked.actor!r} had all {own} of these drafts made, and nobody lets in his own. "
            "Somebody else has to look at them: --actor NAME"
        )
    others = sum(not w.is_promoted for w in waiting)
    if others and not asked.synthetic:
        drafts = count_of(others, "synthesized draft")
        return f"only {drafts} wait. Look at them (evalgate promote --list) and name them, or say --all --synthetic"
    if asked.synthetic:
        return "no synthesized draft waits. Make some: evalgate synthesize"
    return "nothing waits. Label traces: evalgate label; or make drafts: evalgate synthesize"


def _list(terminal: Terminal, waiting: Sequence[Waiting], *, json: bool) -> None:
    if json:
        terminal.emit([{"place": str(w.file or "the database"), **case_to_json(w.case)} for w in waiting])
        return
    if not waiting:
        terminal.say("Nothing waits. Label traces: evalgate label; or make drafts: evalgate synthesize")
        return
    terminal.table(
        ("case", "made by", "how", "failure mode", "place", "asked"),
        [
            (
                w.case.case_id,
                one_line(w.case.provenance.drafted_by or w.case.provenance.annotator or "", 16),
                how(w.case),
                one_line(w.case.failure_mode or "", 30) + " (disputed)" * w.is_disputed,
                w.file.name if w.file else "database",
                one_line(w.case.input.text or "", SHOWN_CHARS),
            )
            for w in waiting
        ],
    )
    terminal.say(f"{count_of(len(waiting), 'case')} waiting. One of them whole: evalgate promote --list ID")
    terminal.say("next: evalgate promote ID… --reason WHY")


def _show(terminal: Terminal, waiting: Sequence[Waiting], sources: Mapping[str, Case], *, json: bool) -> None:
    """Print cases whole, each with what its source asked: what one has to read before one lets a draft in."""
    if json:
        _list(terminal, waiting, json=True)
        return
    for w in waiting:
        print_case(terminal, CaseRow(w.case, CaseStatus.QUARANTINED, ""), [])
        made = w.case.provenance.synthesis
        source = sources.get(made.case_id) if made else None
        if source is not None:
            print_text(terminal, "its source asked", source.input.text or "")
            print_text(terminal, "and was answered wrongly", source.observed.output or "")
        terminal.say()


def _all_cases(database: TenantDatabase | None, dataset: str | None) -> dict[str, Case]:
    """Return the cases that drafts may be made of, by id; a line that is no case has none."""
    names = [dataset] if dataset is not None else list_names()
    paths = [p for name in names if (p := DATASETS / f"{name}.jsonl").is_file()]
    found = [c for path in paths for c in read_leniently(path)[0]]
    found += [r.case for r in list_cases(database)] if database is not None else []
    return {c.case_id: c for c in found}


def how(case: Case) -> str:
    """Return how a case that waits came about, in a word or two."""
    made = case.provenance
    if made.synthesis is not None and made.is_variant:
        return one_line(f"{made.synthesis.dimension}={made.synthesis.value}", 30)
    return "failed in a run" if made.run_id else "labelled" if made.annotator else "by hand"
