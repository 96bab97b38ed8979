"""`evalgate queue`: what is put before whom, and what came of it."""

from __future__ import annotations

import os
from dataclasses import dataclass, fields, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from evalgate.database import open_tenant
from evalgate.errors import BadInput
from evalgate.options import Dsn, Json, Tenant, new_app, with_options
from evalgate.review.actor import Actor, Decided, actor_or_user, with_decided
from evalgate.select.traces import resolve_trace
from evalgate.signals.weights import QUEUE_FILE, read_weights
from evalgate.terminal import Terminal, count_of

if TYPE_CHECKING:
    from collections.abc import Callable

    from evalgate.database import TenantDatabase
    from evalgate.queue.definition import Queue

NOTHING_YET: Final = (
    "No queue yet. Make one, and fill it:\n  evalgate queue create first --size 100\n  evalgate queue fill first"
)
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

Name = Annotated[str, typer.Argument(metavar="NAME", help="Its name: a-z, 0-9 and -.")]
Traces = Annotated[list[str], typer.Argument(metavar="TRACE", help="Trace ids, or the beginnings of some.")]
Limit = Annotated[int, typer.Option(min=1, max=100_000, help="How many items at most.")]
Weighted = Annotated[
    Path, typer.Option("--weights", metavar="FILE", help="Points of each signal.", show_default=str(QUEUE_FILE))
]


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


def register(app: typer.Typer) -> None:
    """Add the group."""
    group = new_app("Put traces before reviewers, the most deserving first, and see what came of it.")
    own: dict[str, Callable[..., None]] = {
        "create": create,
        "list": list_,
        "show": show,
        "fill": fill,
        "edit": edit,
        "close": close,
        "assign": assign,
        "remove": remove,
        "restore": restore,
        "requeue": requeue,
        "progress": progress,
        "yield": yield_,
    }
    for name, command in own.items():
        group.command(name)(command)
    app.add_typer(group, name="queue")


@with_decided
@with_definition
def create(
    name: Name,
    *,
    defined: Defined,
    decided: Decided,
) -> None:
    """Define a queue. Nothing is put into it yet: that does `evalgate queue fill`."""
    from evalgate.queue.definition import Queue  # noqa: PLC0415 - signals take 0.1 s, for NumPy
    from evalgate.queue.store import create_queue  # noqa: PLC0415

    wanted = _defined(Queue(name), defined)
    with decided.open() as database:
        queue = create_queue(database, wanted, actor=decided.who, reason=decided.reason)
    _tell(queue, f"queue {queue.name} created", json=decided.json)


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
    from evalgate.queue.store import change_queue, find_queue  # noqa: PLC0415 - as above

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
    _tell(queue, f"queue {queue.name} changed", json=decided.json)


@with_decided
def close(name: Name, *, decided: Decided) -> None:
    """Close a queue: nothing is given out or added. Labels stay; `evalgate queue edit NAME --open` opens it again."""
    from evalgate.queue.store import close_queue, find_queue  # noqa: PLC0415 - as above

    with decided.open() as database:
        known = find_queue(database, name)
        if not known.is_open:
            raise BadInput(f"the queue {name} is closed already")
        queue = close_queue(database, known, actor=decided.who, reason=decided.reason)
    _tell(queue, f"queue {queue.name} closed", json=decided.json)


def list_(*, tenant: Tenant = None, dsn: Dsn = None, json: Json = False) -> None:
    """List queues, with how far each is."""
    from evalgate.queue.progress import progress as progress_of_queue  # noqa: PLC0415 - as above
    from evalgate.queue.show import print_queues, progress_json, queue_json  # noqa: PLC0415
    from evalgate.queue.store import list_queues  # noqa: PLC0415

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
    from evalgate.queue.items import find_item, list_items  # noqa: PLC0415 - as above
    from evalgate.queue.progress import progress as progress_of_queue  # noqa: PLC0415
    from evalgate.queue.show import (  # noqa: PLC0415
        item_json,
        print_item,
        print_items,
        print_queue,
        progress_json,
        queue_json,
    )
    from evalgate.queue.store import find_queue, history  # noqa: PLC0415

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
    from evalgate.queue.fill import fill as fill_queue  # noqa: PLC0415 - as above
    from evalgate.queue.show import filled_json, print_filled  # noqa: PLC0415
    from evalgate.queue.store import find_queue  # noqa: PLC0415
    from evalgate.signals.population import STATEMENTS  # noqa: PLC0415

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


@with_decided
def assign(
    name: Name,
    traces: Traces,
    *,
    to: Annotated[str, typer.Option("--to", metavar="WHO", help="Who looks first; '' for anybody.")],
    decided: Decided,
) -> None:
    """Let somebody look at traces first."""
    from evalgate.queue import store  # noqa: PLC0415 - as above

    with decided.open() as database:
        queue = store.find_queue(database, name)
        ids = [resolve_trace(database, t) for t in traces]
        store.assign(database, queue, ids, to, actor=decided.who, reason=decided.reason)
    _told(f"{count_of(len(ids), 'trace')} assigned to {to or 'nobody'}", {"assigned": ids, "to": to}, json=decided.json)


@with_decided
def remove(
    name: Name,
    traces: Traces,
    *,
    decided: Decided,
) -> None:
    """Take traces out of a queue for good: no later fill brings them back, only `evalgate queue restore`."""
    from evalgate.queue.store import remove as remove_item  # noqa: PLC0415 - as above

    def one(database: TenantDatabase, queue: Queue, trace: str) -> None:
        remove_item(database, queue, trace, actor=decided.who, reason=decided.reason)

    _each("removed", name, traces, one, decided)


