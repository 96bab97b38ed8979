"""Arize Phoenix, the peer with a database of its own: one process, spans into its SQLite file.

PyPI's `arize-phoenix` at the version of `phoenix.txt`, installed as `pinned.py` says. Its defaults stay; the telemetry
that it would send to its makers is off.
"""

from __future__ import annotations

import sqlite3
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

from bench.tools.pinned import installed
from bench.tools.targets import Running, await_start, free_port, listens, spawn

if TYPE_CHECKING:
    from collections.abc import Callable

REQUIREMENTS: Final = Path(__file__).with_name("phoenix.txt")
PACKAGE: Final = "arize-phoenix=="
DATABASE: Final = "phoenix.db"


def version() -> str:
    """Return the version that is pinned."""
    return next(
        line.split()[0].removeprefix(PACKAGE)
        for line in REQUIREMENTS.read_text().splitlines()
        if line.startswith(PACKAGE)
    )


@dataclass(frozen=True, slots=True)
class Phoenix:
    """Phoenix as `phoenix serve` starts it."""

    name: str = "phoenix"

    def start(self, folder: Path, cpus: str) -> tuple[Running, Callable[[], int]]:
        """Start it in an empty folder; return it and what counts the spans in its database.

        Raises:
            Failed: it ended, or did not listen in time.

        """
        program = installed(f"phoenix-{version()}", REQUIREMENTS.read_text()) / "bin" / "phoenix"
        http, grpc = free_port(), free_port()
        environment = {
            "PHOENIX_WORKING_DIR": str(folder),
            "PHOENIX_HOST": "127.0.0.1",
            "PHOENIX_PORT": str(http),
            "PHOENIX_GRPC_PORT": str(grpc),
            "PHOENIX_TELEMETRY_ENABLED": "false",
        }
        process, log = spawn([str(program), "serve"], folder, cpus, environment=environment)
        await_start(process, log, lambda: listens(f"127.0.0.1:{http}"))
        database = folder / DATABASE
        return Running(process, f"127.0.0.1:{http}", f"127.0.0.1:{grpc}", log), lambda: count(database)


def count(database: Path) -> int:
    """Return how many spans another process can read in the SQLite file now."""
    with closing(sqlite3.connect(f"file:{database}?mode=ro", uri=True, timeout=10)) as connection:
        found: int = connection.execute("SELECT count(*) FROM spans").fetchone()[0]
        return found
