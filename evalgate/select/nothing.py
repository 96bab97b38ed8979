"""What is said where no trace ever came: where an app has to send its traces."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Final

from evalgate.database import DEFAULT_PATH
from evalgate.terminal import one_line

if TYPE_CHECKING:
    from pathlib import Path

RUNNING: Final = "running.json"
"""Beside the data of a collector while it runs: docs/configuration.md."""
USUAL: Final = "127.0.0.1:4318"


def nothing_yet(data_dir: Path = DEFAULT_PATH.parent) -> str:
    """Return what to do where no trace came: with the address of the collector of this folder, where one runs."""
    address = _receiver(data_dir)
    start = "Start the collector (evalgate up) and point an app at the address that it prints"
    return (
        f"No traces yet. {'The collector runs; point an app at it' if address else start}:\n"
        f"  OTEL_EXPORTER_OTLP_ENDPOINT=http://{one_line(address or USUAL)}\n"
        "  OTEL_EXPORTER_OTLP_PROTOCOL=http/protobuf"
    )


def _receiver(data_dir: Path) -> str | None:
    """Return where the running collector takes OTLP over HTTP; None: none runs, or it takes none."""
    try:
        endpoints = json.loads((data_dir / RUNNING).read_text("utf-8"))["endpoints"]
        return next(str(v["http"]) for k, v in endpoints.items() if k.partition("/")[0] == "otlp" and "http" in v)
    except (OSError, ValueError, LookupError, AttributeError, TypeError, StopIteration):
        return None
