"""A receiver that really listens, a journal that can refuse, and senders that read the answers of both transports."""

from __future__ import annotations

import asyncio
import base64
import gzip
import http.client
import json
import threading
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal, TypeVar

import grpc
import pytest
import uvloop
from google.protobuf import json_format
from google.rpc.error_details_pb2 import BadRequest, RetryInfo
from google.rpc.status_pb2 import Status
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest, ExportLogsServiceResponse
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTraceServiceRequest,
    ExportTraceServiceResponse,
)

from collector.journal.record import Record
from collector.receivers.otlp import OtlpConfig, OtlpReceiver, otlp
from schema.component import Context

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Iterator
    from pathlib import Path

    from schema.component import Signal

T = TypeVar("T")
Transport = Literal["grpc", "http-protobuf", "http-json"]
TRANSPORTS: tuple[Transport, ...] = ("grpc", "http-protobuf", "http-json")
PATHS = {"traces": "/v1/traces", "logs": "/v1/logs"}
METHODS = {
    "traces": "/opentelemetry.proto.collector.trace.v1.TraceService/Export",
    "logs": "/opentelemetry.proto.collector.logs.v1.LogsService/Export",
}
RESPONSES: dict[str, Any] = {"traces": ExportTraceServiceResponse, "logs": ExportLogsServiceResponse}
REQUESTS: dict[str, Any] = {"traces": ExportTraceServiceRequest, "logs": ExportLogsServiceRequest}


@dataclass(slots=True)
class MemoryJournal:
    """Keeps records in memory; raises `error` instead while it is set."""

    records: list[Record] = field(default_factory=list)
    error: Exception | None = None

    async def append(
        self,
        tenant: str,
        signal: Signal,
        body: bytes | memoryview,
        *,
        encoding: Literal["protobuf", "json"],
        gzip: bool,
        members: int,
    ) -> int:
        if self.error is not None:
            raise self.error
        self.records.append(Record(len(self.records), tenant, signal, encoding, gzip, 1, bytes(body), members))
        return len(self.records) - 1


class HeldJournal(MemoryJournal):
    """Holds every append until `release` is set; `holding` is set once one waits."""

    def __init__(self) -> None:
        super().__init__()
        self.holding = threading.Event()
        self.release = asyncio.Event()

    async def append(
        self,
        tenant: str,
        signal: Signal,
        body: bytes | memoryview,
        *,
        encoding: Literal["protobuf", "json"],
        gzip: bool,
        members: int,
    ) -> int:
        self.holding.set()
        await self.release.wait()
        return await super().append(tenant, signal, body, encoding=encoding, gzip=gzip, members=members)


@dataclass(frozen=True, slots=True)
class Reply:
    """An answer, whatever transport it came by."""

    code: int
    """Number of google.rpc.Code; 0 is OK."""
    http_status: int | None
    message: str
    rejected: int = 0
    partial_success: bool = False
    retry_after_s: float | None = None
    """The delay of RetryInfo."""
    retry_after_header: str | None = None
    bad_request: bool = False
    """A BadRequest detail came along."""


