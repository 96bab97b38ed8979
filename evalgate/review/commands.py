"""`evalgate cases`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from evalgate.database import open_tenant
from evalgate.errors import BadInput
from evalgate.options import Dsn, Json, Tenant, new_app
from evalgate.review.actor import Decided, with_decided
from evalgate.review.cases import CaseEvent, CaseStatus, case_history, find_case, list_cases, record
from evalgate.review.disputes import disputed_items, item_of
from evalgate.review.promotion import disputed_words
from evalgate.review.show import print_case
from evalgate.terminal import Terminal, count_of, one_line
from schema.case import case_to_json

if TYPE_CHECKING:
    from evalgate.database import TenantDatabase
    from evalgate.review.cases import CaseRow

Mode = Annotated[str | None, typer.Option("--failure-mode", help="Only of this failure mode.")]


def register(app: typer.Typer) -> None:
    """Add the commands."""
    cases = new_app("Cases: quarantined until a person promotes them.")
    cases.command("list")(cases_list)
    cases.command("show")(cases_show)
    cases.command("promote")(cases_promote)
    cases.command("reject")(cases_reject)
    app.add_typer(cases, name="cases")


def cases_list(
    *,
    status: Annotated[CaseStatus | None, typer.Option(help="Only these.")] = None,
    failure_mode: Mode = None,
    tenant: Tenant = None,
    dsn: Dsn = None,
    json: Json = False,
) -> None:
    """List cases and where they stand: by status, failure mode, then time."""
    terminal = Terminal()
    with open_tenant(dsn, tenant) as database:
        found = list_cases(database, status=status, failure_mode=failure_mode)
    places = {s: place for place, s in enumerate(CaseStatus)}
    rows = sorted(found, key=lambda r: (places[r.status], r.case.failure_mode or "", r.created_at))
    if json:
        terminal.emit([{"status": r.status, "created_at": r.created_at, **case_to_json(r.case)} for r in rows])
        return
    if not rows:
        terminal.say("No cases. Label flagged traces to make some: evalgate label")
        return
    terminal.table(
        ("case", "status", "verdict", "failure mode", "trace", "asked"),
        [
            (
                r.case.case_id,
                r.status,
                r.case.verdict or "",
                r.case.failure_mode or "",
                (r.case.provenance.trace_id or "")[:16],
                one_line(r.case.input.text or "", 60),
            )
            for r in rows
        ],
    )
    counts = ", ".join(f"{sum(r.status is s for r in rows)} {s}" for s in CaseStatus)
    terminal.say(f"{count_of(len(rows), 'case')}: {counts}")
    if any(r.status is CaseStatus.QUARANTINED for r in rows):
        terminal.say("next: evalgate cases promote ID…|--all")


def cases_show(
    case: Annotated[str, typer.Argument(help="A case id, or the beginning of one.")],
    *,
    tenant: Tenant = None,
    dsn: Dsn = None,
    json: Json = False,
) -> None:
    """Read one case and what happened to it."""
    terminal = Terminal()
    with open_tenant(dsn, tenant) as database:
        row = find_case(database, case)
        history = case_history(database, row.case.case_id)
    if json:
        terminal.emit({"status": row.status, **case_to_json(row.case), "history": history})
    else:
        print_case(terminal, row, history)


@with_decided
def cases_promote(
    cases: Annotated[list[str] | None, typer.Argument(help="Case ids, or the beginnings of some.")] = None,
    *,
    everything: Annotated[bool, typer.Option("--all", help="Every quarantined case that is labelled.")] = False,
    failure_mode: Mode = None,
    decided: Decided,
) -> None:
    """Let quarantined cases into datasets. Drafts, which nobody labelled, have to be named: see evalgate promote."""
    terminal = Terminal()
    with decided.open() as database:
        chosen = _choose(database, cases or [], everything=everything, failure_mode=failure_mode)
        if everything:
            chosen, drafts = [r for r in chosen if not r.case.provenance.is_draft], len(chosen)
            if left := drafts - len(chosen):
                terminal.note(f"left out: {count_of(left, 'draft')}. Look at them: evalgate promote --list")
        new = [r for r in chosen if r.status is not CaseStatus.PROMOTED]
        items = disputed_items(database) if new else frozenset()
        if disputed := [r for r in new if not r.case.provenance.is_draft and item_of(r.case) in items]:
            terminal.note(disputed_words(len(disputed), are_left_out=everything))
            if everything:
                new = [r for r in new if r not in disputed]
                chosen = [r for r in chosen if r not in disputed]
        record(database, [r.case for r in new], CaseEvent.PROMOTED, actor=decided.who, reason=decided.reason)
    _tell(terminal, "promoted", new, len(chosen) - len(new), json=decided.json)
    if new and not decided.json:
        terminal.say("next: evalgate dataset build --name NAME")


@with_decided
def cases_reject(
    cases: Annotated[list[str], typer.Argument(help="Case ids, or the beginnings of some.")],
    *,
    decided: Decided,
) -> None:
    """Keep cases out of datasets that are built from now on."""
    terminal = Terminal()
    with decided.open() as database:
        chosen = _choose(database, cases, everything=False, failure_mode=None)
        new = [r for r in chosen if r.status is not CaseStatus.REJECTED]
        record(database, [r.case for r in new], CaseEvent.REJECTED, actor=decided.who, reason=decided.reason)
    _tell(terminal, "rejected", new, len(chosen) - len(new), json=decided.json)


def _choose(
    database: TenantDatabase, prefixes: list[str], *, everything: bool, failure_mode: str | None
) -> list[CaseRow]:
    if everything == bool(prefixes):
        raise BadInput("name cases, or say --all for every quarantined one (--failure-mode narrows it)")
    if everything:
        return list_cases(database, status=CaseStatus.QUARANTINED, failure_mode=failure_mode)
    found = [find_case(database, p) for p in prefixes]
    return list({r.case.case_id: r for r in found if failure_mode in (None, r.case.failure_mode)}.values())


def _tell(terminal: Terminal, verb: str, new: list[CaseRow], already: int, *, json: bool) -> None:
    if json:
        terminal.emit({verb: [r.case.case_id for r in new], "already": already})
        return
    terminal.say(f"{verb}: {len(new)}{f' ({already} already)' if already else ''}")
