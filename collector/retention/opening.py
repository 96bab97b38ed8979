"""The database and the settings that a command of retention speaks of."""

from __future__ import annotations

import getpass
import os
import socket
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from schema.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from collector.retention.settings import Settings
    from exporters.clickhouse.connect import Database

Dsn = Annotated[
    str | None,
    typer.Option(
        "--dsn",
        envvar="EVALGATE_DSN",
        metavar="DSN",
        help="The database: chdb:///PATH or http(s)://user:pass@host:port/database.  [default: .evalgate/data/db here]",
        show_default=False,
    ),
]
AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON document on stdout, and nothing else.")]
ConfigFile = Annotated[
    Path | None, typer.Option("--config", metavar="FILE", help="Its holding times and its database.")
]
Tenant = Annotated[str | None, typer.Option("--tenant", metavar="NAME", help="Whose.  [default: whoever has it]")]


def actor() -> str:
    """Return who asks."""
    name = "somebody"
    with suppress(OSError, KeyError):  # in containers users have no names
        name = getpass.getuser()
    return f"{name} on {socket.gethostname()}"


@contextmanager
def opened(dsn: str | None, config: Path | None = None) -> Iterator[Database]:
    """Open the database of a DSN, of a configuration, or of this folder.

    Raises:
        ConfigError: there is none, or it has not got our tables.
        Retryable, Permanent: it does not answer, or refuses.

    """
    from exporters.clickhouse.connect import connect  # noqa: PLC0415 - --help needs none of it
    from exporters.clickhouse.dsn import EmbeddedDsn, default_dsn, parse_dsn  # noqa: PLC0415 - as above
    from exporters.clickhouse.migrate import migrate  # noqa: PLC0415 - as above

    target = dsn if config is None else _dsn_of(config)
    where = parse_dsn(target or default_dsn(Path.cwd() / ".evalgate/data"))
    if isinstance(where, EmbeddedDsn) and not where.path.is_dir():
        raise ConfigError(
            f"there is no database at {where.path}. Start the collector here: evalgate up. Or say where the database "
            "is: --dsn, EVALGATE_DSN, --config FILE"
        )
    with connect(target or default_dsn(Path.cwd() / ".evalgate/data")) as db:
        if db.embedded:
            migrate(db)
        elif missing := migrate(db, dry_run=True):
            raise ConfigError(
                f"{db.url} lacks tables of ours ({', '.join(missing)}): start the collector of this version once"
            )
        yield db


def settings_of(config: Path) -> tuple[Settings, Callable[..., str]]:
    """Return the holding times of a configuration, and what says where its keys stand.

    Raises:
        ConfigError: it is wrong, or has no retention.

    """
    from collector.extensions.retention import RetentionConfig  # noqa: PLC0415 - as above

    for configured in _load(config).extensions.values():
        if isinstance(configured.settings, RetentionConfig):
            return configured.settings.settings(), configured.where
    raise ConfigError(
        f"{config}: no retention is among service.extensions, so its collector removes nothing; "
        "add `retention:` under extensions and in service.extensions"
    )


@contextmanager
def progress(what: str) -> Iterator[Callable[[int, int, str], None]]:
    """Show a bar on standard error while that is a terminal; yields what to call with done, all, and a word."""
    from rich.console import Console  # noqa: PLC0415 - as above
    from rich.progress import Progress  # noqa: PLC0415 - as above

    console = Console(stderr=True)
    if not console.is_terminal:
        yield lambda _done, _all, _word: None
        return
    with Progress(console=console, transient=True) as bar:
        task = bar.add_task(what, total=None)
        yield lambda done, of, word: bar.update(task, completed=done, total=of, description=f"{what} {word}".strip())


def _dsn_of(config: Path) -> str:
    from collector.service import dsn_of  # noqa: PLC0415 - as above

    found = dsn_of(_load(config))
    if found is None:
        raise ConfigError(f"{config}: no exporter clickhouse, so there is no database that retention could speak of")
    return found


def _load(config: Path) -> Any:
    from collector.components import installed  # noqa: PLC0415 - as above
    from collector.config import load  # noqa: PLC0415 - as above

    return load(config, installed(), os.environ)
