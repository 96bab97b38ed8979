"""`retention plan|apply|accept|log` and `hold add|list|release`: what goes when, and what must stay.

Exit codes: 0 done, 1 an answer that is no (apply without --yes), 2 error.
"""

from __future__ import annotations

from datetime import UTC
from pathlib import Path  # noqa: TC003 - typer reads it at run time
from typing import TYPE_CHECKING, Annotated, Any

import typer

from collector.journal_folders import emit
from collector.retention.opening import AsJson, ConfigFile, Dsn, Tenant, actor, opened, progress, settings_of
from collector.retention.picture import LOOSE, count_of
from schema.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import date, datetime

    from collector.retention.log import Entry
    from collector.retention.settings import Settings
    from collector.retention.survey import Due, Share

NOT_DONE = 1
_DAYS = "Whole days, for all tenants without their own; else as in the file, or in force."


def said_reason(text: str) -> str:
    """Return a reason that says something.

    Raises:
        ConfigError: it is empty.

    """
    if not text.strip():
        raise ConfigError("--reason is empty: say why, it stays in the record")
    return text.strip()


Reason = Annotated[
    str, typer.Option("--reason", metavar="TEXT", help="Why: it stays in the record.", callback=said_reason)
]
FlaggedDays = Annotated[int | None, typer.Option("--flagged-days", min=1, max=36_500, metavar="N", help=_DAYS)]
OtherDays = Annotated[int | None, typer.Option("--other-days", min=1, max=36_500, metavar="N", help=_DAYS)]
Traces = Annotated[list[str], typer.Argument(metavar="TRACE…", help="Ids, as `evalgate traces` shows them.")]


def retention_app() -> typer.Typer:
    """Return the commands of retention."""
    app = typer.Typer(help="What is removed, and when; nothing that fails within its time.", no_args_is_help=True)
    app.command("plan")(plan)
    app.command("apply")(apply)
    app.command("accept")(accept)
    app.command("log")(show_log)
    return app


def hold_app() -> typer.Typer:
    """Return the commands of holds."""
    app = typer.Typer(help="Traces that must not be removed, whatever their age.", no_args_is_help=True)
    app.command("add")(hold_add)
    app.command("list")(hold_list)
    app.command("release")(hold_release)
    return app


def plan(
    config: ConfigFile = None,
    dsn: Dsn = None,
    *,
    flagged_days: FlaggedDays = None,
    other_days: OtherDays = None,
    as_json: AsJson = False,
) -> None:
    """Say what would go and when, by the settings in force or by others. Nothing is changed."""
    from collector.retention import log  # noqa: PLC0415 - --help needs none of it
    from collector.retention.expire import moment_of  # noqa: PLC0415 - as above
    from collector.retention.picture import about, lines, picture  # noqa: PLC0415 - as above
    from collector.retention.settings import Settings  # noqa: PLC0415 - as above
    from collector.retention.survey import bytes_per_span, late_failures, newly_due, survey  # noqa: PLC0415 - as above

    with opened(dsn, config) as db, db.shards() as holders:
        entries = log.read(db)
        in_force = log.in_force(entries)
        asked = _asked(in_force, config, flagged_days, other_days)
        today = moment_of(db, quiet_s=0).today
        with progress("reading") as step:
            shares = survey(db, today, lambda done, of: step(done, of, ""))
        ratio, late = bytes_per_span(holders), late_failures(db, today)
    settings = asked or in_force or Settings()
    sooner = newly_due(shares, today, in_force or Settings(), settings)
    if as_json:
        emit(
            {
                "today": today.isoformat(),
                "settings": settings.document(),
                "in_force": in_force.document() if in_force else None,
                "removed_at_once_by_the_change": sooner.traces,
                "records_removed_at_once_by_the_change": sooner.records,
                "late_failures": late,
                "bytes_per_span": ratio,
                "shares": [_share(s, settings, today, ratio) for s in shares],
            }
        )
        return
    typer.echo(_heading(entries, in_force, asked))
    for line in picture(lines(shares, settings, today), today, ratio):
        typer.echo(line)
    traces, stored = sum(s.traces for s in shares), sum(s.spans for s in shares)
    typer.echo(f"Stored: {count_of(traces, 'trace')}, {count_of(stored, 'span')}, {about(stored, ratio)}.")
    if late:
        typer.echo(f"{late} traces of the last 30 days were found to fail after they had gone: keep others longer.")
    if asked is not None and sooner:
        typer.echo(
            f"{sooner.words()} would go at once, kept by the settings in force. A start with these times is refused "
            f"until you say so: evalgate retention accept {_options(config, flagged_days, other_days)} --reason WHY"
        )


