"""What the collector makes of the support agent's telemetry is what the agent did."""

from __future__ import annotations

import json
from collections import Counter
from typing import TYPE_CHECKING, Any

import pytest

from collector.decode import decode
from collector.processors.failure import failure
from collector.processors.normalise import normalise
from collector.processors.sample import sample
from examples.support_agent.prompts import BROKEN_RELEASE
from examples.support_agent.reviewer import DEMO_SEED, labels
from examples.support_agent.traffic import messages
from schema.component import Component, Context

if TYPE_CHECKING:
    from pathlib import Path

    from schema.batch import SpanBatch
    from tests.examples.conftest import Served

Row = dict[str, Any]


@pytest.fixture(scope="module")
def batch(served: Served, tmp_path_factory: pytest.TempPathFactory) -> SpanBatch:
    folder: Path = tmp_path_factory.mktemp("components")
    spans = decode(list(served.records))
    components: list[Component[Any]] = [normalise, failure, sample]
    for component in components:
        spans = component(component.config(), Context(component.name, folder))(spans)
    return spans


@pytest.fixture(scope="module")
def rows(batch: SpanBatch) -> list[Row]:
    columns = {name: array.to_pylist() for name, array in batch.columns.items()}
    ids = [{"trace_id": t, "span_id": s, "parent": p} for t, s, p in batch.hex_ids()]
    return [{**where, **{name: values[n] for name, values in columns.items()}} for n, where in enumerate(ids)]


def test_each_call_of_the_model_counts_once_with_its_tokens(served: Served, rows: list[Row]) -> None:
    calls = [row for row in rows if row["counted"]]
    assert len(calls) == len(served.responses) + served.refusals
    assert {row["span_kind"] for row in calls} == {"llm"}
    answered = {row["response_id"]: row for row in calls if row["response_id"]}
    assert len(answered) == len(served.responses)
    for response in served.responses:
        row = answered[response.id]
        assert (row["input_tokens"], row["output_tokens"], row["cache_read_tokens"]) == (
            response.input_tokens,
            response.output_tokens,
            response.cache_read_tokens,
        )
        assert (row["request_model"], row["response_model"]) == ("larch-chat-2", response.model)
        assert row["finish_reasons"] == [response.finish_reason]


def test_a_refused_call_is_an_error_without_tokens(served: Served, rows: list[Row]) -> None:
    refused = [row for row in rows if row["counted"] and not row["response_id"]]
    assert len(refused) == served.refusals
    for row in refused:
        assert (row["error"], row["error_type"], row["input_tokens"], row["output_tokens"]) == (True, "429", None, None)


def test_each_run_of_a_tool_is_there_with_arguments_and_result(served: Served, rows: list[Row]) -> None:
    ran = Counter(
        (call.id, call.name, json.dumps(dict(call.arguments), sort_keys=True))
        for reply in served.replies
        for call in reply.tool_calls
    )
    tools = [row for row in rows if row["span_kind"] == "tool"]
    assert ran == Counter(
        (row["tool_call_id"], row["tool_name"], json.dumps(json.loads(row["tool_arguments"]), sort_keys=True))
        for row in tools
    )
    assert all(row["error"] or json.loads(row["tool_result"]) for row in tools)
    assert {row["error_type"] for row in tools if row["error"]} == {"ToolTimeoutError"}


def test_sessions_users_and_features_are_those_of_the_visits(served: Served, rows: list[Row]) -> None:
    said = {
        trace: (visit.session_id, visit.user_id, visit.feature, visit.feature == "chat_widget")
        for visit, _, _, trace in messages(DEMO_SEED)
    }
    for row in rows:
        session_id, user_id, feature, streams = said[row["trace_id"]]
        assert (row["session_id"], row["user_id"], row["feature"]) == (session_id, user_id, feature)
        assert (row["service_name"], row["environment"], row["release"]) == (
            "support-agent",
            "production",
            BROKEN_RELEASE,
        )
        if row["counted"] and streams:
            assert row["streaming"] is True
    assert len({row["session_id"] for row in rows}) == len(served.visits)


def test_the_conversation_is_what_was_said(served: Served, rows: list[Row]) -> None:
    roots = {row["trace_id"]: row for row in rows if row["parent"] is None}
    for (_, _, line, trace), reply in zip(messages(DEMO_SEED), served.replies, strict=True):
        root = roots[trace]
        assert root["span_kind"] == "agent"
        assert root["agent_name"] == "support"
        assert root["output_text"] == reply.text
        last = json.loads(root["input_messages"])[-1]
        assert last == {"role": "user", "parts": [{"type": "text", "content": line.text}]}


def test_the_system_prompt_is_kept_apart(rows: list[Row]) -> None:
    for row in rows:
        if row["span_kind"] == "llm":
            assert "easy returns within 90 days" in json.loads(row["system_instructions"])[0]["content"]


def test_thumbs_are_feedback_on_their_trace(batch: SpanBatch) -> None:
    thumbs = {trace: (line.thumb, line.comment or None) for _, _, line, trace in messages(DEMO_SEED) if line.thumb}
    polarity = {"up": "positive", "down": "negative"}
    assert {f["trace_id"]: (f["polarity"], f["comment"] or None) for f in batch.feedback} == {
        trace: (polarity[str(thumb)], comment) for trace, (thumb, comment) in thumbs.items()
    }
    assert len(batch.feedback) == len(thumbs)


def test_what_failed_is_failing_with_the_reason_and_nothing_else_is(rows: list[Row]) -> None:
    reasons: dict[str, set[str]] = {}
    for row in rows:
        if row["failing"]:
            reasons.setdefault(row["trace_id"], set()).update(row["failure_reasons"])
    went_wrong = {
        trace: line
        for _, _, line, trace in messages(DEMO_SEED)
        if line.provider_errors or line.outcome in ("tool_loop", "unhandled_tool_error", "cut_short")
    }
    assert set(reasons) == set(went_wrong)
    assert all(reasons.values())


def test_the_reviewer_labels_only_what_is_flagged(batch: SpanBatch, rows: list[Row]) -> None:
    flagged = {row["trace_id"] for row in rows if row["failing"] or row["baseline"]}
    flagged |= {f["trace_id"] for f in batch.feedback if f["polarity"] == "negative"}
    for label in labels(DEMO_SEED):
        assert any(trace.startswith(label["trace_id"]) for trace in flagged), label


def test_one_in_ten_is_baseline_by_trace(rows: list[Row]) -> None:
    baseline = {row["trace_id"] for row in rows if row["baseline"]}
    assert baseline.isdisjoint({row["trace_id"] for row in rows if not row["baseline"]})
    assert 0.05 < len(baseline) / len({row["trace_id"] for row in rows}) < 0.16
    assert {row["baseline_rate"] for row in rows} == {0.1}
