"""`evalgate dataset build --from-run` and `evalgate dataset promote`: from a failure in a run to a case."""

from __future__ import annotations

import getpass
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from evalgate.database import DEFAULT_PATH, open_tenant
from evalgate.dataset.quarantine import add_drafts, promote_drafts, quarantine_path, read_drafts
from evalgate.dataset.reading import read_leniently
from evalgate.errors import BadInput
from evalgate.options import Json  # noqa: TC001 - typer reads it at run time
from evalgate.review.cases import CaseEvent, by_id, list_cases, record
from evalgate.terminal import Terminal, count_of, one_line
from schema.case import case_to_json

if TYPE_CHECKING:
    from evalgate.dataset.drafts import Drafts
    from schema.run import Run


@dataclass(frozen=True, slots=True)
class Where:
    """The database that was asked for, and who asks."""

    dsn: str | None
    tenant: str | None
    actor: str | None

    @property
    def is_database(self) -> bool:
        """Whether there is one: named, or of this folder."""
        return self.dsn is not None or (Path.cwd() / DEFAULT_PATH).is_dir()


def draft_from_run(terminal: Terminal, name: str, reference: str, where: Where, *, json: bool) -> None:
    """Make quarantined drafts of what a run failed.

    Raises:
        BadInput: there is no such run, or nothing in it failed.

    """
    # The way back: runs come after datasets, and their failures go into them again.
    from evalgate.dataset.drafts import drafts_of  # noqa: PLC0415 - see above
    from evalgate.run_files import load_run  # noqa: PLC0415 - see above

    _, run = load_run(reference)
    path = Path(run.dataset.path)
    drafts = drafts_of(run, read_leniently(path)[0] if path.is_file() else ())
    if not drafts.cases:
        told = f" ({drafts.known} failed what the case is there for, which is no news)" if drafts.known else ""
        raise BadInput(f"the run {run.run_id} failed nothing that is not in {run.dataset.name} already{told}")
    if where.is_database:
        added, known, place = _into_database(drafts, run, where)
        promote_with = "evalgate cases promote ID"
    else:
        drafted = add_drafts(name, drafts.cases)
        added, known, place = drafted.added, drafted.known, str(drafted.path)
        promote_with = f"evalgate dataset promote {name} ID"
    if json:
        terminal.emit(
            {
                "run_id": run.run_id,
                "place": place,
                "quarantined": list(added),
                "known": known + drafts.known,
                "without_input": drafts.without_input,
            }
        )
        return
    modes = {c.case_id: c.failure_mode for c in drafts.cases}
    for case_id in added:
        terminal.say(f"{case_id}  {one_line(modes[case_id] or '')}")
    aside = [f"{count_of(drafts.known, 'failure')} that the case is there for"] if drafts.known else []
    aside += [f"{known} drafted earlier"] if known else []
    aside += [f"{drafts.without_input} without a question"] if drafts.without_input else []
    told = f"; left out: {', '.join(aside)}" if aside else ""
    terminal.say(f"{count_of(len(added), 'draft')} quarantined in {place}{told}")
    if added:
        terminal.say(f"next: look at them, then {promote_with}")


def _into_database(drafts: Drafts, run: Run, where: Where) -> tuple[tuple[str, ...], int, str]:
    with open_tenant(where.dsn, where.tenant, writes=True) as database:
        known = by_id(list_cases(database, ids=[c.case_id for c in drafts.cases]))
        new = [c for c in drafts.cases if c.case_id not in known]
        reason = f"failed in run {run.run_id}"
        record(database, new, CaseEvent.CREATED, actor=where.actor or getpass.getuser(), reason=reason)
    return tuple(c.case_id for c in new), len(drafts.cases) - len(new), "the database"


def promote(
    name: Annotated[str, typer.Argument(help="The dataset whose drafts they are.")],
    drafts: Annotated[list[str] | None, typer.Argument(help="Ids of drafts, or the beginnings of some.")] = None,
    *,
    everything: Annotated[bool, typer.Option("--all", help="Every draft.")] = False,
    only_list: Annotated[bool, typer.Option("--list", help="List the drafts and promote none.")] = False,
    json: Json = False,
) -> None:
    """Let drafts of a file into their dataset; for those in the database it is evalgate cases promote."""
    terminal = Terminal()
    if only_list:
        found = read_drafts(name)
        if json:
            terminal.emit([case_to_json(c) for c in found])
        elif not found:
            terminal.say(f"No drafts in {quarantine_path(name)}. Make some: evalgate dataset build --from-run RUN")
        else:
            rows = [
                (
                    c.case_id,
                    c.failure_mode or "",
                    one_line(c.input.text or "", 60),
                    one_line(c.observed.output or "", 60),
                )
                for c in found
            ]
            terminal.table(("draft", "failure mode", "asked", "answered"), rows)
        return
    change = promote_drafts(name, drafts or [], everything=everything, at=datetime.now(UTC))
    dataset = change.dataset
    if json:
        terminal.emit(
            {"name": name, "version": dataset.version, "cases": len(dataset.cases), "added": list(change.added)}
        )
        return
    terminal.say(f"{name}: version {dataset.version}, {count_of(len(change.added), 'case')} promoted; commit it")
