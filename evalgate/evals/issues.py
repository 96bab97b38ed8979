"""`evalgate issues`: failure modes that people have named, and where they stand."""

from __future__ import annotations

from typing import Annotated, Final

import typer

from evalgate.evals import issue_moves
from evalgate.evals.issue_show import issue_json, print_issue, print_list
from evalgate.evals.options import KnownOptions, with_known_options
from evalgate.issues.store import ISSUES, write_issues
from evalgate.options import Json, new_app
from evalgate.terminal import Terminal, count_of
from schema.issue import IssueStatus

LIST_DAYS: Final = 14
SHOW_DAYS: Final = 28
QUIET: Final = frozenset({IssueStatus.VERIFIED, IssueStatus.ARCHIVED, IssueStatus.IGNORED})
"""Of issues that nobody has to look at: listed with --all."""


def register(app: typer.Typer) -> None:
    """Add the group."""
    group = new_app("Issues: failure modes that people have named, how often they were seen, and who looks for them.")
    group.command("list")(list_)
    group.command("show")(show)
    issue_moves.register(group)
    group.command("export")(export)
    app.add_typer(group, name="issues")


@with_known_options
def list_(
    *,
    state: Annotated[list[IssueStatus] | None, typer.Option("--state", help="Only these. May be repeated.")] = None,
    all_: Annotated[
        bool, typer.Option("--all", help="Also verified, archived and ignored ones, and those without labels.")
    ] = False,
    known: KnownOptions,
    json: Json = False,
) -> None:
    """List the issues: what was seen again and what is new first, then what rises, then the frequent ones."""
    terminal = Terminal()
    found, views = known.views(LIST_DAYS)
    wanted = frozenset(state or ())
    if wanted:
        shown = [v for v in views if v.issue.status in wanted and (v.issue.occurrences or all_)]
    else:
        shown = [v for v in views if all_ or (v.issue.occurrences and v.issue.status not in QUIET)]
    if json:
        terminal.emit([issue_json(v) for v in shown])
        return
    hidden = sum(bool(v.issue.occurrences) for v in views) - sum(bool(v.issue.occurrences) for v in shown)
    if shown:
        print_list(terminal, shown)
    elif hidden:
        terminal.say(f"No {'such ' if wanted else ''}issues in {found.known.source} that want attention")
    else:
        terminal.say(f"No issues in {found.known.source}. One is opened by labelling a failure mode: evalgate label")
    if hidden:
        others = "of another state" if wanted else "verified, archived or ignored"
        terminal.say(f"{count_of(hidden, 'issue')} {others}: evalgate issues list --all")


@with_known_options
def show(
    number: Annotated[int, typer.Argument(min=1, help="The issue's number.")],
    *,
    known: KnownOptions,
    json: Json = False,
) -> None:
    """Show one issue: when it was seen, its cases and evaluators, what was done about it, and what to do next."""
    from evalgate.evals.issue_views import find_view  # noqa: PLC0415 - yaml, numpy: what --help need not read

    terminal = Terminal()
    found, views = known.views(SHOW_DAYS, affected_of=number)
    view = find_view(views, number, found.known.source)
    agreement = found.known.agreement.get(view.issue.failure_mode)
    if json:
        terminal.emit(issue_json(view, agreement, in_full=True))
    else:
        print_issue(terminal, view, agreement)


@with_known_options
def export(
    *,
    known: KnownOptions,
    json: Json = False,
) -> None:
    """Write evals/issues.jsonl, by which a gate in CI tells a known open issue from a new regression."""
    terminal = Terminal()
    found = known.look()
    changed = write_issues([s.issue for s in found.standings])
    if json:
        terminal.emit({"path": str(ISSUES), "issues": len(found.standings), "changed": changed})
    else:
        words = "written; commit it" if changed else "it says this already"
        terminal.say(f"{ISSUES}: {count_of(len(found.standings), 'issue')}, {words}")
