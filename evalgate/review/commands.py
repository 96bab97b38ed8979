"""`evalgate label` and `evalgate cases`."""

from __future__ import annotations

import getpass
import sys
from datetime import UTC, datetime
from pathlib import Path  # noqa: TC003 - typer reads it at run time
from typing import TYPE_CHECKING, Annotated

import typer

from evalgate.database import open_tenant
from evalgate.errors import BadInput
from evalgate.options import Dsn, Json, Since, Tenant, new_app, since_time
from evalgate.review.cases import CaseEvent, CaseStatus, case_history, find_case, list_cases, record
from evalgate.review.labels import Faulty, drafts_of, read_labels, save, undo, unlabelled
from evalgate.review.show import print_case
from evalgate.select.recent import started_since
from evalgate.select.traces import count_traces, resolve_trace
from evalgate.select.where import Where
from evalgate.terminal import Terminal, count_of, one_line
from schema.case import case_to_json

if TYPE_CHECKING:
    from collections.abc import Sequence

    from evalgate.database import TenantDatabase
    from evalgate.review.cases import CaseRow
    from evalgate.review.labels import Draft

MAX_FAULTS_SHOWN = 20

Annotator = Annotated[
    str | None, typer.Option("--annotator", help="Whose word it is.  [default: your user name]", show_default=False)
]
Actor = Annotated[
    str | None, typer.Option("--actor", help="Who decides this.  [default: your user name]", show_default=False)
]
Mode = Annotated[str | None, typer.Option("--failure-mode", help="Only of this failure mode.")]


def register(app: typer.Typer) -> None:
    """Add the commands."""
    app.command("label")(label)
    cases = new_app("Cases: quarantined until a person promotes them.")
    cases.command("list")(cases_list)
    cases.command("show")(cases_show)
    cases.command("promote")(cases_promote)
    cases.command("reject")(cases_reject)
    app.add_typer(cases, name="cases")


def label(
    traces: Annotated[
        list[str] | None,
        typer.Argument(metavar="TRACE", help="Traces to label, flagged or not: ids, or the beginnings of some."),
    ] = None,
    *,
    source: Annotated[
        Path | None,
        typer.Option(
            "--from",
            metavar="FILE",
            help='Import labels: one {"trace_id", "verdict", "failure_mode"?, "corrected_output"?, "comment"?, '
            '"span_id"?, "annotator"?} per line.',
        ),
    ] = None,
    partial: Annotated[bool, typer.Option("--partial", help="With --from: save what is right.")] = False,
    undo_count: Annotated[int, typer.Option("--undo", min=0, help="Undo your last N labels.", metavar="N")] = 0,
    annotator: Annotator = None,
    since: Since = None,
    tenant: Tenant = None,
    dsn: Dsn = None,
    json: Json = False,
) -> None:
    """Label traces by keyboard or from a file: those you name, else the flagged ones that nobody has labelled.

    Every label makes a quarantined case.
    """
    terminal, who = Terminal(), annotator or _user()
    ways = [w for w, asked in (("TRACE", traces), ("--from", source), ("--undo", undo_count)) if asked]
    if len(ways) > 1:
        raise BadInput(f"{' and '.join(ways)} exclude each other")
    with open_tenant(dsn, tenant, writes=True) as database:
        if source is not None:
            _import(terminal, database, source, who, partial=partial, json=json)
        elif undo_count:
            _undo(terminal, database, undo_count, who, json=json)
        elif json:
            raise BadInput("label --json needs --from or --undo")
        elif not sys.stdin.isatty():
            raise BadInput("label by keyboard needs a terminal; import labels with --from FILE.jsonl")
        else:
            _walk(terminal, database, who, traces or [], since_time(since, datetime.now(UTC)))


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


def cases_promote(
    cases: Annotated[list[str] | None, typer.Argument(help="Case ids, or the beginnings of some.")] = None,
    *,
    everything: Annotated[bool, typer.Option("--all", help="Every quarantined case that is labelled.")] = False,
    failure_mode: Mode = None,
    reason: Annotated[str, typer.Option(help="Why.")] = "",
    actor: Actor = None,
    tenant: Tenant = None,
    dsn: Dsn = None,
    json: Json = False,
) -> None:
    """Let quarantined cases into datasets. Drafts, which nobody labelled, have to be named: see evalgate promote."""
    terminal = Terminal()
    with open_tenant(dsn, tenant, writes=True) as database:
        chosen = _choose(database, cases or [], everything=everything, failure_mode=failure_mode)
        if everything:
            chosen, drafts = [r for r in chosen if not r.case.provenance.is_draft], len(chosen)
            if left := drafts - len(chosen):
                terminal.note(f"left out: {count_of(left, 'draft')}. Look at them: evalgate promote --list")
        new = [r for r in chosen if r.status is not CaseStatus.PROMOTED]
        record(database, [r.case for r in new], CaseEvent.PROMOTED, actor=actor or _user(), reason=reason)
    _tell(terminal, "promoted", new, len(chosen) - len(new), json=json)
    if not json and new:
        terminal.say("next: evalgate dataset build --name NAME")


