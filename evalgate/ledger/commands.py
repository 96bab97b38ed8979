"""`evalgate ledger` and `evalgate ledger reconcile`."""

from __future__ import annotations

from dataclasses import asdict
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from evalgate.database import open_database, sql
from evalgate.ledger.account import PACKAGE, Line, Range, bars, courses, states, waiting
from evalgate.ledger.reconcile import compare
from evalgate.ledger.sent import read_sent
from evalgate.options import Dsn, Json, Since, new_app, since_time
from evalgate.terminal import Terminal, count_of
from evalgate.top.status import NoAnswer, Status, fetch, find_url

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from evalgate.database import Database
    from evalgate.ledger.reconcile import Difference
    from evalgate.ledger.sent import Sent

FAIL = 1
SLACK = timedelta(minutes=5)
"""What is sent in a minute may arrive in a later one."""
DEFAULT_SINCE = "24h"

Tenant = Annotated[str, typer.Option("--tenant", envvar="EVALGATE_TENANT", metavar="NAME", help="Only of this tenant.")]
Url = Annotated[str | None, typer.Option(metavar="URL", help="Address of the running collector's health_check.")]
DataDir = Annotated[Path, typer.Option("--data-dir", metavar="DIR", help="Folder of a collector of this machine.")]
DATA_DIR = Path(".evalgate/data")


def register(app: typer.Typer) -> None:
    """Add the commands."""
    group = new_app("What became of everything that was received.")
    group.callback(invoke_without_command=True)(ledger)
    group.command("reconcile")(reconcile)
    app.add_typer(group, name="ledger", no_args_is_help=False)


def ledger(
    context: typer.Context,
    *,
    since: Since = DEFAULT_SINCE,
    tenant: Tenant = "",
    url: Url = None,
    data_dir: DataDir = DATA_DIR,
    dsn: Dsn = None,
    json: Json = False,
) -> None:
    """Show what became of every span, log record and feedback entry: state, reason, count."""
    if context.invoked_subcommand is not None:
        return
    terminal, now = Terminal(), datetime.now(UTC)
    status = _status(url, data_dir)
    with open_database(dsn) as database:
        within = Range(tenant, since_time(since, now) or now, now)
        lines = states(database, within)
        step, over_time = courses(database, within)
    if status is not None:
        lines = sorted((*lines, *waiting(status, tenant)), key=lambda line: (line.tenant, line.signal, line.state))
    if json:
        terminal.emit(
            {
                "since": within.since.isoformat(),
                "until": within.until.isoformat(),
                "in_journal_known": status is not None,
                "rows": [asdict(line) for line in lines],
                "step_minutes": step,
                "courses": {c.state: c.counts for c in over_time},
            }
        )
        return
    if not lines:
        terminal.say(f"Nothing was received since {within.since:%Y-%m-%d %H:%M} UTC. Earlier: --since 7d")
    else:
        _print_lines(terminal, lines)
        terminal.say()
        width = max(len(c.state) for c in over_time) if over_time else 0
        for course in over_time:
            terminal.say(f"{course.state:<{width}}  {bars(course.counts)}  {sum(course.counts)}")
        terminal.say(f"since {within.since:%Y-%m-%d %H:%M} UTC, {_step(step)} a column")
    if status is None:
        terminal.note("evalgate: no collector answers, so what waits in its journal is not counted (--url, --data-dir)")


def reconcile(
    *,
    sent: Annotated[
        str,
        typer.Option(
            metavar="FILE|URL|JSON",
            help="What senders say was acknowledged: CSV or JSON with tenant, service, signal, minute, sent; or the "
            "metrics of an OpenTelemetry SDK or Collector in Prometheus text. - reads stdin.",
        ),
    ],
    since: Since = None,
    tenant: Tenant = "",
    url: Url = None,
    data_dir: DataDir = DATA_DIR,
    dsn: Dsn = None,
    json: Json = False,
) -> None:
    """Compare with what senders say they sent; exit 1 when something acknowledged is missing.

    Without --since the range is that of the minutes the senders name, or everything.
    """
    terminal, now = Terminal(), datetime.now(UTC)
    said = [s for s in read_sent(sent) if tenant in ("", s.tenant) or not s.tenant]
    status = _status(url, data_dir)
    with open_database(dsn) as database:
        within = Range(tenant, *_range(database, said, since_time(since, now), now, tenant))
        lines = states(database, within)
        by_service = _stored(database, within) if any(s.service for s in said) else {}
    if status is not None:
        lines += waiting(status, tenant)
    tenants = [tenant] if tenant else sorted({line.tenant for line in lines if line.tenant})
    found = compare(said, lines, by_service, tenants)
    missing = sum(d.missing for d in found)
    if json:
        rows = [{**asdict(d), "surplus": d.surplus} for d in found]
        terminal.emit({"missing": missing, "in_journal_known": status is not None, "rows": rows})
    else:
        _print_differences(terminal, found, missing)
        if missing and status is None:
            terminal.note("evalgate: no collector answers; what is missing may wait in its journal (--url, --data-dir)")
    if missing:
        raise typer.Exit(FAIL)


def _print_lines(terminal: Terminal, lines: Sequence[Line]) -> None:
    terminal.table(
        ("tenant", "signal", "state", "reason", "count", "uncounted requests"),
        [
            (
                line.tenant or "-",
                line.signal,
                line.state,
                line.reason or "-",
                str(line.count),
                str(line.uncounted_requests) if line.uncounted_requests else "",
            )
            for line in lines
        ],
    )


def _print_differences(terminal: Terminal, found: Sequence[Difference], missing: int) -> None:
    terminal.table(
        ("tenant", "signal", "service", "sent", "found", "missing", "where"),
        [
            (
                d.tenant,
                d.signal,
                d.service or "-",
                str(d.sent),
                str(d.found),
                str(d.missing) if d.missing else "-",
                ", ".join(f"{n} {state}" for state, n in d.kept.items() if n) or "nowhere",
            )
            for d in found
        ],
    )
    surplus = sum(d.surplus for d in found)
    more = f"; {surplus} more than the senders said" if surplus else ""
    what = f"{count_of(missing, 'item')} missing" if missing else "nothing acknowledged is missing"
    terminal.say(f"{what}{more}", style="red" if missing else "green")


def _range(
    database: Database, said: Sequence[Sent], since: datetime | None, now: datetime, tenant: str
) -> tuple[datetime, datetime]:
    minutes = [s.minute for s in said if s.minute is not None]
    if len(minutes) == len(said) and minutes:
        return since or min(minutes), max(minutes) + SLACK
    if since is None:
        (row,) = database.rows(sql(PACKAGE, "first"), {"tenant": tenant})
        since = datetime.fromtimestamp(int(row["at_s"]), UTC)
    return since, now + SLACK


def _stored(database: Database, within: Range) -> Mapping[tuple[str, str, str], int]:
    found = {}
    for signal, name in (("traces", "spans_by_service"), ("logs", "logs_by_service")):
        for row in database.rows(sql(PACKAGE, name), within.parameters()):
            found[str(row["tenant"]), signal, str(row["service"])] = int(row["n"])
    return found


def _status(url: str | None, data_dir: Path) -> Status | None:
    """Return what the running collector says; None when none answers, unless its address was given."""
    try:
        return fetch(find_url(url, data_dir.absolute()))
    except NoAnswer:
        if url is not None:
            raise
        return None


def _step(minutes: int) -> str:
    return count_of(minutes // 60, "hour") if minutes % 60 == 0 else count_of(minutes, "minute")
