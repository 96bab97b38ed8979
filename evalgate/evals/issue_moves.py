"""`evalgate issues acknowledge|ignore|archive|verify|reopen|merge|split|undo`: what people decide about issues."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from evalgate.errors import BadInput
from evalgate.evals.mode_changes import tell_change
from evalgate.evals.options import Folder, permission_policy
from evalgate.places import EVALUATORS
from evalgate.review.actor import Decided, with_decided
from evalgate.terminal import Terminal
from schema.issue import IssueStatus

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from evalgate.database import TenantDatabase
    from evalgate.issues.lifecycle import Transition
    from schema.issue import Issue

Number = Annotated[int, typer.Argument(min=1, help="The issue's number.")]
Numbers = Annotated[list[int], typer.Argument(min=1, help="Numbers of issues.")]
Write = Annotated[bool, typer.Option("--write", help="Change the lines of evaluator files that name the mode.")]


MOVES = (
    ("acknowledge", IssueStatus.ACKNOWLEDGED, "Take up new or reopened issues."),
    ("ignore", IssueStatus.IGNORED, "Say that nobody minds. An ignored issue comes back only by hand."),
    (
        "archive",
        IssueStatus.ARCHIVED,
        "Say that it is done with. An archived issue comes back by itself when it is seen again.",
    ),
    ("reopen", IssueStatus.REOPENED, "Say that it is not over."),
)
"""What only says where issues are to stand: name, status, help."""


def register(group: typer.Typer) -> None:
    """Add the commands to the group `issues`."""
    for name, to, told in MOVES:
        group.command(name, help=told)(_mover(to))
    for command in (verify, merge, split, undo):
        group.command(command.__name__)(command)


def _mover(to: IssueStatus) -> Callable[..., None]:
    """Return the command that moves issues to a status: all of them or, where one cannot go there, none."""

    @with_decided
    def move(numbers: Numbers, *, decided: Decided) -> None:
        from evalgate.issues.lifecycle import check_move  # noqa: PLC0415 - as below

        with decided.open() as database:
            known = {i.id: i.status for i in _up_to_date(database)}
            wanted = list(dict.fromkeys(numbers))
            for number in wanted:
                if number in known:
                    check_move(number, known[number], to, decided.reason)
            made = [_made(database, number, to, decided.reason, decided.who) for number in wanted]
        _tell(made, json=decided.json)

    return move


@with_decided
def verify(
    number: Number,
    *,
    evidence: Annotated[
        bool,
        typer.Option("--evidence", help="Let labels since the fix say it: enough without it, by the rate it had."),
    ] = False,
    decided: Decided,
) -> None:
    """Confirm that a fix holds in production: by what you know (--reason), or by what labels show (--evidence)."""
    from evalgate.issues.evidence import absence  # noqa: PLC0415 - as below
    from evalgate.issues.lifecycle import check_move  # noqa: PLC0415 - as below

    reason = decided.reason
    with decided.open() as database:
        issue = next((i for i in _up_to_date(database) if i.id == number), None)
        if evidence and issue is not None:
            check_move(number, issue.status, IssueStatus.VERIFIED, "evidence")
            found = absence(database, issue)
            if found is None or not found.is_shown:
                said = f"{found.sentence}. {found.lacking}" if found else f"it never was over: {issue.status}"
                raise BadInput(f"issue {number} is not shown to be gone: {said}")
            reason = f"{found.sentence}; {reason}" if reason.strip() else found.sentence
        made = _made(database, number, IssueStatus.VERIFIED, reason, decided.who)
    _tell([made], json=decided.json)


@with_decided
def merge(
    number: Number,
    into: Annotated[int, typer.Argument(min=1, metavar="INTO", help="The issue that keeps its number.")],
    *,
    write: Write = False,
    evaluators: Folder = EVALUATORS,
    decided: Decided,
) -> None:
    """Let the labels and cases of an issue belong to another. Labels keep their word; undo takes it back."""
    from evalgate.issues.modes import merge_issues  # noqa: PLC0415 - as below

    with decided.open() as database:
        changed = merge_issues(database, number, into, actor=decided.who, reason=decided.reason)
    tell_change(Terminal(), changed, evaluators, write=write, json=decided.json)


@with_decided
def split(
    number: Number,
    *,
    trace: Annotated[list[str], typer.Option("--trace", help="Whose labels go: an id, or its beginning. Repeatable.")],
    into: Annotated[str, typer.Option("--into", metavar="MODE", help="The failure mode that they show; may be new.")],
    decided: Decided,
) -> None:
    """Let the labels and cases of some traces belong to another issue."""
    from evalgate.issues.modes import split_issue  # noqa: PLC0415 - as below

    with decided.open() as database:
        changed = split_issue(database, number, trace, into, actor=decided.who, reason=decided.reason)
    tell_change(Terminal(), changed, EVALUATORS, write=False, json=decided.json)


@with_decided
def undo(
    change: Annotated[
        int | None, typer.Argument(min=1, help="The change's number.  [default: the latest]", show_default=False)
    ] = None,
    *,
    write: Write = False,
    evaluators: Folder = EVALUATORS,
    decided: Decided,
) -> None:
    """Take back a rename, merge or split: the latest, or one that nothing later rests on."""
    from evalgate.issues.modes import undo_change  # noqa: PLC0415 - as below

    with decided.open() as database:
        changed = undo_change(database, change, actor=decided.who, reason=decided.reason)
    tell_change(Terminal(), changed, evaluators, write=write, json=decided.json)


def _up_to_date(database: TenantDatabase) -> Sequence[Issue]:
    """Return the issues once what is due of itself is recorded: a person decides on how things stand."""
    from evalgate.evals.overview import look_at  # noqa: PLC0415 - yaml, numpy: what --help need not read

    return [s.issue for s in look_at(database, policy=permission_policy()).standings]


def _made(database: TenantDatabase, number: int, to: IssueStatus, reason: str, actor: str) -> Transition:
    from evalgate.issues.moves import move  # noqa: PLC0415 - as above

    return move(database, number, to, actor=actor, reason=reason)


def _tell(made: Sequence[Transition], *, json: bool) -> None:
    from evalgate.evals.issue_show import transition_json  # noqa: PLC0415 - as above

    terminal = Terminal()
    if json:
        terminal.emit([transition_json(t) for t in made])
        return
    for t in made:
        why = f": {t.reason}" if t.reason else ""
        terminal.say(f"issue {t.number}: {t.from_status} → {t.to_status}{why}")
    terminal.say("next: evalgate issues export, and commit evals/issues.jsonl, so that the gate knows it")
