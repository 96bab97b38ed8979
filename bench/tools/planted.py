"""Traffic with planted failures, and with what only looks like one: spans as the exporter stores them, and the truth.

A shop's assistant and two plainer workflows. Three of a hundred traces are failures, of several kinds; most have no
error span, and some show nothing at all. Beside them are decoys: sessions, calls and answers that stand out and are
fine.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, Final

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

    from evalgate.database import TenantDatabase

START: Final = datetime(2026, 11, 20, tzinfo=UTC)
FAILURES: Final = (
    "tool_error", "thumbs_down", "silent_short", "unsure", "asked_again", "tool_loop", "odd_tools", "context_blow_up",
    "late_in_session", "plain_wrong",
)  # fmt: skip
"""Kinds of failure, equally frequent. `plain_wrong` has no trace in any column."""
DECOYS: Final = (
    "recovered_error", "long_session", "expensive", "one_hedge", "short_question", "polling", "repeated_thanks", "slow",
    "tolerated_error",
    "equal_polling",
    "unfair_thumbs",
)  # fmt: skip
FAILURE_SHARE: Final = 0.03
DECOY_SHARES: Final = (0.02, 0.003, 0.02, 0.05, 0.05, 0.01, 0.02, 0.02, 0.01, 0.003, 0.003)
WORKFLOWS: Final = (
    ("support", "refunds", ("find_order", "read_policy", "refund"), 0.5),
    ("support", "search", ("search",), 0.3),
    ("writer", "summaries", (), 0.2),
)
"""Service, feature, the tools as they are usually called, share of traffic."""
SUBJECTS: Final = (
    "armchair", "sofa", "lamp", "desk", "carpet", "mirror", "shelf", "bed", "table", "clock", "vase", "curtain",
    "cushion", "stool", "bench", "cabinet",
)  # fmt: skip
WISHES: Final = (
    "I would like to return the {0} that I bought last month because of a scratch, order {1}",
    "Which {0} do you have that fits a room of {1} square metres and is not too dark",
    "Please write a short summary of the report on the {0} market of quarter {1} for my manager",
    "My {0} has not arrived although it was promised for day {1}, what can I do about it",
)
PROSE: Final = (
    "the order was found and the amount will be on your account within five working days we are happy to be of service "
    "please keep the receipt and send the parcel to the address on the label the guarantee covers parts and work"
)
WORDS: Final = tuple(PROSE.split())
UNSURE: Final = (
    "I'm not sure, but it might be possible. I don't have access to that information, so I cannot say for certain. "
    "Perhaps you could check again; it may be that I am mistaken."
)
BATCH: Final = 20_000


@dataclass(slots=True)
class Planted:
    """Rows, and which traces fail in truth."""

    spans: list[dict[str, Any]] = field(default_factory=list)
    feedback: list[dict[str, Any]] = field(default_factory=list)
    kinds: dict[str, str] = field(default_factory=dict)
    """By trace id: the kind of failure or decoy, "" for neither."""

    def failures(self) -> set[str]:
        """Return the ids of what fails in truth."""
        return {trace for trace, kind in self.kinds.items() if kind in FAILURES}


class Maker:
    """Draws traces one after another."""

    def __init__(self, seed: int) -> None:
        self.random = np.random.default_rng(seed)
        self.planted = Planted()
        self.number = 0
        self.seed = seed

    def session(self, kind: str) -> None:
        """Draw one session; the failure or decoy is in one trace of it."""
        draw = self.random
        workflow = WORKFLOWS[int(draw.choice(3, p=[w[3] for w in WORKFLOWS]))]
        if kind in (
            "tool_error",
            "tool_loop",
            "odd_tools",
            "polling",
            "recovered_error",
            "tolerated_error",
            "equal_polling",
        ):
            workflow = WORKFLOWS[0]
        turns = min(int(draw.geometric(0.4)), 8)
        if kind in ("long_session", "late_in_session"):
            turns = int(draw.integers(20, 40))
        name = f"s{self.seed}-{self.number}"
        at = START + timedelta(seconds=float(draw.uniform(0, 86_000)))
        marked = turns - 1 if kind == "late_in_session" else int(draw.integers(turns))
        for turn in range(turns):
            wish = self.wish()
            own = kind if turn == marked else ("long_session" if kind in ("long_session", "late_in_session") else "")
            self.trace(own, workflow, name, at, wish)
            at += timedelta(seconds=float(draw.lognormal(4, 0.7)))
            if own == "asked_again":
                self.trace(
                    "", workflow, name, at, wish.replace("Please", "I said").replace("I would", "again: I would")
                )
                at += timedelta(seconds=30)
            if own == "repeated_thanks":
                for _ in range(2):
                    self.trace("repeated_thanks", workflow, name, at, "thank you")
                    at += timedelta(seconds=20)

    def wish(self) -> str:
        """Draw what a user asks."""
        draw = self.random
        wish, subject = WISHES[int(draw.integers(len(WISHES)))], SUBJECTS[int(draw.integers(len(SUBJECTS)))]
        text = wish.format(subject, draw.integers(10, 9999))
        return f"{text} {' '.join(draw.permutation(WORDS)[: draw.integers(0, 12)])}".strip()

    def trace(
        self, kind: str, workflow: tuple[str, str, tuple[str, ...], float], session: str, at: datetime, wish: str
    ) -> None:
        """Draw one trace of an agent, its tools and its model calls."""
        draw = self.random
        self.number += 1
        trace = draw.bytes(16).hex()
        self.planted.kinds[trace] = kind
        service, feature, tools, _ = workflow
        called = [t for t in tools if draw.random() > 0.05]
        answer = " ".join(draw.choice(WORDS, size=max(8, int(draw.lognormal(3.6, 0.4)))))
        tokens, seconds = int(draw.lognormal(6.5, 0.35)), float(draw.lognormal(0.6, 0.4))
        arguments = [json.dumps({"n": int(draw.integers(1_000_000))}) for _ in range(9)]
        reasons: list[str] = []
        match kind:
            case "tool_error" | "recovered_error" | "tolerated_error":
                called, reasons = called or [tools[0]], ["tool_error"]
                if kind == "recovered_error":
                    called.append(called[-1])
            case "silent_short":
                answer, seconds, called = "Done, all is fine.", seconds / 6, []
            case "short_question":
                wish, answer, seconds = "open today?", "Yes, until eight.", seconds / 5
            case "unsure":
                answer = f"{UNSURE} {answer[:80]}"
            case "one_hedge":
                answer += " I think this might help."
            case "tool_loop":
                called = [*called, *["find_order"] * int(draw.integers(3, 7))]
                arguments = [arguments[0]] * len(arguments)
            case "polling":
                called = [*called, *["find_order"] * 3]
            case "equal_polling":
                called = [*called, *["find_order"] * 4]
                arguments = [arguments[0]] * len(arguments)
            case "odd_tools":
                called = ["refund", "find_order"] if draw.random() < 0.5 else ["refund", "refund", "read_policy"]
            case "context_blow_up":
                tokens, seconds = tokens * 8, seconds * 2
            case "expensive":
                tokens = tokens * 4
            case "slow":
                seconds *= 6
        if kind in {"thumbs_down", "unfair_thumbs"}:
            reasons = ["feedback:thumbs"]
            self.planted.feedback.append(
                {
                    "received_at": at, "time_unix_ns": int(at.timestamp() * 1e9), "trace_id": trace, "span_id": "",
                    "name": "thumbs", "value": "0", "label": "down", "source": "attribute", "polarity": "negative",
                }
            )  # fmt: skip
        steps: list[dict[str, Any]] = [
            {"span_kind": "agent", "name": "answer", "input_text_kept": wish, "output_text_kept": answer}
        ]
        for number, tool in enumerate(called):
            fails = "tool_error" in reasons and number == len(called) - (2 if kind == "recovered_error" else 1)
            steps.append(
                {
                    "span_kind": "tool", "name": f"execute_tool {tool}", "tool_name": tool,
                    "tool_arguments": arguments[number % len(arguments)], "error": fails, "failing": fails,
                    "failure_reasons": ["tool_error"] if fails else [],
                }
            )  # fmt: skip
        steps.append(
            {
                "span_kind": "llm", "name": "chat", "counted": True, "input_tokens": tokens,
                "output_tokens": max(4, int(len(answer) / 4)), "cost_usd": tokens * 2e-6,
                "output_text_kept": answer, "input_text_kept": wish,
            }
        )  # fmt: skip
        self.planted.spans += _rows(
            trace, steps, service=service, feature=feature, session=session, at=at, seconds=seconds
        )


def _rows(
    trace: str,
    steps: Sequence[dict[str, Any]],
    *,
    service: str,
    feature: str,
    session: str,
    at: datetime,
    seconds: float,
) -> list[dict[str, Any]]:
    each = timedelta(seconds=seconds / len(steps))
    plain: dict[str, Any] = {
        "input_text_kept": None, "output_text_kept": None, "tool_name": None, "tool_arguments": None, "error": False,
        "failing": False, "failure_reasons": [], "counted": False, "input_tokens": None, "output_tokens": None,
        "cost_usd": None,
    }  # fmt: skip
    return [
        {
            **plain, "trace_id": bytes.fromhex(trace), "span_id": (n + 1).to_bytes(8, "big"),
            "parent_span_id": bytes(8) if n == 0 else (1).to_bytes(8, "big"), "received_at": at,
            "start_time": at + n * each, "end_time": at + (timedelta(seconds=seconds) if n == 0 else (n + 1) * each),
            "duration_ns": int((seconds if n == 0 else each.total_seconds()) * 1e9), "status_code": "unset",
            "service_name": service, "feature": feature, "session_id": session, **step,
        }
        for n, step in enumerate(steps)
    ]  # fmt: skip


@dataclass(frozen=True, slots=True)
class Mix:
    """How hard it is."""

    invisible: float = 0.1
    """Share of the failures that show nothing."""
    decoys: float = 1.0
    """Times the usual number of decoys."""


def plant(seed: int, traces: int, mix: Mix = Mix()) -> Planted:
    """Return traffic of about so many traces."""
    maker = Maker(seed)
    # Of sessions: a failure in a session of 2.7 turns is rarer among the traces, and most of a long one is fine.
    a_session = 2.7
    visible = FAILURE_SHARE * a_session * (1 - mix.invisible) / (len(FAILURES) - 1)
    shares = [visible] * len(FAILURES) + [s * a_session * mix.decoys for s in DECOY_SHARES]
    shares[FAILURES.index("plain_wrong")] = FAILURE_SHARE * a_session * mix.invisible
    shares[FAILURES.index("late_in_session")] /= 3
    kinds = [*FAILURES, *DECOYS, ""]
    chances = [*shares, 1 - sum(shares)]
    while maker.number < traces:
        maker.session(kinds[int(maker.random.choice(len(kinds), p=chances))])
    return maker.planted


def store(database: TenantDatabase, planted: Planted) -> None:
    """Write it as the exporter does."""
    for first in range(0, len(planted.spans), BATCH):
        database.insert_rows("spans", planted.spans[first : first + BATCH])
    if planted.feedback:
        database.insert_rows("feedback", planted.feedback)
