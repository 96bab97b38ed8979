"""`evalgate up`: the collector with its default configuration, for one machine and no preparation."""

from __future__ import annotations

import contextlib
import os
import shutil
import sys
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from schema.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from collector.service import Service
    from schema.batch import SpanBatch

DEFAULT_DATA_DIR = Path(".evalgate/data")
LOOPBACK = "127.0.0.1"
CAPTURE = "OTEL_INSTRUMENTATION_GENAI_CAPTURE_MESSAGE_CONTENT"


def up_command(
    *,
    data_dir: Annotated[Path, typer.Option("--data-dir", help="Folder of the database and the journal.")] = (
        DEFAULT_DATA_DIR
    ),
    grpc_port: Annotated[int, typer.Option("--grpc-port", min=0, max=65535, help="OTLP/gRPC. 0: a free one.")] = 4317,
    http_port: Annotated[int, typer.Option("--http-port", min=0, max=65535, help="OTLP/HTTP. 0: a free one.")] = 4318,
    clickhouse_port: Annotated[
        int, typer.Option("--clickhouse-port", min=0, max=65535, help="ClickHouse's HTTP interface. 0: a free one.")
    ] = 8123,
    web_port: Annotated[int, typer.Option("--web-port", min=0, max=65535, help="The pages. 0: a free one.")] = 4319,
    dsn: Annotated[
        str | None,
        typer.Option("--dsn", envvar="EVALGATE_DSN", help="A ClickHouse server instead of the embedded database."),
    ] = None,
    baseline_rate: Annotated[
        float, typer.Option("--baseline-rate", min=0.0, max=1.0, help="Part of the traces flagged without a failure.")
    ] = 0.1,
    target_per_day: Annotated[
        float | None,
        typer.Option(
            "--target-per-day",
            min=0.0,
            envvar="EVALGATE_TARGET_PER_DAY",
            help="Sample more where traces are few, until so many a day are flagged without a failure.",
        ),
    ] = None,
    ready_file: Annotated[
        Path | None, typer.Option("--ready-file", help="Write the bound addresses here, as JSON, once all listens.")
    ] = None,
    print_config: Annotated[bool, typer.Option("--print-config", help="Print the configuration and exit.")] = False,
    verbose: Annotated[bool, typer.Option("--verbose", "-v", help="Log what the collector does.")] = False,
) -> None:
    """Start the collector with an embedded ClickHouse, and wait for spans."""
    text = files("collector").joinpath("default.yaml").read_text(encoding="utf-8")
    if print_config:
        typer.echo(text, nl=False)
        return
    environment = {
        **os.environ,
        "EVALGATE_GRPC_ENDPOINT": f"{LOOPBACK}:{grpc_port}",
        "EVALGATE_HTTP_ENDPOINT": f"{LOOPBACK}:{http_port}",
        "EVALGATE_CLICKHOUSE_ENDPOINT": f"{LOOPBACK}:{clickhouse_port}",
        "EVALGATE_WEB_ENDPOINT": f"{LOOPBACK}:{web_port}",
        "EVALGATE_BASELINE_RATE": str(baseline_rate),
        "EVALGATE_TARGET_PER_DAY": "" if target_per_day is None else str(target_per_day),
        "EVALGATE_DATA_DIR": str(data_dir.absolute()),
        "EVALGATE_DSN": dsn or f"chdb://{data_dir.absolute()}/db",
    }
    if verbose:
        environment["EVALGATE_LOG_LEVEL"] = "info"
    _run(text, environment, ready_file)


def _run(text: str, environment: Mapping[str, str], ready_file: Path | None) -> None:
    from collector.kernel_cache import choose_folder  # noqa: PLC0415 - the other sub-commands need no server

    choose_folder()
    from collector import process  # noqa: PLC0415 - as above; after the choice
    from collector.components import installed  # noqa: PLC0415 - as above
    from collector.config import parse  # noqa: PLC0415 - as above

    words = _Words(made_by(Path(environment["EVALGATE_DATA_DIR"])))
    try:
        config = parse(text, "the default configuration", installed(), environment)
        process.run(
            config,
            ready_file=ready_file,
            listeners=process.Listeners(words.ready, words.stopping, words.stopped),
            on_stored=_Arrivals(),
            with_terminal=True,
        )
    except ConfigError as e:
        raise ConfigError(_with_options(str(e))) from e


def made_by(data_dir: Path) -> Path | None:
    """Return the topmost folder that a start with this data directory makes; None where all are there."""
    missing = [p for p in (data_dir, *data_dir.parents) if not p.exists()]
    return missing[-1] if missing else None


