"""The exporter `otlp` against backends that behave as real and as bad ones do."""

from __future__ import annotations

import asyncio
import gzip
import ssl
import threading
from concurrent import futures
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any

import grpc
import pytest
import trustme
from google.rpc import status_pb2
from google.rpc.error_details_pb2 import RetryInfo
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTraceServiceRequest,
    ExportTraceServiceResponse,
)
from opentelemetry.proto.logs.v1.logs_pb2 import LogRecord, SeverityNumber
from opentelemetry.proto.trace.v1.trace_pb2 import Status
from pydantic import ValidationError

from collector.components import installed
from collector.decode import decode
from collector.delivery import Lane
from collector.journal import Batch
from collector.journal.batch import Position
from collector.journal.record import Record
from exporters.otlp import OtlpConfig, OtlpExporter
from exporters.otlp.answers import MAX_ANSWER_BYTES, retry_info, seconds_of
from exporters.otlp.encode import to_requests
from exporters.otlp.exporter import joined
from schema.component import Context, Exporter, RequestExporter
from schema.errors import ConfigError, Permanent, Retryable
from tests.clickhouse.otlp import NOON, batch_of, logs_record, span, spans_record
from tests.collector.conftest import spans_request
from tests.delivery.fakes import Batches

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

PARTIAL = ExportTraceServiceResponse()
PARTIAL.partial_success.rejected_spans = 2
PARTIAL.partial_success.error_message = "too\nold" + "x" * 10_000


@dataclass
class Backend:
    """What it got, and what it answers: status, headers, body; OK for ever behind the last."""

    answers: list[tuple[int, dict[str, str], bytes]] = field(default_factory=list)
    got: list[tuple[str, dict[str, str], bytes]] = field(default_factory=list)
    url: str = ""
    endless: bool = False


@contextmanager
def backend(
    *answers: tuple[int, dict[str, str], bytes], endless: bool = False, tls: trustme.LeafCert | None = None
) -> Iterator[Backend]:
    one = Backend(list(answers), endless=endless)

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            one.got.append((self.path, {k.lower(): v for k, v in self.headers.items()}, body))
            status, headers, answer = one.answers.pop(0) if one.answers else (200, {}, b"")
            self.send_response(status)
            for name, value in headers.items():
                self.send_header(name, value)
            if one.endless:
                self.end_headers()
                piece = bytes(1 << 16)
                try:
                    for _ in range(10 << 14):  # 10 GiB
                        self.wfile.write(piece)
                except OSError:
                    one.got.append(("hung up", {}, b""))
                return
            self.send_header("Content-Length", str(len(answer)))
            self.end_headers()
            self.wfile.write(answer)

        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        one.url = f"http://127.0.0.1:{server.server_port}"
        if tls is not None:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            tls.configure_cert(context)
            server.socket = context.wrap_socket(server.socket, server_side=True)
            server.handle_error = lambda *_: None  # type: ignore[method-assign]  # it would print a refused handshake
            one.url = f"https://localhost:{server.server_port}"
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        try:
            yield one
        finally:
            server.shutdown()
            thread.join(10)


def exporter(url: str, **options: Any) -> OtlpExporter:
    return OtlpExporter("otlp/tee", OtlpConfig.model_validate({"endpoint": url, **options}))


def request(*ids: int, signal: Any = "traces", body: bytes | None = None) -> Record:
    return Record(1, "default", signal, "protobuf", gzip=False, received_unix_ns=1, body=body or spans_request(*ids))


def send(one: OtlpExporter, requests: Sequence[Record], token: str = "t") -> None:  # noqa: S107 - of a batch
    async def run() -> None:
        await one.start()
        try:
            await one.export_requests(requests, token)
        finally:
            await one.shutdown()
            await one.shutdown()

    asyncio.run(run())


def test_requests_are_joined_by_signal_and_arrive_with_headers() -> None:
    log = ExportLogsServiceRequest()
    log.resource_logs.add()
    with backend() as server:
        one = exporter(server.url + "/base/", headers={"X-Key": "k1"})
        send(one, [request(1), request(signal="logs", body=log.SerializeToString()), request(2, 3)])
    [(path, head, body), (log_path, _, _)] = server.got
    assert (path, log_path) == ("/base/v1/traces", "/base/v1/logs")
    assert (head["x-key"], head["content-type"], head["content-encoding"]) == ("k1", "application/x-protobuf", "gzip")
    arrived = ExportTraceServiceRequest.FromString(gzip.decompress(body))
    assert [int.from_bytes(s.span_id) for r in arrived.resource_spans for s in r.scope_spans[0].spans] == [1, 2, 3]
    assert one.counts.requests == 2


