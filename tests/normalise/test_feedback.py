from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from schema.polarity import Polarity, polarity
from tests.normalise.payload import log, normalised, span


def feedback(*requests: bytes, logs: tuple[bytes, ...] = ()) -> dict[str, Any]:
    [found] = normalised(*requests, logs=logs)["feedback"]
    assert isinstance(found, dict)
    return found


RESULT = {
    "gen_ai.evaluation.name": "user_feedback",
    "gen_ai.evaluation.score.value": 0.0,
    "gen_ai.evaluation.score.label": "thumbs_down",
    "gen_ai.evaluation.explanation": "wrong city",
    "gen_ai.response.id": "resp-1",
}


def test_an_evaluation_event_of_a_log_or_a_span() -> None:
    by_log = feedback(span("chat"), logs=(log("gen_ai.evaluation.result", RESULT),))
    by_span = feedback(span("chat", events=(("gen_ai.evaluation.result", RESULT),)))
    assert by_log == by_span
    assert by_log["span_id"] == b"a".ljust(8, b"\x01").hex()
    assert (by_log["name"], by_log["value"], by_log["label"]) == ("user_feedback", 0.0, "thumbs_down")
    assert (by_log["comment"], by_log["response_id"], by_log["polarity"]) == ("wrong city", "resp-1", "negative")


def test_an_evaluation_of_a_span_that_is_not_here_keeps_its_response_id() -> None:
    found = feedback(logs=(log("", {"event.name": "gen_ai.evaluation.result", **RESULT}, at=None, trace=None),))
    assert (found["trace_id"], found["span_id"], found["response_id"]) == (None, None, "resp-1")


def test_an_annotation_span_speaks_of_its_parent() -> None:
    values = {"logfire.feedback.name": "helpful", "helpful": False, "logfire.feedback.comment": "no"}
    found = feedback(span("agent"), span("feedback: helpful", values, at="f", parent="a", scope="logfire.feedback"))
    assert found["span_id"] == b"a".ljust(8, b"\x01").hex()
    assert (found["name"], found["value"], found["comment"], found["polarity"]) == ("helpful", False, "no", "negative")


@pytest.mark.parametrize(
    "values",
    [
        {"annotation.name": "quality", "annotation.label": "bad", "annotation.explanation": "why"},
        {"evaluation.name": "quality", "evaluation.label": "bad", "evaluation.explanation": "why"},
        {
            "annotations.0.annotation.name": "quality",
            "annotations.0.annotation.label": "bad",
            "annotations.0.annotation.explanation": "why",
        },
    ],
)
def test_annotations_of_a_span(values: dict[str, Any]) -> None:
    found = feedback(span("chat", values))
    assert (found["name"], found["label"], found["comment"], found["polarity"]) == ("quality", "bad", "why", "negative")


@pytest.mark.parametrize(
    ("value", "expected"),
    [("down", "negative"), (0, "negative"), (-1, "negative"), (False, "negative"), ("up", "positive"), (1, "positive")],
)
def test_attributes_that_applications_use(value: Any, expected: str) -> None:
    found = feedback(span("request", {"user.feedback": value, "feedback.comment": "c", "session.id": "s"}))
    assert (found["value"], found["polarity"], found["comment"], found["session_id"]) == (value, expected, "c", "s")


@pytest.mark.parametrize(
    ("value", "label", "expected"),
    [
        (0.2, None, "negative"),
        (0.5, None, "unknown"),
        (0.9, None, "positive"),
        (2, None, "negative"),
        (3, None, "unknown"),
        (5, None, "positive"),
        (float("nan"), None, "unknown"),
        ("thumbs_up", None, "positive"),
        (1, "incorrect", "negative"),
        ("-1", None, "negative"),
        ("a remark", None, "unknown"),
        (None, None, "unknown"),
        ([1], None, "unknown"),
    ],
)
def test_the_default_rule(value: Any, label: str | None, expected: str) -> None:
    assert polarity("score", value, label) == expected


def test_a_score_where_low_is_good() -> None:
    assert polarity("toxicity", 0.9, None, lower_is_better={"toxicity": True}) == "negative"
    assert polarity("toxicity", 0.1, None, lower_is_better={"toxicity": True}) == "positive"


@given(st.none() | st.booleans() | st.integers() | st.floats() | st.text(), st.none() | st.text())
def test_the_rule_always_answers(value: Any, label: str | None) -> None:
    answers: tuple[Polarity, ...] = ("negative", "positive", "unknown")
    assert polarity("x", value, label) in answers