class _Words:
    """What the terminal is told from the start to the end."""

    def __init__(self, made: Path | None) -> None:
        """`made` is the folder that this start makes: it goes again if nothing ever listened."""
        self._made = made
        self._was_ready = False

    def ready(self, service: Service) -> None:
        """Say where everything is."""
        from collector.ready import ready_document  # noqa: PLC0415 - as above

        self._was_ready = True
        _greet(ready_document(service.endpoints(), service.data_dir, service.dsn), Path.cwd())

    def stopping(self, service: Service) -> None:
        """Say what is still done, and how not to wait for it."""
        if left := service.left_records:
            _say(f"stopping: {_requests(left)} to deliver; Ctrl-C again leaves {_them(left)} in the journal")

    def stopped(self, service: Service) -> None:
        """Say what became of the rest."""
        if self._was_ready:
            left = service.left_records
            stay = f"{_requests(left)} in the journal; the next `evalgate up` delivers {_them(left)}"
            _say(f"stopped: {stay if left else 'nothing is left to deliver'}")
        elif self._made is not None and not service.acknowledged_records:
            shutil.rmtree(self._made, ignore_errors=True)


def _requests(count: int) -> str:
    return f"{count} request{'' if count == 1 else 's'}"


def _them(count: int) -> str:
    return "it" if count == 1 else "them"


def _say(line: str) -> None:
    """Write a line, if anybody is still there to read it."""
    with contextlib.suppress(OSError):
        typer.echo(line)
        sys.stdout.flush()


def _with_options(message: str) -> str:
    """Name the options of this command where a message names keys of the file, which its user has not got."""
    for key, option in (
        ("protocols.grpc.endpoint", "--grpc-port"),
        ("protocols.http.endpoint", "--http-port"),
        ("extensions.clickhouse_http.endpoint", "--clickhouse-port"),
        ("extensions.web.endpoint", "--web-port"),
        ("service.journal.directory", "--data-dir"),
    ):
        message = message.replace(key, f"{option} ({key})")
    return message


def _greet(ready: Mapping[str, Any], cwd: Path) -> None:
    """Say where everything is and what to paste."""
    bold, dim, off = ("\x1b[1m", "\x1b[2m", "\x1b[0m") if _is_terminal() else ("", "", "")
    lines = [
        f"{bold}otel-evalgate is up{off}",
        f"  OTLP/gRPC   {ready['grpc']}",
        f"  OTLP/HTTP   http://{ready['http']}",
    ]
    if "clickhouse_http" in ready:
        lines.append(f"  ClickHouse  {ready['clickhouse_http']}")
    if "web" in ready:
        lines.append(f"  Pages       {ready['web']}")
    lines += [
        f"  data        {ready['data_dir']}",
        "",
        "Point your app here:",
        f"  {bold}export OTEL_EXPORTER_OTLP_ENDPOINT=http://{ready['http']}{off}",
        f"  {bold}export OTEL_EXPORTER_OTLP_PROTOCOL=http/protobuf{off}",
        f"  {bold}export OTEL_METRICS_EXPORTER=none{off}   {dim}# traces and logs are taken, metrics are not{off}",
        f"  {bold}export OTEL_SEMCONV_STABILITY_OPT_IN=gen_ai_latest_experimental{off}",
        f"  {bold}export {CAPTURE}=SPAN_ONLY{off}   {dim}# older instrumentations: true{off}",
    ]
    if ready["dsn"] != f"chdb://{cwd / DEFAULT_DATA_DIR}/db":
        lines += ["In other terminals:", f"  {bold}export EVALGATE_DSN={_without_password(ready)}{off}"]
    lines += ["", "waiting for spans …"]
    typer.echo("\n".join(lines))
    sys.stdout.flush()


def _without_password(ready: Mapping[str, Any]) -> str:
    from exporters.clickhouse.dsn import parse_dsn  # noqa: PLC0415 - as above

    return str(parse_dsn(ready["dsn"]))


class _Arrivals:
    """Tells of the first stored spans of each service."""

    def __init__(self) -> None:
        self._known: set[str] = set()

    def __call__(self, batch: SpanBatch) -> None:
        column = batch.columns.get("service_name")
        if column is None or not len(batch):
            return
        for entry in column.fill_null("unknown_service").value_counts().to_pylist():
            name = entry["values"]
            if name in self._known:
                continue
            self._known.add(name)
            plain = "".join(c if c.isprintable() else "\N{REPLACEMENT CHARACTER}" for c in name)[:100]
            spans = "span" if entry["counts"] == 1 else "spans"
            typer.echo(f"first spans of {plain}: {entry['counts']} {spans} stored. See them: evalgate traces")
        sys.stdout.flush()


def _is_terminal() -> bool:
    return sys.stdout.isatty() and not os.environ.get("NO_COLOR")
