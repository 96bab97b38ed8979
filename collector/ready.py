"""What a running collector tells other programs on this machine: the ready file, and the file beside its data.

--ready-file FILE      written once everything listens, for whoever started the process
DATA_DIR/running.json  the same without the DSN, which may hold a password: how `evalgate top` finds the process
"""

from __future__ import annotations

import contextlib
import json
import os
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from collector.journal.fs import Fs
from schema.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

RUNNING: Final = "running.json"


def ready_document(endpoints: Mapping[str, Any], data_dir: Path, dsn: str | None) -> dict[str, Any]:
    """Return what a program needs to talk to a service: where the first of each kind listens, then everything."""
    document: dict[str, Any] = {"pid": os.getpid(), "data_dir": str(data_dir), "dsn": dsn}
    for value in endpoints.values():
        if isinstance(value, dict):
            for protocol, address in value.items():
                document.setdefault(protocol, address)
    for name, value in endpoints.items():
        if isinstance(value, str):
            document.setdefault(name, value)
    return {**document, "endpoints": dict(endpoints)}


@contextmanager
def announced(document: Mapping[str, Any], ready_file: Path | None) -> Iterator[None]:
    """Write both files, each whole or not at all, and remove them in the end.

    Raises:
        ConfigError: the ready file cannot be written. The other is a courtesy: without it nothing stops.

    """
    running = Path(document["data_dir"]) / RUNNING
    try:
        with contextlib.suppress(OSError):
            _write(running, {k: v for k, v in document.items() if k != "dsn"})
        if ready_file is not None:
            try:
                _write(ready_file.absolute(), document)
            except OSError as e:
                raise ConfigError(f"the ready file {ready_file} cannot be written: {e.strerror}") from None
        yield
    finally:
        for path in (running, ready_file):
            if path is not None:
                with contextlib.suppress(OSError):
                    path.unlink(missing_ok=True)


def _write(path: Path, document: Mapping[str, Any]) -> None:
    Fs().write_file(path, json.dumps(document, indent=2).encode())
