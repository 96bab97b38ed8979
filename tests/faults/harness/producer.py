"""An app that sends spans and remembers what was acknowledged: the one oracle of all fault tests.

Each request claims span ids and payloads before it is sent. A 200 (OK) makes them obligations. What gets no answer may
be stored or not, but not twice.
"""

from __future__ import annotations

import gzip
import hashlib
import http.client
import random
import threading
import time
from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal, Self

import grpc
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTraceServiceRequest,
    ExportTraceServiceResponse,
)
from opentelemetry.proto.trace.v1.trace_pb2 import Status

from tests.faults.harness.waiting import until

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from types import TracebackType

    from tests.faults.harness.process import Collector

GRPC_METHOD = "/opentelemetry.proto.collector.trace.v1.TraceService/Export"
RETRYABLE_HTTP = frozenset({429, 502, 503, 504})
RETRYABLE_GRPC = frozenset(
    {
        grpc.StatusCode.CANCELLED,
        grpc.StatusCode.DEADLINE_EXCEEDED,
        grpc.StatusCode.ABORTED,
        grpc.StatusCode.OUT_OF_RANGE,
        grpc.StatusCode.UNAVAILABLE,
        grpc.StatusCode.DATA_LOSS,
        grpc.StatusCode.RESOURCE_EXHAUSTED,
    }
)
"""Both as the OTLP specification has them."""
FIRST_BACKOFF_S = 0.02
LONGEST_BACKOFF_S = 0.25
"""Shorter than an SDK's, so that rounds are short; a longer Retry-After is not waited for either."""
ANSWER_S = 15.0
"""How long an answer is waited for."""
PAYLOAD = "load.payload"
WORDS = ("amber", "birch", "cedar", "delta", "ember", "fjord", "grove", "heath", "inlet", "joule", "knoll", "larch")
"""Nothing that a redaction could take for a secret."""


def fingerprint(payload: str) -> str:
    """Return a short hash of a payload, as obligations keep it."""
    return hashlib.sha256(payload.encode()).hexdigest()[:16]


@dataclass(slots=True)
class Claimed:
    """One request: what it holds, and what was said to it."""

    body: bytes
    spans: dict[str, str]
    """Span id, 16 hex digits → fingerprint of its payload."""
    answer: Literal["none", "acked", "refused", "partly"] = "none"
    tries: int = 0


@dataclass(slots=True)
class Requests:
    """Makes requests whose ids are unique in this run. Any thread."""

    spans_per_request: int
    payload_words: int
    now_unix_ns: Callable[[], int] = time.time_ns
    random: random.Random = field(default_factory=random.SystemRandom)
    run: bytes = b""
    """First 8 bytes of every trace id."""
    requests_per_trace: int = 1
    """More than one: a trace comes in so many pieces, the root in the first."""
    failing_piece: int | None = None
    """Which of them, from 0, holds a span with the status ERROR."""
    _made: int = 0
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def __post_init__(self) -> None:
        self.run = self.run or self.random.randbytes(8)

    def make(self) -> Claimed:
        """Return the next request: spans of one trace, a root and its children."""
        with self._lock:
            number = self._made
            self._made += 1
        request = ExportTraceServiceRequest()
        resource_spans = request.resource_spans.add()
        resource_spans.resource.attributes.add(key="service.name").value.string_value = "producer"
        scope = resource_spans.scope_spans.add()
        trace, piece = divmod(number, self.requests_per_trace)
        first_span = (number - piece) * self.spans_per_request + 1
        root = self.run[:3] + first_span.to_bytes(5, "big") if piece else b""
        now, spans = self.now_unix_ns(), dict[str, str]()
        for i in range(self.spans_per_request):
            span_id = self.run[:3] + (number * self.spans_per_request + i + 1).to_bytes(5, "big")
            payload = " ".join(self.random.choices(WORDS, k=self.payload_words))
            span = scope.spans.add(
                trace_id=self.run + (trace + 1).to_bytes(8, "big"),
                span_id=span_id,
                parent_span_id=root,
                name="chat m" if root else "turn",
                kind=3 if root else 2,
                start_time_unix_nano=now - 2_000_000,
                end_time_unix_nano=now - 1_000_000,
            )
            if piece == self.failing_piece:
                span.status.code = Status.STATUS_CODE_ERROR
            attributes = {PAYLOAD: payload}
            if root:
                attributes |= {"gen_ai.operation.name": "chat", "gen_ai.request.model": "m"}
            for key, value in attributes.items():
                span.attributes.add(key=key).value.string_value = value
            spans[span_id.hex()] = fingerprint(payload)
            root = root or span_id
        return Claimed(bytes(request.SerializeToString()), spans)


