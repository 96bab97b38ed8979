"""Exceptions as events of a span, and as log records, which is where the conventions are taking them."""

from __future__ import annotations

from typing import Any

import pytest

from collector.decode import decode
from collector.normalize import _record as record_of
from collector.processors.failure import with_failures
from collector.processors.normalise import canonical
from collector.settle import Limits, Settler
from exporters.clickhouse.connect import Database  # noqa: TC001 - pytest reads it
from exporters.clickhouse.insert import insert_batch
from tests.normalise.payload import log, normalised, span

CALL = {"gen_ai.operation.name": "chat", "gen_ai.request.model": "m"}
THROWN = {"exception.type": "RateLimitError", "exception.message": "slow down"}
OK = 1
NAMES = ("exception", "gen_ai.client.operation.exception", "http.client.request.exception")
OTHERS = ("exceptional", "my.exception", "gen_ai.choice", "exception.handled", "")


def error_of(document: dict[str, Any]) -> tuple[Any, ...]:
    (found,) = document["spans"]
    return found["error"], found["error_type"], found["error_message"], found["failure_reasons"]


@pytest.mark.parametrize("name", NAMES)
def test_an_exception_is_an_error_of_its_span_unless_that_is_ok(name: str) -> None:
    expected = (True, "RateLimitError", "slow down", ["span_error"])
    assert error_of(normalised(span("chat", CALL, events=((name, THROWN),)))) == expected
    assert error_of(normalised(span("chat", CALL), logs=(log(name, THROWN),))) == expected
    assert error_of(normalised(span("chat", CALL, status=OK), logs=(log(name, THROWN),)))[0] is False


@pytest.mark.parametrize("name", OTHERS)
def test_other_events_are_none(name: str) -> None:
    assert error_of(normalised(span("chat", CALL, events=((name, THROWN),)))) == (False, None, None, [])
    assert error_of(normalised(span("chat", CALL), logs=(log(name, THROWN),))) == (False, None, None, [])
    elsewhere = log(NAMES[1], THROWN, at="another span")
    assert error_of(normalised(span("chat", CALL), logs=(elsewhere,)))[0] is False


def test_an_evaluation_that_failed_is_no_failure_of_what_it_judges() -> None:
    failed = log("gen_ai.evaluation.result", {"gen_ai.evaluation.name": "relevance", "error.type": "timeout"})
    document = normalised(span("chat", CALL), logs=(failed,))
    assert error_of(document) == (False, None, None, [])
    assert [(f["name"], f["polarity"]) for f in document["feedback"]] == [("relevance", "unknown")]


def test_an_exception_that_comes_after_its_span_raises_it_when_the_trace_is_settled(embedded_db: Database) -> None:
    def process(batch: Any) -> Any:
        return with_failures(canonical(batch))

    bodies = [("1.otlp.pb", span("chat", CALL)), ("2.logs.otlp.pb", log(NAMES[1], THROWN))]
    for number, body in enumerate(bodies):
        insert_batch(embedded_db, process(decode([record_of(number, *body)])), f"request/{number}")
    assert embedded_db.rows("SELECT failure_reasons FROM traces") == [{"failure_reasons": []}]
    assert Settler(embedded_db, process, Limits(quiet_s=0)).settle().not_settled == 0
    assert embedded_db.rows("SELECT failure_reasons FROM traces") == [{"failure_reasons": ["span_error"]}]
