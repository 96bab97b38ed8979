"""`evalgate traces`, `evalgate traces show`, `evalgate query`."""

from __future__ import annotations

import sys
from datetime import UTC, datetime
from typing import Annotated

import typer

from evalgate.database import open_database, open_tenant, whose_rows
from evalgate.options import Dsn, Json, Since, Tenant, new_app, since_time
from evalgate.select.nothing import nothing_yet
from evalgate.select.query import QueryFormat, run_query
from evalgate.select.recent import is_bounded, most_traces, recent_hour, started_since
from evalgate.select.show import print_list, print_trace, trace_json
from evalgate.select.traces import count_traces, last_messages, list_traces, load_trace, resolve_trace, row_json
from evalgate.select.where import parse_where
from evalgate.terminal import Terminal, count_of


def register(app: typer.Typer) -> None:
    """Add the commands."""
    group = new_app("List traces, flagged first, with the reason.")
    group.callback(invoke_without_command=True)(traces)
    group.command("show")(show)
    app.add_typer(group, name="traces", no_args_is_help=False)
    app.command("query")(query)


def traces(
    context: typer.Context,
    *,
    where: Annotated[
        list[str] | None,
        typer.Option("--where", metavar="CONDITION", help="Such as 'duration_ms > 2000'; repeat it for more."),
    ] = None,
    failing: Annotated[bool, typer.Option("--failing", help="Only those that failed.")] = False,
    flagged: Annotated[bool, typer.Option("--flagged", help="Only those worth a look: failing, or sampled.")] = False,
    service: Annotated[str | None, typer.Option(metavar="NAME", help="Only of this service.")] = None,
    since: Since = None,
    limit: Annotated[int, typer.Option(min=1, max=100_000, help="How many at most.")] = 50,
    tenant: Tenant = None,
    dsn: Dsn = None,
    json: Json = False,
) -> None:
    """List traces, flagged first, with the reason."""
    if context.invoked_subcommand is not None:
        return
    conditions = parse_where(where or ())
    if failing:
        conditions = conditions.and_("failing", "=", "true")
    if flagged:
        conditions = conditions.and_("flagged", "=", "true")
    if service is not None:
        conditions = conditions.and_("service_name", "=", service)
    terminal = Terminal()
    start = since_time(since, datetime.now(UTC))
    with open_tenant(dsn, tenant) as database:
        conditions = started_since(conditions, start)
        if hour := None if is_bounded(conditions) else recent_hour(database, most_traces(conditions)):
            conditions = conditions.received_from(hour)
        rows = list_traces(database, conditions, limit)
        asked = last_messages(database, conditions, limit)
        totals = count_traces(database, conditions)
    if json:
        counts = {"traces": totals.traces, "failing": totals.failing, "flagged": totals.flagged}
        items = [{**row_json(r), "asked": asked.get(r.trace_id)} for r in rows]
        received = hour and hour.isoformat()
        terminal.emit({**counts, "shown": len(rows), "received_since": received, "rows": items})
    elif not rows and not conditions.sql:
        terminal.say(nothing_yet())
    else:
        print_list(terminal, rows, asked)
        more = "" if len(rows) == totals.traces else f", {len(rows)} shown (--limit)"
        terminal.say(f"{count_of(totals.traces, 'trace')}, {totals.flagged} flagged, {totals.failing} failing{more}")
        if hour:
            terminal.say(f"only what was received since {hour:%Y-%m-%d %H:%M} UTC; for older traces: --since DATE")
        if rows:
            terminal.say("next: evalgate traces show ID, evalgate label")


def show(
    trace: Annotated[str, typer.Argument(metavar="ID", help="A trace id, or the beginning of one.")],
    *,
    full: Annotated[bool, typer.Option("--full", help="Do not cut long texts.")] = False,
    tenant: Tenant = None,
    dsn: Dsn = None,
    json: Json = False,
) -> None:
    """Read one trace: the tree of spans, the conversation, what failed and with which input."""
    terminal = Terminal()
    with open_tenant(dsn, tenant) as database:
        found = load_trace(database, resolve_trace(database, trace))
    if json:
        terminal.emit(trace_json(found))
    else:
        print_trace(terminal, found, full=full)


def query(
    statement: Annotated[
        str, typer.Argument(metavar="SQL", help="One SELECT, SHOW, DESCRIBE or EXPLAIN; - reads stdin.")
    ],
    *,
    query_format: Annotated[QueryFormat, typer.Option("--format", help="How to print.")] = QueryFormat.TABLE,
    limit: Annotated[int, typer.Option(min=1, max=10_000_000, help="How many rows at most.")] = 1000,
    all_tenants: Annotated[bool, typer.Option("--all-tenants", help="The rows of all tenants.")] = False,
    tenant: Tenant = None,
    dsn: Dsn = None,
    json: Json = False,
) -> None:
    """Ask the database in SQL: the tables and views of docs/schema.md."""
    terminal = Terminal()
    if statement == "-":
        statement = sys.stdin.read()
    with open_database(dsn) as database:
        whose = None if all_tenants else whose_rows(database, tenant)
        run_query(terminal, database, statement, QueryFormat.JSON if json else query_format, limit, tenant=whose)
