"""`evalgate queue yield`: what reviewing came to."""

from __future__ import annotations

import os
from typing import Annotated

import typer

from evalgate.database import open_tenant
from evalgate.errors import BadInput
from evalgate.files import read_text, write_atomic
from evalgate.options import Dsn, Json, Tenant  # noqa: TC001 - typer reads them at run time
from evalgate.queue.options import Weighted  # noqa: TC001 - typer reads it at run time
from evalgate.queue.reweight import proposal
from evalgate.queue.reweight import reweight as propose
from evalgate.queue.show_yield import print_reweighted, print_yield, reweighted_json, yield_json
from evalgate.queue.store import find_queue
from evalgate.queue.yields import measure_yield
from evalgate.signals.weights import QUEUE_FILE, read_weights
from evalgate.terminal import Terminal


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