class EventLoopThread:
    """An event loop in its own thread."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self.loop = loop
        self._thread = threading.Thread(target=loop.run_forever, daemon=True)
        self._thread.start()

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        return asyncio.run_coroutine_threadsafe(work, self.loop).result(30)

    def close(self) -> None:
        self.loop.call_soon_threadsafe(self.loop.stop)
        self._thread.join(10)
        self.loop.close()


@dataclass(slots=True)
class Running:
    """A receiver that listens on free ports."""

    receiver: OtlpReceiver
    journal: MemoryJournal
    loop: EventLoopThread

    def address(self, name: str) -> tuple[str, int]:
        host, _, port = self.receiver.endpoints[name].rpartition(":")
        return host, int(port)

    def send(self, transport: Transport, request: Any, *, signal: Signal = "traces", compressed: bool = False) -> Reply:
        """Send a request message, or bytes as they are."""
        if transport == "grpc":
            body = request if isinstance(request, bytes) else request.SerializeToString()
            return self.grpc(METHODS[signal], body, signal=signal, compressed=compressed)
        if isinstance(request, bytes):
            body = request
        else:
            body = to_json(request) if transport == "http-json" else request.SerializeToString()
        headers = {"content-type": "application/json" if transport == "http-json" else "application/x-protobuf"}
        if compressed:
            body, headers["content-encoding"] = gzip.compress(body), "gzip"
        return self.http(PATHS[signal], body, headers, signal=signal)

    def grpc(self, method: str, body: bytes, *, signal: Signal = "traces", compressed: bool = False) -> Reply:
        channel = grpc.insecure_channel(
            self.receiver.endpoints["grpc"],
            compression=grpc.Compression.Gzip if compressed else grpc.Compression.NoCompression,
            options=[("grpc.max_send_message_length", -1), ("grpc.use_local_subchannel_pool", 1)],
        )
        with channel:
            try:
                export: Callable[..., bytes] = channel.unary_unary(method)
                answer = export(body, timeout=30)
            except grpc.RpcError as e:
                return _grpc_error(e)
        return _accepted(RESPONSES[signal].FromString(answer), None)

    def exchange(
        self, path: str, body: bytes, headers: dict[str, str], method: str = "POST"
    ) -> tuple[http.client.HTTPResponse, bytes]:
        connection = http.client.HTTPConnection(*self.address("http"), timeout=30)
        try:
            connection.request(method, path, body, headers)
            response = connection.getresponse()
            return response, response.read()
        finally:
            connection.close()

    def http(
        self, path: str, body: bytes, headers: dict[str, str], method: str = "POST", *, signal: Signal = "traces"
    ) -> Reply:
        response, answer = self.exchange(path, body, headers, method)
        sent, got = headers.get("content-type", "").partition(";")[0].lower(), response.headers["content-type"]
        assert got == (sent if sent in ("application/x-protobuf", "application/json") else "application/json")
        if response.status == 200:
            return _accepted(_read(RESPONSES[signal], answer, got), 200)
        return _error(_read(Status, answer, got), response.status, response.headers["retry-after"])


def _read(kind: Any, body: bytes, content_type: str) -> Any:
    return json_format.Parse(body, kind()) if content_type == "application/json" else kind.FromString(body)


def _accepted(response: Any, http_status: int | None) -> Reply:
    partial = response.partial_success
    rejected = (
        partial.rejected_spans if isinstance(response, ExportTraceServiceResponse) else partial.rejected_log_records
    )
    return Reply(0, http_status, partial.error_message, rejected, response.HasField("partial_success"))


def _grpc_error(error: grpc.RpcError) -> Reply:
    assert isinstance(error, grpc.Call)
    details = dict(error.trailing_metadata() or ()).get("grpc-status-details-bin")
    if details is None:
        return Reply(error.code().value[0], None, error.details() or "")
    status = Status.FromString(details)
    assert (status.code, status.message) == (error.code().value[0], error.details())
    return _error(status, None, None)


def _error(status: Status, http_status: int | None, header: str | None) -> Reply:
    retry, bad = RetryInfo(), BadRequest()
    delay = next((retry.retry_delay.ToNanoseconds() / 1e9 for d in status.details if d.Unpack(retry)), None)
    return Reply(
        status.code,
        http_status,
        status.message,
        retry_after_s=delay,
        retry_after_header=header,
        bad_request=any(d.Unpack(bad) and bool(bad.field_violations) for d in status.details),
    )


def to_json(request: Any) -> bytes:
    """Encode a request message as OTLP/JSON: ids in hex."""
    return json.dumps(_hex_ids(json_format.MessageToDict(request, use_integers_for_enums=True))).encode()


def _hex_ids(value: Any) -> Any:
    if isinstance(value, list):
        return [_hex_ids(v) for v in value]
    if isinstance(value, dict):
        return {
            k: base64.b64decode(v).hex() if k in ("traceId", "spanId", "parentSpanId") else _hex_ids(v)
            for k, v in value.items()
        }
    return value


def spans(n: int, *, trace_id: bytes = b"t" * 16, span_id: bytes = b"s" * 8, name: str = "chat") -> Any:
    """Make a request of `n` equal spans."""
    request = ExportTraceServiceRequest()
    scope = request.resource_spans.add().scope_spans.add()
    for _ in range(n):
        scope.spans.add(trace_id=trace_id, span_id=span_id, name=name)
    return request


@pytest.fixture(scope="session")
def event_loop_thread() -> Iterator[EventLoopThread]:
    thread = EventLoopThread(uvloop.new_event_loop())
    yield thread
    thread.close()


@pytest.fixture
def make_request() -> Callable[..., Any]:
    return spans


@pytest.fixture
def as_json() -> Callable[[Any], bytes]:
    return to_json


@pytest.fixture
def journal() -> MemoryJournal:
    return MemoryJournal()


@pytest.fixture
def held_journal() -> HeldJournal:
    return HeldJournal()


@pytest.fixture
def start(event_loop_thread: EventLoopThread, tmp_path: Path) -> Iterator[Callable[..., Running]]:
    """Start receivers of both protocols or `only` one; each is shut down after the test."""
    running: list[Running] = []

    def begin(
        *,
        journal: MemoryJournal | None = None,
        loop: EventLoopThread | None = None,
        grpc: dict[str, Any] | None = None,
        http: dict[str, Any] | None = None,
        only: str | None = None,
        context: dict[str, Any] | None = None,
        **settings: Any,
    ) -> Running:
        journal, loop = journal or MemoryJournal(), loop or event_loop_thread
        protocols = {
            name: {"endpoint": "127.0.0.1:0", **(config or {})}
            for name, config in (("grpc", grpc), ("http", http))
            if only in (None, name)
        }
        # Most tests send one body more than once; those about re-delivery set a window.
        settings = {"redelivery_window_s": 0, **settings}
        config = OtlpConfig.model_validate({"protocols": protocols, **settings})
        receiver = otlp(config, Context("otlp", tmp_path, journal, **(context or {})))
        loop.run(receiver.start())
        running.append(Running(receiver, journal, loop))
        return running[-1]

    yield begin
    for r in running:
        r.loop.run(r.receiver.shutdown())


@pytest.fixture
def receiver(start: Callable[..., Running]) -> Running:
    """Start a receiver of both protocols with its defaults."""
    return start()


@pytest.fixture(params=TRANSPORTS)
def transport(request: pytest.FixtureRequest) -> Transport:
    chosen: Transport = request.param
    return chosen
