"""A case: strict to read, stable to hash."""

from __future__ import annotations

import hashlib
import re
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from schema.case import (
    Case,
    CaseInput,
    Observed,
    Provenance,
    case_id_of,
    case_to_json,
    dataset_version,
    parse_case,
)
from schema.hashing import canonical_json
from schema.verdict import Verdict

ASKED = CaseInput(({"role": "user", "parts": [{"type": "text", "content": "Hé?"}]},), "Hé?")
CASE = Case("case-1", ASKED, expected_output="Yes.", verdict=Verdict.BAD, failure_mode="m")

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)


def test_the_content_hash_is_over_these_very_bytes() -> None:
    """Pinned: datasets and baselines that were written once must stay comparable."""
    content = (
        b'{"expected":{"output":"Yes."},"failure_mode":"m","input":{"messages":'
        b'[{"parts":[{"content":"H\\u00e9?","type":"text"}],"role":"user"}],"text":"H\\u00e9?"},"verdict":"bad"}'
    )
    assert CASE.content_hash == hashlib.sha256(content).hexdigest()


@pytest.mark.parametrize(
    "other",
    [
        replace(CASE, expected_output=None),
        replace(CASE, failure_mode="n"),
        replace(CASE, verdict=Verdict.PARTIAL),
        replace(CASE, input=CaseInput(ASKED.messages, "other")),
    ],
)
def test_what_is_judged_changes_the_hash(other: Case) -> None:
    assert other.content_hash != CASE.content_hash


def test_where_it_came_from_does_not_change_the_hash() -> None:
    moved = replace(CASE, provenance=Provenance(trace_id="aa"), tags=("x",), feature="f", observed=Observed("90"))
    assert moved.content_hash == CASE.content_hash


@given(st.dictionaries(st.text(), JSON, max_size=4))
def test_canonical_json_does_not_depend_on_the_order_of_keys(value: dict[str, Any]) -> None:
    assert canonical_json(dict(reversed(value.items()))) == canonical_json(value)


def test_canonical_json_refuses_nan() -> None:
    with pytest.raises(ValueError, match="not JSON compliant"):
        canonical_json({"a": float("nan")})


@given(
    st.lists(JSON, max_size=3),
    st.text(min_size=1),
    st.none() | st.text(),
    st.none() | st.sampled_from(Verdict),
    st.lists(st.text(), max_size=3),
)
def test_a_case_survives_its_file(
    arguments: list[Any], text: str, expected: str | None, verdict: Verdict | None, tags: list[str]
) -> None:
    case = Case(
        "case-x",
        CaseInput(({"role": "user", "parts": [{"type": "text", "content": text}]},), text),
        observed=Observed(text, tuple({"name": "t", "arguments": a} for a in arguments)),
        expected_output=expected,
        verdict=verdict,
        tags=tuple(tags),
    )
    assert parse_case(case_to_json(case)) == case


def test_a_case_may_be_written_by_hand_with_nothing_but_its_input() -> None:
    case = parse_case({"input": "Where is it?"})
    assert case.input.text == "Where is it?"
    assert case.input.messages[0]["role"] == "user"
    assert case.case_id == parse_case({"input": "Where is it?"}).case_id
    assert case.case_id != parse_case({"input": "Where is he?"}).case_id


def test_a_message_of_text_is_the_same_case_as_one_with_parts() -> None:
    parts = {"role": "user", "parts": [{"type": "text", "content": "Hé?"}]}
    spelled: list[Any] = [
        {"messages": [parts]},
        {"messages": [{"role": "user", "content": "Hé?"}]},
        {"messages": [{"role": "user", "content": [{"type": "text", "text": "Hé?"}], "tool_calls": None}]},
        [{"role": "user", "content": "Hé?"}],
    ]
    assert {parse_case({"input": i}).content_hash for i in spelled} == {parse_case({"input": "Hé?"}).content_hash}


