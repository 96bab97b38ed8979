"""`quarantine list|show|replay|purge`: what could not be delivered, and what becomes of it.

They work beside a running collector and without one. Exit codes: 0 done, 1 not all of it could be done, 2 error.
"""

from __future__ import annotations

import asyncio
import re
import sys
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from collector.journal_folders import AsJson, ConfigOption, DirectoryOption, emit, journals
from schema.errors import ConfigError, EvalgateError

if TYPE_CHECKING:
    from pathlib import Path

    from collector.journal.quarantine import Kept

NOT_ALL: Final = 1
SECONDS: Final = {"m": 60, "h": 3600, "d": 86_400, "w": 7 * 86_400}
AGE: Final = re.compile(r"(\d{1,6})([mhdw])", re.ASCII)

Ids = Annotated[list[str] | None, typer.Argument(metavar="ID…", help="As `quarantine list` shows them.")]
All = Annotated[bool, typer.Option("--all", help="Everything that can be.")]
Yes = Annotated[bool, typer.Option("--yes", help="Do not ask.")]


def quarantine_app() -> typer.Typer:
    """Return the commands; `evalgate` has them too."""
    app = typer.Typer(help="What could not be delivered: list, show, replay, purge.", no_args_is_help=True)
    app.command("list")(list_)
    app.command("show")(show)
    app.command("replay")(replay)
    app.command("purge")(purge)
    return app


def list_(config: ConfigOption = None, directory: DirectoryOption = None, *, as_json: AsJson = False) -> None:
    """List what is set aside, with the reason; never what is in it."""
    found = _all(journals(config, directory))
    if as_json:
        emit([{**kept.as_row(), "journal": str(folder)} for folder, kept in found])
        return
    if not found:
        typer.echo("Nothing is in quarantine.")
        return
    typer.echo(f"{'ID':<50} {'WHEN':<20} {'TENANT':<16} {'REQUESTS':>8} {'SPANS':>8} {'BYTES':>10}  REASON")
    for _, kept in found:
        row = kept.as_row()
        tenants = ",".join(row["tenants"]) or "-"
        counts = f"{row['records']:>8} {row['members']:>8} {row['bytes']:>10}"
        reason = " ".join(str(row["reason"]).split())
        typer.echo(f"{kept.id:<50} {_date(row['at_unix_ns']):<20} {tenants[:16]:<16} {counts}  {reason[:200]}")


def show(
    key: Annotated[str, typer.Argument(metavar="ID", help="As `quarantine list` shows it.")],
    config: ConfigOption = None,
    directory: DirectoryOption = None,
    *,
    content: Annotated[bool, typer.Option("--content", help="Also what the requests say, as OTLP/JSON.")] = False,
) -> None:
    """Show the reason, and the shape of each request; what they say only when asked for."""
    from collector.journal.fs import Fs  # noqa: PLC0415 - --help needs none of it
    from collector.journal.quarantine import read_records  # noqa: PLC0415 - as above

    folder, kept = _find(journals(config, directory), key)
    document: dict[str, Any] = {**kept.as_row(), "journal": str(folder), **kept.about}
    if kept.kind == "records" and kept.path is not None:
        document["requests"] = [
            {
                "sequence": r.sequence,
                "tenant": r.tenant,
                "signal": r.signal,
                "encoding": r.encoding,
                "gzip": r.gzip,
                "received": _date(r.received_unix_ns),
                "members": r.members,
                "bytes": len(r.body),
                **({"content": _content(r)} if content else {}),
            }
            for r in read_records(Fs(), kept.path)
        ]
    emit(document)


def replay(
    keys: Ids = None,
    config: ConfigOption = None,
    directory: DirectoryOption = None,
    *,
    everything: All = False,
    as_json: AsJson = False,
) -> None:
    """Put requests into the journal again, as they were received: they are delivered once more.

    A running collector is asked to do it; without one it is done here, and the next start delivers.
    """
    chosen = _choose(journals(config, directory), keys, everything=everything)
    if everything:
        chosen = [(folder, kept) for folder, kept in chosen if kept.kind == "records" and kept.path is not None]
    results = [_replay(folder, kept) for folder, kept in chosen]
    _report(results, "replayed", as_json=as_json)


