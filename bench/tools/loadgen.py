"""Send OTLP traces to a collector on this machine and say how it answered.

    python -m bench.tools.loadgen --endpoint 127.0.0.1:4318 --kind genai --spans 51200

Closed loop without --rate: each connection sends when its last request is answered. With --rate requests are due at
fixed times and latency counts from when a request was due, so a stalled collector cannot hide by making its senders
wait. Bodies are made before the first is sent, the gzipped ones compressed too (HTTP; gRPC compresses as it sends).

Refusals that OTLP calls retryable are tried again, after the pause that was asked for, and counted. Every body is new:
no two hold the same span. Prints one JSON object; with --wait it prints "ready" and waits for a line on standard input
before it sends.
"""

from __future__ import annotations

import argparse
import contextlib
import ipaddress
import json
import socket
import sys
import threading
import time
from collections import Counter
from dataclasses import asdict, dataclass, field, fields
from typing import TYPE_CHECKING, Any, Final, Literal, Protocol, get_args

import grpc
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceResponse

from bench.tools.payloads import Kind, Stamper, stamper

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

WireProtocol = Literal["http", "http-json", "grpc"]

EXPORT: Final = "/opentelemetry.proto.collector.trace.v1.TraceService/Export"
RETRYABLE_HTTP: Final = frozenset({429, 502, 503, 504})
RETRYABLE_GRPC: Final = frozenset({grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.RESOURCE_EXHAUSTED})
ANSWER_TIMEOUT_S: Final = 30.0
SHORTEST_PAUSE_S: Final = 0.05
LONGEST_PAUSE_S: Final = 5.0


