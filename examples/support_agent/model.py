"""A scripted model: it answers from the system prompt and the conversation alone, without network or key.

It is as obedient and as gullible as a real one: a number of days that the system prompt promises beats the text a
tool returned, a failed tool is passed over unless the prompt forbids that, and an unfinished answer of a tool is asked
for again and again unless the prompt forbids that too.
"""

from __future__ import annotations

import hashlib
import json
import re
import time
import uuid
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final, Literal, Protocol

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from .tools import Tool

MODEL: Final = "larch-chat-2"
_ORDER: Final = re.compile(r"#?\b(\d{3,4})\b")
_WINDOW: Final = re.compile(r"within (\d+) days")


class ProviderError(Exception):
    """The model's provider did not answer; `status` is the HTTP status."""

    def __init__(self, status: int, message: str, *, retry_after_s: float) -> None:
        super().__init__(message)
        self.status = status
        self.retry_after_s = retry_after_s


@dataclass(frozen=True, slots=True)
class ToolCall:
    """What the model wants done."""

    id: str
    name: str
    arguments: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Message:
    """One message of a conversation; a tool's result has the role `tool` and is JSON text."""

    role: Literal["user", "assistant", "tool"]
    text: str = ""
    tool_calls: tuple[ToolCall, ...] = ()
    tool_call_id: str | None = None


@dataclass(frozen=True, slots=True)
class Request:
    """What the provider is asked."""

    system: str
    messages: Sequence[Message]
    tools: Sequence[Tool]
    model: str = MODEL
    temperature: float = 0.0
    max_tokens: int = 120
    stream: bool = False


@dataclass(frozen=True, slots=True)
class Response:
    """What the provider answered; token figures include cached ones."""

    id: str
    model: str
    text: str
    tool_calls: tuple[ToolCall, ...]
    finish_reason: Literal["stop", "length", "tool_call"]
    input_tokens: int
    output_tokens: int
    cache_read_tokens: int


class Model(Protocol):
    """A provider's client."""

    def complete(self, request: Request, on_text: Callable[[str], None] | None = None) -> Response:
        """Return the answer; a streamed one is handed to `on_text` piece by piece first.

        Raises:
            ProviderError: there is no answer; it says when to try again.

        """