class Producer:
    """Threads that send request after request. `start`, `until_acked`, `stop`; or one by one with `send`."""

    def __init__(
        self,
        collector: Collector,
        *,
        transport: Literal["http", "grpc"] = "http",
        threads: int = 2,
        spans_per_request: int = 4,
        payload_words: int = 20,
        retry: bool = True,
        compress: bool = False,
        headers: Mapping[str, str] | None = None,
        pause_s: float = 0.0,
        give_up_s: float = 60.0,
        answer_s: float = ANSWER_S,
        requests: Requests | None = None,
    ) -> None:
        """`retry`: the same bytes again after what is retryable, or no answer in `answer_s`, as an SDK does.

        That for `give_up_s`; a request that is still without an answer then counts as sent, not as acknowledged.
        """
        self._address = {"http": collector.http, "grpc": collector.grpc}[transport]
        self._transport = transport
        self._threads_wanted = threads
        self._retry = retry
        self._compress = compress
        self._headers = dict(headers or {})
        self._pause_s = pause_s
        self._give_up_s = give_up_s
        self._answer_s = answer_s
        self.requests = requests or Requests(spans_per_request, payload_words)
        self._lock = threading.Lock()
        self._claimed: list[Claimed] = []
        self.answers: Counter[str] = Counter()
        """How many of each answer there were: HTTP statuses or gRPC codes, or the name of the failure."""
        self.latencies_s: list[float] = []
        """Of what was acknowledged, each from its last try."""
        self.errors: list[BaseException] = []
        """What a thread did not expect; `stop` raises the first."""
        self._stop = threading.Event()
        self._threads: list[threading.Thread] = []

    # -- what is known -------------------------------------------------------------------------------------------

    @property
    def run(self) -> str:
        """The first 16 hex digits of every trace id of this producer."""
        return self.requests.run.hex()

    def _spans(self, *answers: str) -> dict[str, str]:
        with self._lock:
            return {i: p for c in self._claimed if c.answer in answers for i, p in c.spans.items()}

    @property
    def obligations(self) -> dict[str, str]:
        """Span id → fingerprint of the payload, of everything acknowledged."""
        return self._spans("acked")

    @property
    def sent(self) -> dict[str, str]:
        """As `obligations`, of everything that was ever sent."""
        return self._spans("acked", "refused", "partly", "none")

    @property
    def acked_requests(self) -> int:
        """How many requests were acknowledged."""
        return sum(c.answer == "acked" for c in self._claimed)

    @property
    def resent_requests(self) -> int:
        """How many requests were sent more than once."""
        return sum(c.tries > 1 for c in self._claimed)

    # -- many ----------------------------------------------------------------------------------------------------

    def start(self) -> Self:
        """Begin to send; returns at once."""
        self._stop.clear()
        self._threads = [
            threading.Thread(target=self._run, name=f"producer {i}", daemon=True) for i in range(self._threads_wanted)
        ]
        for thread in self._threads:
            thread.start()
        return self

    def stop(self) -> None:
        """Begin no more requests, give up those without an answer, and wait for the threads.

        Raises:
            BaseException: what a thread did not expect.

        """
        self._stop.set()
        for thread in self._threads:
            thread.join(ANSWER_S + 5)
            assert not thread.is_alive(), "a thread of the producer does not end"
        self._threads = []
        if self.errors:
            raise self.errors[0]

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.stop()

    def until_acked(self, more: int, *, deadline_s: float = 30.0) -> None:
        """Return when so many more requests than now are acknowledged."""
        goal = self.acked_requests + more
        until(
            lambda: self.acked_requests >= goal or self.errors,
            f"{more} more requests are acknowledged; answers so far: {dict(self.answers)}",
            deadline_s=deadline_s,
        )

    def wait(self, seconds: float) -> None:
        """Let the load go on for a while; how long is part of the fault, not a guess at how long something takes."""
        self._stop.wait(seconds)

    def _run(self) -> None:
        wire = self._connect()
        try:
            while not self._stop.is_set():
                self._send(self._claim(), wire)
                if self._pause_s:
                    self._stop.wait(self._pause_s)
        except BaseException as e:  # noqa: BLE001 - told by `stop`, in the thread of the test
            self.errors.append(e)
        finally:
            wire.close()

    # -- one -----------------------------------------------------------------------------------------------------

    def send(self, count: int = 1) -> list[Claimed]:
        """Send so many requests one after another, on a connection of its own; return them with their answers."""
        wire = self._connect()
        try:
            return [self._send(self._claim(), wire) for _ in range(count)]
        finally:
            wire.close()

    def _connect(self) -> HttpWire | GrpcWire:
        if self._transport == "grpc":
            return GrpcWire(self._address, self._headers, compress=self._compress, answer_s=self._answer_s)
        return HttpWire(self._address, self._headers, compress=self._compress, answer_s=self._answer_s)

    def _claim(self) -> Claimed:
        claimed = self.requests.make()
        with self._lock:
            self._claimed.append(claimed)
        return claimed

    def _send(self, claimed: Claimed, wire: HttpWire | GrpcWire) -> Claimed:
        end_s, backoff_s = time.monotonic() + self._give_up_s, FIRST_BACKOFF_S
        while True:
            began_s = time.monotonic()
            claimed.tries += 1
            what, answer, rejected = wire.post(claimed.body)
            with self._lock:
                self.answers[what] += 1
                if answer == "acked":
                    claimed.answer = "partly" if rejected else "acked"
                    self.latencies_s.append(time.monotonic() - began_s)
                    return claimed
            if answer == "refused":
                claimed.answer = "refused"
                return claimed
            if not self._retry or time.monotonic() > end_s:
                return claimed
            if self._stop.wait(backoff_s * (0.5 + random.random() / 2)):  # noqa: S311 - jitter
                return claimed
            backoff_s = min(2 * backoff_s, LONGEST_BACKOFF_S)


