"""Components as somebody else's package would declare them."""

from __future__ import annotations

import json
import os
import signal
import threading
from pathlib import Path
from typing import TYPE_CHECKING

from schema.component import ComponentConfig, Context, component
from schema.errors import Permanent, Retryable

if TYPE_CHECKING:
    from schema.batch import SpanBatch


class CountConfig(ComponentConfig):
    """Where to count."""

    path: Path


class CountingExporter:
    """Appends a line per batch: the token and the span ids. A token that is there already stores nothing."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self.tokens: list[str] = []

    async def start(self) -> None:
        self._path.touch()

    async def export(self, batch: SpanBatch, token: str) -> None:
        lines = [json.loads(line) for line in self._path.read_text().splitlines()]
        if any(line["token"] == token for line in lines):
            return
        spans = [span_id for _, span_id, _ in batch.hex_ids()]
        with self._path.open("a") as out:
            out.write(json.dumps({"token": token, "spans": spans, "logs": len(batch.logs)}) + "\n")

    async def shutdown(self) -> None:
        pass


@component("exporter", "count", CountConfig)
def count(config: CountConfig, context: Context) -> CountingExporter:
    return CountingExporter(config.path)


class MoodyConfig(ComponentConfig):
    """Which fault, until the file is gone."""

    fault: Path


class MoodyExporter(CountingExporter):
    """Fails as the file says: "retryable", "permanent", or with what is no error of ours."""

    def __init__(self, fault: Path) -> None:
        super().__init__(fault.with_suffix(".stored"))
        self._fault = fault

    def _fail(self) -> None:
        if not self._fault.exists():
            return
        match self._fault.read_text():
            case "retryable":
                raise Retryable("not now")
            case "permanent":
                raise Permanent("never")
            case other:
                raise RuntimeError(other)

    async def start(self) -> None:
        self._fail()
        await super().start()

    async def export(self, batch: SpanBatch, token: str) -> None:
        self._fail()
        await super().export(batch, token)


@component("exporter", "moody", MoodyConfig)
def moody(config: MoodyConfig, context: Context) -> MoodyExporter:
    return MoodyExporter(config.fault)


def plain(batch: SpanBatch) -> SpanBatch:
    """Pass everything on: a plain function is a processor."""
    return batch


def tripping(batch: SpanBatch) -> SpanBatch:
    """Fail on spans named "trip"."""
    if "trip" in batch.name.to_pylist():
        raise KeyError("trip")
    return batch


def deadly(batch: SpanBatch) -> SpanBatch:
    """End the process, hang, or take all memory on spans that are named so."""
    names = set(batch.name.to_pylist())
    if "kill" in names:
        os.kill(os.getpid(), signal.SIGKILL)
    if "hang" in names:
        threading.Event().wait()
    if "swell" in names:
        held = [bytearray(64 << 20) for _ in range(1 << 10)]
        raise AssertionError(f"{len(held)} pieces of 64 MiB")
    return batch


not_a_component = 7