def test_joined_requests_stay_below_the_limit_and_one_that_is_larger_goes_alone() -> None:
    found = list(
        joined([("traces", b"aaaa"), ("logs", b"l"), ("traces", b"bb"), ("traces", b"c" * 20), ("traces", b"")], 6)
    )
    assert found == [("traces", b"aaaabb"), ("traces", b"c" * 20), ("logs", b"l")]


@pytest.mark.parametrize(
    ("status", "headers", "kind", "after_s"),
    [
        (429, {"Retry-After": "7"}, Retryable, 7.0),
        (503, {}, Retryable, None),
        (502, {"Retry-After": "soon"}, Retryable, None),
        (401, {}, Retryable, None),
        (404, {}, Retryable, None),
        (400, {}, Permanent, None),
        (413, {}, Permanent, None),
        (500, {}, Permanent, None),
    ],
)
def test_an_answer_says_whether_and_when_to_try_again(
    status: int, headers: dict[str, str], kind: type[Exception], after_s: float | None
) -> None:
    with backend((status, headers, b"secret words")) as server, pytest.raises(kind, match=str(status)) as caught:
        send(exporter(server.url), [request(1)])
    assert getattr(caught.value, "after_s", None) == after_s
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize(
    ("headers", "remedy"),
    [
        ({}, "put a key for it into exporters.otlp.headers.authorization"),
        ({"Authorization": "Bearer unset"}, "holds no key: set the variable it is made of, such as EVALGATE_KEY"),
        ({"authorization": "Bearer "}, "holds no key"),
        ({"authorization": "Bearer eg_k1"}, "the key in exporters.otlp.headers.authorization is not one that may"),
    ],
)
def test_who_is_not_let_in_is_told_where_the_key_belongs(headers: dict[str, str], remedy: str) -> None:
    for status in (401, 403):
        with backend((status, {}, b"")) as server, pytest.raises(Retryable, match=remedy) as caught:
            send(exporter(server.url, headers=headers), [request(1)])
        assert "k1" not in str(caught.value)
    for code in (grpc.StatusCode.UNAUTHENTICATED, grpc.StatusCode.PERMISSION_DENIED):
        with grpc_backend((code, None)) as server, pytest.raises(Retryable, match=remedy) as caught:
            send(exporter(server.url, protocol="grpc", headers=headers), [request(1)])
        assert "k1" not in str(caught.value)


def test_a_certificate_of_ones_own_authority_is_taken_once_that_is_named(tmp_path: Path) -> None:
    ca = trustme.CA()
    ca.cert_pem.write_to_path(tmp_path / "ca.pem")
    issued = ca.issue_cert("localhost")
    trusting = {"ca_file": str(tmp_path / "ca.pem")}
    with backend(tls=issued) as server:
        with pytest.raises(Retryable, match=r"was reached, but .* exporters.otlp.tls.ca_file"):
            send(exporter(server.url), [request(1)])
        send(exporter(server.url, tls=trusting), [request(1)])
    assert len(server.got) == 1
    with grpc_backend(tls=issued) as server:
        with pytest.raises(Retryable, match=r"was reached, but .* exporters.otlp.tls.ca_file"):
            send(exporter(server.url, protocol="grpc"), [request(1)])
        send(exporter(server.url, protocol="grpc", tls=trusting), [request(1)])
    assert len(server.got) == 1


def test_a_date_says_when_too() -> None:
    now = datetime(2026, 11, 21, 8, 0, tzinfo=UTC)
    assert seconds_of("Sat, 21 Nov 2026 08:00:30 GMT", now) == 30.0
    assert seconds_of("Sat, 21 Nov 2026 07:00:00 GMT", now) == 0.0
    assert seconds_of("-5") is None


def test_what_was_answered_is_not_sent_again_when_the_rest_is() -> None:
    one = exporter("http://127.0.0.1:1", max_request_bytes=1024)
    requests = [request(i, body=spans_request(i) + b"\x0a\x00" * 300) for i in (1, 2, 3)]

    async def run(url: str) -> None:
        one._config = OtlpConfig(endpoint=url, max_request_bytes=1024)
        with pytest.raises(Retryable):
            await one.export_requests(requests, "t")
        await one.export_requests(requests, "t")
        await one.export_requests(requests[:1], "t2")
        await one.shutdown()

    with backend((200, {}, b""), (503, {}, b"")) as server:
        asyncio.run(run(server.url))
    sent = [gzip.decompress(body) for _, _, body in server.got]
    assert sent == [requests[i].body for i in (0, 1, 1, 2, 0)]