Answer = tuple[str, Literal["acked", "again", "refused"], int]
"""What was said, what it means, how many spans were rejected."""


def _rejected(body: bytes) -> int:
    return int(ExportTraceServiceResponse.FromString(body).partial_success.rejected_spans)


class HttpWire:
    """One connection, kept alive and opened again after a failure."""

    def __init__(self, address: str, headers: Mapping[str, str], *, compress: bool, answer_s: float = ANSWER_S) -> None:
        host, _, port = address.rpartition(":")
        self._connection = http.client.HTTPConnection(host, int(port), timeout=answer_s)
        self._headers = {"Content-Type": "application/x-protobuf", **headers}
        self._compress = compress
        if compress:
            self._headers["Content-Encoding"] = "gzip"

    def post(self, body: bytes) -> Answer:
        """Send once."""
        try:
            self._connection.request(
                "POST", "/v1/traces", gzip.compress(body, 1) if self._compress else body, self._headers
            )
            answer = self._connection.getresponse()
            content = answer.read()
        except (OSError, http.client.HTTPException) as e:
            self._connection.close()
            return type(e).__name__, "again", 0
        if answer.status == 200:
            return "200", "acked", _rejected(content)
        return str(answer.status), "again" if answer.status in RETRYABLE_HTTP else "refused", 0

    def close(self) -> None:
        """Close."""
        self._connection.close()


class GrpcWire:
    """One channel, which connects again by itself."""

    def __init__(self, address: str, headers: Mapping[str, str], *, compress: bool, answer_s: float = ANSWER_S) -> None:
        options = [
            ("grpc.use_local_subchannel_pool", 1),
            ("grpc.initial_reconnect_backoff_ms", 50),
            ("grpc.min_reconnect_backoff_ms", 50),
            ("grpc.max_reconnect_backoff_ms", 250),
            ("grpc.enable_retries", 0),
        ]
        coding = grpc.Compression.Gzip if compress else grpc.Compression.NoCompression
        self._channel = grpc.insecure_channel(address, options, compression=coding)
        self._export: Any = self._channel.unary_unary(GRPC_METHOD)
        self._answer_s = answer_s
        self._metadata = tuple((k.lower(), v) for k, v in headers.items())

    def post(self, body: bytes) -> Answer:
        """Send once."""
        try:
            content = self._export(body, timeout=self._answer_s, metadata=self._metadata)
        except grpc.RpcError as e:
            code: grpc.StatusCode = e.code()
            return code.name, "again" if code in RETRYABLE_GRPC else "refused", 0
        return "OK", "acked", _rejected(content)

    def close(self) -> None:
        """Close."""
        self._channel.close()
