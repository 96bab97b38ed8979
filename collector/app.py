"""The command `evalgate-collector`: the collector alone, as a sidecar or a gateway.

Exit codes: 0 done, 2 error. An error is one line per problem on standard error that says what to do.
"""

from __future__ import annotations

import os
import sys
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from collector.auth.commands import keys_app
from collector.journal_commands import journal_app
from collector.quarantine_commands import quarantine_app
from collector.retention.commands import hold_app, retention_app
from schema.errors import EvalgateError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from collector.config import Config

ERROR = 2

ConfigFile = Annotated[Path, typer.Option("--config", help="The YAML file (docs/configuration.md).")]
ReadyFile = Annotated[
    Path | None, typer.Option("--ready-file", help="Write the bound addresses here, as JSON, once everything listens.")
]
Workers = Annotated[
    int | None,
    typer.Option("--workers", min=1, max=64, help="Processes that share the ports. Default: service.workers, or 1."),
]
AsJson = Annotated[bool, typer.Option("--json", help="Machine-readable output.")]


def run(arguments: Sequence[str]) -> int:
    """Run one command line; return 0 or 2."""
    try:
        code = build_app()(list(arguments), prog_name="evalgate-collector", standalone_mode=False)
        sys.stdout.flush()
    except EvalgateError as e:
        for line in str(e).splitlines():
            typer.echo(f"evalgate-collector: {line}", err=True)
    except KeyboardInterrupt:
        typer.echo("evalgate-collector: interrupted", err=True)
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # or the interpreter complains at its end
    except typer.Abort:
        typer.echo("evalgate-collector: stopped", err=True)
    except Exception as e:
        if not hasattr(e, "format_message"):
            raise
        typer.echo(f"evalgate-collector: {e.format_message()} See evalgate-collector --help.", err=True)
    else:
        return code if isinstance(code, int) else 0
    return ERROR


def build_app() -> typer.Typer:
    """Return the app."""
    app = typer.Typer(
        help="Receive OTLP, keep it durably, normalise it, hand it to exporters.",
        no_args_is_help=True,
        pretty_exceptions_enable=False,
    )
    app.callback()(_root)
    app.command("run")(run_command)
    app.command("validate")(validate_command)
    app.command("components")(components_command)
    app.command("compile")(compile_command)
    app.add_typer(journal_app(), name="journal")
    app.add_typer(quarantine_app(), name="quarantine")
    app.add_typer(keys_app(), name="keys")
    app.add_typer(retention_app(), name="retention")
    app.add_typer(hold_app(), name="hold")
    return app


def _print_version(value: bool) -> None:  # noqa: FBT001 - typer's signature
    if value:
        typer.echo(f"evalgate-collector {version('otel-evalgate')}")
        raise typer.Exit


def _root(
    *,
    show_version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version and exit.")
    ] = False,
) -> None:
    """Hold the options of the root."""


def run_command(config: ConfigFile, ready_file: ReadyFile = None, workers: Workers = None) -> None:
    """Run the collector until it is told to stop."""
    from collector.components import installed  # noqa: PLC0415 - --help need not load a server
    from collector.config import parse, read_text  # noqa: PLC0415 - as above
    from collector.kernel_cache import choose_folder  # noqa: PLC0415 - as above

    choose_folder()
    text = read_text(config)
    loaded = parse(text, str(config), installed(), os.environ).with_workers(workers)
    if loaded.service.workers > 1:
        from collector.workers import supervisor  # noqa: PLC0415 - as above

        supervisor.run(loaded, text, str(config), ready_file=ready_file)
    else:
        from collector import process  # noqa: PLC0415 - as above

        process.run(loaded, ready_file=ready_file)


def validate_command(config: ConfigFile) -> None:
    """Check a configuration without starting anything."""
    loaded = _load(config)
    signals = ", ".join(s for s, _ in loaded.service.pipelines.items())
    used = [*loaded.receivers, *loaded.processors, *loaded.exporters, *loaded.extensions]
    typer.echo(f"{config}: valid; pipelines: {signals}; components: {', '.join(used)}")
    for name in loaded.unused:
        typer.echo(f"{config}: {name} is configured but no pipeline uses it", err=True)


def components_command(*, as_json: AsJson = False) -> None:
    """List the components that are installed here, ours and other packages'."""
    from collector.components import installed  # noqa: PLC0415 - as above

    rows = [{"kind": f.kind, "type": f.name, "package": f.package, "from": f.point.value} for f in installed()]
    if as_json:
        _echo_json(rows)
        return
    for row in rows:
        typer.echo(f"{row['kind']:<10} {row['type']:<18} {row['package']:<24} {row['from']}")


def compile_command() -> None:
    """Compile the kernels ahead of the first start: half a minute, kept in NUMBA_CACHE_DIR where that is set."""
    from collector import kernel_cache  # noqa: PLC0415 - as above

    folder = kernel_cache.choose_folder(lasting=True)
    kernel_cache.compile_all(lambda what: typer.echo(f"compiling: {what}", err=True))
    typer.echo(f"kernels are kept in {folder or 'the installation, beside their source'}")


def _load(path: Path) -> Config:
    from collector.components import installed  # noqa: PLC0415 - as above
    from collector.config import load  # noqa: PLC0415 - as above

    return load(path, installed(), os.environ)


def _echo_json(document: Any) -> None:
    import orjson  # noqa: PLC0415 - as above

    typer.echo(orjson.dumps(document, option=orjson.OPT_INDENT_2).decode())
