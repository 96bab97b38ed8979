"""Tool spans: arguments by name and the result, as values."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from collector.processors.normalise.literal import read_marked, read_value
from collector.processors.normalise.parts import joined_blocks
from collector.processors.normalise.quality import TRUNCATED
from collector.processors.normalise.view import withheld
from schema.span import Kind

if TYPE_CHECKING:
    from collector.processors.normalise.subject import Subject

NAME_PREFIXES = ("execute_tool ", "running tool: ", "execute_tool:", "tool_call ")


def convert_tool(subject: Subject) -> None:
    """Find a tool span's name, call id, arguments and result."""
    if subject.kind != Kind.TOOL:
        return
    content, view = subject.table.content, subject.view
    arguments = view.first(content["tool_arguments"])
    if arguments is None:
        arguments = view.first(content["input"])
    result = view.first(content["tool_result"])
    if result is None:
        result = view.first(content["output"])
    for event in subject.events:
        if event.name == "gen_ai.tool.message" and arguments is None:
            arguments = event.fields.get("content")
        elif event.name == "gen_ai.choice" and result is None:
            result = event.fields.get("message", event.fields.get("content"))
        elif event.name in subject.table.tool_result_events and result is None:
            said = (event.fields.get(k) for k in subject.table.tool_result_fields)
            result = next((v for v in said if v is not None and not withheld(v)), None)
    if _ends_early(arguments) or _ends_early(result):
        subject.put(TRUNCATED, value=True)
    if arguments is not None:
        subject.put("tool_arguments", _json(tool_arguments(arguments)))
    if result is not None:
        subject.put("tool_result", _json(tool_result(result)))
    name = subject.name
    for prefix in NAME_PREFIXES:
        name = name.removeprefix(prefix)
    subject.put("tool_name", name.removeprefix("[").removesuffix("]"))


def _ends_early(raw: Any) -> bool:
    """Tell whether JSON was cut off."""
    if not isinstance(raw, str) or raw[:1] not in ("[", "{") or raw.rstrip()[-1:] in ("]", "}"):
        return False
    return read_marked(raw)[1]


def _json(value: Any) -> tuple[Any]:
    """Wrap a JSON value, so that {} and 0 are kept as known."""
    return (value,)


def tool_arguments(raw: Any) -> Any:
    """Return arguments by name, without a framework's wrapping."""
    value = read_value(raw)
    if not isinstance(value, dict):
        return value
    if isinstance(value.get("kwargs"), dict) and (isinstance(value.get("args"), list) or value.keys() == {"kwargs"}):
        return value["kwargs"] | ({"args": value["args"]} if value.get("args") else {})
    if value.keys() == {"input"} and isinstance(inner := read_value(value["input"]), dict):
        return inner  # LangSmith: the arguments printed
    if "input_str" in value:  # LangChain's callback, as Traceloop writes it down
        return value["inputs"] if isinstance(value.get("inputs"), dict) else read_value(value["input_str"])
    if value.get("type") in ("tool_call", "tool-call", "tool_use") or {"name", "args", "id"} <= value.keys():
        inner = next((value[k] for k in ("args", "arguments", "input") if k in value), value)
        return read_value(inner)
    return value


def tool_result(raw: Any) -> Any:
    """Return a result as a value: out of a tool message, out of text blocks."""
    value = read_value(raw)
    if isinstance(value, dict):
        inner = value.get("kwargs") if "lc" in value else value
        if isinstance(inner, dict) and "content" in inner and ("tool_call_id" in inner or inner.get("type") == "tool"):
            return read_value(joined_blocks(inner["content"]))
        if {"tool_name", "raw_output"} <= value.keys():  # LlamaIndex's ToolOutput
            return read_value(value["raw_output"])
        if "output" in value and value.keys() <= {"output", "kwargs"}:
            return tool_result(value["output"]) if isinstance(value["output"], dict) else read_value(value["output"])
    return read_value(joined_blocks(value))
