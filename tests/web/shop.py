"""Believable traffic of a shop, as OTLP/JSON: several days, three features, two releases, several kinds of failure.

Everything is drawn from one seed and one moment. What a person would say of each trace is known, so that labels can be
given that agree with what is to be read.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from random import Random
from typing import Any, Final

INVENTED: Final = "invents a refund window"
IGNORED: Final = "ignores a tool timeout"
CUT_OFF: Final = "answer cut off"
ASKS_AGAIN: Final = "asks for data it has"
GOODS: Final = (
    "armchair",
    "floor lamp",
    "oak desk",
    "wool carpet",
    "round mirror",
    "bookshelf",
    "linen curtain",
    "stool",
)
PEOPLE: Final = tuple(f"user-{n:03d}" for n in range(140))
SUMMARIES: Final = (
    "the complaints of last week", "the review of our carpets", "the supplier's contract", "the notes of the meeting",
)  # fmt: skip
PROSE: Final = (
    "Customers like the colours and the quick delivery. Two in ten report scratches on arrival, most of them on desks; "
    "the packing of the oak series was changed on Monday. Refunds are paid within five working days."
)
SECOND_NS: Final = 1_000_000_000


@dataclass(frozen=True, slots=True)
class Told:
    """One trace, and what is true of it."""

    trace_id: str
    feature: str
    spans: list[dict[str, Any]]
    started: datetime
    mode: str = ""
    """What is wrong with it; empty: nothing."""
    thumb: bool | None = None
    comment: str = ""
    release: str = ""


@dataclass(slots=True)
class Shop:
    """Draws traces."""

    now: datetime
    seed: int = 7
    draw: Random = field(init=False)

    def __post_init__(self) -> None:
        self.draw = Random(self.seed)  # noqa: S311 - a simulation

    def traffic(self, days: int, per_day: int) -> list[Told]:
        """Return the traces of so many days that end now, the oldest first."""
        told = []
        for ago in range(days - 1, -1, -1):
            morning = self.now - timedelta(days=ago, hours=8)
            is_weekend = morning.weekday() >= 5
            recent = ago < 5
            count = int(per_day * (0.55 if is_weekend else 1.0) * self.draw.uniform(0.85, 1.15))
            while count > 0:
                turns = min(count, 1 + int(self.draw.expovariate(1.1)))
                at = morning + timedelta(seconds=self.draw.uniform(0, 7.5 * 3600))
                told += self.session(at, turns, is_recent=recent)
                count -= turns
        return sorted(told, key=lambda t: t.started)

    def session(self, at: datetime, turns: int, *, is_recent: bool) -> list[Told]:
        """Return the traces of one conversation."""
        draw = self.draw
        session, user = f"s-{draw.getrandbits(40):010x}", draw.choice(PEOPLE)
        feature = draw.choices(("refunds", "delivery", "summaries"), (5, 3, 2))[0]
        release = "1.5.0" if is_recent else "1.4.2"
        shared = {"gen_ai.conversation.id": session, "user.id": user, "app.feature": feature}
        found = []
        for _ in range(turns):
            made = {"refunds": self._refund, "delivery": self._delivery, "summaries": self._summary}[feature]
            found.append(replace(made(at, shared, is_recent=is_recent), release=release))
            at += timedelta(seconds=draw.uniform(40, 200))
        return found

    def _refund(self, at: datetime, shared: dict[str, str], *, is_recent: bool) -> Told:
        draw = self.draw
        thing, order = draw.choice(GOODS), draw.randrange(10_000, 99_999)
        mode = draw.choices((INVENTED, ASKS_AGAIN, ""), (0.09 if is_recent else 0.025, 0.025, 1))[0]
        ago = draw.randrange(5, 60)
        ask = f"I bought the {thing} of order {order} {ago} days ago, and it is scratched. May I return it?"
        answer = {
            INVENTED: f"Of course. You can return the {thing} within 90 days, and we refund the whole amount.",
            ASKS_AGAIN: "I would be glad to help. Could you please tell me your order number and what you bought?",
            "": f"Yes. Order {order} may be returned within 30 days; I have sent you a label for the {thing}.",
        }[mode]
        tools = [
            ("find_order", {"order": order}, {"order": order, "item": thing, "delivered": "2 weeks ago"}, ""),
            ("read_policy", {"topic": "returns"}, {"days": 30, "condition": "unused or damaged on arrival"}, ""),
        ]
        return self._agent(at, shared, ask, tools=tools, answer=answer, mode=mode)

    def _delivery(self, at: datetime, shared: dict[str, str], *, is_recent: bool) -> Told:
        draw = self.draw
        thing, order = draw.choice(GOODS), draw.randrange(10_000, 99_999)
        mode = draw.choices((IGNORED, ""), (0.05 if is_recent else 0.07, 1))[0]
        ask = (
            f"Where is my {thing}? It was promised for {draw.choice(('Monday', 'Wednesday', 'Friday'))}. Order {order}."
        )
        day = draw.choice(("tomorrow", "on Thursday", "today before 18:00"))
        tools = [
            ("track_parcel", {"order": order}, None, "deadline exceeded after 10 s")
            if mode
            else ("track_parcel", {"order": order}, {"status": "in transit", "eta": day}, "")
        ]
        return self._agent(at, shared, ask, tools=tools, answer=f"Your {thing} arrives {day}.", mode=mode)

    def _summary(self, at: datetime, shared: dict[str, str], *, is_recent: bool) -> Told:
        mode = self.draw.choices((CUT_OFF, ""), (0.06, 1))[0]
        ask = f"Summarise {self.draw.choice(SUMMARIES)} in five sentences for my manager."
        answer = PROSE[: self.draw.randrange(90, 150)] if mode else PROSE
        writer = _Writer(self.draw, at, "writer", {**shared, "gen_ai.agent.name": "writer"})
        _ = is_recent
        writer.chat("", "claude-sonnet-4-5", [_user(ask)], [_says(answer)], "length" if mode else "stop")
        return self._told(writer, shared, mode)

    def _agent(
        self,
        at: datetime,
        shared: dict[str, str],
        ask: str,
        *,
        tools: list[tuple[str, Any, Any, str]],
        answer: str,
        mode: str,
    ) -> Told:
        writer = _Writer(self.draw, at, "support-agent", shared)
        root = writer.open("invoke_agent support", "")
        calls = [
            {"type": "tool_call", "id": f"call_{n}", "name": name, "arguments": arguments}
            for n, (name, arguments, _, _) in enumerate(tools)
        ]
        asked = {"role": "assistant", "parts": calls}
        writer.chat(root["spanId"], "gpt-4o", [_user(ask)], [asked], "tool_calls")
        results = []
        for n, (name, arguments, result, error) in enumerate(tools):
            writer.tool(root["spanId"], f"call_{n}", name, arguments=arguments, result=result, error=error)
            said = {"type": "tool_call_response", "id": f"call_{n}", "response": error or result}
            results.append({"role": "tool", "parts": [said]})
        writer.chat(root["spanId"], "gpt-4o", [_user(ask), asked, *results], [_says(answer)], "stop")
        writer.close(root, {
            "gen_ai.operation.name": "invoke_agent", "gen_ai.agent.name": "support",
            "gen_ai.input.messages": json.dumps([_user(ask)]), "gen_ai.output.messages": json.dumps([_says(answer)]),
        })  # fmt: skip
        return self._told(writer, shared, mode)

    def _told(self, writer: _Writer, shared: dict[str, str], mode: str) -> Told:
        draw = self.draw
        thumb, comment = None, ""
        if mode and draw.random() < 0.45:
            thumb, comment = False, draw.choice(("that is not your policy", "wrong", "I told you already", ""))
        elif not mode and draw.random() < 0.06:
            thumb = True
        return Told(writer.trace_id, shared["app.feature"], writer.spans, writer.started, mode, thumb, comment)


class _Writer:
    """Writes the spans of one trace, one after another."""

    def __init__(self, draw: Random, at: datetime, service: str, shared: dict[str, str]) -> None:
        self.draw, self.service, self.shared, self.started = draw, service, shared, at
        self.trace_id = f"{draw.getrandbits(128):032x}"
        self.at_ns = int(at.timestamp() * 1000) * 1_000_000
        self.spans: list[dict[str, Any]] = []

    def open(self, name: str, parent: str) -> dict[str, Any]:
        span = {
            "traceId": self.trace_id,
            "spanId": f"{self.draw.getrandbits(64):016x}",
            "parentSpanId": parent,
            "name": name,
            "kind": 1,
            "startTimeUnixNano": str(self.at_ns),
        }
        self.at_ns += 4_000_000
        return span

    def close(self, span: dict[str, Any], attributes: dict[str, Any], error: str = "") -> None:
        self.at_ns += 3_000_000
        own = {**attributes, **self.shared}
        self.spans.append({
            **span,
            "endTimeUnixNano": str(self.at_ns),
            "attributes": [{"key": k, "value": _any(v)} for k, v in own.items()],
            **({"status": {"code": 2, "message": error}} if error else {}),
        })  # fmt: skip

    def chat(self, parent: str, model: str, asked: list[Any], said: list[Any], finish: str) -> None:
        span = self.open(f"chat {model}", parent)
        first_s = self.draw.lognormvariate(-1.0, 0.4)
        self.at_ns += int((first_s + self.draw.lognormvariate(-0.3, 0.5)) * SECOND_NS)
        words = len(json.dumps(asked)) // 4
        self.close(span, {
            "gen_ai.operation.name": "chat",
            "gen_ai.provider.name": "anthropic" if model.startswith("claude") else "openai",
            "gen_ai.request.model": model,
            "gen_ai.response.model": model,
            "gen_ai.input.messages": json.dumps(asked),
            "gen_ai.output.messages": json.dumps([{**m, "finish_reason": finish} for m in said]),
            "gen_ai.response.finish_reasons": [finish],
            "gen_ai.usage.input_tokens": 900 + words + self.draw.randrange(400),
            "gen_ai.usage.output_tokens": 20 + len(json.dumps(said)) // 4,
            "gen_ai.response.time_to_first_chunk": round(first_s, 4),
        })  # fmt: skip

    def tool(self, parent: str, call: str, name: str, *, arguments: Any, result: Any, error: str) -> None:
        span = self.open(f"execute_tool {name}", parent)
        self.at_ns += 10 * SECOND_NS if error else int(self.draw.lognormvariate(-2.5, 0.6) * SECOND_NS)
        self.close(span, {
            "gen_ai.operation.name": "execute_tool",
            "gen_ai.tool.name": name,
            "gen_ai.tool.call.id": call,
            "gen_ai.tool.call.arguments": json.dumps(arguments),
            **({"error.type": "TimeoutError"} if error else {"gen_ai.tool.call.result": json.dumps(result)}),
        }, error)  # fmt: skip


def request_of(told: list[Told]) -> bytes:
    """Return an OTLP/JSON request of traces, a resource for each service and release."""
    apps: dict[tuple[str, str], list[dict[str, Any]]] = {}
    for one in told:
        service = "writer" if one.feature == "summaries" else "support-agent"
        apps.setdefault((service, one.release), []).extend(one.spans)
    resources = []
    for (service, release), spans in apps.items():
        named = {"service.name": service, "service.version": release, "deployment.environment.name": "production"}
        attributes = [{"key": k, "value": _any(v)} for k, v in named.items()]
        resources.append({
            "resource": {"attributes": attributes}, "scopeSpans": [{"scope": {"name": "shop"}, "spans": spans}],
        })  # fmt: skip
    return json.dumps({"resourceSpans": resources}).encode()


def _user(text: str) -> dict[str, Any]:
    return {"role": "user", "parts": [{"type": "text", "content": text}]}


def _says(text: str) -> dict[str, Any]:
    return {"role": "assistant", "parts": [{"type": "text", "content": text}]}


def _any(value: Any) -> dict[str, Any]:
    if isinstance(value, list):
        return {"arrayValue": {"values": [_any(v) for v in value]}}
    if isinstance(value, float):
        return {"doubleValue": value}
    return {"intValue": str(value)} if isinstance(value, int) else {"stringValue": str(value)}
