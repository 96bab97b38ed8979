"""How a trace reads: its tree, its conversation, the input that failed, what went in and came out."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from schema.case import message_text

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from evalgate.select.traces import Span, Trace

SPEAKING = ("agent", "workflow", "llm")
"""Kinds of span whose input a user may have written."""
MAX_RESULT_CHARS = 64 * 1024
"""Of one tool result in a case: a page that a retriever found fits."""
MAX_RESULTS_CHARS = 512 * 1024
"""Of all of them in one case."""


@dataclass(frozen=True, slots=True)
class Line:
    """One line of a conversation."""

    role: str
    """user, assistant, system, tool; "tool call" for what the assistant asked of a tool."""
    text: str


def tree(spans: tuple[Span, ...]) -> Iterator[tuple[int, Span]]:
    """Yield (depth, span), parents before children, siblings in order of start.

    A span whose parent is missing is a root; so is one of a cycle, which only a damaged client can send.
    """
    ids = {s.span_id for s in spans}
    children: dict[str, list[Span]] = {}
    for s in spans:
        children.setdefault(s.parent_span_id if s.parent_span_id in ids else "", []).append(s)
    seen: set[str] = set()
    # What hangs on a real root first; then whatever a cycle holds back.
    for root in (*children.get("", ()), *spans):
        stack = [(0, root)]
        while stack:
            depth, span = stack.pop()
            if span.span_id in seen:
                continue
            seen.add(span.span_id)
            yield depth, span
            stack.extend((depth + 1, child) for child in reversed(children.get(span.span_id, ())))


def speaking_span(trace: Trace, span_id: str = "") -> Span | None:
    """Return the span that holds what the user said and was told: the given one, else the root-most that has input."""
    if span_id:
        return next((s for s in trace.spans if s.span_id == span_id), None)
    ranked = [s for _, s in sorted(tree(trace.spans), key=lambda pair: pair[0]) if s.kind in SPEAKING]
    with_messages = next((s for s in ranked if s.input_messages), None)
    return with_messages or next((s for s in ranked if s.input_text), None) or next(iter(ranked), None)


def user_input(trace: Trace, span_id: str = "") -> tuple[tuple[Mapping[str, Any], ...], str | None]:
    """Return (messages up to the last of the user, its text): what a test must send again.

    System text is left out: it belongs to the release under test. What the agent did after the user's last message
    is what a test has to find out anew.
    """
    span = speaking_span(trace, span_id)
    if span is None:
        return (), None
    said = [m for m in span.input_messages if m.get("role") != "system"]
    last = max((i for i, m in enumerate(said) if m.get("role") == "user"), default=None)
    if last is None:
        return (), span.input_text or _tool_input(span)
    return tuple(said[: last + 1]), message_text(said[last]) or span.input_text


def final_output(trace: Trace, span_id: str = "") -> str | None:
    """Return what the user was told in the end."""
    span = speaking_span(trace, span_id)
    if span is not None and span.output_text:
        return span.output_text
    if span is not None and (text := "\n".join(filter(None, map(message_text, span.output_messages)))):
        return text
    if span_id:
        return _text(span.tool_result) if span is not None and span.tool_result is not None else None
    said = [s.output_text for s in trace.spans if s.kind == "llm" and s.output_text]
    return said[-1] if said else None


def tool_calls(trace: Trace, span_id: str = "") -> tuple[dict[str, Any], ...]:
    """Return {name, arguments, result?, error?} of every tool call below the given span (or of the trace), in order.

    From the tools' own spans where there are any, else from what the models asked for and were told. Results are what
    a run can replay; one that is too large to keep is left out and named in `omitted`.
    """
    inside = _below(trace, span_id) if span_id else trace.spans
    ran = [_ran(s) for s in inside if s.kind == "tool"]
    return _bounded(ran or _asked(inside))


def finish_reason(trace: Trace, span_id: str = "") -> str | None:
    """Return why the model stopped that spoke last; None where nobody recorded it."""
    inside = _below(trace, span_id) if span_id else trace.spans
    reasons = [s.finish_reasons[-1] for s in inside if s.kind == "llm" and s.finish_reasons]
    return reasons[-1] if reasons else None


def conversation(trace: Trace) -> list[Line]:
    """Return the longest conversation of the trace as one model call saw it, with its answer."""
    calls = [s for s in trace.spans if s.kind == "llm" and (s.input_messages or s.output_messages)]
    if not calls:
        calls = [s for s in trace.spans if s.input_messages or s.output_messages]
    if not calls:
        return _plain(trace)
    longest = max(calls, key=lambda s: (len(s.input_messages), s.start_unix_ns))
    return [line for m in (*longest.input_messages, *longest.output_messages) for line in _lines(m)]


def failed_spans(trace: Trace) -> list[Span]:
    """Return the spans that failed, without the ancestors that only passed the failure on."""
    failed = [s for s in trace.spans if s.failing or s.error]
    parents = {s.parent_span_id for s in failed}
    return [s for s in failed if s.span_id not in parents]


def span_input(span: Span) -> str:
    """Return the exact input of a span as text."""
    if span.kind == "tool" or (span.tool_arguments is not None and not span.input_messages):
        return _tool_input(span) or ""
    if span.input_messages:
        return "\n".join(f"{line.role}: {line.text}" for m in span.input_messages for line in _lines(m))
    return span.input_text or ""


def _plain(trace: Trace) -> list[Line]:
    span = speaking_span(trace)
    if span is None:
        return []
    pairs = (("user", span.input_text), ("assistant", span.output_text))
    return [Line(role, text) for role, text in pairs if text]


def _lines(message: Mapping[str, Any]) -> Iterator[Line]:
    role = str(message.get("role") or "unknown")
    for part in message["parts"]:
        match part.get("type"):
            case "text":
                yield Line(role, _text(part.get("content")))
            case "reasoning":
                yield Line(f"{role}, thinking", _text(part.get("content")))
            case "tool_call":
                yield Line("tool call", f"{part.get('name')}({_text(part.get('arguments'))})")
            case "tool_call_response":
                yield Line("tool", _text(part.get("response")))
            case other:
                yield Line(role, f"[{other or 'part without a type'}]")


def _text(value: Any) -> str:
    if value is None:
        return ""
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def _tool_input(span: Span) -> str | None:
    if span.tool_arguments is None:
        return span.input_text
    return f"{span.tool_name or span.name}({_text(span.tool_arguments)})"


def _ran(span: Span) -> dict[str, Any]:
    call: dict[str, Any] = {"name": span.tool_name or span.name, "arguments": span.tool_arguments}
    if span.tool_result is not None:
        call["result"] = span.tool_result
    if span.error:
        call["error"] = span.problem
    return call


def _asked(spans: Iterable[Span]) -> list[dict[str, Any]]:
    models = [s for s in spans if s.kind == "llm" and s.counted]
    told = {
        p["id"]: p["response"]
        for s in models
        for m in s.input_messages
        for p in m["parts"]
        if p.get("type") == "tool_call_response" and isinstance(p.get("id"), str) and p.get("response") is not None
    }
    calls = []
    for s in models:
        for p in (p for m in s.output_messages for p in m["parts"] if p.get("type") == "tool_call"):
            call = {"name": p.get("name"), "arguments": p.get("arguments")}
            known = isinstance(p.get("id"), str) and p["id"] in told
            calls.append(call | {"result": told[p["id"]]} if known else call)
    return calls


def _bounded(calls: Sequence[dict[str, Any]]) -> tuple[dict[str, Any], ...]:
    """Leave out what would make a case too large for a file that people read."""
    left = MAX_RESULTS_CHARS
    kept = []
    for call in calls:
        size = len(_text(call.get("result")))
        if size > min(MAX_RESULT_CHARS, left):
            call = {k: v for k, v in call.items() if k != "result"} | {"omitted": f"a result of {size} characters"}  # noqa: PLW2901 - one call, cut
        else:
            left -= size
        kept.append(call)
    return tuple(kept)


def _below(trace: Trace, span_id: str) -> list[Span]:
    """Return the span and everything below it."""
    inside = {span_id}
    ordered = [s for _, s in tree(trace.spans)]
    for s in ordered:
        if s.parent_span_id in inside:
            inside.add(s.span_id)
    return [s for s in trace.spans if s.span_id in inside]
