"""I12: requests that are none of ours.

Injected: 2 000 heads made at random of methods, paths (%2F, .., NUL, 12 kB), types, codings, lengths, versions, headers
 with control characters; metrics; feedback of every wrong JSON type; each followed by a good request.
Holds: 200, 400, 404, 405, 411, 413, 415 or 431 with a body in JSON or protobuf, never 5xx, and the good one is kept.
Figure: 2 000 heads and 300 feedback bodies, no answer of 500 or above, the same process answers at the end.
"""

from __future__ import annotations

import itertools
import json
import random
from collections import Counter
from typing import TYPE_CHECKING, Any

import pytest
from google.protobuf import json_format
from google.rpc import error_details_pb2
from google.rpc.status_pb2 import Status

from tests.decode.requests import field, in_request
from tests.faults.receiving import ReceiverProcess, status_of

if TYPE_CHECKING:
    from collections.abc import Callable

GOOD = in_request(field(2, field(1, b"t" * 16) + field(2, b"s" * 8)))
METHODS = ("GET", "POST", "PUT", "HEAD", "OPTIONS", "TRACE", "PATCH", "DELETE", "BREW", "post", "")
PATHS = (
    "/v1/traces",
    "/v1%2Ftraces",
    "/v1/traces/",
    "/v1/../v1/traces",
    "//v1/traces",
    "/v1/traces%00",
    "/v1/metrics",
    "/v1/feedback",
    "/" + "x" * 12_000,
    "*",
    "http://elsewhere/v1/traces",
    "http://[::1/v1/traces",
    "/v1/traces?x=" + "%2e" * 50,
    "/\xff",
    "/v1/logs;a=b",
    "",
)
TYPES = (
    "application/x-protobuf",
    "application/json",
    "application/grpc",
    "text/plain",
    "",
    "application/json;charset=\xff",
    "multipart/form-data; boundary=x",
    ";",
)
CODINGS = ("", "gzip", "identity", "zstd", "gzip, gzip", "\x01", "GZIP")
LENGTHS = ("", "0", "5", "5, 5", "+5", "-1", "0x5", "99999999999999999999", "5 5", "\xb2")
VERSIONS = ("HTTP/1.1", "HTTP/1.0", "HTTP/2.0", "HTTP/1.", "", "HTTP/1.1 x")
ODD = (
    "x: a\x00b",
    "x\x01: y",
    ": y",
    "x y: z",
    "x: " + "y" * 9000,
    "host: a\r\nhost: b",
    "expect: 500-never",
    "x:\r\n folded",
)
ALLOWED = {0, 200, 400, 404, 405, 408, 413, 415, 431}
"""0 is a connection that was closed without an answer; only where a client that ended its half had sent no request."""


def head(chance: random.Random) -> bytes:
    def choose(odd: tuple[str, ...], usual: str) -> str:
        return usual if chance.random() < 0.6 else chance.choice(odd)

    lines = [" ".join((choose(METHODS, "POST"), choose(PATHS, "/v1/traces"), choose(VERSIONS, "HTTP/1.1")))]
    lines += [f"content-type: {choose(TYPES, 'application/json')}"] * chance.choice((0, 1, 1, 1, 2))
    lines += [f"content-encoding: {choose(CODINGS, 'identity')}"] * chance.randrange(2)
    lines += [f"content-length: {choose(LENGTHS, '5')}"] * chance.choice((0, 1, 1, 1, 2))
    lines += [chance.choice(ODD)] * (chance.random() < 0.2)
    return "\r\n".join(lines).encode("latin-1") + b"\r\n\r\n{}   "


def exchange(receiver: ReceiverProcess, request: bytes) -> bytes:
    """Send, end our half, and read all there is."""
    import socket  # noqa: PLC0415 - for one constant

    answer = b""
    with receiver.connect() as sock:
        try:
            sock.sendall(request)
            sock.shutdown(socket.SHUT_WR)
            while piece := sock.recv(65536):
                answer += piece
        except ConnectionError:
            pass
    return answer


@pytest.mark.quick
def test_no_head_of_a_request_is_answered_with_an_error_of_ours(record_property: Callable[[str, object], None]) -> None:
    chance = random.Random(12)  # noqa: S311 - the same each time
    statuses: Counter[int] = Counter()
    with ReceiverProcess() as receiver:
        for _ in range(2000):
            request = head(chance)
            answer = exchange(receiver, request)
            statuses[status_of(answer)] += 1
            assert status_of(answer) in ALLOWED, (request[:200], answer[:200])
            check_body(answer)
        assert receiver.post(GOOD) == 200
        assert receiver.state["members"] == 1
    record_property("figure", f"{dict(sorted(statuses.items()))}")
    assert {200, 400, 404, 405, 415} <= set(statuses)


def check_body(answer: bytes) -> None:
    """Read the error as its type says."""
    top, _, body = answer.partition(b"\r\n\r\n")
    if status_of(answer) in (0, 200) or not body or b"HTTP/1.1 " in body:
        return
    if b"content-type: application/json" in top:
        assert error_details_pb2.DESCRIPTOR  # details are found by their type once it is imported
        json_format.Parse(body, Status())
    else:
        assert b"content-type: application/x-protobuf" in top
        Status.FromString(body)


WRONG: tuple[Any, ...] = (
    None,
    True,
    0,
    -1,
    1.5,
    "",
    "x",
    [],
    [1],
    {},
    {"a": 1},
    "\x00",
    "../../etc",
    "a\nb",
    2**70,
    [[]],
)
FIELDS = (
    "trace_id",
    "span_id",
    "name",
    "value",
    "label",
    "comment",
    "response_id",
    "session_id",
    "user_id",
    "__proto__",
)


def test_feedback_of_every_wrong_type_is_taken_or_bad_data() -> None:
    """As CVE-2024-4323 has it: a field of another type than the code expects."""
    documents = [{"session_id": "s", "value": 1, name: wrong} for name, wrong in itertools.product(FIELDS, WRONG)]
    bodies = [json.dumps(d).encode() for d in [*documents, *WRONG, [documents[0], 5], {"value": documents[0]}]]
    with ReceiverProcess() as receiver:
        statuses = Counter(receiver.post(body, path="/v1/feedback", kind="json") for body in bodies)
    assert set(statuses) == {200, 400}
    assert min(statuses.values()) > 20


@pytest.mark.quick
def test_what_is_wrong_has_its_own_answer() -> None:
    with ReceiverProcess() as receiver:

        def status(line: str, *headers: str) -> int:
            return status_of(exchange(receiver, "\r\n".join([line, *headers, "content-length: 0", "", ""]).encode()))

        protobuf = "content-type: application/x-protobuf"
        assert status("POST /v1/traces HTTP/1.1", protobuf) == 200
        assert status("POST /v1/traces HTTP/1.1", "content-type: text/plain") == 415
        assert status("POST /v1/traces HTTP/1.1") == 415
        assert status("POST /v1/traces HTTP/1.1", protobuf, "content-encoding: br") == 415
        assert status("GET /v1/traces HTTP/1.1") == 405
        for path in ("/v1%2Ftraces", "/v1/traces/", "/v1%252Ftraces", "/V1/traces", "//v1/traces", "/"):
            assert status(f"POST {path} HTTP/1.1", protobuf) == 404
        assert status(f"POST /{'x' * 20_000} HTTP/1.1", protobuf) == 431
