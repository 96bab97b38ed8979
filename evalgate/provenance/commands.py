"""`evalgate provenance`."""

from __future__ import annotations

from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from evalgate.dataset.store import DATASETS, check_name
from evalgate.errors import BadInput
from evalgate.options import Json, Tenant, new_app
from evalgate.places import EVALUATORS, LAST_REPORT
from evalgate.terminal import Terminal, count_of, one_line

if TYPE_CHECKING:
    from collections.abc import Sequence

    from evalgate.provenance.link import Link
    from evalgate.provenance.verify import Verified
    from schema.provenance import Chain

MARKS = {"holds": "✓", "broken": "✗", "absent": "-"}
MOST_SPANS = 40
CANNOT_TELL = 2


def register(app: typer.Typer) -> None:
    """Add the commands."""
    group = new_app("What a decision of the gate rests on: verified, and shown.")
    group.command("verify")(verify)
    group.command("show")(show)
    app.add_typer(group, name="provenance")


def verify(
    *,
    report: Annotated[
        Path, typer.Argument(help="A report of the gate, as --format json writes it.", show_default=True)
    ] = LAST_REPORT,
    root: Annotated[Path, typer.Option(help="The folder that the report's paths are relative to.")] = Path(),
    evaluators: Annotated[Path, typer.Option(help="Where the evaluators are, below the root.")] = EVALUATORS,
    dsn: Annotated[
        str | None,
        typer.Option(metavar="DSN", help="Also ask this database whether spans and annotations still say so."),
    ] = None,
    tenant: Tenant = None,
    json: Json = False,
) -> None:
    """Verify that what a report rests on still says the same. Exit 0 yes, 1 a link is broken, 2 cannot tell.

    Needs files only: report, run, dataset, evaluators, baseline, chains. Every broken link is named. Behind a gate that
    ended in an error there is nothing to verify: 2.
    """
    from evalgate.provenance import verify as verifying  # noqa: PLC0415 - the help must not wait for the gate
    from evalgate.provenance.link import Standing  # noqa: PLC0415 - as above

    terminal = Terminal()
    reports = verifying.read_reports(report)
    found = [verifying.verify(p, root=root, evaluators=evaluators) for p in reports]
    links = [link for v in found for link in v.links]
    if len(reports) > 1:  # each has its own run and dataset
        names = [str(p["dataset"]["name"]) if "dataset" in p else "" for p in reports]
        links = [replace(x, name=f"{n}/{x.name}") for n, v in zip(names, found, strict=True) for x in v.links]
    if dsn is not None:
        links += _ask(dsn, tenant, found)
    broken = [x for x in links if x.standing is Standing.BROKEN]
    errors = [str(p["blocking_reason"]) for p in reports if verifying.is_error(p)]
    if json:
        terminal.emit(
            {
                "report": str(report),
                "intact": False if broken else None if errors else True,
                "broken": [x.name for x in broken],
                "links": [asdict(x) for x in links],
            }
        )
    else:
        _print(terminal, report, links, broken, errors)
    raise typer.Exit(1 if broken else CANNOT_TELL if errors else 0)


def show(
    case: Annotated[str, typer.Argument(metavar="CASE", help="The id of a case, or how it begins.")],
    *,
    dataset: Annotated[str | None, typer.Option(help="Only in this dataset.")] = None,
    json: Json = False,
) -> None:
    """Show what a case rests on: its issue, annotations and spans, from the files beside the datasets."""
    from evalgate.dataset.chains import read_chains  # noqa: PLC0415 - as above
    from schema.provenance import chain_to_json  # noqa: PLC0415 - as above

    terminal = Terminal()
    wanted_files = f"{check_name(dataset)}.provenance.jsonl" if dataset else "*.provenance.jsonl"
    paths = sorted(DATASETS.glob(wanted_files)) if DATASETS.is_dir() else []
    if not paths:
        where = f"the dataset {dataset!r}" if dataset else DATASETS
        raise BadInput(f"no chains are recorded for {where}. They are by: evalgate dataset build")
    wanted = (case, f"case-{case}")
    found = [(path, chain, said) for path in paths for i, (chain, said) in read_chains(path).items() if i == case]
    found = found or [
        (path, chain, said) for path in paths for i, (chain, said) in read_chains(path).items() if i.startswith(wanted)
    ]
    if not found:
        raise BadInput(f"no chain is of a case {case!r}: it was written by hand, or is in no dataset")
    if len({chain.case_id for _, chain, _ in found}) > 1:
        names = ", ".join(sorted({chain.case_id for _, chain, _ in found})[:4])
        raise BadInput(f"{case!r} is not unique: {names}. Give more digits")
    if json:
        terminal.emit([{**chain_to_json(c), "file": str(p), "intact": c.hash == said} for p, c, said in found])
        return
    for number, (path, chain, said) in enumerate(found):
        if number:
            terminal.say()
        _show_chain(terminal, path, chain, intact=chain.hash == said)


def _ask(dsn: str, tenant: str | None, found: Sequence[Verified]) -> list[Link]:
    from evalgate.database import open_tenant  # noqa: PLC0415 - needs the packages of a database
    from evalgate.provenance.stored import ask  # noqa: PLC0415 - as above

    with open_tenant(dsn, tenant) as database:
        return [link for v in found for link in ask(database, v.chains)]


def _print(
    terminal: Terminal, report: Path, links: Sequence[Link], broken: Sequence[Link], errors: Sequence[str]
) -> None:
    if broken:
        told = f"{count_of(len(broken), 'broken link')} in what {report} rests on"
        terminal.say(f"PROVENANCE BROKEN: {told}", style="bold red")
    elif errors:
        told = f"the gate of {report} ended in an error and decided nothing: {one_line(errors[0])}"
        terminal.say(f"NOTHING TO VERIFY: {told}", style="bold yellow")
    else:
        terminal.say(f"PROVENANCE INTACT: {report}", style="bold green")
    terminal.say()
    for link in sorted(links, key=lambda x: x.standing != "broken"):
        terminal.say(f"{MARKS[link.standing]} {one_line(link.name)}: {one_line(link.sentence)}")


def _show_chain(terminal: Terminal, path: Path, chain: Chain, *, intact: bool) -> None:
    terminal.say(f"{chain.case_id}  {path}")
    by = f" by {one_line(chain.promoted.by)}, {chain.promoted.at[:19]}" if chain.promoted else ""
    terminal.say(f"  case        {chain.case[:16]}  {chain.status}{by}")
    if chain.issue:
        name = one_line(chain.issue.failure_mode)
        terminal.say(f"  issue       {chain.issue.id}  {name}  evalgate issues show {chain.issue.id}")
    for a in chain.annotations:
        mode = f"  {one_line(a.failure_mode)}" if a.failure_mode else ""
        who = one_line(a.annotator) or "(nobody)"
        terminal.say(f"  annotation  {a.hash[:16]}  {a.verdict}{mode}  by {who}, {a.at[:19]}")
    for s in chain.spans[:MOST_SPANS]:
        terminal.say(f"  span        {s.hash[:16]}  {s.span_id}  evalgate traces show {s.trace_id[:16]}")
    if len(chain.spans) > MOST_SPANS:
        terminal.say(f"  and {len(chain.spans) - MOST_SPANS} more spans: --json")
    state = "" if intact else "  BROKEN: the file gives another hash"
    terminal.say(f"  hash        {chain.hash}{state}")
