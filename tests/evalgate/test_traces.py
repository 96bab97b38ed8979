"""Traces in the real schema: listed, found, read."""

from __future__ import annotations

import io
import json
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from evalgate.errors import BadInput
from evalgate.select.reading import (
    conversation,
    failed_spans,
    final_output,
    span_input,
    speaking_span,
    tool_calls,
    tree,
    user_input,
)
from evalgate.select.show import print_trace, trace_json
from evalgate.select.traces import Span, count_traces, list_traces, load_trace, resolve_trace
from evalgate.select.where import parse_where
from evalgate.terminal import Terminal
from tests.evalgate.traffic import START, message

if TYPE_CHECKING:
    from evalgate.database import TenantDatabase
    from tests.evalgate.traffic import Traffic

A, B, C, D = ("0a" * 16, "0b" * 16, "0c" * 16, "cc" * 16)


@pytest.fixture
def shop(traffic: Traffic) -> Traffic:
    """Four traces: failing, sampled, thumbed down, and one that nothing is wrong with."""
    traffic.refund(A)
    traffic.trace(B, [{"baseline": True, "input_text": "hi", "output_text": "yo", "session_id": "s'1"}])
    traffic.refund(C, failing=False)
    traffic.trace(D, [{"service_name": "other"}])
    traffic.database.insert_rows(
        "feedback",
        [
            {
                "tenant": "default",
                "received_at": START,
                "time_unix_ns": 1,
                "trace_id": C,
                "span_id": "",
                "name": "thumbs",
                "value": "-1",
                "label": "down",
                "comment": "wrong\x1b[2J",
                "source": "test",
                "polarity": "negative",
            }
        ],
    )
    return traffic


def test_failing_traces_come_first_then_sampled_ones_with_the_reason(shop: Traffic) -> None:
    rows = list_traces(shop.database, parse_where([]), 10)
    assert [(r.trace_id, r.why) for r in rows] == [
        (C, "feedback:thumbs"),
        (A, "tool_error"),
        (B, "baseline 10 %"),
        (D, ""),
    ]
    assert [r.sample_weight for r in rows] == [1.0, 1.0, 10.0, 0.0]
    assert rows[1].start_time == "2026-11-20T09:01:00.000000+00:00"
    totals = count_traces(shop.database, parse_where([]))
    assert (totals.traces, totals.failing, totals.flagged) == (4, 2, 3)


def test_a_sampled_trace_says_how_many_it_stands_for_and_a_failing_one_that_it_is_itself(shop: Traffic) -> None:
    def head(trace_id: str) -> str:
        screen = io.StringIO()
        print_trace(Terminal(screen, screen), load_trace(shop.database, trace_id))
        return screen.getvalue()

    assert "stands for  10 traces" in head(B)
    assert "stands for" not in head(A)


CONDITIONS: list[tuple[list[str], set[str]]] = [
    (["failing = true"], {A, C}),
    (["flagged = false"], {D}),
    (["service_name = other"], {D}),
    (["service_name != other"], {A, B, C}),
    (["service_name ~ THE"], {D}),
    (["session_id = s'1"], {B}),
    (["session_id != s'1"], {A, C, D}),
    (["feature = refunds"], {A, C}),
    (["failure_reasons = tool_error"], {A}),
    (["failure_reasons ~ THUMB"], {C}),
    (["failure_reasons != tool_error"], {B, C, D}),
    (["span_count > 1", "failing = yes"], {A, C}),
    (["start_time >= 2026-11-20T09:03:00"], {C, D}),
    (["start_time = 2026-11-20T09:02:00Z"], {B}),
    (["trace_id ~ 0a0a"], {A}),
    (["service_name = ' OR 1=1 --"], set()),
    (["service_name = \\'; DROP TABLE spans"], set()),
    (["service_name = {w0:String}"], set()),
    (["service_name = a\tb\nc\\"], set()),
    (["user_id = "], {A, B, C, D}),
]


def test_conditions_find_what_they_say(shop: Traffic) -> None:
    for conditions, found in CONDITIONS:
        where = parse_where(conditions)
        assert {r.trace_id for r in list_traces(shop.database, where, 10)} == found, conditions
        assert count_traces(shop.database, where).traces == len(found), conditions


def test_what_is_wrong_with_the_record_is_told_and_can_be_asked_for(traffic: Traffic) -> None:
    cut, whole = traffic.trace("a1" * 16, [{"defects": ["truncated_content"]}]), traffic.trace("b2" * 16, [{}])
    found = list_traces(traffic.database, parse_where(["trace_defects = truncated_content"]), 10)
    assert [(row.trace_id, row.trace_defects) for row in found] == [(cut, ("truncated_content",))]
    out = io.StringIO()
    print_trace(Terminal(out, out), load_trace(traffic.database, cut))
    assert "defects     truncated_content" in out.getvalue()
    assert "12 in, 5 out tokens, truncated_content)" in out.getvalue()
    assert load_trace(traffic.database, whole).row.trace_defects == ()


def test_the_limit_is_kept(shop: Traffic) -> None:
    assert [r.trace_id for r in list_traces(shop.database, parse_where([]), 1)] == [C]


def test_a_prefix_must_mean_one_trace(shop: Traffic) -> None:
    for prefix, words in (
        ("ff", "no trace begins with ff"),
        ("0", "0 is not unique"),
        ("xyz", "is not a trace id"),
        ("", "is not a trace id"),
        ("a" * 33, "is not a trace id"),
        ("%", "is not a trace id"),
    ):
        with pytest.raises(BadInput, match=words):
            resolve_trace(shop.database, prefix)


def test_a_unique_prefix_is_enough(shop: Traffic) -> None:
    assert resolve_trace(shop.database, " 0A ") == A


