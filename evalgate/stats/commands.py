"""`evalgate stats` and `evalgate stats modes`."""

from __future__ import annotations

from dataclasses import asdict
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from evalgate.database import open_tenant
from evalgate.errors import BadInput
from evalgate.options import Dsn, Json, Tenant, new_app, since_time
from evalgate.select.recent import started_since
from evalgate.select.where import parse_where
from evalgate.stats.estimate import MIN_EFFECTIVE_N
from evalgate.stats.figure import Least, figure_of
from evalgate.stats.numbers import count
from evalgate.stats.rare import ENOUGH, Mode, yield_of
from evalgate.stats.read import FAILING, GROUPS, REASON, THUMBS_DOWN, group_expression, read_groups, read_labels
from evalgate.stats.report import (
    METHOD,
    SCHEMA,
    known_modes,
    label_figures,
    mean_figures,
    measure_figures,
    population,
    traffic_of,
)
from evalgate.stats.show import print_figures, print_labels, print_means, print_modes, print_population
from evalgate.terminal import Terminal
from schema.fields import did_you_mean

if TYPE_CHECKING:
    from collections.abc import Sequence

    from evalgate.select.where import Where
    from evalgate.stats.figure import Figure
    from evalgate.stats.rare import Yield
    from evalgate.stats.read import Group, Labelled

DEFAULT_SINCE: Final = "7d"
BY_REASON: Final = "reason"
NOTHING: Final = (
    "No traces since {start:%Y-%m-%d %H:%M} UTC. Look further back: --since 30d. What there is: evalgate traces"
)
MODES_SCHEMA: Final = "evalgate/stats-modes/1"
WEEK: Final = timedelta(weeks=1)
SHORTEST: Final = timedelta(hours=1)
"""Less than that is not blown up to a week."""

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
    if by != BY_REASON:
        group_expression(by)
    conditions, start, end = window(where or (), since, until, now)
    least = Least(effective_n=min_n)
    with open_tenant(dsn, tenant) as database, terminal.progress("reading traces", 2) as step:
        groups = read_groups(database, conditions, None if by == BY_REASON else by)
        step()
        labels = None if by else read_labels(database, conditions)
        step()
    span = {"since": start.isoformat(), "until": end.isoformat(), "tenant": database.tenant}
    if json:
        terminal.emit(document(span, groups, labels, least, by=by, limit=limit))
    elif not groups:
        terminal.say(NOTHING.format(start=start))
    elif by is None or by == BY_REASON:
        _print_all(terminal, groups[0], labels, least)
    else:
        shown = group_figures(groups[:limit], of, least)
        terminal.say(f"{of}, by {by}")
        print_figures(terminal, by, shown)
        if len(groups) > limit:
            terminal.say(f"  {len(groups) - limit:,} more, each with fewer traces: --limit")
        terminal.say()
        terminal.say(METHOD)


