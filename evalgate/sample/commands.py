"""`evalgate sample backtest` and `evalgate sample rates`."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer

from evalgate.database import open_tenant
from evalgate.errors import BadInput
from evalgate.options import Dsn, Json, Tenant, new_app, since_time
from evalgate.terminal import Terminal
from schema.errors import ConfigError

DEFAULT_SINCE = "7d"
STORED = "stored"
ERROR = 2

Since = Annotated[str, typer.Option("--since", metavar="WHEN", help="What was received since: 24h, 7d, 2w, or a date.")]


def register(app: typer.Typer) -> None:
    """Add the commands."""
    group = new_app("Which traces are sampled, and which would be under another policy.")
    group.command("backtest")(backtest)
    group.command("rates")(rates)
    app.add_typer(group, name="sample")


def backtest(
    *,
    policy: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="What to try: failure: and sample:, or a collector's configuration."),
    ] = None,
    rule: Annotated[
        list[str] | None,
        typer.Option("--rule", metavar="'NAME: CONDITION'", help="Try one more rule of what fails; repeatable."),
    ] = None,
    rate: Annotated[float | None, typer.Option("--rate", metavar="RATE", help="Try this baseline rate.")] = None,
    against: Annotated[
        str, typer.Option(metavar="FILE|stored", help="What to compare with: a policy, or what was decided.")
    ] = STORED,
    since: Since = DEFAULT_SINCE,
    tenant: Tenant = None,
    dsn: Dsn = None,
    json: Json = False,
) -> None:
    """Try a policy on what is stored, and show what would be different, before it is switched on.

    Nothing is changed. --rule and --rate change the policy of --policy, else the one in force.
    """
    from evalgate.sample import proposal  # noqa: PLC0415 - pydantic and the parser of conditions take 0.3 s

    terminal, now = Terminal(), datetime.now(UTC)
    try:
        tried = proposal.read(policy, rule or (), rate)
        before = None if against == STORED else proposal.read(Path(against), (), None)
    except ConfigError as e:
        for line in str(e).splitlines():  # each mistake of a file has its own, with its number
            terminal.note(f"evalgate: {line}")
        raise typer.Exit(ERROR) from None
    begin = since_time(since, now)
    assert begin is not None  # noqa: S101 - a text was given
    with open_tenant(dsn, tenant) as database:
        from evalgate.sample.report import make_report  # noqa: PLC0415 - Arrow comes with the database's packages
        from evalgate.sample.show import print_report, report_json  # noqa: PLC0415

        report = make_report(database, tried, before, since=begin, now=now, terminal=terminal)
    if json:
        terminal.emit(report_json(report))
    else:
        print_report(terminal, report)


def rates(
    *,
    since: Since = "24h",
    tenant: Tenant = None,
    dsn: Dsn = None,
    json: Json = False,
) -> None:
    """Show the rates in force, and how many traces a day they give."""
    terminal, now = Terminal(), datetime.now(UTC)
    begin = since_time(since, now)
    assert begin is not None  # noqa: S101 - a text was given
    if begin >= now:
        raise BadInput(f"--since {since} is not over yet")
    begin = begin.astimezone(UTC).replace(minute=0, second=0, microsecond=0)  # sums of traces are kept by the hour
    with open_tenant(dsn, tenant) as database:
        from evalgate.sample import strata  # noqa: PLC0415 - as above
        from evalgate.sample.report import policy_in_force, raised_rates  # noqa: PLC0415

        policy = policy_in_force(database)
        if policy is None:
            raise BadInput(
                "no collector wrote down its policy in this database. Start one of this version: evalgate up. "
                "What a policy would do: evalgate sample backtest --policy FILE"
            )
        found = strata.rule_loads(database, policy, raised_rates(database, policy), since=begin, now=now)
    if json:
        terminal.emit(strata.loads_json(policy, database.tenant, found, begin))
    else:
        strata.print_loads(terminal, policy, database.tenant, found, begin)
