"""`journal status|verify|export`: look at a journal, also while a collector runs. Nothing is changed.

Exit codes: 0 whole, 1 damaged or not all could be read, 2 error.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from collector.journal_folders import AsJson, ConfigOption, DirectoryOption, emit_all, journals
from schema.errors import ConfigError, Refused

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from collector.journal.export import Format
    from collector.journal.verify import Verified

DAMAGED = 1
FORMATS = ("otlp-json", "otlp-protobuf")
PROGRESS_STEPS = 100


Output = Annotated[
    Path | None,
    typer.Option("--output", help="A folder for one file a request. Default: standard output, all in a row."),
]


def journal_app() -> typer.Typer:
    """Return the commands; `evalgate` has them too."""
    app = typer.Typer(help="Look at the journal: what waits, whether it is whole, what is in it.", no_args_is_help=True)
    app.command("status")(status)
    app.command("verify")(verify)
    app.command("export")(export)
    return app


def status(config: ConfigOption = None, directory: DirectoryOption = None, *, as_json: AsJson = False) -> None:
    """Say what the journal holds, what waits for delivery, and what is in quarantine; of workers, each journal."""
    from collector.journal.inspect import inspect  # noqa: PLC0415 - --help needs none of it

    found = [inspect(one) for one in journals(config, directory)]
    if as_json:
        emit_all(found)
        return
    for i, one in enumerate(found):
        typer.echo("\n" * bool(i) + _status_lines(one))


def verify(config: ConfigOption = None, directory: DirectoryOption = None, *, as_json: AsJson = False) -> None:
    """Read every byte and name what is damaged: file, offset, sequence. Exit code 1 where anything is."""
    from collector.journal.fs import Fs  # noqa: PLC0415 - as above
    from collector.journal.verify import verify as verify_one  # noqa: PLC0415 - as above

    found = [verify_one(Fs(), one, _progress(one)) for one in journals(config, directory)]
    if as_json:
        emit_all([one.as_document() for one in found])
    else:
        for one in found:
            typer.echo(_verified_lines(one))
    if any(one.findings for one in found):
        raise typer.Exit(DAMAGED)


def export(
    config: ConfigOption = None,
    directory: DirectoryOption = None,
    *,
    first: Annotated[int, typer.Option("--from", min=1, help="First sequence.")] = 1,
    last: Annotated[int | None, typer.Option("--to", min=1, help="Last sequence. Default: all there are.")] = None,
    tenant: Annotated[str | None, typer.Option("--tenant", help="Only this tenant's.")] = None,
    form: Annotated[str, typer.Option("--format", help="otlp-json or otlp-protobuf.")] = "otlp-json",
    output: Output = None,
) -> None:
    """Write requests as OTLP, to be sent elsewhere: files that can be posted as they are, or a stream.

    On standard output otlp-json is a line for each request, otlp-protobuf each request behind its length (u32,
    big-endian), as the OpenTelemetry file exporter writes them.
    """
    from collector.journal.fs import Fs  # noqa: PLC0415 - as above

    if form not in FORMATS:
        raise ConfigError(f"--format {form}: it is one of {', '.join(FORMATS)}")
    folders = journals(config, directory)
    if len(folders) > 1:
        raise ConfigError(f"there are {len(folders)} journals in {folders[0].parent}; name one with --directory")
    problems: list[str] = []
    count = _export(Fs(), folders[0], first, last, tenant=tenant, form=_format(form), output=output, problems=problems)
    typer.echo(f"{count} requests", err=True)
    for problem in problems:
        typer.echo(f"not exported: {problem}", err=True)
    if problems:
        raise typer.Exit(DAMAGED)


def _format(form: str) -> Format:
    return "otlp-json" if form == "otlp-json" else "otlp-protobuf"


def _export(
    fs: Any,
    directory: Path,
    first: int,
    last: int | None,
    *,
    tenant: str | None,
    form: Format,
    output: Path | None,
    problems: list[str],
) -> int:
    from collector.journal.export import encode, file_name, framed, records  # noqa: PLC0415 - as above

    if output is not None:
        output.mkdir(parents=True, exist_ok=True)
    count = 0
    for record in records(fs, directory, first=first, last=last, tenant=tenant, on_damage=problems.append):
        try:
            data = encode(record, form)
        except Refused as e:
            problems.append(f"sequence {record.sequence}: {e}")
            continue
        count += 1
        if output is not None:
            (output / file_name(record, form)).write_bytes(data)
        else:
            sys.stdout.buffer.write(data + b"\n" if form == "otlp-json" else framed(data))
    sys.stdout.flush()
    return count


def _progress(directory: Path) -> Callable[[int, int], None]:
    watched = sys.stderr.isatty()

    def say(done: int, of: int) -> None:
        if not watched:
            return
        end = "\n" if done >= of else ""
        sys.stderr.write(f"\r{directory}: {done * PROGRESS_STEPS // max(of, 1)} % of {of} bytes{end}")
        sys.stderr.flush()

    return say


def _status_lines(found: Mapping[str, Any]) -> str:
    owner = f"process {found['owner_pid']}" if found["owner_pid"] is not None else "nobody"
    lines = [
        f"directory   {found['directory']}",
        f"in use by   {owner}",
        f"waiting     {found['backlog_records']} requests",
        f"delivered   up to sequence {found['confirmed_sequence'] - 1}",
        f"on disk     {found['used_bytes']} bytes in {found['segments']} segments",
        f"quarantine  {len(found['quarantine'])} files",
    ]
    for name, reader in found["readers"].items():
        skipped = f", {reader['skipped_records']} skipped" if reader["skipped_records"] else ""
        lines.append(f"reader      {name}: {reader['backlog_records']} requests waiting{skipped}")
    return "\n".join([*lines, *(f"problem     {problem}" for problem in found["problems"])])


def _verified_lines(found: Verified) -> str:
    what = f"{found.records} requests of {found.members} spans and log records in {found.segments} segments"
    end = "whole" if not found.findings else f"{len(found.findings)} problems"
    return "\n".join([f"{found.directory}: {what}, {found.bytes} bytes: {end}", *(f"  {f}" for f in found.findings)])