def modes(
    *,
    frequency: Annotated[
        list[float] | None,
        typer.Option(
            "--frequency", metavar="SHARE", help="Also of a mode that is this share of traces, such as 0.001."
        ),
    ] = None,
    examples: Annotated[float, typer.Option(min=1, help="How many examples a week are enough.")] = ENOUGH,
    since: Since = "4w",
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
    conditions, start, end = window(where or (), since, until, now)
    least = Least(effective_n=min_n)
    with open_tenant(dsn, tenant) as database, terminal.progress("reading traces", 2) as step:
        groups = read_groups(database, conditions, None)
        step()
        labelled = read_labels(database, conditions)
        step()
    if not groups:
        if json:
            terminal.emit({"schema": MODES_SCHEMA, "traffic": None, "modes": []})
        else:
            terminal.say(NOTHING.format(start=start))
        return
    first = datetime.fromtimestamp(int(groups[0].row["first_unix_s"]), UTC)
    weeks = max((end - max(start, first)) / WEEK, SHORTEST / WEEK)
    labels = label_figures(groups[0], *labelled, least)
    traffic = traffic_of(groups[0], weeks, labels)
    asked = [Mode(f"one in {count(1 / f)}", "asked", None, f, 0.0) for f in frequency or ()]
    found = [yield_of(m, traffic, examples) for m in (*known_modes(groups[0], labels, least), *asked)]
    if json:
        terminal.emit(
            {
                "schema": MODES_SCHEMA,
                "since": start.isoformat(),
                "until": end.isoformat(),
                "tenant": database.tenant,
                "weeks": weeks,
                "enough": examples,
                "traffic": asdict(traffic),
                "modes": [_yield_json(y) for y in found],
            }
        )
        return
    print_modes(terminal, found, traffic, examples)
    if not labels.modes:
        terminal.say("no failure mode is labelled in this window: evalgate label")
    terminal.say(
        "try a rule or a rate on what is stored: evalgate sample backtest --rule 'NAME: CONDITION' --rate RATE"
    )


def _yield_json(y: Yield) -> dict[str, Any]:
    return {
        "name": y.mode.name,
        "kind": y.mode.kind,
        "rate": y.mode.figure.to_json() if y.mode.figure else None,
        "frequency": y.mode.frequency,
        "shows_as_failure": y.mode.shows_as_failure,
        "per_week": y.there,
        "flagged_per_week": y.flagged,
        "weeks_for_enough": y.weeks_for_enough,
        "rate_for_enough": y.rate_for_enough,
        "advice": y.advice,
    }


def window(where: Sequence[str], since: str, until: str | None, now: datetime) -> tuple[Where, datetime, datetime]:
    """Return the conditions on traces that started in a window, and its ends.

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
    return (conditions if until is None else conditions.and_("start_time", "<", end.isoformat())), start, end


def document(
    span: dict[str, Any],
    groups: Sequence[Group],
    labels: tuple[Labelled, Labelled] | None,
    least: Least,
    *,
    by: str | None,
    limit: int,
) -> dict[str, Any]:
    """Return the JSON document."""
    made: dict[str, Any] = {
        "schema": SCHEMA,
        **span,
        "by": by,
        "method": METHOD,
        "min_effective_n": least.effective_n,
        "min_sessions": least.events,
        "groups": [_group_json(g, least, by) for g in groups[:limit]],
        "more_groups": max(0, len(groups) - limit),
    }
    if labels is not None and groups:
        found = label_figures(groups[0], *labels, least)
        made["labels"] = {
            "failing_labelled": found.failing,
            "sampled_labelled": found.others,
            "unsampled_labelled": found.unsampled,
            "modes": [f.to_json() for f in found.modes],
            "modes_among_failing": [f.to_json() for f in found.among_failing],
            "bad": found.bad and found.bad.to_json(),
        }
    return made


def _group_json(group: Group, least: Least, by: str | None) -> dict[str, Any]:
    return {
        "name": group.name if by not in (None, BY_REASON) else None,
        "traces": asdict(population(group)),
        "rates": [f.to_json() for f in measure_figures(group, least)],
        "means": [asdict(m) for m in mean_figures(group)],
    }


def _print_all(terminal: Terminal, group: Group, labels: tuple[Labelled, Labelled] | None, least: Least) -> None:
    people = population(group)
    print_population(terminal, people)
    print_figures(terminal, "of all traces", measure_figures(group, least))
    if labels is not None:
        print_labels(terminal, label_figures(group, *labels, least), people, int(group.row["sampled"]))
        print_means(terminal, mean_figures(group))
    terminal.say()
    terminal.say(METHOD)
    terminal.say("next: evalgate stats --by feature, evalgate stats modes")


def group_figures(groups: Sequence[Group], of: str, least: Least) -> list[Figure]:
    """Return one rate of each group: failing, thumbs_down, or the name of a reason.

    Raises:
        BadInput: no trace of any group has that.

    """
    measure = of if of in (FAILING, THUMBS_DOWN) else f"{REASON}{of}"
    known = sorted({m.removeprefix(REASON) for g in groups for m in g.sums if m.startswith(REASON)})
    if measure.startswith(REASON) and of not in known:
        names = (FAILING, THUMBS_DOWN, *known)
        raise BadInput(f"--of {of!r}: no trace has that. There are {', '.join(names[:12])}.{did_you_mean(of, names)}")
    return [figure_of(g.name, g.of(measure), least) for g in groups]
