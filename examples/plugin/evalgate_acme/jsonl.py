"""The exporter `jsonl`: failing spans as lines of JSON, a file per batch.

exporters:
  jsonl:
    path: /var/spool/acme
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import os
from pathlib import Path
from typing import TYPE_CHECKING

from schema.component import ComponentConfig, Context, Exporter, component
from schema.errors import ConfigError, Retryable

if TYPE_CHECKING:
    from collections.abc import Iterator

    from schema.batch import SpanBatch


class JsonlConfig(ComponentConfig):
    """Where the files go."""

    path: Path


class JsonlExporter:
    """Writes each batch to a file named by its token: the same token, the same file, so it is stored once.

    `export` returns when the batch is durable, as the journal forgets it then. It raises Retryable for what may pass,
    Permanent for what never will, and nothing else.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    async def start(self) -> None:
        """Make the folder."""
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
        except OSError as e:
            raise ConfigError(f"exporter jsonl: {e}") from None

    async def export(self, batch: SpanBatch, token: str) -> None:
        """Write what fails in the batch."""
        await asyncio.to_thread(self._write, batch, token)

    async def shutdown(self) -> None:
        """Do nothing: every file is closed."""

    def _write(self, batch: SpanBatch, token: str) -> None:
        target = self._folder / f"{hashlib.sha256(token.encode()).hexdigest()[:32]}.jsonl"
        if target.exists():
            return
        unfinished = target.with_suffix(".part")
        try:
            with unfinished.open("w", encoding="utf-8") as file:
                for line in failing(batch):
                    file.write(f"{line}\n")
                file.flush()
                os.fsync(file.fileno())
            unfinished.rename(target)
        except OSError as e:
            raise Retryable(f"exporter jsonl: {e}") from None


def failing(batch: SpanBatch) -> Iterator[str]:
    """Yield a line for each span that fails."""
    columns = {name: batch.columns[name].to_pylist() for name in ("failing", "feature", "failure_reasons")
               if name in batch.columns}  # fmt: skip
    names = batch.name.to_pylist()
    for row, (trace_id, span_id, _) in enumerate(batch.hex_ids()):
        if columns.get("failing", [None] * len(batch))[row]:
            said = {name: values[row] for name, values in columns.items() if name != "failing"}
            yield json.dumps({"trace_id": trace_id, "span_id": span_id, "name": names[row], **said})


@component("exporter", "jsonl", JsonlConfig)
def jsonl(config: JsonlConfig, context: Context) -> Exporter:
    """Make the exporter; nothing is opened yet."""
    del context
    return JsonlExporter(config.path)
