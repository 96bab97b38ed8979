"""Measure the CPU time of receiving OTLP alone: validation and answer, in front of a journal that forgets.

    python bench/receive.py [--spans 200000] [--json]

Each case runs in a process of its own, which a sender with pre-serialised bodies keeps busy over four connections; the
figure is that process's CPU time (user and system) for a span, from the first request to the last answer.
"""

from __future__ import annotations

import argparse
import asyncio
import gzip
import json
import multiprocessing
import os
import random
import socket
import sys
import threading
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import grpc
import uvloop
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from collector.memory import keep_memory
from collector.receivers.otlp import OtlpConfig, otlp
from schema.component import Context

if TYPE_CHECKING:
    from multiprocessing.connection import Connection

    from schema.component import Signal

SPANS_PER_REQUEST = 512
CONNECTIONS = 4
EXPORT = "/opentelemetry.proto.collector.trace.v1.TraceService/Export"
WORDS = ("the", "order", "was", "sent", "back", "on", "monday", "its", "battery", "does", "not", "hold", "a", "charge")


@dataclass(frozen=True, slots=True)
class Case:
    """What is sent, and how."""

    name: str
    protocol: Literal["http", "grpc"]
    attributes: int
    content_bytes: int
    compressed: bool = False


CASES = (
    Case("http genai", "http", 24, 2000),
    Case("http genai gzip", "http", 24, 2000, compressed=True),
    Case("http small", "http", 8, 0),
    Case("grpc genai", "grpc", 24, 2000),
    Case("grpc small", "grpc", 8, 0),
)


class ForgetfulJournal:
    """Says at once that everything is durable."""

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
        """Keep nothing."""
        del tenant, signal, body, encoding, gzip, members
        return 0


def serve(pipe: Connection) -> None:
    """Run a receiver; send its addresses, then for every message received the CPU seconds used so far."""

    async def run() -> None:
        config = OtlpConfig.model_validate(
            {
                "protocols": {"grpc": {"endpoint": "127.0.0.1:0"}, "http": {"endpoint": "127.0.0.1:0"}},
                # The sender has few bodies and sends them again and again; what a re-sent one costs is another matter.
                "redelivery_window_s": 0,
            }
        )
        receiver = otlp(config, Context("otlp", Path(), ForgetfulJournal()))
        receiver._validator.warm_up().join()  # noqa: SLF001 - compiling is not what is measured
        await receiver.start()
        pipe.send(receiver.endpoints)
        while await asyncio.to_thread(pipe.recv):
            pipe.send(time.process_time())
        await receiver.shutdown()

    keep_memory()
    uvloop.run(run())


def make_body(case: Case, seed: int) -> bytes:
    """Make one request of 512 spans with ids and words of their own."""
    chance = random.Random(seed)  # noqa: S311 - not a secret
    request = ExportTraceServiceRequest()
    scope = request.resource_spans.add().scope_spans.add()
    for _ in range(SPANS_PER_REQUEST):
        span = scope.spans.add(trace_id=chance.randbytes(16), span_id=chance.randbytes(8), name="chat gpt-4o-mini")
        span.start_time_unix_nano = span.end_time_unix_nano = time.time_ns()
        for i in range(case.attributes):
            span.attributes.add(key=f"gen_ai.attribute.{i}").value.string_value = f"value {chance.random()}"
        if case.content_bytes:
            words = " ".join(chance.choices(WORDS, k=case.content_bytes // 5))
            span.attributes.add(key="gen_ai.input.messages").value.string_value = words
    body = request.SerializeToString()
    return gzip.compress(body, 6) if case.compressed else body


def send_http(address: str, bodies: list[bytes], n: int, *, compressed: bool) -> None:
    """Send `n` requests over one connection, each after the answer to the last."""
    host, _, port = address.rpartition(":")
    coding = "content-encoding: gzip\r\n" if compressed else ""
    with socket.create_connection((host, int(port))) as sock, sock.makefile("rb") as answers:
        for i in range(n):
            body = bodies[i % len(bodies)]
            head = (
                "POST /v1/traces HTTP/1.1\r\nhost: bench\r\ncontent-type: application/x-protobuf\r\n"
                f"{coding}content-length: {len(body)}\r\n\r\n"
            )
            sock.sendall(head.encode() + body)
            if b" 200 " not in answers.readline():
                raise SystemExit("a request was refused")
            while answers.readline() != b"\r\n":
                pass


def send_grpc(address: str, bodies: list[bytes], n: int) -> None:
    """Send `n` requests over one channel, each after the answer to the last."""
    options = [("grpc.max_send_message_length", -1), ("grpc.use_local_subchannel_pool", 1)]
    with grpc.insecure_channel(address, options=options) as channel:
        export: grpc.UnaryUnaryMultiCallable[bytes, bytes] = channel.unary_unary(EXPORT)
        for i in range(n):
            export(bodies[i % len(bodies)])


def measure(case: Case, spans: int) -> dict[str, float | str]:
    """Run one case; at least `spans` are sent."""
    spawn = multiprocessing.get_context("spawn")
    pipe, theirs = spawn.Pipe()
    server = spawn.Process(target=serve, args=(theirs,))
    server.start()
    address = pipe.recv()[case.protocol]
    bodies = [make_body(case, seed) for seed in range(8)]
    requests = max(1, spans // SPANS_PER_REQUEST // CONNECTIONS)

    def send(n: int) -> None:
        if case.protocol == "http":
            send_http(address, bodies, n, compressed=case.compressed)
        else:
            send_grpc(address, bodies, n)

    send(len(bodies))  # imports, first allocations
    pipe.send("cpu")
    cpu_before, began = pipe.recv(), time.perf_counter()
    threads = [threading.Thread(target=send, args=(requests,)) for _ in range(CONNECTIONS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    seconds = time.perf_counter() - began
    pipe.send("cpu")
    cpu_s = pipe.recv() - cpu_before
    pipe.send("")
    server.join()
    sent = requests * CONNECTIONS * SPANS_PER_REQUEST
    return {
        "case": case.name,
        "spans": sent,
        "body_bytes_per_span": round(len(bodies[0]) / SPANS_PER_REQUEST),
        "cpu_us_per_span": round(cpu_s / sent * 1e6, 2),
        "spans_per_s": round(sent / seconds),
    }


def main() -> None:
    """Print a line per case."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--spans", type=int, default=200_000)
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args()
    rows = [measure(case, arguments.spans) for case in CASES]
    if arguments.json:
        json.dump({"cores": os.cpu_count(), "python": sys.version.split()[0], "cases": rows}, sys.stdout, indent=1)
        print()
        return
    for row in rows:
        print(
            "{case:16} {body_bytes_per_span:6} B  {cpu_us_per_span:6} µs CPU/span  {spans_per_s:8} spans/s".format(
                **row
            )
        )


if __name__ == "__main__":
    main()
