"""Traces of an assistant in a shop that fail in known ways, to see whether clusters find the ways again.

What the user asks about is drawn apart from how the trace fails, as in life: who groups by topic finds topics, not
failures. Each way has its own tools, errors or answers, worded differently each time.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from evalgate.cluster.behaviour import Behaviour

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from exporters.clickhouse.connect import Database

TRACES_AT_A_TIME: Final = 5_000
BEGIN_UNIX_NS: Final = 1_790_000_000 * 10**9
ITEMS: Final = ("armchair", "side table", "floor lamp", "desk", "wool rug", "bookshelf", "mirror", "sofa bed", "stool")
NEEDS: Final = (
    ("refunds", "the {item} arrived broken, can I have my money back for order #{n}"),
    ("refunds", "I want to return a {item}, how long do I have"),
    ("delivery", "where is my {item}, order {n} should have come on monday"),
    ("delivery", "can you deliver the {item} to another address than {n} Mill Road"),
    ("products", "is the {item} made of oak and how heavy is it"),
    ("products", "which {item} goes with a small flat, at most {n} euros"),
    ("account", "please change the email of my account, I ordered a {item} with the old one"),
    ("account", "I cannot log in to see my invoice for the {item}"),
)
OPENINGS: Final = ("", "hi, ", "hello there, ", "good morning. ", "sorry to bother you again but ", "quick question: ")
CLOSINGS: Final = ("", " please", " thanks", "? it is urgent", " as soon as possible", "?")
FILLERS: Final = (
    "Thank you for your patience.", "I am happy to help with that.", "Let me know if there is anything else.",
    "I looked at your order {n}.", "We value you as a customer.", "Our team is here every day from {n} to 18.",
)  # fmt: skip
FINE: Final = ("Your {item} is on its way.", "You find the {item} under my orders.", "The {item} is 80 cm wide.")


@dataclass(frozen=True, slots=True)
class Way:
    """One way to fail; texts are drawn from the alternatives."""

    name: str
    tools: tuple[tuple[str, ...], ...]
    answers: tuple[str, ...]
    errors: tuple[str, ...] = ()
    reasons: tuple[str, ...] = ()
    failed: str = ""
    finish: str = "stop"
    comments: tuple[str, ...] = ()


WAYS: Final = (
    Way("policy made up", (("search_policy",),), (
        "You can return the {item} within {n} days of purchase.",
        "Our policy gives you {n} days to send the {item} back.",
        "Returns of a {item} are accepted up to {n} days after delivery.",
    ), comments=("the policy says 30 days", "made up the return window", "wrong number of days, see policy")),
    Way("lookup times out", (("lookup_order",), ("lookup_order", "lookup_order")), (
        "I could not reach the order system just now.", "Something went wrong while I looked for the {item}.",
    ), ("Timeout upstream did not answer in {n} ms", "Timeout deadline exceeded after {n} ms calling orders"),
        ("tool_error",), "lookup_order"),
    Way("wrong arguments", (("lookup_order", "refund_order"), ("refund_order",)), (
        "I was not able to book the refund.", "The refund of the {item} did not go through.",
    ), ("ValidationError field amount must be a number, got '{n} EUR'", "ValidationError amount: not a valid decimal"),
        ("tool_error",), "refund_order"),
    Way("search loop", tuple(("search_products",) * k for k in (6, 8, 11)), (
        "I keep looking for the {item}.", "Let me search once more for a {item}.",
    ), reasons=("rule:loop",)),
    Way("cut short", (("search_products", "describe_product"), ("describe_product",)), (
        "The {item} comes in many versions: 1. oak 2. birch 3. walnut 4.", "Here is a full list for the {item}: first,",
    ), reasons=("finish:length",), finish="length"),
    Way("refuses without need", ((), ("search_policy",)), (
        "I'm sorry, but I can't help with that.", "I am unable to assist with requests about the {item}.",
        "Unfortunately I cannot discuss this.",
    ), reasons=("refused",)),
    Way("filtered", ((),), ("",), ("content_filter the response was filtered",), ("finish:content_filter",),
        finish="content_filter"),
    Way("rate limited", ((), ("lookup_order",)), ("",), (
        "RateLimitError 429 too many requests, retry after {n} s", "RateLimitError tokens per minute limit {n} reached",
    ), ("span_error",)),
    Way("wrong language", (("lookup_order",), ("search_policy",)), (
        "Vielen Dank für Ihre Anfrage, wir kümmern uns um {n}.", "Ihre Bestellung wurde gefunden, bitte warten Sie.",
        "Leider können wir das nicht sofort beantworten.",
    ), reasons=("feedback:user_feedback",),
        comments=("why german", "I wrote in english", "answer is in the wrong language")),
    Way("no tool used", ((),), (
        "Your {item} was delivered yesterday at {n}:15.", "The {item} has left our house and will arrive tomorrow.",
        "I see that the {item} is in stock, {n} pieces.",
    ), reasons=("feedback:user_feedback",),
        comments=("it never looked the order up", "invented, no lookup", "not true")),
    Way("bad json", (("lookup_order", "format_reply"),), (
        '{{"order": {n}, "state": "sent"', '{{"order": {n}, "item": "{item}",',
    ), ("JSONDecodeError Expecting ',' delimiter line 1 column {n}", "JSONDecodeError Unterminated string"),
        ("invalid_json",), "format_reply"),
    Way("ticket instead of answer", (("search_policy", "open_ticket"), ("open_ticket",)), (
        "I opened ticket {n} for you, a colleague will call.", "A human agent will get back to you about the {item}.",
    ), reasons=("feedback:user_feedback",), comments=("handed over for nothing", "could have answered this itself")),
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Mix:
    """How hard it is."""

    name: str
    ways: int
    uneven: float
    """0: each way as often as the others; 1: the k-th is 1/k as often."""
    noise: float
    """The part of traces that fail in a way of their own."""
    mixed: float
    """The part of traces without what gives the way away: no reason, no comment, no error message."""


MIXES: Final = (
    Mix("easy", ways=8, uneven=0.0, noise=0.0, mixed=0.0),
    Mix("medium", ways=12, uneven=0.7, noise=0.05, mixed=0.15),
    Mix("hard", ways=12, uneven=1.0, noise=0.15, mixed=0.35),
)


def failures(mix: Mix, n: int, seed: int) -> tuple[list[Behaviour], list[int]]:
    """Return traces, and the way in which each fails: -1 for those that fail like no other."""
    chance = np.random.default_rng(seed)
    ways = [WAYS[i] for i in chance.permutation(len(WAYS))[: mix.ways]]
    odds = 1.0 / np.arange(1, len(ways) + 1) ** mix.uneven
    labels = np.where(chance.random(n) < mix.noise, -1, chance.choice(len(ways), n, p=odds / odds.sum()))
    return [_trace(chance, i, ways, int(w), mix.mixed) for i, w in enumerate(labels)], [int(w) for w in labels]


def _trace(chance: np.random.Generator, i: int, ways: Sequence[Way], label: int, mixed: float) -> Behaviour:
    feature, need = NEEDS[chance.integers(len(NEEDS))]
    item = str(chance.choice(ITEMS))

    def say(alternatives: Sequence[str]) -> str:
        text = str(alternatives[int(chance.integers(len(alternatives)))]) if alternatives else ""
        return text.format(item=item, n=chance.integers(2, 9000))

    asked = say(OPENINGS) + say([need]) + say(CLOSINGS)
    trace_id = chance.bytes(16).hex()
    start = BEGIN_UNIX_NS + int(i * 60e9)
    base = Behaviour(
        trace_id, start, root_name=f"invoke_agent {feature}", service_name="shop", feature=feature, failing=True,
        asked=asked, weight=1.0,
    )  # fmt: skip
    if label < 0:
        return _of_its_own(chance, base)
    way = ways[label]
    tools = way.tools[chance.integers(len(way.tools))]
    hidden = bool(chance.random() < mixed)
    answer = say(way.answers)
    if answer and chance.random() < 0.6:
        answer = f"{answer} {say(FILLERS)}"
    return replace(
        base,
        failure_reasons=() if hidden else way.reasons,
        spans=2 + 2 * len(tools),
        errors_counted=len(way.errors[:1]),
        llm_calls=1 + len(tools),
        answered=answer,
        errors=() if hidden or not way.errors else (say(way.errors),),
        comments="" if hidden or chance.random() < 0.5 else say(way.comments),
        tools=tools,
        tools_failed=(way.failed,) if way.failed and not hidden else (),
        finish_reasons=(way.finish,),
        kinds={"agent": 1, **({"tool": len(tools)} if tools else {})},
    )


def _of_its_own(chance: np.random.Generator, base: Behaviour) -> Behaviour:
    """Return a trace that shares pieces with several ways, and the whole with none."""
    parts = [WAYS[i] for i in chance.integers(len(WAYS), size=3)]
    letters = np.array(list("abcdefghijklmnopqrstuvwxyz"))
    strange = " ".join("".join(chance.choice(letters, 7)) for _ in range(8))
    return replace(
        base,
        failure_reasons=parts[0].reasons,
        answered=strange,
        tools=parts[1].tools[0],
        finish_reasons=(parts[2].finish,),
        spans=int(chance.integers(2, 30)),
        llm_calls=int(chance.integers(1, 9)),
        kinds={"agent": 1},
    )


def store(database: Database, behaviours: Sequence[Behaviour]) -> None:
    """Write traces as the exporter does: an agent's span and those of its tools. Comments are left out."""
    for first in range(0, len(behaviours), TRACES_AT_A_TIME):
        rows = [row for b in behaviours[first : first + TRACES_AT_A_TIME] for row in _spans(b)]
        database.insert_rows("spans", rows)