def test_a_partial_success_is_counted_and_said_in_few_words(caplog: pytest.LogCaptureFixture) -> None:
    with backend((200, {}, PARTIAL.SerializeToString())) as server:
        one = exporter(server.url)
        send(one, [request(1)])
    assert one.counts.rejected == {"traces": 2}
    assert "did not take 2 of the traces: too old" in caplog.text
    assert len(caplog.text) < 1000


def test_an_answer_without_an_end_is_read_up_to_a_limit() -> None:
    with backend(endless=True) as server:
        send(exporter(server.url), [request(1)])
    assert [path for path, _, _ in server.got] == ["/v1/traces", "hung up"]


def test_nobody_there_is_retryable() -> None:
    with pytest.raises(Retryable, match="cannot be reached"):
        send(exporter("http://127.0.0.1:1"), [request(1)])


def test_an_answer_that_never_comes_is_given_up_in_time() -> None:
    go_on = threading.Event()

    class Silent(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            go_on.wait(30)

        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Silent) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        try:
            with pytest.raises(Retryable, match="no answer"):
                send(exporter(f"http://127.0.0.1:{server.server_port}", timeout_s=0.2), [request(1)])
        finally:
            go_on.set()
            server.shutdown()
            thread.join(10)


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        ({"endpoint": "collector:4317"}, "http://host:port"),
        ({"endpoint": "http://u:p@h:1"}, "put it into headers"),
        ({"endpoint": "http://h:1", "headers": {"a\r\nb": "c"}}, "no header"),
        ({"endpoint": "http://h:1", "headers": {"a": "c\nd"}}, "no header"),
    ],
)
def test_a_wrong_setting_is_told(settings: dict[str, Any], says: str) -> None:
    with pytest.raises(ValidationError, match=says):
        OtlpConfig.model_validate(settings)


def test_headers_are_in_no_message() -> None:
    assert "k1" not in repr(OtlpConfig(endpoint="http://h:1", headers={"X-Key": "k1"}))


def test_a_missing_file_of_tls_is_told_before_anything_is_sent(tmp_path: Path) -> None:
    for protocol in ("http/protobuf", "grpc"):
        one = exporter("https://h:1", protocol=protocol, tls={"ca_file": str(tmp_path / "none.pem")})
        with pytest.raises(ConfigError, match="tls"):
            asyncio.run(one.start())


# -- gRPC --------------------------------------------------------------------------------------------------------


@contextmanager
def grpc_backend(
    *faults: tuple[grpc.StatusCode, bytes | None], answer: bytes = b"", tls: trustme.LeafCert | None = None
) -> Iterator[Backend]:
    one, left = Backend(), list(faults)

    def handle(body: bytes, context: grpc.ServicerContext) -> bytes:
        head = {k: v for k, v in context.invocation_metadata() if isinstance(v, str)}
        one.got.append(("traces", head, body))
        if left:
            code, details = left.pop(0)
            if details is not None:
                context.set_trailing_metadata((("grpc-status-details-bin", details),))
            context.abort(code, "secret words")
        return answer

    service = "opentelemetry.proto.collector.trace.v1.TraceService"
    server = grpc.server(futures.ThreadPoolExecutor(2))
    methods: Any = {"Export": grpc.unary_unary_rpc_method_handler(handle)}
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(service, methods),))
    if tls is None:
        one.url = f"http://127.0.0.1:{server.add_insecure_port('127.0.0.1:0')}"
    else:
        pair = (tls.private_key_pem.bytes(), tls.cert_chain_pems[0].bytes())
        port = server.add_secure_port("127.0.0.1:0", grpc.ssl_server_credentials([pair]))
        one.url = f"https://localhost:{port}"
    server.start()
    try:
        yield one
    finally:
        server.stop(0).wait(10)


def wait_info(seconds: int) -> bytes:
    status = status_pb2.Status()
    status.details.add().Pack(RetryInfo(retry_delay={"seconds": seconds}))
    return bytes(status.SerializeToString())


def test_requests_go_over_grpc_too() -> None:
    with grpc_backend(answer=PARTIAL.SerializeToString()) as server:
        one = exporter(server.url, protocol="grpc", headers={"X-Key": "k1"})
        send(one, [request(1), request(2)])
    [(_, head, body)] = server.got
    assert head["x-key"] == "k1"
    assert body == spans_request(1) + spans_request(2)
    assert one.counts.rejected == {"traces": 2}


