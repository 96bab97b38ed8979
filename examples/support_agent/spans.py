"""The spans of the agent, written by hand in OpenTelemetry's GenAI conventions.

    invoke_agent support          one turn of a conversation; the root
    ├── chat larch-chat-2         a call of the model
    ├── execute_tool lookup_order
    └── chat larch-chat-2

Attributes: https://github.com/open-telemetry/semantic-conventions-genai (docs/gen-ai). The conversation is the session;
every span names it, because a span may travel alone. Message content is recorded on the spans; an app that must not
keep it leaves `gen_ai.input.messages`, `gen_ai.output.messages`, `gen_ai.system_instructions` and the tools' arguments
and results out.
"""

from __future__ import annotations

import json
import time
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from opentelemetry._logs import LogRecord, SeverityNumber
from opentelemetry.trace import NonRecordingSpan, Span, SpanKind, Status, StatusCode, set_span_in_context

from .model import ProviderError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from opentelemetry._logs import Logger
    from opentelemetry.trace import SpanContext, Tracer
    from opentelemetry.util.types import AttributeValue

    from .model import Message, Request, Response, ToolCall
    from .tools import Tool

PROVIDER = "larch"
AGENT = "support"


@dataclass(frozen=True, slots=True)
class Turn:
    """Whose turn this is, and through which door of the app it came."""

    session_id: str
    user_id: str
    feature: str

    def attributes(self) -> dict[str, AttributeValue]:
        """Return what every span of the turn carries."""
        return {"gen_ai.conversation.id": self.session_id, "user.id": self.user_id, "app.feature": self.feature}


@dataclass(frozen=True, slots=True)
class Spans:
    """Makes the agent's spans. An exception that leaves a span marks it as failed and goes on."""

    tracer: Tracer
    logger: Logger
    turn: Turn

    @contextmanager
    def invoke_agent(self, release: str, messages: Sequence[Message], tools: Sequence[Tool]) -> Iterator[Span]:
        """Cover one turn, from the customer's message to the reply."""
        attributes: dict[str, AttributeValue] = {
            "gen_ai.operation.name": "invoke_agent",
            "gen_ai.agent.name": AGENT,
            "gen_ai.prompt.name": AGENT,
            "gen_ai.prompt.version": release,
            "gen_ai.input.messages": _messages(messages),
            "gen_ai.tool.definitions": _definitions(tools),
        }
        with self._span(f"invoke_agent {AGENT}", SpanKind.INTERNAL, attributes) as span:
            yield span

    @contextmanager
    def chat(self, request: Request) -> Iterator[ChatSpan]:
        """Cover one call of the model; give the response to what is yielded."""
        attributes: dict[str, AttributeValue] = {
            "gen_ai.operation.name": "chat",
            "gen_ai.provider.name": PROVIDER,
            "gen_ai.request.model": request.model,
            "gen_ai.request.temperature": request.temperature,
            "gen_ai.request.max_tokens": request.max_tokens,
            "gen_ai.system_instructions": json.dumps([{"type": "text", "content": request.system}]),
            "gen_ai.input.messages": _messages(request.messages),
            "gen_ai.tool.definitions": _definitions(request.tools),
        }
        if request.stream:
            attributes["gen_ai.request.stream"] = True
        with self._span(f"chat {request.model}", SpanKind.CLIENT, attributes) as span:
            yield ChatSpan(span, time.monotonic())

    @contextmanager
    def execute_tool(self, call: ToolCall, tool: Tool) -> Iterator[Span]:
        """Cover one run of a tool."""
        attributes: dict[str, AttributeValue] = {
            "gen_ai.operation.name": "execute_tool",
            "gen_ai.tool.name": tool.name,
            "gen_ai.tool.type": "function",
            "gen_ai.tool.description": tool.description,
            "gen_ai.tool.call.id": call.id,
            "gen_ai.tool.call.arguments": json.dumps(dict(call.arguments)),
        }
        with self._span(f"execute_tool {tool.name}", SpanKind.INTERNAL, attributes) as span:
            yield span

    @contextmanager
    def _span(self, name: str, kind: SpanKind, attributes: dict[str, AttributeValue]) -> Iterator[Span]:
        with self.tracer.start_as_current_span(
            name,
            kind=kind,
            attributes={**attributes, **self.turn.attributes()},
            record_exception=False,  # an exception is a log event in the latest conventions
            set_status_on_exception=False,
        ) as span:
            try:
                yield span
            except Exception as e:
                fail(span, str(e), error_type=str(e.status) if isinstance(e, ProviderError) else type(e).__qualname__)
                if isinstance(e, ProviderError):
                    self._provider_error(e)
                raise

    def _provider_error(self, error: ProviderError) -> None:
        self.logger.emit(
            LogRecord(
                timestamp=time.time_ns(),
                event_name="gen_ai.client.operation.exception",
                severity_number=SeverityNumber.WARN,
                attributes={"exception.type": type(error).__qualname__, "exception.message": str(error)},
            )
        )