def purge(
    keys: Ids = None,
    config: ConfigOption = None,
    directory: DirectoryOption = None,
    *,
    older_than: Annotated[
        str | None, typer.Option("--older-than", metavar="30d", help="What was set aside so long ago: m, h, d or w.")
    ] = None,
    everything: All = False,
    yes: Yes = False,
    as_json: AsJson = False,
) -> None:
    """Remove from quarantine for good. What is purged was received and is nowhere else: the ledger says so."""
    from collector.journal.fs import Fs  # noqa: PLC0415 - as above
    from collector.journal.quarantine import Quarantine  # noqa: PLC0415 - as above
    from collector.journal.release import purge as purge_one  # noqa: PLC0415 - as above

    folders = journals(config, directory)
    if older_than is not None:
        if keys or everything:
            raise ConfigError("give ids, or --older-than, or --all")
        before_ns = _now_ns() - _seconds(older_than) * 10**9
        chosen = [(folder, k) for folder, k in _all(folders) if (k.about.get("at_unix_ns") or 0) < before_ns]
    else:
        chosen = _choose(folders, keys, everything=everything)
    if chosen and not yes:
        _confirm(chosen)
    results = []
    for folder, kept in chosen:
        try:
            purge_one(Fs(), Quarantine(Fs(), folder, b""), kept)
            results.append({"id": kept.id, "ok": True})
        except (EvalgateError, OSError) as e:
            results.append({"id": kept.id, "ok": False, "message": str(e)})
    _report(results, "purged", as_json=as_json)


def _replay(folder: Path, kept: Kept) -> dict[str, Any]:
    from collector.journal import lock, requests  # noqa: PLC0415 - as above
    from collector.journal.fs import Fs  # noqa: PLC0415 - as above
    from collector.journal.release import replay_alone, require_replayable  # noqa: PLC0415 - as above

    try:
        require_replayable(kept)
        owner = lock.owner(folder)
        if owner is None:
            return {"id": kept.id, "ok": True, "requests": asyncio.run(replay_alone(folder, kept.id))}
        found = requests.wait(requests.ask(Fs(), folder, "replay", id=kept.id))
    except (EvalgateError, OSError) as e:
        return {"id": kept.id, "ok": False, "message": str(e)}
    if found is None:
        later = f"process {owner} has not done it yet: it will when its journal has room"
        return {"id": kept.id, "ok": False, "message": later}
    if not found["ok"]:
        return {"id": kept.id, "ok": False, "message": found["message"]}
    return {"id": kept.id, "ok": True, "requests": found["done"]}


def _report(results: list[dict[str, Any]], what: str, *, as_json: bool) -> None:
    if as_json:
        emit(results)
    else:
        for result in results:
            if result["ok"]:
                typer.echo(f"{result['id']}: {what}")
            else:
                typer.echo(f"{result['id']}: not {what}: {result['message']}", err=True)
        if not results:
            typer.echo("Nothing to do.")
    if not all(r["ok"] for r in results):
        raise typer.Exit(NOT_ALL)


def _confirm(chosen: list[tuple[Path, Kept]]) -> None:
    rows = [kept.as_row() for _, kept in chosen]
    requests, members = sum(r["records"] for r in rows), sum(r["members"] for r in rows)
    what = f"{len(rows)} files of {requests} requests with {members} spans and log records"
    if not sys.stdin.isatty():
        raise ConfigError(f"{what} would be removed for good; add --yes")
    typer.confirm(f"Remove {what} for good?", abort=True)


def _all(folders: list[Path]) -> list[tuple[Path, Kept]]:
    from collector.journal.quarantine import FOLDER, find  # noqa: PLC0415 - as above

    for folder in folders:
        if not folder.is_dir():
            raise ConfigError(f"there is no journal in {folder}; name its folder with --directory, or --config FILE")
    return [(folder, kept) for folder in folders for kept in find(folder / FOLDER)]


def _find(folders: list[Path], key: str) -> tuple[Path, Kept]:
    for folder, kept in _all(folders):
        if kept.id == key:
            return folder, kept
    raise ConfigError(f"nothing is in quarantine under {key!r}; `quarantine list` shows what is")


def _choose(folders: list[Path], keys: list[str] | None, *, everything: bool) -> list[tuple[Path, Kept]]:
    if bool(keys) == everything:
        raise ConfigError("give ids, or --all; `quarantine list` shows what there is")
    return _all(folders) if everything else [_find(folders, key) for key in keys or ()]


def _content(record: Any) -> Any:
    import orjson  # noqa: PLC0415 - as above

    from collector.journal.export import encode  # noqa: PLC0415 - as above

    try:
        return orjson.loads(encode(record, "otlp-json"))
    except EvalgateError as e:
        return f"cannot be read: {e}"


def _seconds(age: str) -> int:
    match = AGE.fullmatch(age)
    if match is None:
        raise ConfigError(f"--older-than {age}: write a number and m, h, d or w, for example 30d")
    return int(match[1]) * SECONDS[match[2]]


def _now_ns() -> int:
    import time  # noqa: PLC0415 - as above

    return time.time_ns()


def _date(unix_ns: int | None) -> str:
    return "-" if not unix_ns else f"{datetime.fromtimestamp(unix_ns / 1e9, UTC):%Y-%m-%dT%H:%M:%SZ}"
