"""`POST /v1/feedback` becomes the log event that the GenAI conventions have for it."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from collector.receivers.feedback import FIELDS, MAX_ENTRIES, to_logs_request
from schema.anyvalue import to_python
from schema.errors import Reason, Refused

TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"
SPAN = "00f067aa0ba902b7"


def events(document: Any) -> list[dict[str, Any]]:
    request = to_logs_request(json.dumps(document).encode(), now_unix_ns=7)
    return [
        {"event": r.event_name, "trace": r.trace_id.hex(), "span": r.span_id.hex(), "at": r.time_unix_nano}
        | {a.key: to_python(a.value) for a in r.attributes}
        for resource in request.resource_logs
        for scope in resource.scope_logs
        for r in scope.log_records
    ]


def refusal(document: Any) -> str:
    with pytest.raises(Refused) as caught:
        events(document)
    assert caught.value.reason is Reason.BAD_DATA
    return str(caught.value)


def test_a_thumbs_down_on_a_trace() -> None:
    (event,) = events({"trace_id": TRACE, "name": "thumbs", "value": False, "comment": "wrong policy"})
    assert event == {
        "event": "gen_ai.evaluation.result",
        "trace": TRACE,
        "span": "",
        "at": 7,
        "gen_ai.evaluation.name": "thumbs",
        "gen_ai.evaluation.explanation": "wrong policy",
        "gen_ai.evaluation.score.value": False,
    }


@pytest.mark.parametrize("value", [True, False, 0, -1, 4.5, "up", 2**62])
def test_the_raw_value_and_its_type_are_kept(value: Any) -> None:
    (event,) = events({"session_id": "s", "value": value})
    got = event["gen_ai.evaluation.score.value"]
    assert (got, type(got)) == (value, type(value))


def test_a_list_is_taken_whole_and_every_kind_of_target_works() -> None:
    got = events(
        [
            {"trace_id": TRACE.upper(), "span_id": SPAN, "value": 1},
            {"response_id": "chatcmpl-1", "label": "bad"},
            {"session_id": "s-1", "comment": "slow"},
        ]
    )
    assert [e["trace"] for e in got] == [TRACE, "", ""]
    assert got[0]["span"] == SPAN
    assert got[1]["gen_ai.response.id"] == "chatcmpl-1"
    assert got[2]["session.id"] == "s-1"
    assert {e["gen_ai.evaluation.name"] for e in got} == {"user_feedback"}


@pytest.mark.parametrize(
    ("document", "says"),
    [
        ({"value": 1}, "names no target"),
        ({"trace_id": TRACE}, "says nothing"),
        ({"trace_id": "xyz", "value": 1}, "trace_id must be 32 hex digits"),
        ({"trace_id": "0" * 32, "value": 1}, "trace_id must be 32 hex digits"),
        ({"span_id": SPAN, "value": 1}, "needs its trace_id"),
        ({"trace_id": TRACE, "valeu": 1}, "unknown field 'valeu'"),
        ({"trace_id": TRACE, "value": {"a": 1}}, "value must be"),
        ({"trace_id": TRACE, "value": 1, "comment": ""}, "comment must be a text"),
        ({"trace_id": TRACE, "value": 1, "comment": 5}, "comment must be a text"),
        ({"trace_id": TRACE, "value": 1, "comment": "x" * 20_000}, "the limit is 16384"),
        ([{"trace_id": TRACE, "value": 1}, 3], "entry 1: an object was expected"),
        ([{"session_id": "s", "value": 1}] * (MAX_ENTRIES + 1), "the limit is 1000"),
    ],
)
def test_what_is_wrong_is_named(document: Any, says: str) -> None:
    assert says in refusal(document)


def test_a_body_that_is_not_json_is_bad_data() -> None:
    with pytest.raises(Refused, match="must be JSON"):
        to_logs_request(b"{", now_unix_ns=0)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(), lambda c: st.lists(c, max_size=3)
)


@given(st.lists(st.dictionaries(st.sampled_from(sorted(FIELDS)) | st.text(), JSON, max_size=4), max_size=3))
def test_whatever_is_sent_is_taken_or_refused_with_a_reason(document: list[dict[str, Any]]) -> None:
    why = ""
    taken = 0
    try:
        request = to_logs_request(json.dumps(document).encode(), now_unix_ns=0)
        taken = sum(len(scope.log_records) for r in request.resource_logs for scope in r.scope_logs)
    except Refused as refused:
        why = str(refused)
    assert why or taken == len(document)