def cases_reject(
    cases: Annotated[list[str], typer.Argument(help="Case ids, or the beginnings of some.")],
    *,
    reason: Annotated[str, typer.Option(help="Why.")] = "",
    actor: Actor = None,
    tenant: Tenant = None,
    dsn: Dsn = None,
    json: Json = False,
) -> None:
    """Keep cases out of datasets that are built from now on."""
    terminal = Terminal()
    with open_tenant(dsn, tenant, writes=True) as database:
        chosen = _choose(database, cases, everything=False, failure_mode=None)
        new = [r for r in chosen if r.status is not CaseStatus.REJECTED]
        record(database, [r.case for r in new], CaseEvent.REJECTED, actor=actor or _user(), reason=reason)
    _tell(terminal, "rejected", new, len(chosen) - len(new), json=json)


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


def _import(terminal: Terminal, database: TenantDatabase, source: Path, who: str, *, partial: bool, json: bool) -> None:
    labels, faulty = read_labels(source, who)
    drafts: list[Draft] = []
    lines: dict[tuple[str, str, str], int] = {}
    with terminal.progress("reading traces", len(labels)) as step:
        for (number, item), made in zip(labels, drafts_of(database, [item for _, item in labels]), strict=True):
            if isinstance(made, BadInput):
                faulty.append(Faulty(number, str(made)))
            else:
                key = (made.annotation.label.trace_id, made.annotation.label.span_id, item.annotator)
                if key in lines:
                    faulty.append(Faulty(number, f"labels the trace of line {lines[key]} again"))
                else:
                    lines[key] = number
                    drafts.append(made)
            step()
    faulty.sort(key=lambda f: f.line)
    for f in faulty[:MAX_FAULTS_SHOWN]:
        terminal.note(f"{source} line {f.line}: {one_line(f.message)}")
    if len(faulty) > MAX_FAULTS_SHOWN:
        terminal.note(f"… and {count_of(len(faulty) - MAX_FAULTS_SHOWN, 'more line')}")
    if faulty and not partial:
        read = count_of(len({*(n for n, _ in labels), *(f.line for f in faulty)}), "line")
        wrong = f"{len(faulty)} of {read} {'is' if len(faulty) == 1 else 'are'} wrong"
        raise BadInput(f"nothing was saved: {wrong}. Correct {'it' if len(faulty) == 1 else 'them'}, or say --partial")
    if not drafts:
        raise BadInput(f"{source} holds no label that could be saved")
    saved = save(database, drafts)
    if json:
        terminal.emit(
            {
                "saved": saved.labels,
                "repeated": saved.repeated,
                "faulty": [{"line": f.line, "message": f.message} for f in faulty],
                "cases": list(saved.cases),
                "without_case": saved.without_case,
            }
        )
        return
    repeated = f", {saved.repeated} there already" if saved.repeated else ""
    terminal.say(f"{count_of(saved.labels, 'label')} saved{repeated}")
    if saved.cases:
        terminal.say(f"{count_of(len(saved.cases), 'case')} quarantined until promoted")
    if saved.without_case:
        words = "makes no case: its trace holds" if saved.without_case == 1 else "make no case: their traces hold"
        terminal.say(f"{count_of(saved.without_case, 'label')} {words} no input that could be sent again")
    terminal.say("next: evalgate cases list")


def _undo(terminal: Terminal, database: TenantDatabase, count: int, who: str, *, json: bool) -> None:
    undone = undo(database, count, who)
    if json:
        terminal.emit({"undone": [a.label.trace_id for a in undone]})
        return
    for a in undone:
        mode = f", {a.label.failure_mode}" if a.label.failure_mode else ""
        terminal.say(f"undone: {a.label.verdict}{mode} of trace {a.label.trace_id}")


def _walk(terminal: Terminal, database: TenantDatabase, who: str, named: Sequence[str], since: datetime | None) -> None:
    from evalgate.review.keys import TerminalKeys  # noqa: PLC0415 - termios exists on POSIX only
    from evalgate.review.walk import Walk  # noqa: PLC0415

    chosen = list(dict.fromkeys(resolve_trace(database, t) for t in named))
    waiting = chosen or unlabelled(database, since)
    if not waiting:
        terminal.say(nothing_to_label(database, since))
        return
    tally = Walk(database, terminal, TerminalKeys(), who).run(waiting)
    kept = tally.labelled - tally.undone
    terminal.say(f"\n{kept} labelled, {tally.skipped} skipped, {max(0, len(waiting) - kept)} to go")
    if kept > 0:
        terminal.say("next: evalgate cases list")


def nothing_to_label(database: TenantDatabase, since: datetime | None) -> str:
    """Say why nothing waits, and what to do about it."""
    totals = count_traces(database, started_since(Where(), since))
    if not totals.traces:
        return "Nothing to label: there are no traces" + (" since then." if since else " yet. Start here: evalgate up")
    if totals.flagged:
        each = "the 1 flagged trace" if totals.flagged == 1 else f"each of the {totals.flagged} flagged traces"
        return f"Nothing to label: {each} has a label already. Label one anew: evalgate label TRACE"
    return (
        f"Nothing to label: no trace of {totals.traces} is flagged: none failed, and none was drawn as a sample.\n"
        "Label any trace: evalgate label TRACE (ids: evalgate traces)\n"
        "Flag every trace from now on: evalgate up --baseline-rate 1"
    )


def _user() -> str:
    """Return the name of the person at the keyboard."""
    try:
        return getpass.getuser()
    except (OSError, KeyError):  # a container without a user database
        return "unknown"