@dataclass(frozen=True, slots=True)
class ChatSpan:
    """A call of the model that is under way."""

    span: Span
    started_s: float

    def listener(self, on_text: Callable[[str], None] | None) -> Callable[[str], None]:
        """Return what a streamed answer's pieces go to: it records when the first came, and hands all on."""
        heard = False

        def hear(text: str) -> None:
            nonlocal heard
            if not heard:
                heard = True
                self.span.set_attribute("gen_ai.response.time_to_first_chunk", time.monotonic() - self.started_s)
            if on_text is not None:
                on_text(text)

        return hear

    def finish(self, response: Response) -> None:
        """Record the answer."""
        self.span.set_attributes(
            {
                "gen_ai.response.id": response.id,
                "gen_ai.response.model": response.model,
                "gen_ai.response.finish_reasons": [response.finish_reason],
                "gen_ai.usage.input_tokens": response.input_tokens,
                "gen_ai.usage.output_tokens": response.output_tokens,
                "gen_ai.usage.cache_read.input_tokens": response.cache_read_tokens,
                "gen_ai.output.messages": reply(response.text, response.tool_calls),
            }
        )


def fail(span: Span, message: str, *, error_type: str) -> None:
    """Mark a span as failed."""
    span.set_status(Status(StatusCode.ERROR, message))
    span.set_attribute("error.type", error_type)


def feedback(logger: Logger, about: SpanContext, response_id: str | None, *, liked: bool, comment: str) -> None:
    """Send a customer's thumb, whenever it comes: a log event that names the span it is about."""
    attributes: dict[str, Any] = {
        "gen_ai.evaluation.name": "user_feedback",
        "gen_ai.evaluation.score.value": 1.0 if liked else 0.0,
        "gen_ai.evaluation.score.label": "thumbs_up" if liked else "thumbs_down",
    }
    if comment:
        attributes["gen_ai.evaluation.explanation"] = comment
    if response_id is not None:
        attributes["gen_ai.response.id"] = response_id
    logger.emit(
        LogRecord(
            timestamp=time.time_ns(),
            context=set_span_in_context(NonRecordingSpan(about)),
            event_name="gen_ai.evaluation.result",
            severity_number=SeverityNumber.INFO,
            attributes=attributes,
        )
    )


def reply(text: str, tool_calls: Sequence[ToolCall] = ()) -> str:
    """Return the value of `gen_ai.output.messages` for one answer."""
    return json.dumps([{"role": "assistant", "parts": _parts(text, tool_calls)}])


def _messages(messages: Sequence[Message]) -> str:
    return json.dumps([_message(m) for m in messages])


def _message(message: Message) -> dict[str, Any]:
    if message.role == "tool":
        part = {"type": "tool_call_response", "id": message.tool_call_id, "response": json.loads(message.text)}
        return {"role": "tool", "parts": [part]}
    return {"role": message.role, "parts": _parts(message.text, message.tool_calls)}


def _parts(text: str, tool_calls: Sequence[ToolCall]) -> list[Mapping[str, Any]]:
    parts: list[Mapping[str, Any]] = [{"type": "text", "content": text}] if text else []
    parts += [{"type": "tool_call", "id": c.id, "name": c.name, "arguments": dict(c.arguments)} for c in tool_calls]
    return parts


def _definitions(tools: Sequence[Tool]) -> str:
    return json.dumps(
        [
            {"type": "function", "name": t.name, "description": t.description, "parameters": dict(t.parameters)}
            for t in tools
        ]
    )
