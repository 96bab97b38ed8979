"""`evalgate dataset build --from-run`: from a failure in a run to a draft of a case."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from evalgate.database import open_tenant
from evalgate.dataset.quarantine import add_drafts
from evalgate.dataset.reading import read_leniently
from evalgate.errors import BadInput
from evalgate.review.cases import CaseEvent, by_id, list_cases, record
from evalgate.terminal import count_of, one_line

if TYPE_CHECKING:
    from evalgate.dataset.drafts import Drafts
    from evalgate.dataset.promote import Where
    from evalgate.terminal import Terminal
    from schema.run import Run


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
    drafts = drafts_of(run, read_leniently(path)[0] if path.is_file() else (), where.actor)
    if not drafts.cases:
        told = f" ({drafts.known} failed what the case is there for, which is no news)" if drafts.known else ""
        raise BadInput(f"the run {run.run_id} failed nothing that is not in {run.dataset.name} already{told}")
    if where.is_database:
        added, known, place = _into_database(drafts, run, where)
    else:
        drafted = add_drafts(name, drafts.cases)
        added, known, place = drafted.added, drafted.known, str(drafted.path)
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
        terminal.say("next: look at them (evalgate promote --list), then evalgate promote ID… --reason WHY")


def _into_database(drafts: Drafts, run: Run, where: Where) -> tuple[tuple[str, ...], int, str]:
    with open_tenant(where.dsn, where.tenant, writes=True) as database:
        known = by_id(list_cases(database, ids=[c.case_id for c in drafts.cases]))
        new = [c for c in drafts.cases if c.case_id not in known]
        record(database, new, CaseEvent.CREATED, actor=where.actor, reason=f"failed in run {run.run_id}")
    return tuple(c.case_id for c in new), len(drafts.cases) - len(new), "the database"