@dataclass(slots=True)
class ScriptedModel:
    """Keeps only what a provider keeps: a counter behind its ids and a prompt cache."""

    seed: str = field(default_factory=lambda: uuid.uuid4().hex)
    """Decides the ids of responses; equal seeds give equal ids."""
    seconds_per_token: float = 0.0
    sleep: Callable[[float], None] = time.sleep
    _responses: int = 0
    _cached_tokens: int = 0

    def complete(self, request: Request, on_text: Callable[[str], None] | None = None) -> Response:
        """Answer; see `Model.complete`."""
        self._responses += 1
        digest = hashlib.blake2b(f"{self.seed}/{self._responses}".encode(), digest_size=12).hexdigest()
        text, wanted = _decide(request)
        words = text.split(" ")
        cut = count_tokens(text) > request.max_tokens
        if cut:
            words = words[: request.max_tokens * 3 // 4]
            text = " ".join(words)
        calls = tuple(ToolCall(f"call_{digest[:10]}{i}", name, args) for i, (name, args) in enumerate(wanted))
        output_tokens = count_tokens(text) + sum(count_tokens(json.dumps(dict(c.arguments))) + 3 for c in calls)
        self._say(words if text else [], request, on_text)
        if not request.stream:
            self.sleep(output_tokens * self.seconds_per_token)
        input_tokens = _input_tokens(request)
        cached, self._cached_tokens = min(self._cached_tokens, input_tokens), input_tokens
        return Response(
            id=f"resp_{digest}",
            model=f"{request.model}-2026-09-01",
            text=text,
            tool_calls=calls,
            finish_reason="tool_call" if calls else "length" if cut else "stop",
            input_tokens=input_tokens,
            output_tokens=output_tokens,
            cache_read_tokens=cached,
        )

    def _say(self, words: Sequence[str], request: Request, on_text: Callable[[str], None] | None) -> None:
        if not request.stream:
            return
        for i, word in enumerate(words):
            self.sleep(self.seconds_per_token)
            if on_text is not None:
                on_text(word if i == 0 else f" {word}")


def count_tokens(text: str) -> int:
    """Return roughly what a tokeniser would: four tokens for three words."""
    return (len(text.split()) * 4 + 2) // 3


def _input_tokens(request: Request) -> int:
    tools = sum(count_tokens(t.description) + 12 for t in request.tools)
    said = sum(count_tokens(m.text) + 3 + 8 * len(m.tool_calls) for m in request.messages)
    return count_tokens(request.system) + tools + said


_Decision = tuple[str, list[tuple[str, dict[str, Any]]]]


def _decide(request: Request) -> _Decision:
    """Return the answer's text, or the tools to call."""
    turn = max(i for i, m in enumerate(request.messages) if m.role == "user")
    asked = request.messages[turn].text.lower()
    results = [json.loads(m.text) for m in request.messages[turn + 1 :] if m.role == "tool"]
    if re.search(r"\b(refund|money back|pay me back)\b", asked) and _ORDER.search(asked):
        return _refund(request, _order_of(request), results)
    if re.search(r"\b(return|returns|refund|refunds|policy|send it back)\b", asked):
        return _policy(request, asked, results)
    if re.search(r"\b(order|parcel|delivery|arrive|track|where)\b", asked) and (order := _order_of(request)):
        return _status(request, order, results)
    return _chat(asked), []


def _order_of(request: Request) -> str:
    """Return the order number the customer named last, or an empty string."""
    for message in reversed(request.messages):
        if message.role == "user" and (found := _ORDER.search(message.text)):
            return found.group(1)
    return ""


def _status(request: Request, order: str, results: list[Any]) -> _Decision:
    if not results:
        return "", [("lookup_order", {"order_id": order})]
    seen = results[-1]
    if not seen.get("found"):
        return f"I cannot find order #{order}. Could you check the number on your confirmation e-mail?", []
    if seen["status"] == "syncing":
        if "Never call a tool twice" not in request.system:
            return "", [("lookup_order", {"order_id": order})]
        return (
            f"The warehouse has not confirmed order #{order} yet. I have opened a ticket, "
            "and you will get an e-mail as soon as it ships."
        ), []
    return f"Your {seen['item']} (order #{order}) is {seen['status']}.", []


def _policy(request: Request, asked: str, results: list[Any]) -> _Decision:
    if not results:
        return "", [("refund_policy", {"topic": "returns"})]
    text = results[-1]["text"]
    if re.search(r"\b(everything|in full|whole)\b", asked):
        extra = "Please keep the packaging, since our carrier collects large items only in it. "
        return f"Gladly. {text} " + extra * 9 + "Is there anything else?", []
    if re.search(r"\b(how long|how many days|still|time)\b", asked):
        promised = _WINDOW.search(request.system) or _WINDOW.search(text)
        days = promised.group(1) if promised else "some"
        return f"You can return it within {days} days of delivery and get a full refund.", []
    return f"Here is what our policy says: {text}", []


def _refund(request: Request, order: str, results: list[Any]) -> _Decision:
    if not results:
        return "", [("lookup_order", {"order_id": order})]
    seen = results[0]
    if not seen.get("found"):
        return f"I cannot find order #{order}. Could you check the number on your confirmation e-mail?", []
    if "price" not in seen:
        return f"Order #{order} is not confirmed yet, so there is nothing to pay back. Shall I cancel it?", []
    if len(results) == 1:
        return "", [("issue_refund", {"order_id": order, "amount": seen["price"]})]
    paid = results[-1]
    if "error" in paid and "If a tool fails" in request.system:
        return (
            f"I could not reach our payment service, so order #{order} is not refunded yet. "
            f"I have opened a ticket, and a colleague will finish it today."
        ), []
    return f"Done! I have refunded {seen['price']:.2f} EUR for order #{order}; expect it within 5 working days.", []


def _chat(asked: str) -> str:
    if re.search(r"\b(thanks|thank you|great)\b", asked):
        return "You are welcome. Have a lovely day!"
    if "assembl" in asked:
        return "Every piece comes with a printed guide and the one tool it needs; most take twenty minutes."
    if "ship" in asked or "deliver" in asked:
        return "Delivery takes 3 to 5 working days and is free from 50 EUR."
    if "open" in asked or "hours" in asked:
        return "Our showroom is open Monday to Saturday, from 10 to 18 o'clock."
    if "wood" in asked or "oak" in asked:
        return "All our oak and walnut comes from certified forests in Europe."
    return "Hello! I can help with orders, returns and refunds. What can I do for you?"
