"""A registry with strangers in it, requests as SDKs send them, and collectors as processes."""

from __future__ import annotations

import json
import subprocess
import sys
import time
import uuid
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from collector.components import Registry
from exporters.clickhouse.connect import connect
from exporters.clickhouse.migrate import migrate
from schema.component import ENTRY_POINTS

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

BIN = Path(sys.executable).parent
DEADLINE_S = 30.0


def stranger(kind: str, name: str, attribute: str) -> EntryPoint:
    return EntryPoint(f"{kind}/{name}", f"tests.collector.strangers:{attribute}", ENTRY_POINTS)


STRANGERS = (
    stranger("exporter", "count", "count"),
    stranger("exporter", "moody", "moody"),
    stranger("processor", "plain", "plain"),
    stranger("processor", "tripping", "tripping"),
    stranger("processor", "deadly", "deadly"),
)


@pytest.fixture
def registry() -> Registry:
    return Registry([*entry_points(group=ENTRY_POINTS), *STRANGERS])


def spans_request(*span_ids: int, name: str = "work", service: str = "app") -> bytes:
    """Return a request with these spans, each in a trace of its own."""
    request = ExportTraceServiceRequest()
    resource_spans = request.resource_spans.add()
    resource_spans.resource.attributes.add(key="service.name").value.string_value = service
    scope = resource_spans.scope_spans.add()
    for span_id in span_ids:
        scope.spans.add(
            trace_id=span_id.to_bytes(16, "big"),
            span_id=span_id.to_bytes(8, "big"),
            name=name,
            start_time_unix_nano=1_795_000_000_000_000_000,
            end_time_unix_nano=1_795_000_001_000_000_000,
        )
    return bytes(request.SerializeToString())


def logs_request(body: str = "hello") -> bytes:
    request = ExportLogsServiceRequest()
    request.resource_logs.add().scope_logs.add().log_records.add().body.string_value = body
    return bytes(request.SerializeToString())


@dataclass
class Running:
    """A collector or `evalgate up` that is ready."""

    process: subprocess.Popen[str]
    ready: dict[str, Any]
    err: Path

    def wait(self) -> int:
        return self.process.wait(DEADLINE_S)


@contextmanager
def running(
    command: list[str], folder: Path, *, environment: Mapping[str, str] | None = None, ready_file: str = "ready.json"
) -> Iterator[Running]:
    """Start a process, wait for its ready file, and leave nothing behind."""
    path, err = folder / ready_file, folder / "stderr"
    path.unlink(missing_ok=True)
    with err.open("a") as err_file:
        process = subprocess.Popen(
            [*command, "--ready-file", str(path)],
            cwd=folder,
            stdout=subprocess.PIPE,
            stderr=err_file,
            text=True,
            env=environment,
        )
    try:
        deadline_s = time.monotonic() + DEADLINE_S
        while not path.exists():
            assert process.poll() is None, f"it ended: {err.read_text()}"
            assert time.monotonic() < deadline_s, f"it is not ready: {err.read_text()}"
            time.sleep(0.01)
        yield Running(process, json.loads(path.read_text()), err)
    finally:
        if process.poll() is None:
            process.kill()
        process.communicate()


@pytest.fixture(scope="module")
def kept_dsn(embedded_folder: Path) -> Iterator[str]:
    """Return the DSN of a migrated embedded database for all tests of a module, which empty it (retained.py)."""
    name = f"t_{uuid.uuid4().hex}"
    dsn = f"chdb://{embedded_folder}?database={name}"
    with connect(dsn) as db:
        migrate(db)
        yield dsn
        db.command(f"DROP DATABASE `{name}` SYNC")
