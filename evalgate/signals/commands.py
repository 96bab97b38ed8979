"""`evalgate signals`, `evalgate signals explain`."""

from __future__ import annotations

import os
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer

from evalgate.database import open_tenant
from evalgate.errors import BadInput
from evalgate.options import Dsn, Json, Since, Tenant, new_app, since_time
from evalgate.select.nothing import nothing_yet
from evalgate.select.recent import CLOCK_AHEAD
from evalgate.select.traces import resolve_trace
from evalgate.select.where import Where, parse_where
from evalgate.signals.weights import QUEUE_FILE, read_weights
from evalgate.terminal import Terminal, count_of

Weighted = Annotated[
    Path, typer.Option("--weights", metavar="FILE", help="Points of each signal.", show_default=str(QUEUE_FILE))
]


def register(app: typer.Typer) -> None:
    """Add the commands."""
    group = new_app("List the traces that most deserve a look, with the reasons and their points.")
    group.callback(invoke_without_command=True)(signals)
    group.command("explain")(explain)
    app.add_typer(group, name="signals", no_args_is_help=False)


def signals(
    context: typer.Context,
    *,
    where: Annotated[
        list[str] | None,
        typer.Option("--where", metavar="CONDITION", help="Such as 'feature = refunds'; repeat it for more."),
    ] = None,
    trace: Annotated[str | None, typer.Option("--trace", metavar="ID", help="Every signal of this trace.")] = None,
    since: Since = None,
    limit: Annotated[int, typer.Option(min=1, max=100_000, help="How many at most.")] = 20,
    weights: Weighted = QUEUE_FILE,
    tenant: Tenant = None,
    dsn: Dsn = None,
    json: Json = False,
) -> None:
    """List the traces that most deserve a look, with the reasons and their points."""
    if context.invoked_subcommand is not None:
        return
    if trace is not None:
        explain(trace, weights=weights, tenant=tenant, dsn=dsn, json=json)
        return
    from evalgate.signals.measure import signals as read_signals  # noqa: PLC0415 - NumPy takes 0.1 s
    from evalgate.signals.population import STATEMENTS  # noqa: PLC0415
    from evalgate.signals.priority import prioritise  # noqa: PLC0415
    from evalgate.signals.show import print_list, trace_json  # noqa: PLC0415

    terminal = Terminal()
    points = read_weights(weights, os.environ)
    conditions = parse_where(where or ())
    start = since_time(since, datetime.now(UTC))
    if start is not None:
        conditions = conditions.and_("start_time", ">=", start.isoformat())
    with open_tenant(dsn, tenant) as database, terminal.progress("comparing traces", len(STATEMENTS)) as step:
        found = read_signals(database, conditions, start and start - CLOCK_AHEAD, step=step)
    priority = prioritise(found, points)
    rows = [int(r) for r in priority.order[:limit]]
    asked = len(priority.order)
    if json:
        shown = [trace_json(found, priority, r) for r in rows]
        terminal.emit({"traces": asked, "compared": found.population.size, "shown": len(rows), "rows": shown})
        return
    if not found.population.size and not where:
        terminal.say(nothing_yet())
        return
    print_list(terminal, found, priority, rows)
    more = "" if len(rows) == asked else f", {len(rows)} shown (--limit)"
    terminal.say(f"{count_of(asked, 'trace')}, compared with {found.population.size}{more}")
    if rows:
        terminal.say("next: evalgate signals explain ID, evalgate label, evalgate queue create NAME")


def explain(
    trace: Annotated[str, typer.Argument(metavar="ID", help="A trace id, or the beginning of one.")],
    *,
    weights: Weighted = QUEUE_FILE,
    tenant: Tenant = None,
    dsn: Dsn = None,
    json: Json = False,
) -> None:
    """Show every signal of one trace: what it adds to the priority, and what it was compared with."""
    from evalgate.signals.measure import signals as read_signals  # noqa: PLC0415 - as above
    from evalgate.signals.population import STATEMENTS, window_around  # noqa: PLC0415
    from evalgate.signals.priority import prioritise  # noqa: PLC0415
    from evalgate.signals.show import print_trace, trace_json  # noqa: PLC0415

    terminal = Terminal()
    points = read_weights(weights, os.environ)
    with open_tenant(dsn, tenant) as database:
        trace_id = resolve_trace(database, trace)
        only = Where().and_("trace_id", "=", trace_id)
        window = window_around(database, trace_id)
        with terminal.progress("comparing traces", len(STATEMENTS)) as step:
            found = read_signals(database, only, window=window, step=step)
    priority = prioritise(found, points)
    if not len(priority.order):
        raise BadInput(f"of trace {trace_id} there is feedback and no span: nothing can be compared")
    row = int(priority.order[0])
    if json:
        terminal.emit(trace_json(found, priority, row))
    else:
        print_trace(terminal, found, priority, points, row)
