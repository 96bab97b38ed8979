"""`evalgate stats` and `evalgate stats modes`.

What computes is imported when it is asked for: NumPy takes 0.1 s, and the gate starts without.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated, Final

import typer

from evalgate.database import open_tenant
from evalgate.errors import BadInput
from evalgate.options import Dsn, Json, Tenant, new_app, since_time
from evalgate.select.recent import started_since
from evalgate.select.where import parse_where
from evalgate.stats.measures import ENOUGH, FAILING, GROUPS, Least, group_expression
from evalgate.terminal import Terminal
from schema.statistics import MIN_EFFECTIVE_N

if TYPE_CHECKING:
    from collections.abc import Sequence

    from evalgate.select.where import Where

DEFAULT_SINCE: Final = "7d"
DEFAULT_SINCE_OF_MODES: Final = "4w"

Since = Annotated[
    str, typer.Option("--since", metavar="WHEN", help="From then on: 30m, 24h, 7d, 2w, or a date such as 2026-11-20.")
]
Until = Annotated[str | None, typer.Option("--until", metavar="WHEN", help="Before then, as --since.  [default: now]")]
Conditions = Annotated[
    list[str] | None,
    typer.Option("--where", metavar="CONDITION", help="Such as 'service_name = shop'; repeat it for more."),
]
MinN = Annotated[
    float, typer.Option("--min-n", min=1, help="Least effective n of a rate; below it: insufficient data.")
]


def register(app: typer.Typer) -> None:
    """Add the commands."""
    group = new_app("How often does it fail? Rates with their intervals, whatever was sampled.")
    group.callback(invoke_without_command=True)(stats)
    group.command("modes")(modes)
    app.add_typer(group, name="stats", no_args_is_help=False)


def stats(
    context: typer.Context,
    *,
    by: Annotated[
        str | None, typer.Option("--by", metavar="FIELD", help=f"A line for each {', '.join(GROUPS)}, or reason.")
    ] = None,
    of: Annotated[
        str, typer.Option("--of", metavar="WHAT", help="With --by: failing, thumbs_down, or a failure reason.")
    ] = FAILING,
    since: Since = DEFAULT_SINCE,
    until: Until = None,
    where: Conditions = None,
    min_n: MinN = MIN_EFFECTIVE_N,
    limit: Annotated[int, typer.Option(min=1, max=10_000, help="With --by: how many groups at most.")] = 20,
    tenant: Tenant = None,
    dsn: Dsn = None,
    json: Json = False,
) -> None:
    """Estimate how often it fails, and why, with 95 % intervals: right whatever was sampled or has expired."""
    if context.invoked_subcommand is not None:
        return
    terminal, now = Terminal(), datetime.now(UTC)
    group_expression(by)
    window = read_window(where or (), since, until, now)
    from evalgate.stats import answer  # noqa: PLC0415 - see above

    with open_tenant(dsn, tenant) as database, terminal.progress("reading traces", 2) as step:
        found = answer.ask(database, window, by, Least(effective_n=min_n), step)
    if json:
        terminal.emit(answer.stats_json(found, limit))
    else:
        answer.print_stats(terminal, found, of, limit)


def modes(
    *,
    frequency: Annotated[
        list[float] | None,
        typer.Option(
            "--frequency", metavar="SHARE", help="Also of a mode that is this share of traces, such as 0.001."
        ),
    ] = None,
    examples: Annotated[float, typer.Option(min=1, help="How many examples a week are enough.")] = ENOUGH,
    since: Since = DEFAULT_SINCE_OF_MODES,
    until: Until = None,
    where: Conditions = None,
    min_n: MinN = MIN_EFFECTIVE_N,
    tenant: Tenant = None,
    dsn: Dsn = None,
    json: Json = False,
) -> None:
    """Say how many examples of each failure mode a week yields, and which rate or failure rule would yield enough."""
    terminal, now = Terminal(), datetime.now(UTC)
    for f in frequency or ():
        if not 0 < f <= 1:
            raise BadInput(f"--frequency {f:g}: it is a share of traces, above 0 and at most 1, such as 0.001")
    window = read_window(where or (), since, until, now)
    from evalgate.stats import answer  # noqa: PLC0415 - see above

    with open_tenant(dsn, tenant) as database, terminal.progress("reading traces", 2) as step:
        found = answer.ask(database, window, None, Least(effective_n=min_n), step)
    week = answer.week_of(found, frequency or (), examples)
    if json:
        terminal.emit(answer.modes_json(found, week))
    else:
        answer.print_week(terminal, found, week)


@dataclass(frozen=True, slots=True)
class Window:
    """Which traces are meant."""

    where: Where
    start: datetime
    end: datetime
    is_filtered: bool = False
    """By conditions of the person who asks, besides the time."""


def read_window(where: Sequence[str], since: str, until: str | None, now: datetime) -> Window:
    """Return the traces that started in a window of time and meet conditions.

    Raises:
        BadInput: not a time, not a condition, or the window is empty.

    """
    start = since_time(since, now) or now
    end = now
    if until is not None:
        try:
            end = since_time(until, now) or now
        except BadInput as e:
            raise BadInput(str(e).replace("--since", "--until")) from None
    if end <= start:
        raise BadInput(
            f"the window is empty: --since {start:%Y-%m-%d %H:%M} is not before --until {end:%Y-%m-%d %H:%M}"
        )
    conditions = started_since(parse_where(where), start)
    if until is not None:
        conditions = conditions.and_("start_time", "<", end.isoformat())
    return Window(conditions, start, end, is_filtered=bool(where))
