"""What `retried: ignore` takes out, exactly; and that nothing lowers what was raised, however a trace is cut."""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from collector.processors.normalise import canonical
from schema.failure.rules import FailureRules
from schema.policy.failure import FailurePolicy
from tests.clickhouse.otlp import NOON, SECOND, batch_of, span, spans_record

if TYPE_CHECKING:
    from collections.abc import Sequence

AGENT, OTHER_AGENT = 1, 2
ERROR = {"code": 2}
COUNT, IGNORE = (FailureRules.of(FailurePolicy(retried=r)) for r in ("count", "ignore"))


@dataclass(frozen=True, slots=True)
class Try:
    """One span beneath an agent."""

    number: int
    failed: bool = False
    kind: str = "tool"
    name: str = "get_weather"
    asked: str | None = '{"city":"Paris"}'
    start_s: int = 0
    parent: int = AGENT
    resent: int | None = None
    told: str | None = None
    """The call id of a tool whose failure the model was told of."""

    def span(self) -> Any:
        return span(
            1,
            self.number,
            parent=self.parent,
            name=self.name,
            start=NOON + self.start_s * SECOND,
            end=NOON + (self.start_s + 1) * SECOND,
            status=ERROR if self.failed else {},
            attributes={k: v for k, v in self._attributes().items() if v is not None},
        )

    def _attributes(self) -> dict[str, Any]:
        if self.kind == "tool":
            return {
                "gen_ai.operation.name": "execute_tool",
                "gen_ai.tool.name": self.name,
                "gen_ai.tool.call.id": f"call {self.number}",
                "gen_ai.tool.call.arguments": self.asked,
            }
        if self.kind == "llm":
            messages: list[Any] = [{"role": "user", "parts": [{"type": "text", "content": self.asked}]}]
            if self.told is not None:
                part = {"type": "tool_call_response", "id": self.told, "response": "Error: offline"}
                messages.append({"role": "tool", "parts": [part]})
            return {
                "gen_ai.operation.name": "chat",
                "gen_ai.request.model": self.name,
                "gen_ai.input.messages": None if self.asked is None else json.dumps(messages),
            }
        return {"http.request.method": "POST", "http.request.resend_count": self.resent}


def reasons(rules: FailureRules, tries: Sequence[Try]) -> dict[int, list[str]]:
    """Return the reasons of the spans that have any, by number."""
    batch = rules(canonical(batch_of(spans_record([t.span() for t in tries]))))
    found = batch.columns["failure_reasons"].to_pylist()
    return {t.number: r for t, r in zip(tries, found, strict=True) if r}


FAILED = Try(3, failed=True)
RETRY = Try(4, start_s=1)


def test_a_retried_attempt_counts_unless_it_is_to_be_ignored() -> None:
    assert reasons(COUNT, [FAILED, RETRY]) == {3: ["tool_error"]}
    assert reasons(IGNORE, [FAILED, RETRY]) == {}
    assert reasons(IGNORE, [RETRY, FAILED]) == {}, "in any order"
    assert reasons(IGNORE, [FAILED, Try(5, failed=True, start_s=1), Try(6, start_s=2)]) == {}, "after two attempts"


@pytest.mark.parametrize(
    "retry",
    [
        None,
        replace(RETRY, failed=True),
        replace(RETRY, start_s=0),
        replace(RETRY, parent=OTHER_AGENT),
        replace(RETRY, parent=0),
        replace(RETRY, name="get_forecast"),
        replace(RETRY, asked='{"city":"Rome"}'),
        replace(RETRY, asked=None),
        replace(RETRY, kind="llm"),
    ],
)
def test_what_is_no_retry_that_succeeded(retry: Try | None) -> None:
    found = reasons(IGNORE, [FAILED, *([retry] if retry else [])])
    assert found[3] == ["tool_error"]


def test_what_was_asked_must_be_known_on_both_sides() -> None:
    assert reasons(IGNORE, [replace(FAILED, asked=None), replace(RETRY, asked=None)]) == {3: ["tool_error"]}


