"""CVE-2023-45142: labels of metrics that a sender can make up.

Injected: 20 000 requests with random methods, paths, hosts, agents, types and tenants over HTTP, 1 000 methods of gRPC.
Holds: what the receiver counts by has a fixed number of values; nothing that a sender names is one.
Figure: 21 000 requests of made-up names, at most 40 series.
"""

from __future__ import annotations

import random
import string
from typing import Any

import grpc

from schema.errors import Limit, Reason
from tests.faults.receiving import MIB, ReceiverProcess


def test_nothing_that_a_sender_names_becomes_a_series() -> None:
    chance = random.Random(7)  # noqa: S311 - the same each time

    def word() -> str:
        return "".join(chance.choices(string.ascii_letters, k=12))

    with ReceiverProcess() as receiver, receiver.peak() as peak:
        for _ in range(40):
            requests = [
                f"{chance.choice(('GET', 'POST'))} /{word()} HTTP/1.1\r\nhost: {word()}\r\nuser-agent: {word()}\r\n"
                f"content-type: application/{word()}\r\nx-evalgate-tenant: {word()}\r\ncontent-length: 0\r\n\r\n"
                for _ in range(500)
            ]
            with receiver.connect() as sock:
                sock.sendall("".join(requests).encode() + b"GET / HTTP/1.1\r\nconnection: close\r\n\r\n")
                while sock.recv(1 << 20):
                    pass
        with grpc.insecure_channel(receiver.endpoints["grpc"]) as channel:
            for _ in range(1000):
                method: Any = channel.unary_unary(f"/{word()}/{word()}")
                call = method.future(b"", metadata=(("x-evalgate-tenant", word()),), timeout=30)
                assert call.code() is grpc.StatusCode.UNIMPLEMENTED
        state = receiver.state
    named = {
        f"{signal}.{what}" for signal in ("traces", "logs") for what in ("accepted", "refused", "duplicate", *Reason)
    }
    assert state["counts"].keys() <= named
    assert state["limits"].keys() <= set(Limit)
    assert len(named) + len(Limit) < 40
    assert peak.growth_bytes < 32 * MIB
