"""What a body of feedback may be: its bytes, and the objects that are counted before it is parsed."""

from __future__ import annotations

import gzip
import json
import socket
from collections import Counter
from typing import TYPE_CHECKING

import pytest

from collector.receivers.feedback import MAX_FEEDBACK_BYTES, MAX_OBJECTS
from schema.errors import Limit
from tests.faults.receiving import MIB, ReceiverProcess

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.receivers.conftest import Running

JSON = {"content-type": "application/json"}
GZIP = {**JSON, "content-encoding": "gzip"}
PATH = "/v1/feedback"
BOMB = b"[" + b"[]," * 20_000_000 + b"[]]"
"""60 MB; parsed they take 1.9 GB."""


def padded(n_bytes: int) -> bytes:
    """Return good feedback of so many bytes."""
    body = json.dumps({"session_id": "s", "value": 1}).encode()
    return body + b" " * (n_bytes - len(body))


def nested(n_objects: int) -> bytes:
    """Return feedback with so many objects and arrays."""
    return json.dumps([{"session_id": "s", "value": [[]] * (n_objects - 3)}]).encode()


@pytest.mark.parametrize("chunked", [False, True], ids=["announced", "chunked"])
def test_a_body_at_its_limit_is_taken_and_one_past_it_refused(start: Callable[..., Running], chunked: bool) -> None:  # noqa: FBT001 - a parameter of the test
    running = start(only="http", http={"max_feedback_bytes": 500})

    def status(body: bytes) -> bytes:
        length, sent = f"content-length: {len(body)}", body
        if chunked:
            length, sent = "transfer-encoding: chunked", b"%x\r\n%s\r\n0\r\n\r\n" % (len(body), body)
        with socket.create_connection(running.address("http"), timeout=10) as sock:
            head = f"POST {PATH} HTTP/1.1\r\ncontent-type: application/json\r\n{length}\r\n\r\n"
            sock.sendall(head.encode() + sent)
            return sock.recv(10_000)[9:12]

    assert status(padded(500)) == b"200"
    assert running.receiver.limit_hits == Counter()
    assert status(padded(501)) == b"413"
    assert running.receiver.limit_hits == {Limit.BODY: 1}
    assert running.receiver.counts["logs", "too_large"] == 1


def test_it_is_refused_from_the_head_where_it_is_announced(start: Callable[..., Running]) -> None:
    running = start(only="http")
    with socket.create_connection(running.address("http"), timeout=10) as sock:
        sock.sendall(b"POST /v1/feedback HTTP/1.1\r\ncontent-type: application/json\r\n")
        sock.sendall(b"content-length: %d\r\n\r\n" % (MAX_FEEDBACK_BYTES + 1))
        assert b"the body has 1048577 bytes or more; the limit is 1048576" in sock.recv(10_000)


def test_what_it_inflates_to_counts_as_well(start: Callable[..., Running]) -> None:
    running = start(only="http", http={"max_feedback_bytes": 500})
    for n_bytes, status in ((500, 200), (501, 413)):
        response, _ = running.exchange(PATH, gzip.compress(padded(n_bytes)), GZIP)
        assert response.status == status
    assert running.receiver.limit_hits == {Limit.INFLATED_BODY: 1}


def test_compressed_feedback_keeps_the_lower_of_two_limits(start: Callable[..., Running]) -> None:
    running = start(only="http", http={"max_feedback_bytes": 500, "max_compressed_bytes": 100})
    response, _ = running.exchange(PATH, b"x" * 101, GZIP)
    assert (response.status, running.receiver.limit_hits) == (413, {Limit.COMPRESSED_BODY: 1})


def test_other_paths_keep_their_limit(start: Callable[..., Running]) -> None:
    running = start(only="http", http={"max_feedback_bytes": 10})
    assert running.exchange("/v1/logs", b'{"resourceLogs":[]}', JSON)[0].status == 200


@pytest.mark.parametrize(("settings", "most"), [({}, MAX_OBJECTS), ({"max_json_objects": 30}, 30)])
def test_objects_and_arrays_are_counted(start: Callable[..., Running], settings: dict[str, int], most: int) -> None:
    running = start(only="http", **settings)
    response, answer = running.exchange(PATH, nested(most), JSON)
    assert (response.status, b"value must be" in answer) == (400, True)  # it was parsed
    assert running.receiver.limit_hits == Counter()
    response, answer = running.exchange(PATH, nested(most + 1), JSON)
    assert (response.status, b"the limit is %d" % most in answer) == (400, True)
    assert running.receiver.limit_hits == {Limit.JSON_OBJECTS: 1}


def test_a_bomb_takes_little_memory() -> None:
    small = b"[" + b"[]," * 349_000 + b"[]]"
    packed = gzip.compress(BOMB, 1)
    with ReceiverProcess() as receiver:
        receiver.post(b"[]", path=PATH, kind="json")
        with receiver.peak() as peak:
            assert receiver.post(BOMB, path=PATH, kind="json") == 413
            assert receiver.post(packed, "content-encoding: gzip", path=PATH, kind="json") == 413
            assert receiver.post(small, path=PATH, kind="json") == 400
        assert receiver.state["limits"] == {"body": 1, "inflated_body": 1, "json_objects": 1}
        assert receiver.state["records"] == 0
    assert peak.growth_bytes < 16 * MIB
