"""`evalgate queue`: what is put before whom, and what came of it."""

from __future__ import annotations

import os
from typing import Annotated, Final

import typer

from evalgate.database import open_tenant
from evalgate.errors import BadInput
from evalgate.options import Dsn, Json, Tenant, new_app
from evalgate.queue import define_commands, item_commands
from evalgate.queue.fill import fill as fill_queue
from evalgate.queue.items import ItemState, find_item, list_items
from evalgate.queue.options import Name, Weighted  # noqa: TC001 - typer reads it at run time
from evalgate.queue.progress import progress as progress_of_queue
from evalgate.queue.show import (
    filled_json,
    item_json,
    print_filled,
    print_item,
    print_items,
    print_progress,
    print_queue,
    print_queues,
    progress_json,
    queue_json,
)
from evalgate.queue.store import find_queue, history, list_queues
from evalgate.queue.yield_command import yield_
from evalgate.review.actor import Actor, actor_or_user
from evalgate.select.traces import resolve_trace
from evalgate.signals.population import STATEMENTS
from evalgate.signals.weights import QUEUE_FILE, read_weights
from evalgate.terminal import Terminal

NOTHING_YET: Final = (
    "No queue yet. Make one, and fill it:\n  evalgate queue create first --size 100\n  evalgate queue fill first"
)
Limit = Annotated[int, typer.Option(min=1, max=100_000, help="How many items at most.")]


def register(app: typer.Typer) -> None:
    """Add the group."""
    group = new_app("Put traces before reviewers, the most deserving first, and see what came of it.")
    group.command("create")(define_commands.create)
    group.command("list")(list_)
    group.command("show")(show)
    group.command("fill")(fill)
    group.command("edit")(define_commands.edit)
    group.command("close")(define_commands.close)
    item_commands.register(group)
    group.command("progress")(progress)
    group.command("yield")(yield_)
    app.add_typer(group, name="queue")


def list_(*, tenant: Tenant = None, dsn: Dsn = None, json: Json = False) -> None:
    """List queues, with how far each is."""
    terminal = Terminal()
    with open_tenant(dsn, tenant) as database:
        rows = [(q, progress_of_queue(database, q)) for q in list_queues(database)]
    if json:
        terminal.emit({"queues": [{**queue_json(q), "progress": progress_json(p)} for q, p in rows]})
    elif not rows:
        terminal.say(NOTHING_YET)
    else:
        print_queues(terminal, rows)
        terminal.say("next: evalgate queue show NAME, evalgate label --queue NAME")


def show(
    name: Name,
    *,
    items: Annotated[bool, typer.Option("--items", help="Its items, in the order of review.")] = False,
    trace: Annotated[
        str | None, typer.Option("--trace", metavar="ID", help="One item, with all of its reasons.")
    ] = None,
    state: Annotated[str | None, typer.Option("--state", help="Only items that are waiting, done, …")] = None,
    reviewer: Annotated[
        str | None, typer.Option("--reviewer", metavar="WHO", help="In the order for this one.")
    ] = None,
    limit: Limit = 20,
    tenant: Tenant = None,
    dsn: Dsn = None,
    json: Json = False,
) -> None:
    """Read one queue: what it is, how far it is, and its items with their reasons."""
    terminal = Terminal()
    only = _state(state)
    with open_tenant(dsn, tenant) as database:
        queue = find_queue(database, name)
        if trace is not None:
            item = find_item(database, queue, resolve_trace(database, trace))
            if json:
                terminal.emit(item_json(item))
            else:
                print_item(terminal, item)
            return
        told = progress_of_queue(database, queue)
        changes = history(database, name)
        found = list_items(database, queue, state=only, reviewer=reviewer) if items or only or json else []
    if json:
        terminal.emit(
            {
                "queue": queue_json(queue),
                "progress": progress_json(told),
                "items": [item_json(i) for i in found[:limit]],
                "shown": min(limit, len(found)),
                "of": len(found),
            }
        )
        return
    if not items and only is None:
        print_queue(terminal, queue, told, changes)
        terminal.say(f"next: evalgate {f'label --queue {name}' if told.open else f'queue fill {name}'}")
    elif found:
        print_items(terminal, found, limit)
    else:
        terminal.say(f"No item{f' is {state}' if only else ''}. Fill the queue: evalgate queue fill {name}")


def fill(
    name: Name,
    *,
    weights: Weighted = QUEUE_FILE,
    actor: Actor = None,
    tenant: Tenant = None,
    dsn: Dsn = None,
    json: Json = False,
) -> None:
    """Put traces into a queue until as many wait as its size says; tell what was left out, and why."""
    terminal = Terminal()
    points = read_weights(weights, os.environ)
    with open_tenant(dsn, tenant, writes=True) as database:
        queue = find_queue(database, name)
        with terminal.progress("comparing traces", len(STATEMENTS)) as step:
            filled = fill_queue(database, queue, weights=points, step=step, actor=actor_or_user(actor))
    if json:
        terminal.emit(filled_json(filled))
        return
    print_filled(terminal, queue, filled)
    if filled.waiting:
        terminal.say(f"next: evalgate label --queue {name}")


def progress(name: Name, *, tenant: Tenant = None, dsn: Dsn = None, json: Json = False) -> None:
    """Say how far a queue is: items, labels by reviewer and failure mode, the last seven days."""
    terminal = Terminal()
    with open_tenant(dsn, tenant) as database:
        told = progress_of_queue(database, find_queue(database, name))
    if json:
        terminal.emit(progress_json(told))
        return
    terminal.say(f"queue {name}", style="bold")
    print_progress(terminal, told)


def _state(text: str | None) -> ItemState | None:
    if text is None:
        return None
    try:
        return ItemState(text.replace(" ", "_").replace("-", "_"))
    except ValueError:
        raise BadInput(f"--state is {', '.join(ItemState)}, not {text!r}") from None
