"""`evalgate queue create`, `edit` and `close`: what a queue is."""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from functools import partial
from typing import Annotated, Any, Final

import typer

from evalgate.errors import BadInput
from evalgate.options import with_options
from evalgate.queue.definition import Queue, check, parse_rule, parse_weights
from evalgate.queue.options import Name  # noqa: TC001 - typer reads it at run time
from evalgate.queue.show import queue_json
from evalgate.queue.store import change_queue, close_queue, create_queue, find_queue
from evalgate.review.actor import Decided, with_decided
from evalgate.terminal import Terminal

CLEARABLE: Final = {
    "where": (),
    "signals": (),
    "issues": (),
    "clusters": (),
    "text": "",
    "weights": {},
    "adjudicators": (),
    "rules": (),
    "instructions": "",
}
"""Fields of a queue that `--clear` empties."""


@dataclass(frozen=True, slots=True)
class Defined:
    """The options that define a queue; None: as it is."""

    where: Annotated[
        list[str] | None,
        typer.Option("--where", metavar="CONDITION", help="Such as 'feature = refunds'; repeat it for more."),
    ] = None
    signal: Annotated[
        list[str] | None, typer.Option("--signal", help="Only traces that show it; of several, one is enough.")
    ] = None
    issue: Annotated[
        list[int] | None, typer.Option("--issue", metavar="NUMBER", help="Only traces like those of the issue.")
    ] = None
    cluster: Annotated[
        list[int] | None, typer.Option("--cluster", metavar="NUMBER", help="Only traces of the cluster.")
    ] = None
    text: Annotated[str | None, typer.Option("--text", metavar="WORDS", help="Words that one text must hold.")] = None
    size: Annotated[int | None, typer.Option("--size", help="Items that wait, at most.  [default: 100]")] = None
    random: Annotated[
        float | None, typer.Option("--random", metavar="SHARE", help="Part that is drawn at random.  [default: 0.1]")
    ] = None
    reviewers: Annotated[
        int | None, typer.Option("--reviewers", help="How many people label each trace, blind.  [default: 1]")
    ] = None
    adjudicator: Annotated[
        list[str] | None, typer.Option("--adjudicator", metavar="NAME", help="Who decides where reviewers differ.")
    ] = None
    reserve: Annotated[
        float | None,
        typer.Option("--reserve", metavar="MINUTES", help="How long an item is kept for who took it.  [default: 15]"),
    ] = None
    assign: Annotated[
        list[str] | None,
        typer.Option("--assign", metavar="RULE", help="Who looks first: 'feature = refunds -> alice'."),
    ] = None
    weight: Annotated[
        list[str] | None,
        typer.Option("--weight", metavar="SIGNAL=POINTS", help="In the place of evals/queue.yaml; asked_again=50."),
    ] = None
    instructions: Annotated[str | None, typer.Option("--instructions", help="What reviewers should look for.")] = None


with_definition = partial(with_options, Defined, "defined")
"""Decorate a command that takes what defines a queue."""


@with_decided
@with_definition
def create(name: Name, *, defined: Defined, decided: Decided) -> None:
    """Define a queue. Nothing is put into it yet: that does `evalgate queue fill`."""
    wanted = _defined(Queue(name), defined)
    with decided.open() as database:
        queue = create_queue(database, wanted, actor=decided.who, reason=decided.reason)
    _tell(decided, queue, "created")


@with_decided
@with_definition
def edit(
    name: Name,
    *,
    defined: Defined,
    clear: Annotated[
        list[str] | None, typer.Option("--clear", metavar="FIELD", help=f"Empty it: {', '.join(CLEARABLE)}.")
    ] = None,
    reopen: Annotated[bool, typer.Option("--open", help="Open it again.")] = False,
    decided: Decided,
) -> None:
    """Change what is said; the rest stays. What is in the queue already stays, too."""
    unknown = [c for c in clear or () if c not in CLEARABLE]
    if unknown:
        raise BadInput(f"--clear {unknown[0]!r}: one of {', '.join(CLEARABLE)}")
    emptied: dict[str, Any] = {c: CLEARABLE[c] for c in clear or ()}
    with decided.open() as database:
        known = find_queue(database, name)
        wanted = _defined(replace(known, **emptied, is_open=known.is_open or reopen), defined)
        if wanted == known:
            raise BadInput(f"nothing changes: {name} is so already. What can be said: evalgate queue edit --help")
        queue = change_queue(database, wanted, actor=decided.who, reason=decided.reason)
    _tell(decided, queue, "changed")


@with_decided
def close(name: Name, *, decided: Decided) -> None:
    """Close a queue: nothing is given out or added. Labels stay; `evalgate queue edit NAME --open` opens it again."""
    with decided.open() as database:
        known = find_queue(database, name)
        if not known.is_open:
            raise BadInput(f"the queue {name} is closed already")
        queue = close_queue(database, known, actor=decided.who, reason=decided.reason)
    _tell(decided, queue, "closed")


def _defined(queue: Queue, defined: Defined) -> Queue:
    """Return the queue with what the options say."""
    given: dict[str, Any] = {f.name: getattr(defined, f.name) for f in fields(defined)}
    said: dict[str, Any] = {
        "where": given["where"] and tuple(given["where"]),
        "signals": given["signal"] and tuple(given["signal"]),
        "issues": given["issue"] and tuple(given["issue"]),
        "clusters": given["cluster"] and tuple(given["cluster"]),
        "text": given["text"],
        "size": given["size"],
        "random_share": given["random"],
        "reviewers": given["reviewers"],
        "adjudicators": given["adjudicator"] and tuple(given["adjudicator"]),
        "reserve_s": None if given["reserve"] is None else round(given["reserve"] * 60),
        "rules": given["assign"] and tuple(parse_rule(r) for r in given["assign"]),
        "weights": given["weight"] and parse_weights(given["weight"]),
        "instructions": given["instructions"],
    }
    return check(replace(queue, **{name: value for name, value in said.items() if value is not None}))


def _tell(decided: Decided, queue: Queue, what: str) -> None:
    decided.tell(f"queue {queue.name} {what}", queue_json(queue))
    if not queue.random_share:
        Terminal().note(
            "evalgate: nothing is drawn at random: of what nobody looks at nothing will be known (--random)"
        )
    if not decided.json and queue.is_open:
        Terminal().say(f"next: evalgate queue fill {queue.name}")