def apply(
    dsn: Dsn = None,
    config: ConfigFile = None,
    *,
    yes: Annotated[bool, typer.Option("--yes", help="Remove; without it, say what would go.")] = False,
    quiet_s: Annotated[
        float, typer.Option("--quiet-s", min=0, help="Leave a day into which rows came so lately.")
    ] = 600.0,
    as_json: AsJson = False,
) -> None:
    """Remove what is due by the settings in force, now; a running collector does so every hour.

    Without --yes nothing is changed, and the exit code is 1 where something is due.
    """
    from collector.retention import log  # noqa: PLC0415 - as above
    from collector.retention.expire import Retention, moment_of  # noqa: PLC0415 - as above
    from collector.retention.settings import Settings  # noqa: PLC0415 - as above
    from collector.retention.survey import Due, newly_due, survey  # noqa: PLC0415 - as above

    with opened(dsn, config) as db, db.shards() as holders, progress("removing") as step:

        def due_now() -> Due:
            in_force = log.in_force(log.read(db)) or Settings()
            today = moment_of(db, quiet_s=0).today
            return newly_due(survey(db, today), today, Settings(), in_force)

        if not yes:
            due, has_settings = due_now(), log.in_force(log.read(db)) is not None
            if as_json:
                emit({"removed": False, "due_traces": due.traces, "due_records": due.records})
            else:
                typer.echo(_due(due, is_in_force=has_settings))
            raise typer.Exit(NOT_DONE if due else 0)
        one = Retention(
            db, actor(), lambda: moment_of(db, quiet_s=quiet_s), holders, step=lambda word, n, of: step(n, of, word)
        )
        removed = one.run()
        waiting = Due(0, 0) if removed.runs else due_now()
    if as_json:
        done = {"removed": True, "traces": removed.traces, "rows": dict(removed.rows), "finished": removed.finished}
        emit({**done, "waiting_traces": waiting.traces, "waiting_records": waiting.records})
        return
    rows = ", ".join(f"{n} {_SIGNALS.get(signal, signal)}" for signal, n in sorted(removed.rows.items()))
    if removed.runs:
        typer.echo(f"Removed: {count_of(removed.traces, 'trace')}{f' ({rows})' if rows else ''}.")
    elif waiting:
        typer.echo(
            f"{waiting.words()} wait: rows came into their days within the last {quiet_s:.0f} s, or a hold "
            "or feedback came meanwhile. Run this again later, or with a shorter --quiet-s"
        )
    else:
        typer.echo("Nothing is due.")


def accept(
    reason: Reason,
    config: ConfigFile = None,
    dsn: Dsn = None,
    *,
    flagged_days: FlaggedDays = None,
    other_days: OtherDays = None,
    as_json: AsJson = False,
) -> None:
    """Put holding times in force, also where they remove what is kept now: those of a configuration, or as given.

    Collectors that run take them over with their next pass.
    """
    from collector.retention import log  # noqa: PLC0415 - as above

    with opened(dsn, config) as db:
        before = log.in_force(log.read(db))
        settings = _asked(before, config, flagged_days, other_days)
        if settings is None:
            raise ConfigError("say which: --config FILE, or --other-days N, --flagged-days N")
        number = log.append_last(db, "settings", actor=actor(), reason=reason, body=settings.document())
    if as_json:
        emit({"number": number, "before": before.document() if before else None, "in_force": settings.document()})
        return
    typer.echo(f"In force: {settings.words()}. Before: {before.words() if before else 'everything was kept'}.")


def show_log(dsn: Dsn = None, config: ConfigFile = None, *, as_json: AsJson = False) -> None:
    """List what was decided: settings, holds, what was removed, by whom and why."""
    from collector.retention import log  # noqa: PLC0415 - as above

    with opened(dsn, config) as db:
        entries = log.read(db)
    if as_json:
        emit([{"number": e.number, "at": e.at.isoformat(), **_said(e), "body": e.body} for e in entries])
        return
    for e in entries:
        words = _words(e)
        typer.echo(_clean(f"{_time(e.at)}  {e.kind:<9} {words}  ({e.actor}{f': {e.reason}' if e.reason else ''})"))
    if not entries:
        typer.echo("Nothing was decided yet: no collector with retention has run on this database.")


def hold_add(
    traces: Traces, reason: Reason, tenant: Tenant = None, dsn: Dsn = None, *, as_json: AsJson = False
) -> None:
    """Hold traces: retention leaves them alone, and `evalgate erase` asks twice."""
    from collector.retention.holds import add  # noqa: PLC0415 - as above

    with opened(dsn) as db:
        done = add(db, traces, tenant=tenant, reason=reason, actor=actor())
    _told(done, "held", as_json=as_json)


def hold_release(
    traces: Traces, reason: Reason, tenant: Tenant = None, dsn: Dsn = None, *, as_json: AsJson = False
) -> None:
    """Let traces go again: they do when their holding time ends, or has ended."""
    from collector.retention.holds import release  # noqa: PLC0415 - as above

    with opened(dsn) as db:
        done = release(db, traces, tenant=tenant, reason=reason, actor=actor())
    _told(done, "released", as_json=as_json)


