"""The agent's loop: ask the model, run the tools it wants, until it answers."""

from __future__ import annotations

import json
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from .model import Message, ProviderError, Request
from .prompts import PROMPTS
from .spans import Spans, Turn, fail, reply
from .tools import TOOLS, ToolError

if TYPE_CHECKING:
    from collections.abc import Callable

    from opentelemetry.trace import SpanContext

    from .model import Model, Response, ToolCall
    from .telemetry import Telemetry

MAX_MODEL_CALLS = 8


@dataclass(frozen=True, slots=True)
class Reply:
    """What the customer gets, and where to look for how it came about."""

    text: str
    tool_calls: tuple[ToolCall, ...]
    span_context: SpanContext
    response_id: str | None


class TooManyModelCallsError(Exception):
    """The model went on asking for tools."""


@dataclass(slots=True)
class Agent:
    """One conversation with one customer."""

    telemetry: Telemetry
    model: Model
    release: str
    turn: Turn
    streams: bool = False
    sleep: Callable[[float], None] = time.sleep
    history: list[Message] = field(default_factory=list)
    """What was said so far; a turn's tool calls are not kept."""

    def answer(self, text: str, on_text: Callable[[str], None] | None = None) -> Reply:
        """Answer one message. What goes wrong on the way ends in an apology, never in an exception."""
        self.history.append(Message("user", text))
        spans = Spans(self.telemetry.tracer, self.telemetry.logger, self.turn)
        calls: list[ToolCall] = []
        response_id = None
        with spans.invoke_agent(self.release, self.history, TOOLS) as span:
            try:
                response = self._loop(spans, calls, on_text)
                said, response_id = response.text, response.id
            except ProviderError as e:
                fail(span, str(e), error_type=str(e.status))
                said = "Sorry, we are very busy right now. Please try again in a minute."
            except TooManyModelCallsError as e:
                fail(span, str(e), error_type=type(e).__qualname__)
                said = "Sorry, I could not find that out. Please call us."
            span.set_attribute("gen_ai.output.messages", reply(said))
        self.history.append(Message("assistant", said))
        return Reply(said, tuple(calls), span.get_span_context(), response_id)

    def _loop(self, spans: Spans, calls: list[ToolCall], on_text: Callable[[str], None] | None) -> Response:
        messages = list(self.history)
        for _ in range(MAX_MODEL_CALLS):
            request = Request(PROMPTS[self.release], tuple(messages), TOOLS, stream=self.streams)
            response = self._ask(spans, request, on_text)
            if not response.tool_calls:
                return response
            messages.append(Message("assistant", response.text, response.tool_calls))
            for call in response.tool_calls:
                calls.append(call)
                messages.append(Message("tool", json.dumps(_run(spans, call)), tool_call_id=call.id))
        raise TooManyModelCallsError(f"no answer after {MAX_MODEL_CALLS} model calls")

    def _ask(self, spans: Spans, request: Request, on_text: Callable[[str], None] | None) -> Response:
        """Call the model; a provider that asks for patience is asked once more."""
        try:
            return self._call(spans, request, on_text)
        except ProviderError as e:
            self.sleep(e.retry_after_s)
        return self._call(spans, request, on_text)

    def _call(self, spans: Spans, request: Request, on_text: Callable[[str], None] | None) -> Response:
        with spans.chat(request) as chat:
            response = self.model.complete(request, chat.listener(on_text))
            chat.finish(response)
            return response


def _run(spans: Spans, call: ToolCall) -> Any:
    """Run a tool; its failure is told to the model as its result."""
    tool = next(t for t in TOOLS if t.name == call.name)
    try:
        with spans.execute_tool(call, tool) as span:
            result = tool.run(**call.arguments)
            span.set_attribute("gen_ai.tool.call.result", json.dumps(result))
            return result
    except ToolError as e:
        return {"error": f"{type(e).__name__}: {e}"}