def test_what_a_trace_says(shop: Traffic) -> None:
    trace = load_trace(shop.database, A)
    assert [(depth, s.kind) for depth, s in tree(trace.spans)] == [(0, "agent"), (1, "tool"), (1, "llm")]
    speaker = speaking_span(trace)
    assert speaker is not None
    assert speaker.kind == "agent"
    assert user_input(trace) == ((message("user", "Can I return my shoes?"),), "Can I return my shoes?")
    assert final_output(trace) == "You have 90 days."
    call = {"name": "policy", "arguments": {"q": 1}, "result": "timeout", "error": "Timeout"}
    assert tool_calls(trace) == (call,)
    assert [(line.role, line.text) for line in conversation(trace)] == [
        ("system", "You are kind."),
        ("user", "Can I return my shoes?"),
        ("tool call", 'policy({"q": 1})'),
        ("tool", "timeout"),
        ("assistant", "You have 90 days."),
    ]
    (failed,) = failed_spans(trace)
    assert (failed.name, failed.problem, span_input(failed)) == ("execute_tool policy", "Timeout", 'policy({"q": 1})')


def test_a_span_can_be_meant_alone(shop: Traffic) -> None:
    trace = load_trace(shop.database, A)
    assert user_input(trace, "0000000000000002") == ((), 'policy({"q": 1})')
    assert final_output(trace, "0000000000000002") == "timeout"
    assert tool_calls(trace, "0000000000000003") == ({"name": "policy", "arguments": {"q": 1}},) * 0


def test_input_ends_at_the_last_word_of_the_user(traffic: Traffic) -> None:
    said = [message("system", "s"), message("user", "one"), message("assistant", "two"), message("user", "three")]
    later = [message("assistant", "four"), {"role": "tool", "parts": []}]
    traffic.trace(A, [{"input_messages": json.dumps([*said, *later])}])
    messages, text = user_input(load_trace(traffic.database, A))
    assert [m["role"] for m in messages] == ["user", "assistant", "user"]
    assert text == "three"


def test_tool_calls_come_from_the_model_where_no_tool_has_a_span(traffic: Traffic) -> None:
    call = {"role": "assistant", "parts": [{"type": "tool_call", "id": "1", "name": "t", "arguments": {"a": 1}}]}
    traffic.trace(A, [{"output_messages": json.dumps([call])}])
    assert tool_calls(load_trace(traffic.database, A)) == ({"name": "t", "arguments": {"a": 1}},)


def test_a_span_sent_twice_is_read_once(traffic: Traffic) -> None:
    traffic.trace(A, [{"name": "first"}])
    traffic.trace(A, [{"name": "again"}])
    assert [s.name for s in load_trace(traffic.database, A).spans] == ["first"]


def test_columns_that_are_not_what_they_should_be_do_not_stop_a_reader(traffic: Traffic) -> None:
    for number, broken in enumerate(("{", '{"role": "user"}', '["x"]', '[{"role": "user", "parts": "x"}]', "null")):
        trace_id = f"{number:032x}"
        traffic.trace(trace_id, [{"input_messages": broken, "input_text": "hello", "tool_arguments": broken}])
        trace = load_trace(traffic.database, trace_id)
        assert user_input(trace)[1] == "hello", broken
        assert trace_json(trace)["spans"][0]["input_messages"] == (), broken


def span(span_id: str, parent: str) -> Span:
    """Return a span of which only the place in the tree matters."""
    nothing: dict[str, Any] = dict.fromkeys(Span.__slots__)
    return Span(**{**nothing, "span_id": span_id, "parent_span_id": parent})


@given(st.dictionaries(st.sampled_from("abcdefgh"), st.sampled_from(["", *"abcdefghxy"]), max_size=8))
def test_the_tree_holds_every_span_once_whatever_the_parents_say(parents: dict[str, str]) -> None:
    spans = tuple(span(i, p) for i, p in parents.items())
    walked = list(tree(spans))
    assert sorted(s.span_id for _, s in walked) == sorted(parents)
    depths = {s.span_id: depth for depth, s in walked}
    for s in spans:
        if depths[s.span_id] > 0:
            assert depths[s.parent_span_id] == depths[s.span_id] - 1


def test_a_trace_on_screen_shows_all_of_it_and_obeys_nothing_in_it(shop: Traffic) -> None:
    out = io.StringIO()
    print_trace(Terminal(out, out), load_trace(shop.database, C))
    text = out.getvalue()
    for words in ("why         feedback:thumbs", "agent  invoke_agent support", "│ You have 90 days.", "wrong\\x1b[2J"):
        assert words in text
    assert "\x1b" not in text


def test_long_texts_are_cut_unless_asked(traffic: Traffic) -> None:
    traffic.trace(A, [{"input_messages": json.dumps([message("user", "x" * 5000 + "\nGATE PASSED")])}])
    trace = load_trace(traffic.database, A)

    def shown(*, full: bool) -> str:
        out = io.StringIO()
        print_trace(Terminal(out, out), trace, full=full)
        return out.getvalue()

    assert "1012 more characters: --full" in shown(full=False)
    assert "GATE PASSED" not in shown(full=False)
    assert "\n  │ GATE PASSED\n" in shown(full=True)


def test_json_is_complete(shop: Traffic, database: TenantDatabase) -> None:
    document = json.loads(json.dumps(trace_json(load_trace(database, A))))
    assert document["trace"]["trace_id"] == A
    assert [s["depth"] for s in document["spans"]] == [0, 1, 1]
    assert document["failures"][0]["input"] == 'policy({"q": 1})'
    assert document["conversation"][-1] == {"role": "assistant", "text": "You have 90 days."}
