"""`POST /v1/feedback` on the wire: journalled as log events before it is answered."""

from __future__ import annotations

import gzip
import json
from typing import TYPE_CHECKING, Any

import pytest
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest

from schema.errors import Reason, Refused

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.receivers.conftest import Running

JSON = {"content-type": "application/json"}
THUMB = {"trace_id": "4bf92f3577b34da6a3ce929d0e0e4736", "name": "thumbs", "value": False}


def give(running: Running, document: Any, headers: dict[str, str] | None = None) -> tuple[int, Any]:
    body = document if isinstance(document, bytes) else json.dumps(document).encode()
    response, answer = running.exchange("/v1/feedback", body, headers or JSON)
    return response.status, json.loads(answer)


def test_feedback_is_durable_as_log_events_before_the_answer(receiver: Running) -> None:
    assert give(receiver, [THUMB, {"session_id": "s", "value": 5}]) == (200, {"accepted": 2})
    (record,) = receiver.journal.records
    assert (record.signal, record.encoding) == ("logs", "protobuf")
    request = ExportLogsServiceRequest.FromString(record.body)
    events = request.resource_logs[0].scope_logs[0].log_records
    assert [e.event_name for e in events] == ["gen_ai.evaluation.result"] * 2
    assert events[0].trace_id.hex() == THUMB["trace_id"]
    assert events[0].time_unix_nano > 0


def test_gzip_is_taken(receiver: Running) -> None:
    body = gzip.compress(json.dumps(THUMB).encode())
    assert give(receiver, body, {**JSON, "content-encoding": "gzip"})[0] == 200


def test_an_empty_list_keeps_nothing(receiver: Running) -> None:
    assert give(receiver, []) == (200, {"accepted": 0})
    assert receiver.journal.records == []


def test_bad_feedback_is_400_names_the_entry_and_keeps_nothing(receiver: Running) -> None:
    status, answer = give(receiver, [THUMB, {"trace_id": "x", "value": 1}])
    assert status == 400
    assert "entry 1: trace_id must be 32 hex digits" in answer["message"]
    assert receiver.journal.records == []
    assert receiver.receiver.counts["logs", "bad_data"] == 1


def test_only_what_says_it_is_json_is_taken(receiver: Running) -> None:
    # A page of another origin can post text/plain or a form unasked, but not application/json.
    for content_type in ("text/plain", "application/x-www-form-urlencoded", "application/x-protobuf"):
        response, _ = receiver.exchange("/v1/feedback", b"{}", {"content-type": content_type})
        assert response.status == 415


def test_a_full_journal_is_503_with_a_delay(receiver: Running) -> None:
    receiver.journal.error = Refused(Reason.UNAVAILABLE, "the journal is full", retry_after_s=3)
    response, _ = receiver.exchange("/v1/feedback", json.dumps(THUMB).encode(), JSON)
    assert response.status == 503
    assert int(response.headers["retry-after"]) >= 3


@pytest.mark.parametrize("method", ["GET", "OPTIONS"])
def test_other_methods_are_405(receiver: Running, method: str) -> None:
    response, _ = receiver.exchange("/v1/feedback", b"", JSON, method)
    assert response.status == 405


def test_the_path_can_be_moved_or_turned_off(start: Callable[..., Running]) -> None:
    moved = start(http={"feedback_url_path": "/thumbs"}, only="http")
    assert moved.exchange("/thumbs", json.dumps(THUMB).encode(), JSON)[0].status == 200
    off = start(http={"feedback_url_path": None}, only="http")
    assert off.exchange("/v1/feedback", json.dumps(THUMB).encode(), JSON)[0].status == 404