@pytest.mark.parametrize(
    ("code", "details", "kind", "after_s"),
    [
        (grpc.StatusCode.UNAVAILABLE, None, Retryable, None),
        (grpc.StatusCode.UNAVAILABLE, wait_info(9), Retryable, 9.0),
        (grpc.StatusCode.RESOURCE_EXHAUSTED, wait_info(3), Retryable, 3.0),
        (grpc.StatusCode.RESOURCE_EXHAUSTED, None, Permanent, None),
        (grpc.StatusCode.UNAUTHENTICATED, None, Retryable, None),
        (grpc.StatusCode.INVALID_ARGUMENT, None, Permanent, None),
    ],
)
def test_a_status_of_grpc_says_whether_and_when_to_try_again(
    code: grpc.StatusCode, details: bytes | None, kind: type[Exception], after_s: float | None
) -> None:
    with grpc_backend((code, details)) as server, pytest.raises(kind, match=code.name) as caught:
        send(exporter(server.url, protocol="grpc"), [request(1)])
    assert getattr(caught.value, "after_s", None) == after_s
    assert "secret" not in str(caught.value)


def test_a_huge_answer_or_trailer_over_grpc_is_refused() -> None:
    with grpc_backend(answer=bytes(2 * MAX_ANSWER_BYTES)) as server, pytest.raises((Permanent, Retryable)):
        send(exporter(server.url, protocol="grpc"), [request(1)])
    huge = (grpc.StatusCode.UNAVAILABLE, bytes(1 << 20))
    with grpc_backend(huge) as server, pytest.raises((Permanent, Retryable)):
        send(exporter(server.url, protocol="grpc"), [request(1)])
    assert retry_info(b"\xff" * 100) is None


# -- masked ------------------------------------------------------------------------------------------------------


def test_a_batch_becomes_the_requests_it_was_made_of() -> None:
    one = span(1, 2, parent=1, kind=3, flags=257, trace_state="a=b", dropped_links_count=3)
    one.status.code, one.status.message = Status.STATUS_CODE_ERROR, "no"
    values = {"s": "ü", "i": -5, "f": 0.5, "b": True, "y": b"\x00\xff", "l": ["a", 1], "m": {"x": None}, "n": None}
    one.attributes.extend(span(1, 1, attributes=values).attributes)
    one.events.add(name="e", time_unix_nano=NOON, attributes=one.attributes[:2], dropped_attributes_count=1)
    one.links.add(trace_id=bytes(range(16)), span_id=bytes(range(1, 9)), trace_state="c=d")
    record = spans_record([one, span(3, 4)])
    log = LogRecord(
        time_unix_nano=NOON,
        observed_time_unix_nano=1,
        severity_number=SeverityNumber.SEVERITY_NUMBER_INFO,
        severity_text="INFO",
    )
    log.body.string_value, log.event_name = "hello", "said"
    log.attributes.extend(one.attributes[:3])
    logs = logs_record([log])
    [(signal, traces), (other, of_logs)] = to_requests(decode([record, logs]))
    assert (signal, other) == ("traces", "logs")
    assert ExportTraceServiceRequest.FromString(traces) == ExportTraceServiceRequest.FromString(record.body)
    assert ExportLogsServiceRequest.FromString(of_logs) == ExportLogsServiceRequest.FromString(logs.body)


def test_a_batch_is_sent_as_it_is_now() -> None:
    with backend() as server:
        one = exporter(server.url, compression="none")
        asyncio.run(one.export(batch_of(spans_record([span(1, 1)])), "t"))
        asyncio.run(one.shutdown())
    [(path, _, body)] = server.got
    assert path == "/v1/traces"
    assert ExportTraceServiceRequest.FromString(body).resource_spans[0].scope_spans[0].spans[0].name == "span 1"


def test_it_is_an_exporter_of_both_kinds() -> None:
    one = exporter("http://h:1")
    assert isinstance(one, RequestExporter)
    plain: Exporter = one
    assert plain is one


def test_what_redaction_masks_does_not_leave(tmp_path: Path) -> None:
    secret = "sk-ant-api03-" + "Zq8vK2pLmX9wRt4sYb7n" * 4
    one = span(1, 1, name=f"call {secret}", attributes={"prompt": f"my key is {secret}", "n": [secret]})
    one.status.message = secret
    one.events.add(name=secret, time_unix_nano=NOON)
    component = installed().load("processor", "redact")
    redact = component(component.config(), Context("redact", tmp_path))
    source = Batches([Batch((spans_record([one]),), "t", Position(1, 1))])
    with backend() as server:
        tee = exporter(server.url)
        asyncio.run(Lane("tee", source, tee, {"redact": redact}, masks=True).run())
        asyncio.run(tee.shutdown())
    [(_, _, body)] = server.got
    assert len(source.confirmed) == 1
    assert b"my key is" in gzip.decompress(body)
    assert secret.encode() not in gzip.decompress(body)
    assert secret[13:40].encode() not in gzip.decompress(body)