def hold_list(tenant: Tenant = None, dsn: Dsn = None, *, as_json: AsJson = False) -> None:
    """List the traces that are held, since when, why and by whom."""
    from collector.retention.holds import held  # noqa: PLC0415 - as above

    with opened(dsn) as db:
        found = held(db, tenant)
    if as_json:
        emit(
            [
                {"tenant": h.tenant, "trace": h.trace, "since": h.since.isoformat(), "reason": h.reason, "by": h.actor}
                for h in found
            ]
        )
        return
    for h in found:
        typer.echo(_clean(f"{h.trace}  {h.tenant:<12} {_time(h.since)}  {h.reason}  ({h.actor})"))
    if not found:
        typer.echo("No trace is held.")


def _asked(
    in_force: Settings | None, config: Path | None, flagged_days: int | None, other_days: int | None
) -> Settings | None:
    """Return the settings that somebody asks for; None where those in force are meant."""
    from collector.extensions.retention import FLAGGED_DAYS, OTHER_DAYS  # noqa: PLC0415 - as above
    from collector.retention.settings import Holding, Settings  # noqa: PLC0415 - as above

    asked = settings_of(config)[0] if config is not None else None
    if flagged_days is None and other_days is None:
        return asked
    base = asked or in_force or Settings(Holding(FLAGGED_DAYS, OTHER_DAYS))
    days = (flagged_days or base.default.flagged_days, other_days or base.default.other_days)
    if days[0] < days[1]:
        raise ConfigError(
            f"flagged {days[0]} days, others {days[1]}: what is flagged is kept at least as long as the rest"
        )
    return Settings(Holding(*days), base.tenants)


def _options(config: Path | None, flagged_days: int | None, other_days: int | None) -> str:
    given = {"--config": config, "--flagged-days": flagged_days, "--other-days": other_days}
    return " ".join(f"{name} {value}" for name, value in given.items() if value is not None)


_SIGNALS = {"traces": "spans", "logs": "log records"}


def _heading(entries: Sequence[Entry], in_force: Settings | None, asked: Settings | None) -> str:
    last = [e for e in entries if e.kind == "settings"]
    if asked is not None:
        now = in_force.words() if in_force else "everything is kept"
        return f"Asked for: {asked.words()}. In force: {now}."
    if in_force is None:
        return "No settings are in force: everything is kept until a collector with the extension retention starts."
    return _clean(f"In force: {in_force.words()} (since {_time(last[-1].at)}, {last[-1].actor}).")


def _due(due: Due, *, is_in_force: bool) -> str:
    if not is_in_force:
        return "No settings are in force: nothing is due."
    if not due:
        return "Nothing is due."
    return f"{due.words()} due. Nothing was changed; to remove what is due: evalgate retention apply --yes"


def _share(share: Share, settings: Settings, today: date, ratio: float | None) -> dict[str, Any]:
    goes = share.goes_on(settings)
    is_counted = share.traces and ratio is not None
    return {
        "tenant": share.tenant,
        "class": share.kind,
        "last_received": share.last_day.isoformat(),
        "goes_on": None if goes is None else max(goes, today).isoformat(),
        "traces": share.traces,
        **({} if share.kind in LOOSE else {"spans": share.spans}),
        **({"log_records": share.records} if share.records else {}),
        "bytes": round(share.spans * ratio) if is_counted and ratio is not None else None,
    }


def _told(done: Sequence[tuple[str, str]], word: str, *, as_json: bool) -> None:
    if as_json:
        emit([{"tenant": tenant, "trace": trace, word: True} for tenant, trace in done])
    else:
        typer.echo(f"{word}: {count_of(len(done), 'trace')}")


def _said(entry: Entry) -> dict[str, str]:
    return {"kind": entry.kind, "run": entry.run, "actor": entry.actor, "reason": entry.reason}


def _words(entry: Entry) -> str:
    from collector.retention.settings import Settings  # noqa: PLC0415 - as above

    if entry.kind == "settings":
        return Settings.read(entry.body).words()
    if entry.kind == "decided":
        return f"{entry.run}: {count_of(entry.body['traces'], 'trace')} go"
    if entry.kind == "done":
        return entry.run
    if entry.kind in ("erase", "erased"):
        return entry.run
    return count_of(int(entry.body.get("traces", 0)), "trace")


def _time(at: datetime) -> str:
    return f"{at.astimezone(UTC):%Y-%m-%d %H:%M} UTC"


def _clean(text: str) -> str:
    """Return text in which nothing that a person wrote can act on the terminal."""
    return "".join(c if c.isprintable() else "\N{REPLACEMENT CHARACTER}" for c in text)