@with_decided
def restore(
    name: Name,
    traces: Traces,
    *,
    decided: Decided,
) -> None:
    """Put traces back that were removed."""
    from evalgate.queue.store import restore as restore_item  # noqa: PLC0415 - as above

    def one(database: TenantDatabase, queue: Queue, trace: str) -> None:
        restore_item(database, queue, trace, actor=decided.who, reason=decided.reason)

    _each("restored", name, traces, one, decided)


@with_decided
def requeue(
    name: Name,
    traces: Traces,
    *,
    decided: Decided,
) -> None:
    """Have traces that are done labelled again: labels count that are given from now on."""
    from evalgate.queue.store import requeue as requeue_item  # noqa: PLC0415 - as above

    def one(database: TenantDatabase, queue: Queue, trace: str) -> None:
        requeue_item(database, queue, trace, actor=decided.who, reason=decided.reason)

    _each("requeued", name, traces, one, decided)


def progress(name: Name, *, tenant: Tenant = None, dsn: Dsn = None, json: Json = False) -> None:
    """Say how far a queue is: items, labels by reviewer and failure mode, the last seven days."""
    from evalgate.queue.progress import progress as progress_of_queue  # noqa: PLC0415 - as above
    from evalgate.queue.show import print_progress, progress_json  # noqa: PLC0415
    from evalgate.queue.store import find_queue  # noqa: PLC0415

    terminal = Terminal()
    with open_tenant(dsn, tenant) as database:
        told = progress_of_queue(database, find_queue(database, name))
    if json:
        terminal.emit(progress_json(told))
        return
    terminal.say(f"queue {name}", style="bold")
    print_progress(terminal, told)


def yield_(
    name: Annotated[str | None, typer.Argument(metavar="NAME", help="Of this queue alone.")] = None,
    *,
    reweight: Annotated[bool, typer.Option("--reweight", help="Propose points of signals, by what was found.")] = False,
    write: Annotated[bool, typer.Option("--write", help="Write the proposal to the file of weights.")] = False,
    weights: Weighted = QUEUE_FILE,
    tenant: Tenant = None,
    dsn: Dsn = None,
    json: Json = False,
) -> None:
    """Say what reviewing came to: true failures by way in and by signal, and how many there are in all."""
    from evalgate.files import read_text, write_atomic  # noqa: PLC0415 - as above
    from evalgate.queue.reweight import proposal  # noqa: PLC0415
    from evalgate.queue.reweight import reweight as propose  # noqa: PLC0415
    from evalgate.queue.show_yield import print_reweighted, print_yield, reweighted_json, yield_json  # noqa: PLC0415
    from evalgate.queue.store import find_queue  # noqa: PLC0415
    from evalgate.queue.yields import measure_yield  # noqa: PLC0415

    if write and not reweight:
        raise BadInput("--write writes what --reweight proposes: say both")
    terminal = Terminal()
    points = read_weights(weights, os.environ)
    with open_tenant(dsn, tenant) as database:
        queue = find_queue(database, name) if name else None
        found = measure_yield(database, queue)
    document = yield_json(found)
    proposed = propose(found, points) if reweight else None
    if not json:
        print_yield(terminal, found, more=not reweight)
    if proposed is not None:
        before = after = read_text(weights) if weights.is_file() else ""
        if proposed.weights != points:
            try:
                after = proposal(before, proposed.weights)
            except BadInput as e:
                if write:
                    raise
                terminal.note(f"evalgate: {e}")
        is_written = write and after != before
        if is_written:
            write_atomic(weights, after)
        document |= {"reweight": {**reweighted_json(proposed), "file": str(weights), "is_written": is_written}}
        if not json:
            print_reweighted(terminal, proposed, before, after, str(weights), is_written=is_written)
            if queue and queue.weights:
                own = ", ".join(queue.weights)
                terminal.say(f"the queue has points of its own for {own}, which stay: evalgate queue edit {name}")
    if json:
        terminal.emit(document)


def _defined(queue: Queue, defined: Defined) -> Queue:
    """Return the queue with what the options say."""
    from evalgate.queue.definition import check, parse_rule, parse_weights  # noqa: PLC0415 - as above

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


def _state(text: str | None) -> Any:
    from evalgate.queue.items import ItemState  # noqa: PLC0415 - as above

    if text is None:
        return None
    try:
        return ItemState(text.replace(" ", "_").replace("-", "_"))
    except ValueError:
        raise BadInput(f"--state is {', '.join(ItemState)}, not {text!r}") from None


def _each(
    done: str, name: str, traces: list[str], one: Callable[[TenantDatabase, Queue, str], None], decided: Decided
) -> None:
    from evalgate.queue.store import find_queue  # noqa: PLC0415 - as above

    with decided.open() as database:
        queue = find_queue(database, name)
        ids = [resolve_trace(database, t) for t in traces]
        for trace in ids:
            one(database, queue, trace)
    _told(f"{count_of(len(ids), 'trace')} {done}", {done: ids}, json=decided.json)


def _tell(queue: Queue, words: str, *, json: bool) -> None:
    from evalgate.queue.show import queue_json  # noqa: PLC0415 - as above

    _told(words, queue_json(queue), json=json)
    if not queue.random_share:
        Terminal().note(
            "evalgate: nothing is drawn at random: of what nobody looks at nothing will be known (--random)"
        )
    if not json and queue.is_open:
        Terminal().say(f"next: evalgate queue fill {queue.name}")


def _told(words: str, document: Any, *, json: bool) -> None:
    terminal = Terminal()
    if json:
        terminal.emit(document)
    else:
        terminal.say(words)