@dataclass(frozen=True, slots=True)
class Load:
    """What is sent, and how."""

    endpoint: str
    protocol: WireProtocol = "http"
    kind: Kind = "genai"
    spans: int = 51_200
    batch: int = 512
    """Spans in a request."""
    gzip: bool = False
    connections: int = 8
    rate: float = 0.0
    """Requests per second, due whether or not earlier ones are answered; 0 is a closed loop."""
    max_seconds: float = 60.0

    @property
    def requests(self) -> int:
        """How many requests `spans` make; at least one."""
        return max(1, self.spans // self.batch)

    def arguments(self) -> list[str]:
        """Return the command line of this load."""
        values = asdict(self)
        flags = ["--gzip"] if values.pop("gzip") else []
        return flags + [f"--{name.replace('_', '-')}={value}" for name, value in values.items()]


@dataclass(frozen=True, slots=True)
class Sent:
    """What became of a load."""

    spans: int
    accepted: int
    """Spans that were acknowledged."""
    rejected: int
    """Spans that an acknowledgement said were not kept (partial success)."""
    failed: int
    """Spans that were refused for good, or got no answer."""
    retries: int
    """Requests that were refused with a status that OTLP calls retryable, and sent again."""
    requests: int
    bytes: int
    seconds: float
    ended_at: float
    """`time.monotonic` at the last answer: the clock of the machine, so other processes can compare."""
    p50_ms: float
    p99_ms: float
    max_ms: float
    cpu_s: float
    """Of the generator."""
    errors: dict[str, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Answer:
    """One answer of a collector."""

    ok: bool
    rejected: int = 0
    retry_after_s: float | None = None
    """Set when the request may be sent again."""
    why: str = ""


class Sender(Protocol):
    """One connection."""

    def send(self, body: bytes) -> Answer:
        """Send one request and return its answer; a broken connection is an answer too, and may be tried again."""

    def close(self) -> None:
        """Close the connection."""


class HttpSender:
    """A bare HTTP/1.1 connection: what it costs must not hide what the collector costs."""

    def __init__(self, load: Load) -> None:
        host, _, port = load.endpoint.rpartition(":")
        self._address = (host.strip("[]"), int(port))
        kind = "application/json" if load.protocol == "http-json" else "application/x-protobuf"
        coding = "Content-Encoding: gzip\r\n" if load.gzip else ""
        self._head = f"POST /v1/traces HTTP/1.1\r\nHost: bench\r\nContent-Type: {kind}\r\n{coding}Content-Length: "
        self._protobuf = load.protocol == "http"
        self._socket: socket.socket | None = None

    def send(self, body: bytes) -> Answer:
        """Send one request."""
        try:
            return self._send(body)
        except (OSError, ValueError, IndexError) as e:
            self.close()
            return Answer(ok=False, retry_after_s=SHORTEST_PAUSE_S, why=f"http {type(e).__name__}")

    def _send(self, body: bytes) -> Answer:
        if self._socket is None:
            self._socket = socket.create_connection(self._address, timeout=ANSWER_TIMEOUT_S)
            self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self._answers = self._socket.makefile("rb")
        self._socket.sendall(f"{self._head}{len(body)}\r\n\r\n".encode())
        self._socket.sendall(body)
        status = int(self._answers.readline().split()[1])
        headers = dict(self._headers())
        answered = self._answers.read(int(headers.get(b"content-length", b"0")))
        if headers.get(b"connection") == b"close":
            self.close()
        if 200 <= status < 300:
            return Answer(ok=True, rejected=_rejected(answered) if self._protobuf else 0)
        if status in RETRYABLE_HTTP:
            return Answer(ok=False, retry_after_s=float(headers.get(b"retry-after", b"0")), why=f"http {status}")
        return Answer(ok=False, why=f"http {status}")

    def _headers(self) -> Iterator[tuple[bytes, bytes]]:
        while line := self._answers.readline().strip():
            name, _, value = line.lower().partition(b":")
            yield name, value.strip()

    def close(self) -> None:
        """Close the connection; the next send opens another."""
        if self._socket is not None:
            self._answers.close()
            self._socket.close()
            self._socket = None


class GrpcSender:
    """A gRPC channel of its own."""

    def __init__(self, load: Load) -> None:
        options = [("grpc.max_send_message_length", -1), ("grpc.use_local_subchannel_pool", 1)]
        compression = grpc.Compression.Gzip if load.gzip else grpc.Compression.NoCompression
        self._channel = grpc.insecure_channel(load.endpoint, options=options, compression=compression)
        self._export: grpc.UnaryUnaryMultiCallable[bytes, bytes] = self._channel.unary_unary(EXPORT)

    def send(self, body: bytes) -> Answer:
        """Send one request."""
        try:
            return Answer(ok=True, rejected=_rejected(self._export(body, timeout=ANSWER_TIMEOUT_S)))
        except grpc.RpcError as e:
            code = e.code()
            return Answer(ok=False, retry_after_s=0 if code in RETRYABLE_GRPC else None, why=f"grpc {code.name}")

    def close(self) -> None:
        """Close the channel."""
        self._channel.close()


def _rejected(answer: bytes) -> int:
    return ExportTraceServiceResponse.FromString(answer).partial_success.rejected_spans if answer else 0


class Run:
    """One load under way, shared by its connections."""

    def __init__(
        self,
        load: Load,
        *,
        connect: Callable[[Load], Sender] | None = None,
        monotonic: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._load = load
        self._connect = connect or (GrpcSender if load.protocol == "grpc" else HttpSender)
        self._monotonic = monotonic
        self._sleep = sleep
        self._lock = threading.Lock()
        json_body = load.protocol == "http-json"
        self._stamper: Stamper = stamper(load.kind, load.batch, requests=load.requests, json=json_body)
        packed = load.gzip and load.protocol != "grpc"
        self._packed = [self._stamper.next_gzipped() for _ in range(load.requests)] if packed else None
        self._taken = 0
        self._counts: Counter[str] = Counter()
        self._errors: Counter[str] = Counter()
        self._latencies_s: list[float] = []

    def go(self) -> Sent:
        """Send everything, or what fits the time."""
        load = self._load
        self._began = self._monotonic()
        self._deadline = self._began + load.max_seconds
        cpu_before = time.process_time()
        threads = [threading.Thread(target=self._connection) for _ in range(load.connections)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        ended_at = self._monotonic()
        latencies = sorted(self._latencies_s)
        return Sent(
            spans=self._counts["spans"],
            accepted=self._counts["accepted"],
            rejected=self._counts["rejected"],
            failed=self._counts["failed"],
            retries=self._counts["retries"],
            requests=self._counts["requests"],
            bytes=self._counts["bytes"],
            seconds=round(ended_at - self._began, 3),
            ended_at=ended_at,
            p50_ms=quantile_ms(latencies, 0.5),
            p99_ms=quantile_ms(latencies, 0.99),
            max_ms=quantile_ms(latencies, 1.0),
            cpu_s=round(time.process_time() - cpu_before, 2),
            errors=dict(self._errors),
        )

    def _connection(self) -> None:
        with contextlib.closing(self._connect(self._load)) as sender:
            while (due_and_body := self._take()) is not None:
                due, body = due_and_body
                self._sleep(max(0.0, due - self._monotonic()))
                self._deliver(sender, due, body)

    def _take(self) -> tuple[float, bytes] | None:
        """Return when the next request is due and its body, or None when all are sent or the time is up."""
        load = self._load
        with self._lock:
            number = self._taken
            due = self._began + number / load.rate if load.rate else self._monotonic()
            if number >= load.requests or due > self._deadline:
                return None
            self._taken += 1
            body = self._packed[number] if self._packed else self._stamper.next()
        return due if load.rate else self._monotonic(), body

    def _deliver(self, sender: Sender, due: float, body: bytes) -> None:
        retries = 0
        while True:
            answer = sender.send(body)
            if answer.ok or answer.retry_after_s is None or self._monotonic() > self._deadline:
                break
            retries += 1
            self._sleep(min(max(answer.retry_after_s, SHORTEST_PAUSE_S), LONGEST_PAUSE_S))
        spans = self._load.batch
        with self._lock:
            self._counts.update(requests=1, spans=spans, bytes=len(body), retries=retries)
            if answer.ok:
                self._counts.update(accepted=spans - answer.rejected, rejected=answer.rejected)
                self._latencies_s.append(self._monotonic() - due)
            else:
                self._counts["failed"] += spans
                self._errors[answer.why] += 1


def quantile_ms(sorted_s: Sequence[float], share: float) -> float:
    """Return a quantile of sorted seconds, in milliseconds; the nearest rank, NaN of nothing."""
    if not sorted_s:
        return float("nan")
    return round(sorted_s[min(int(share * len(sorted_s)), len(sorted_s) - 1)] * 1e3, 2)


def parse(arguments: Sequence[str] | None = None) -> tuple[Load, bool]:
    """Return the load of a command line, and whether to wait for a line before sending."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", 1)[0])
    parser.add_argument("--endpoint", required=True)
    parser.add_argument("--protocol", choices=get_args(WireProtocol), default="http")
    parser.add_argument("--kind", choices=get_args(Kind), default="genai")
    parser.add_argument("--gzip", action="store_true")
    for each in fields(Load):
        if each.type in ("int", "float"):
            kind: type[Any] = int if each.type == "int" else float
            parser.add_argument(f"--{each.name.replace('_', '-')}", type=kind, default=each.default)
    parser.add_argument("--wait", action="store_true")
    options = vars(parser.parse_args(arguments))
    wait = bool(options.pop("wait"))
    load = Load(**options)
    if not ipaddress.ip_address(load.endpoint.rpartition(":")[0].strip("[]")).is_loopback:
        parser.error("the generator sends to this machine only: --endpoint 127.0.0.1:PORT")
    return load, wait


def main() -> None:
    """Send one load."""
    load, wait = parse()
    run = Run(load)
    if wait:
        print("ready", flush=True)
        if not sys.stdin.readline():
            return
    print(json.dumps(asdict(run.go())), flush=True)


if __name__ == "__main__":
    main()
