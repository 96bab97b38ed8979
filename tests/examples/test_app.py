"""The support agent: what it says, and what its telemetry says of it."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from collector.decode import decode
from examples.support_agent import target
from examples.support_agent.reviewer import DEMO_SEED, labels
from examples.support_agent.traffic import messages, trace_id

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.examples.conftest import Served

APP = Path(target.__file__).parent


def case(*said: str) -> dict[str, Any]:
    roles = ("user", "assistant")
    return {
        "input": {
            "messages": [
                {"role": roles[n % 2], "parts": [{"type": "text", "content": text}]} for n, text in enumerate(said)
            ]
        }
    }


@pytest.mark.parametrize(
    ("answer", "question", "said", "calls"),
    [
        (target.broken, "How long can I return a chair?", "within 90 days", 1),
        (target.fixed, "How long can I return a chair?", "within 30 days", 1),
        (target.broken, "Where is my order #1013?", "could not find that out", 8),
        (target.fixed, "Where is my order #1013?", "has not confirmed", 1),
        (target.broken, "Please refund order #1007.", "I have refunded", 2),
        (target.fixed, "Please refund order #1007.", "not refunded yet", 2),
        (target.broken, "Where is my order #1024?", "order #1024", 1),
        (target.fixed, "Where is my order #1024?", "order #1024", 1),
    ],
)
def test_the_fix_changes_what_was_wrong_and_nothing_else(
    answer: Callable[[Any], dict[str, Any]], question: str, said: str, calls: int
) -> None:
    got = answer(case(question))
    assert said in got["output"]
    assert len(got["tool_calls"]) == calls


def test_a_replayed_case_knows_what_was_said_before() -> None:
    got = target.fixed(case("I wait for order #1024", "Let me see.", "Where is it?"))
    assert got["tool_calls"] == [{"name": "lookup_order", "arguments": {"order_id": "1024"}}]


def test_every_message_is_one_trace_under_the_id_that_its_seed_promises(served: Served) -> None:
    batch = decode(list(served.records))
    promised = {
        f"{trace_id(DEMO_SEED, visit.session_id, n):032x}" for visit in served.visits for n, _ in enumerate(visit.lines)
    }
    roots = [trace for trace, _, parent in batch.hex_ids() if parent is None]
    assert Counter(roots) == dict.fromkeys(promised, 1)
    assert {trace for trace, _, _ in batch.hex_ids()} == promised


def test_the_traffic_shows_every_kind_of_trouble_and_mostly_none(served: Served) -> None:
    outcomes = Counter(line.outcome for visit in served.visits for line in visit.lines)
    assert set(outcomes) == {
        "fine",
        "policy_hallucination",
        "tool_loop",
        "unhandled_tool_error",
        "provider_error",
        "cut_short",
    }
    assert outcomes["fine"] > 0.75 * outcomes.total()


def test_spans_are_those_of_the_conventions(served: Served) -> None:
    names = Counter(decode(list(served.records)).name.to_pylist())
    tools = Counter(call.name for reply in served.replies for call in reply.tool_calls)
    assert names == {
        "invoke_agent support": len(served.replies),
        "chat larch-chat-2": len(served.responses) + served.refusals,
        **{f"execute_tool {name}": count for name, count in tools.items()},
    }


def test_labels_are_those_of_the_reviewer_and_name_traces_of_the_demo() -> None:
    written = [json.loads(line) for line in (APP / "evals/labels.jsonl").read_text().splitlines()]
    assert written == list(labels(DEMO_SEED)), (
        "run: python -m support_agent.reviewer > support_agent/evals/labels.jsonl"
    )
    traces = [trace for *_, trace in messages(DEMO_SEED)]
    assert all(sum(trace.startswith(label["trace_id"]) for trace in traces) == 1 for label in written)


def test_the_app_imports_nothing_of_ours() -> None:
    ours = ("schema", "exporters", "collector", "evalgate")
    for file in APP.glob("*.py"):
        imports = [line.split()[1] for line in file.read_text().splitlines() if line.startswith(("import ", "from "))]
        assert not [name for name in imports if name.split(".")[0] in ours], file.name
