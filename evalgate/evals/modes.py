"""`evalgate modes`: what failure modes are called."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from evalgate.database import open_tenant
from evalgate.errors import BadInput
from evalgate.evals.issue_moves import Write, undo
from evalgate.evals.mode_changes import tell_change
from evalgate.evals.options import Folder  # noqa: TC001 - typer reads it at run time
from evalgate.options import Dsn, Json, Tenant, new_app
from evalgate.places import EVALUATORS
from evalgate.review.actor import Decided, with_decided
from evalgate.terminal import Terminal, count_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from evalgate.issues.modes import Mode, Suggestion
    from evalgate.issues.taxonomy import Taxonomy

MOST_SUGGESTIONS = 5


def register(app: typer.Typer) -> None:
    """Add the group."""
    group = new_app("Failure modes: what they are called, which labels mean them, and how they came to be so.")
    group.command("list")(list_)
    group.command("rename")(rename)
    group.command("merge")(merge)
    group.command("undo")(undo)
    app.add_typer(group, name="modes")


def list_(
    *,
    changes: Annotated[
        bool, typer.Option("--changes", help="What was renamed, merged and split, the latest first.")
    ] = False,
    tenant: Tenant = None,
    dsn: Dsn = None,
    json: Json = False,
) -> None:
    """List the failure modes, the frequent ones first, and those whose names are nearly the same."""
    from evalgate.evals.issue_show import change_json, lineage_words  # noqa: PLC0415 - what --help need not read
    from evalgate.issues.modes import list_modes, read_taxonomy, suggest_merges  # noqa: PLC0415 - as above

    terminal = Terminal()
    with open_tenant(dsn, tenant) as database:
        known = read_taxonomy(database)
        modes = list_modes(database, known)
    if changes:
        if json:
            terminal.emit([change_json(c) for c in reversed(known.changes)])
        elif not known.changes:
            terminal.say("Nothing was renamed, merged or split.")
        else:
            for change in reversed(known.changes):
                terminal.say(lineage_words(change, 0))
        return
    alike = suggest_merges(modes)
    if json:
        terminal.emit({"modes": [_mode_json(m) for m in modes], "nearly_the_same": [_pair_json(s) for s in alike]})
        return
    if not modes:
        terminal.say("No failure modes. The first is named by labelling: evalgate label")
        return
    terminal.table(
        ("failure mode", "issue", "labels", "labels also say"),
        [(m.name, str(m.issue), str(m.labels), ", ".join(m.words)) for m in modes],
    )
    _suggest(terminal, alike)


@with_decided
def rename(
    old: Annotated[str, typer.Argument(help="What it is called now.")],
    new: Annotated[str, typer.Argument(help="What it is to be called.")],
    *,
    write: Write = False,
    evaluators: Folder = EVALUATORS,
    decided: Decided,
) -> None:
    """Call a failure mode something else. Its issue keeps its number, its labels keep their word."""
    from evalgate.issues.modes import rename_mode  # noqa: PLC0415 - as above

    with decided.open() as database:
        changed = rename_mode(database, old, new, actor=decided.who, reason=decided.reason)
    tell_change(Terminal(), changed, evaluators, write=write, json=decided.json)


@with_decided
def merge(
    old: Annotated[str, typer.Argument(help="The mode, or the number of its issue.")],
    into: Annotated[str, typer.Argument(help="The mode, or the number of the issue, that stays.")],
    *,
    write: Write = False,
    evaluators: Folder = EVALUATORS,
    decided: Decided,
) -> None:
    """Make two failure modes one: the labels and cases of the first belong to the issue of the second."""
    from evalgate.issues.modes import merge_issues, read_taxonomy  # noqa: PLC0415 - as above

    with decided.open() as database:
        known = read_taxonomy(database)
        numbers = _number(known, old), _number(known, into)
        changed = merge_issues(database, *numbers, actor=decided.who, reason=decided.reason)
    tell_change(Terminal(), changed, evaluators, write=write, json=decided.json)


def _number(known: Taxonomy, said: str) -> int:
    """Return the issue of a mode that is said by name or by number; a name goes before."""
    found = known.numbers.get(said) or known.numbers.get(known.means(said))
    if found is not None:
        return found
    if said.lstrip("#").isascii() and said.lstrip("#").isdigit():
        return int(said.lstrip("#"))
    some = ", ".join(sorted(known.numbers)[:10]) or "none"
    raise BadInput(f"there is no failure mode {said!r}. Known: {some}")


def _suggest(terminal: Terminal, alike: Sequence[Suggestion]) -> None:
    for pair in alike[:MOST_SUGGESTIONS]:
        fewer, more = pair.fewer, pair.more
        terminal.say(
            f"nearly the same: {fewer.name} ({fewer.issue}) and {more.name} ({more.issue}). If they are one: "
            f"evalgate issues merge {fewer.issue} {more.issue}"
        )
    if len(alike) > MOST_SUGGESTIONS:
        terminal.say(f"and {count_of(len(alike) - MOST_SUGGESTIONS, 'more pair')}: --json")


def _mode_json(mode: Mode) -> dict[str, object]:
    return {"failure_mode": mode.name, "issue": mode.issue, "labels": mode.labels, "words": list(mode.words)}


def _pair_json(pair: Suggestion) -> dict[str, object]:
    return {"issue": pair.fewer.issue, "into": pair.more.issue, "likeness": round(pair.likeness, 1)}
