"""OTLP/gRPC beyond the answer table: other methods, bombs, what senders get while the port goes away."""

from __future__ import annotations

import gzip
from typing import TYPE_CHECKING, Any

import grpc
import pytest
from google.rpc import code_pb2

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.receivers.conftest import Running

TRACES = "/opentelemetry.proto.collector.trace.v1.TraceService/Export"


def test_metrics_are_told_to_go_elsewhere(receiver: Running) -> None:
    reply = receiver.grpc("/opentelemetry.proto.collector.metrics.v1.MetricsService/Export", b"")
    assert reply.code == code_pb2.UNIMPLEMENTED
    assert "OTEL_METRICS_EXPORTER=none" in reply.message


def test_another_method_is_unimplemented_and_says_what_lives_here(receiver: Running) -> None:
    for method in ("/a.b/C", "/opentelemetry.proto.collector.trace.v1.TraceService/Import"):
        reply = receiver.grpc(method, b"")
        assert reply.code == code_pb2.UNIMPLEMENTED
        assert TRACES in reply.message


def test_a_bomb_is_refused_for_good(receiver: Running) -> None:
    # 65 MiB of one attribute's zeros are 66 kB on the wire.
    reply = receiver.grpc(TRACES, bytes(65 << 20), compressed=True)
    assert reply.code == code_pb2.RESOURCE_EXHAUSTED
    assert reply.retry_after_s is None
    assert receiver.journal.records == []


def test_a_body_that_is_gzip_itself_is_bad_data(receiver: Running, make_request: Callable[..., Any]) -> None:
    reply = receiver.grpc(TRACES, gzip.compress(make_request(1).SerializeToString()))
    assert reply.code == code_pb2.INVALID_ARGUMENT


def test_one_connection_carries_many_requests_at_once(receiver: Running, make_request: Callable[..., Any]) -> None:
    bodies = [make_request(1, name=str(i)).SerializeToString() for i in range(90)]  # of 100 streams
    with grpc.insecure_channel(receiver.receiver.endpoints["grpc"]) as channel:
        export: grpc.UnaryUnaryMultiCallable[bytes, bytes] = channel.unary_unary(TRACES)
        for future in [export.future(body, timeout=30) for body in bodies]:
            assert future.result() == b""
    assert sorted(r.body for r in receiver.journal.records) == sorted(bodies)


def test_metadata_of_a_hostile_size_is_refused(receiver: Running) -> None:
    with grpc.insecure_channel(receiver.receiver.endpoints["grpc"]) as channel:
        export: grpc.UnaryUnaryMultiCallable[bytes, bytes] = channel.unary_unary(TRACES)
        with pytest.raises(grpc.RpcError) as caught:
            export(b"", metadata=(("baggage", "k=" + "v" * 40_000),), timeout=30)
        assert isinstance(caught.value, grpc.Call)
        assert caught.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
        for _ in range(10):  # by itself gRPC refuses some of those over 8 kB, by chance
            assert export(b"", metadata=(("baggage", "k=" + "v" * 15_000),), timeout=30) == b""
