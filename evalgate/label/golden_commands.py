"""`evalgate golden`."""

from __future__ import annotations

from typing import Annotated

import typer

from evalgate.database import open_tenant
from evalgate.dataset.golden import DEFAULT_NAME, Golden, golden_path, read_golden, write_golden
from evalgate.options import Dsn, Json, Tenant  # noqa: TC001 - typer reads them at run time
from evalgate.terminal import Terminal, count_of

Name = Annotated[str, typer.Option("--name", help="Of the file, in evals/golden.")]


def golden_show(*, name: Name = DEFAULT_NAME, tenant: Tenant = None, dsn: Dsn = None, json: Json = False) -> None:
    """Tell what the golden dataset holds, what it leaves out, and whether the file says the same."""
    terminal = Terminal()
    with open_tenant(dsn, tenant) as database:
        found = read_golden(database)
    change = write_golden(found, golden_path(name), dry_run=True)
    if json:
        terminal.emit({**found.to_json(), **change.to_json()})
        return
    _print_golden(terminal, found)
    terminal.say(change.words)


def golden_export(
    *,
    name: Name = DEFAULT_NAME,
    check: Annotated[
        bool, typer.Option("--check", help="Write nothing; fail where the file is not up to date.")
    ] = False,
    tenant: Tenant = None,
    dsn: Dsn = None,
    json: Json = False,
) -> None:
    """Write the golden dataset to evals/golden: what people judged and agree about, one case per line."""
    terminal = Terminal()
    with open_tenant(dsn, tenant) as database:
        found = read_golden(database)
    change = write_golden(found, golden_path(name), dry_run=check)
    if json:
        terminal.emit({**found.to_json(), **change.to_json()})
    else:
        terminal.say(change.words)
        if found.disputed:
            terminal.say(_disputed_words(found))
        if change.cases and not check:
            terminal.say(f"next: evalgate evals align --dataset {change.path}")
    if check and not change.is_same:
        raise typer.Exit(1)


def _print_golden(terminal: Terminal, found: Golden) -> None:
    verdicts = ", ".join(f"{n} {verdict}" for verdict, n in found.by_verdict.items())
    terminal.say(f"{count_of(len(found.cases), 'case')}{f': {verdicts}' if verdicts else ''}")
    if found.by_mode:
        terminal.table(("failure mode", "cases"), [(mode, str(n)) for mode, n in found.by_mode.items()])
    if found.disputed:
        terminal.say(_disputed_words(found))
    if not found.cases:
        terminal.say("Label some traces: evalgate label")


def _disputed_words(found: Golden) -> str:
    are = "is" if len(found.disputed) == 1 else "are"
    return f"{count_of(len(found.disputed), 'trace')} {are} left out, for reviewers differ: evalgate label --adjudicate"