def test_a_model_is_asked_the_same_again() -> None:
    call = Try(3, kind="llm", name="m", asked="hi", failed=True)
    again = replace(call, number=4, failed=False, start_s=1)
    assert reasons(IGNORE, [call, again]) == {}
    assert reasons(IGNORE, [call, replace(again, asked="and now?")]) == {3: ["span_error"]}
    assert reasons(IGNORE, [call, replace(again, name="another model")]) == {3: ["span_error"]}


def test_a_client_counts_what_it_sends_again() -> None:
    request = Try(3, kind="http", name="POST", failed=True)
    assert reasons(IGNORE, [request, Try(4, kind="http", name="POST", start_s=1, resent=1)]) == {}
    assert reasons(IGNORE, [request, Try(4, kind="http", name="POST", start_s=1)]) == {3: ["span_error"]}
    assert reasons(IGNORE, [request, Try(4, kind="http", name="POST", start_s=1, resent=0)]) == {3: ["span_error"]}


def test_what_failed_beneath_an_attempt_goes_with_it() -> None:
    beneath = Try(7, kind="http", name="POST", parent=3, failed=True)
    deeper = Try(8, kind="http", name="connect", parent=7, failed=True)
    assert reasons(IGNORE, [FAILED, beneath, deeper, RETRY]) == {}
    assert set(reasons(IGNORE, [FAILED, beneath, deeper])) == {3, 7, 8}


def test_the_model_that_was_told_of_it_is_excused_too_unless_it_was_told_of_more() -> None:
    told = Try(5, kind="llm", name="m", asked="weather?", told="call 3", start_s=1)
    later = replace(RETRY, start_s=2)
    assert reasons(IGNORE, [FAILED, told, later]) == {}
    assert reasons(COUNT, [FAILED, told, later]) == {3: ["tool_error"], 5: ["tool_error"]}
    assert reasons(IGNORE, [FAILED, replace(told, told="call 9"), later]) == {5: ["tool_error"]}


def test_rules_of_the_user_are_not_excused() -> None:
    policy = FailurePolicy.model_validate({"retried": "ignore", "rules": [{"name": "any_error", "when": "error"}]})
    assert reasons(FailureRules.of(policy), [FAILED, RETRY]) == {3: ["rule:any_error"]}


def test_spans_of_another_tenant_are_no_retry() -> None:
    batch = batch_of(spans_record([FAILED.span()]), spans_record([RETRY.span()], tenant="other"))
    assert IGNORE(canonical(batch)).columns["failing"].to_pylist() == [True, False]


TRIES = st.builds(
    Try,
    number=st.integers(3, 12),
    failed=st.booleans(),
    kind=st.sampled_from(["tool", "llm", "http"]),
    name=st.sampled_from(["a", "b"]),
    asked=st.sampled_from(["x", "y", None]),
    start_s=st.integers(0, 3),
    parent=st.sampled_from([0, AGENT, 3, 4]),
    resent=st.sampled_from([None, 1]),
    told=st.sampled_from([None, "call 3", "call 4"]),
)


@settings(max_examples=40, deadline=None)
@given(st.lists(TRIES, max_size=8, unique_by=lambda t: t.number), st.randoms(use_true_random=False))
def test_however_a_trace_is_cut_its_parts_raise_all_that_the_whole_raises(tries: list[Try], chance: Any) -> None:
    mixed = list(tries)
    chance.shuffle(mixed)
    cuts = sorted(chance.randrange(len(mixed) + 1) for _ in range(2))
    parts = [mixed[a:b] for a, b in zip([0, *cuts], [*cuts, len(mixed)], strict=True) if a < b]
    for rules, equal in ((COUNT, True), (IGNORE, False)):
        whole = raised(rules, [tries])
        in_parts = raised(rules, parts)
        assert whole <= in_parts
        assert in_parts == whole or not equal
        assert all(raised(rules, parts[:n]) <= in_parts for n in range(len(parts)))


def raised(rules: FailureRules, parts: Sequence[Sequence[Try]]) -> set[tuple[int, str]]:
    """Return what the view of the trace has of its parts: the union."""
    found = [reasons(rules, part) for part in parts if part]
    return {(number, reason) for part in found for number, reasons_ in part.items() for reason in reasons_}
