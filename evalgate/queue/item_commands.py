"""`evalgate queue assign`, `remove`, `restore` and `requeue`: what people decide about single items."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Final

import typer

from evalgate.queue import store
from evalgate.queue.options import Name  # noqa: TC001 - typer reads it at run time
from evalgate.review.actor import Decided, with_decided
from evalgate.select.traces import resolve_trace
from evalgate.terminal import count_of

if TYPE_CHECKING:
    from collections.abc import Callable

Traces = Annotated[list[str], typer.Argument(metavar="TRACE", help="Trace ids, or the beginnings of some.")]

EACH: Final = (
    (
        store.remove,
        "removed",
        "Take traces out of a queue for good: no later fill brings them back, only `evalgate queue restore`.",
    ),
    (store.restore, "restored", "Put traces back that were removed."),
    (
        store.requeue,
        "requeued",
        "Have traces that are done labelled again: labels count that are given from now on.",
    ),
)
"""What is done with one trace after the other: the function, whose name is the command's, what was done, help."""


def register(group: typer.Typer) -> None:
    """Add the commands to the group `queue`."""
    group.command("assign")(assign)
    for act, done, told in EACH:
        group.command(act.__name__, help=told)(_each(act, done))


@with_decided
def assign(
    name: Name,
    traces: Traces,
    *,
    to: Annotated[str, typer.Option("--to", metavar="WHO", help="Who looks first; '' for anybody.")],
    decided: Decided,
) -> None:
    """Let somebody look at traces first."""
    with decided.open() as database:
        queue = store.find_queue(database, name)
        ids = [resolve_trace(database, t) for t in traces]
        store.assign(database, queue, ids, to, actor=decided.who, reason=decided.reason)
    decided.tell(f"{count_of(len(ids), 'trace')} assigned to {to or 'nobody'}", {"assigned": ids, "to": to})


def _each(act: Callable[..., None], done: str) -> Callable[..., None]:
    """Return the command that does something with each of some traces."""

    @with_decided
    def command(name: Name, traces: Traces, *, decided: Decided) -> None:
        with decided.open() as database:
            queue = store.find_queue(database, name)
            ids = [resolve_trace(database, t) for t in traces]
            for trace in ids:
                act(database, queue, trace, actor=decided.who, reason=decided.reason)
        decided.tell(f"{count_of(len(ids), 'trace')} {done}", {done: ids})

    return command