def test_tool_calls_of_chat_completions_become_parts() -> None:
    call = {"id": "c1", "type": "function", "function": {"name": "find", "arguments": '{"order": 7}'}}
    torn = {"id": "c2", "function": {"name": "find", "arguments": '{"order": NaN}'}}
    messages = [
        {"role": "user", "content": "Where is it?"},
        {"role": "assistant", "content": None, "tool_calls": [call, torn]},
        {"role": "tool", "tool_call_id": "c1", "content": "lost"},
    ]
    read = parse_case({"input": {"messages": messages}}).input
    assert read.text == "Where is it?"
    assert read.messages[1]["parts"] == [
        {"type": "tool_call", "id": "c1", "name": "find", "arguments": {"order": 7}},
        {"type": "tool_call", "id": "c2", "name": "find", "arguments": '{"order": NaN}'},
    ]
    assert read.messages[2]["parts"] == [{"type": "tool_call_response", "id": "c1", "response": "lost"}]


def test_a_stale_content_hash_is_computed_anew() -> None:
    assert parse_case({**case_to_json(CASE), "content_hash": "0"}).content_hash == CASE.content_hash


@pytest.mark.parametrize(
    ("value", "words"),
    [
        ([], "must be an object, not a list"),
        ({}, "lacks 'input'"),
        ({"input": ""}, "lacks 'input'"),
        ({"input": {}}, "neither messages nor text"),
        ({"input": 3}, "must be an object, not a number"),
        ({"input": {"messages": [{"role": "user"}]}}, "lacks 'content'"),
        ({"input": {"messages": [{"parts": []}]}}, "each message must be"),
        ({"input": {"messages": [{"role": "user", "content": 3}]}}, "must be a text, or a list of parts"),
        ({"input": {"messages": [{"role": "user", "content": [{"type": "image_url"}]}]}}, "a part of 'content'"),
        ({"input": {"messages": [{"role": "user", "content": "a", "texts": 1}]}}, "unknown field 'texts'"),
        ({"input": {"messages": [{"content": "a"}]}}, "lacks 'role'"),
        ({"input": {"messages": [{"role": "user", "parts": ["x"]}]}}, "each part must be"),
        ({"input": "x", "failure_mod": "m"}, "unknown field 'failure_mod'. Did you mean 'failure_mode'?"),
        ({"input": "x", "provenance": {"trace": "a"}}, "Did you mean 'trace_id'"),
        ({"input": "x", "verdict": "fine"}, "'fine' is not a valid Verdict"),
        ({"input": "x", "tags": "a"}, "'tags' must be a list"),
        ({"input": "x", "tags": [1]}, "list of strings"),
        ({"input": "x", "failure_mode": "a\x1bb"}, "control characters"),
        ({"input": "x", "failure_mode": "m" * 121}, "the limit is 120"),
    ],
)
def test_what_is_no_case_is_refused_in_words(value: Any, words: str) -> None:
    with pytest.raises(ValueError, match=re.escape(words)):
        parse_case(value)


def test_one_trace_makes_one_case_and_one_span_another() -> None:
    assert case_id_of("ab", "") == case_id_of("ab", "")
    assert len({case_id_of("ab", ""), case_id_of("ab", "cd"), case_id_of("ac", "")}) == 3


def test_a_dataset_version_is_of_the_set_not_of_the_order() -> None:
    other = replace(CASE, case_id="case-2")
    assert dataset_version([CASE, other]) == dataset_version([other, CASE])
    assert dataset_version([CASE]) != dataset_version([CASE, other])
    assert dataset_version([replace(CASE, failure_mode="n")]) != dataset_version([CASE])


@pytest.mark.parametrize(
    "written",
    ["2026-11-20T09:00:00Z", "2026-11-20T10:00:00+01:00", "2026-11-20 09:00", "2026-11-20T09:00:00.000000+00:00"],
)
def test_times_of_labels_compare_as_text_however_they_were_written(written: str) -> None:
    case = parse_case({"input": "Hi?", "provenance": {"labelled_at": written}})
    assert case.provenance.labelled_at == "2026-11-20T09:00:00.000000+00:00"


@pytest.mark.parametrize("wrong", ["yesterday", "", "0001-01-01T00:00:00+14:00", 3])
def test_a_time_of_a_label_that_is_none_is_refused(wrong: Any) -> None:
    with pytest.raises(ValueError, match="labelled_at"):
        parse_case({"input": "Hi?", "provenance": {"labelled_at": wrong}})
