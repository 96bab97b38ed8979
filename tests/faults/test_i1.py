"""I1: malformed bodies.

Injected: real bodies cut at each of their bytes, damaged and random ones, as protobuf, JSON and gzip, to both
 validators and the decoder, for 40 seconds in two processes (EVALGATE_I1_S for longer); 20 000 of them over HTTP.
Holds: 400 or what the protobuf library reads too, which decodes; no crash, no 5xx; memory does not grow.
Figure: 531 714 inputs in 40 s on two busy cores, 17 272 taken and decoded, memory grew by 8 MB.
"""

from __future__ import annotations

import itertools
import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.decode.hostile import seeded
from tests.faults.hostile_inputs import inputs
from tests.faults.receiving import MIB, ReceiverProcess

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

SECONDS = float(os.environ.get("EVALGATE_I1_S", "40"))
ROOT = Path(__file__).parents[2]


@pytest.mark.alone
@pytest.mark.timeout(30 + 2 * SECONDS)
def test_no_input_crashes_anything_or_stays_in_memory(record_property: Callable[[str, object], None]) -> None:
    command = [sys.executable, "-m", "tests.faults.hostile_inputs", "--seconds", str(SECONDS), "--seed"]
    running = [
        subprocess.Popen([*command, str(seed)], cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        for seed in (1, 2)
    ]
    found = []
    for process in running:
        out, err = process.communicate()
        assert process.returncode == 0, err[-3000:]
        found.append(json.loads(out))
    tried = sum(f["taken"] + f["refused"] for f in found)
    growth = max(f["growth_bytes"] for f in found)
    taken = sum(f["taken"] for f in found)
    record_property("figure", f"{tried} inputs, {taken} taken and decoded, {growth / MIB:.0f} MB of growth")
    assert tried > 5000 * SECONDS / 4
    assert 0 < taken < tried / 2
    assert growth < 32 * MIB


def batches(n: int, at_once: int) -> Iterator[list[bytes]]:
    """Yield requests, so many at once."""
    made = inputs(seeded(3))
    for _ in range(0, n, at_once):
        some = []
        for signal, body, encoding, packed in itertools.islice(made, at_once):
            kind = "json" if encoding == "json" else "x-protobuf"
            coding = "content-encoding: gzip\r\n" * packed
            head = f"POST /v1/{signal} HTTP/1.1\r\ncontent-type: application/{kind}\r\n{coding}"
            some.append(f"{head}content-length: {len(body)}\r\n\r\n".encode() + body)
        yield some


@pytest.mark.parametrize("n", [pytest.param(2000, marks=pytest.mark.quick), 20_000])
def test_malformed_bodies_over_http(n: int, record_property: Callable[[str, object], None]) -> None:
    """Pipelined on a few connections, so that one that confuses the next would be seen."""
    statuses: list[int] = []
    with ReceiverProcess() as receiver:
        for some in batches(n, 500):
            stream = b"".join(some)
            with receiver.connect() as sock:
                sock.sendall(stream + b"GET / HTTP/1.1\r\nconnection: close\r\n\r\n")
                answer = b""
                while piece := sock.recv(1 << 20):
                    answer += piece
            codes = [int(c) for c in re.findall(rb"HTTP/1\.1 (\d{3}) ", answer)]
            assert len(codes) == len(some) + 1
            assert codes[-1] == 404
            statuses += codes[:-1]
    record_property("figure", f"{n} bodies over HTTP: { {c: statuses.count(c) for c in set(statuses)} }")
    assert set(statuses) <= {200, 400, 413}
    assert len(statuses) == n