def _spans(b: Behaviour) -> Iterator[dict[str, Any]]:
    trace, error = bytes.fromhex(b.trace_id), b.errors[0] if b.errors else ""
    received = datetime.fromtimestamp(BEGIN_UNIX_NS / 1e9, UTC)
    began = datetime.fromtimestamp(b.start_unix_ns / 1e9, UTC)
    for i, tool in enumerate(("", *b.tools)):
        yield {
            "tenant": "default",
            "trace_id": trace,
            "span_id": (i + 1).to_bytes(8, "big"),
            "parent_span_id": (1 if i else 0).to_bytes(8, "big"),
            "received_at": received,
            "start_time": began + timedelta(milliseconds=i),
            "end_time": began + timedelta(milliseconds=i + 900),
            "duration_ns": 900_000_000,
            "name": f"execute_tool {tool}" if tool else b.root_name,
            "service_name": b.service_name,
            "span_kind": "tool" if tool else "agent",
            "tool_name": tool or None,
            "input_text_kept": None if tool else b.asked,
            "output_text_kept": None if tool else b.answered,
            "finish_reasons": [] if tool else list(b.finish_reasons),
            "feature": b.feature,
            "error": bool(error) and (tool in b.tools_failed if b.tools_failed else not tool),
            "error_message": error or None,
            "failing": not tool,
            "failure_reasons": [] if tool else list(b.failure_reasons),
        }
