"""Conversations: from attributes, indexed keys, events and whole requests, in that order of trust."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from collector.processors.normalise.exchange import (
    Request,
    Response,
    is_request,
    read_request,
    read_response,
    system_parts,
)
from collector.processors.normalise.indexed import unflatten
from collector.processors.normalise.literal import read_value
from collector.processors.normalise.messages import Message, read_message, read_messages, settle, text_of
from collector.processors.normalise.parts import read_part, tool_call_part
from collector.processors.normalise.subject import Event
from collector.processors.normalise.view import withheld
from schema.anyvalue import to_text
from schema.span import FinishReason, Kind

if TYPE_CHECKING:
    from collections.abc import Sequence

    from collector.processors.normalise.subject import Subject

CALLS = frozenset({Kind.LLM, Kind.EMBEDDING})
CONVERSING = CALLS | {Kind.AGENT, Kind.WORKFLOW, Kind.OTHER}
MESSAGE_EVENTS = {
    "gen_ai.system.message": "system",
    "gen_ai.user.message": "user",
    "gen_ai.assistant.message": "assistant",
    "gen_ai.tool.message": "tool",
}
ROLE_LINE = ("system:", "user:", "assistant:", "tool:")
PREPARES = "prepares_call"
"""What a span marked as a call but returning a request is found to do."""
USER, ASSISTANT = frozenset({"user"}), frozenset({"assistant"})


def convert_content(subject: Subject) -> None:
    """Find messages, system instructions and plain texts."""
    _read_exchange(subject)
    if subject.kind in CONVERSING:
        _from_attributes(subject)
        _from_indexed(subject)
        _from_conversation(subject)
        _from_events(subject)
        _from_answer_parts(subject)
        _from_exchange(subject)
        _settle_system(subject)
    _texts(subject)


def _read_exchange(subject: Subject) -> None:
    """Read the whole request and response where there are any; other converters use them too."""
    content, view = subject.table.content, subject.view
    given, answered = view.first(content["input"]), view.first(content["output"])
    if given is not None and subject.kind in CONVERSING:
        subject.request = read_request(given)
    if answered is not None and subject.kind in CALLS and is_request(answered):
        subject.put(PREPARES, True)  # noqa: FBT003 - a fact's value
        return
    if answered is not None and subject.kind in CONVERSING:
        subject.response = read_response(answered)


def _from_attributes(subject: Subject) -> None:
    content, view = subject.table.content, subject.view
    subject.put("input_messages", read_messages(view.first(content["input_messages"])))
    subject.put("output_messages", read_messages(view.first(content["output_messages"]), "assistant"))
    subject.put("system_instructions", system_parts(view.first(content["system_instructions"])))


def _from_indexed(subject: Subject) -> None:
    content, view = subject.table.content, subject.view
    if subject.kind == Kind.EMBEDDING:
        return
    for column, prefixes, role in (
        ("input_messages", content["input_indexed"], "user"),
        ("output_messages", content["output_indexed"], "assistant"),
    ):
        for prefix in prefixes:
            nested = unflatten(view.under(prefix))
            if isinstance(nested, list):
                subject.put(column, read_messages(_as_messages(nested), role))


def _as_messages(nested: list[Any]) -> list[Any]:
    return [_as_message(n) if isinstance(n, dict) and "message" not in n else n for n in nested]


def _as_message(item: dict[str, Any]) -> dict[str, Any]:
    inner = item.get("prompt", item.get("completion"))
    return {"role": None, "content": inner.get("text")} if isinstance(inner, dict) else {"role": None, **item}


def _from_conversation(subject: Subject) -> None:
    """Split a whole conversation into what went in and the answer that ended it."""
    messages = read_messages(subject.view.first(subject.table.content["conversation"]))
    if messages:
        _split(subject, messages)


def _split(subject: Subject, messages: list[Message]) -> None:
    end = len(messages)
    if messages[-1]["role"] == "assistant":
        end -= 1
        subject.put("output_messages", messages[end:])
    subject.put("input_messages", messages[:end])


def _from_events(subject: Subject) -> None:
    given: list[Message] = []
    answered: list[Message] = []
    packed = _attribute_events(subject)
    for event in [*subject.events, *packed]:
        _read_event(event.name, event.fields, given, answered)
    given = settle(given)
    if answered:
        subject.put("input_messages", given)
        subject.put("output_messages", answered)
    elif given:
        if subject.kind == Kind.LLM and not packed:
            subject.put("input_messages", given)
        else:
            _split(subject, given)


def _attribute_events(subject: Subject) -> Sequence[Event]:
    items = read_value(subject.view.first(subject.table.content["events"]))
    if not isinstance(items, list):
        return []
    return [Event(str(i.get("event.name", "")), i) for i in items if isinstance(i, dict)]


def _read_event(name: str, fields: Any, given: list[Message], answered: list[Message]) -> None:
    if isinstance(packed := read_value(fields.get("gen_ai.event.content")), dict):  # Azure's and Semantic Kernel's
        fields = {**fields, **packed}
    if name in MESSAGE_EVENTS:
        given += _event_message(fields, MESSAGE_EVENTS[name])
    elif name == "gen_ai.choice":
        inner = read_value(fields.get("message"))
        choice = {"message": inner} if isinstance(inner, dict) else {"role": "assistant", "content": inner}
        answered += read_messages([{**choice, "finish_reason": fields.get("finish_reason")}], "assistant")
    elif name == "gen_ai.content.prompt":
        given += _flat_text(fields.get("gen_ai.prompt"), "user")
    elif name == "gen_ai.content.completion" and not withheld(fields.get("gen_ai.completion")):
        answered += _flat_text(fields.get("gen_ai.completion"), "assistant")


def _event_message(fields: Any, role: str) -> list[Message]:
    message = {k: v for k, v in fields.items() if k in ("content", "tool_calls", "id", "name", "tool_call_id")}
    if isinstance(message.get("content"), str) and message["content"][:1] == "[":
        blocks = read_value(message["content"])
        message["content"] = blocks if isinstance(blocks, list) and blocks else message["content"]
    return read_messages([{"role": role, **message}], role)


def _flat_text(value: Any, role: str) -> list[Message]:
    """Read a prompt that was flattened to lines "user: ..."; anything else as messages."""
    if not isinstance(value, str) or not value.lower().startswith(ROLE_LINE):
        return read_messages(value, role)
    messages: list[Message] = []
    for line in value.split("\n"):
        who, colon, said = line.partition(":")
        if colon and f"{who.lower()}:" in ROLE_LINE:
            messages.append({"role": who.lower(), "parts": [{"type": "text", "content": said.strip()}]})
        else:
            messages[-1]["parts"][0]["content"] += "\n" + line
    return messages


def _from_answer_parts(subject: Subject) -> None:
    """Put an answer together from keys that hold one part each: text, object, tool calls, reasoning."""
    content, view = subject.table.content, subject.view
    parts: list[dict[str, Any]] = []
    if said := view.first(content["answer_reasoning"]):
        parts.append({"type": "reasoning", "content": said if isinstance(said, str) else to_text(said)})
    text = view.first(content["answer_text"]) or view.first(content["answer_object"])
    if text:
        parts.append({"type": "text", "content": text if isinstance(text, str) else to_text(text)})
    calls = read_value(view.first(content["answer_tool_calls"]))
    for call in calls if isinstance(calls, list) else []:
        part = read_part({**call, "type": "tool-call"}) if isinstance(call, dict) else None
        parts += [part] if part else []
    if subject.kind == Kind.LLM and not calls:
        parts += _lone_call(subject)
    if parts:
        subject.put("output_messages", [{"role": "assistant", "parts": parts}])


def _lone_call(subject: Subject) -> list[dict[str, Any]]:
    """Return the tool call that a model's span tells by a tool's own keys: name and arguments (OpenLIT)."""
    content, view = subject.table.content, subject.view
    name, arguments = view.first(content["answer_tool_name"]), read_value(view.first(content["tool_arguments"]))
    ended = read_value(view.first(subject.table.finish.keys))
    ends_in_call = FinishReason.TOOL_CALL in map(
        subject.table.finish.canonical, ended if isinstance(ended, list) else [ended]
    )
    if not isinstance(name, str) or not isinstance(arguments, dict) or not ends_in_call:
        return []
    return [tool_call_part(view.first(content["answer_tool_call_id"]), name, arguments)]


def _from_exchange(subject: Subject) -> None:
    request, response = subject.request, subject.response
    if request is not None and subject.kind != Kind.EMBEDDING:
        put = _talk if subject.kind == Kind.LLM else _other_talk
        put(subject, request, response)
    elif response is not None and subject.kind != Kind.EMBEDDING:
        put = _talk if subject.kind == Kind.LLM else _other_talk
        put(subject, Request(), response)
    elif subject.kind == Kind.LLM:
        given = subject.view.first(subject.table.content["input"])
        plain = read_value(given)
        if isinstance(plain, str):
            subject.put("input_messages", read_messages(plain))


def _talk(subject: Subject, request: Request, response: Response | None) -> None:
    subject.put("input_messages", request.messages)
    if not any(m["role"] == "system" for m in subject.found.get("input_messages", [])):
        subject.put("system_instructions", request.system)
    if response is not None and subject.kind in (Kind.LLM, Kind.AGENT):
        subject.put("output_messages", [m for m in response.messages if m["parts"]])


def _other_talk(subject: Subject, request: Request, response: Response | None) -> None:
    """Take an agent's answer to be what follows the conversation it was given."""
    if response is not None:
        tail = response.messages
        while tail and tail[0]["role"] in ("user", "system"):
            tail = tail[1:]
        response.messages = [m for m in tail if m["role"] == "assistant"][-1:]
    if subject.kind == Kind.AGENT:
        _talk(subject, request, response)


def _settle_system(subject: Subject) -> None:
    """Keep a system text once: in the instructions, not also in a message."""
    instructions, messages = subject.found.get("system_instructions"), subject.found.get("input_messages")
    if not instructions or not messages:
        return
    said = {_bare(p.get("content")) for p in instructions} | {
        _bare("".join(str(p.get("content")) for p in instructions))
    }
    kept = [
        m for m in messages if m["role"] != "system" or not all(_bare(p.get("content")) in said for p in m["parts"])
    ]
    if kept:
        subject.found["input_messages"] = kept
    else:
        del subject.found["input_messages"]


def _bare(text: Any) -> str:
    return "".join(str(text).split())


def _texts(subject: Subject) -> None:
    """Find the plain text that went in and came out, whatever the kind."""
    content, view = subject.table.content, subject.view
    if subject.kind == Kind.EMBEDDING:
        subject.put("input_text", "\n".join(_embedded_texts(subject)))
        return
    if subject.kind in (Kind.RETRIEVAL, Kind.RERANK, Kind.MEMORY):
        _retrieved_texts(subject)
    users = [m for m in subject.found.get("input_messages", []) if m["role"] == "user"]
    subject.put("input_text", text_of(users[-1:]))
    subject.put("output_text", text_of(subject.found.get("output_messages", []), ASSISTANT))
    if subject.kind != Kind.LLM:
        if subject.request is not None:  # the state of a graph: a conversation among other things
            subject.put("input_text", text_of([m for m in subject.request.messages if m["role"] == "user"][-1:]))
        if subject.response is not None:
            subject.put("output_text", text_of(subject.response.messages[-1:], ASSISTANT))
        subject.put("input_text", plain_text(view.first(content["input"])))
        subject.put("output_text", plain_text(view.first(content["output"])))


def _embedded_texts(subject: Subject) -> list[str]:
    content, view = subject.table.content, subject.view
    for prefix in content["embedding_indexed"]:
        nested = unflatten(view.under(prefix, ".text"))  # the vectors beside them are not worth decoding
        items = [n.get("embedding", n) for n in nested if isinstance(n, dict)] if isinstance(nested, list) else []
        if texts := [i["text"] for i in items if isinstance(i, dict) and isinstance(i.get("text"), str)]:
            return texts
    given = read_value(view.first(content["embedding_texts"]))
    if given is not None:
        return [str(read_value(v)) for v in (given if isinstance(given, list) else [given])]
    if subject.request is not None and subject.request.texts:
        return subject.request.texts
    for prefix in content["input_indexed"]:
        nested = unflatten(view.under(prefix))
        if isinstance(nested, list) and (messages := read_messages(_as_messages(nested))):
            return [t for m in messages if (t := text_of([m]))]
    messages = read_messages(view.first(content["input_messages"]))
    if texts := [str(p["content"]) for m in messages for p in m["parts"] if p["type"] == "text"]:
        return texts
    plain = read_value(view.first(content["input"]))
    return [plain] if isinstance(plain, str) else _strings(plain)


def _strings(value: Any) -> list[str]:
    if isinstance(value, dict):
        value = next((value[k] for k in ("input", "inputs", "texts", "text", "values", "query") if value.get(k)), None)
    if isinstance(value, str):
        return [value]
    return [v for v in value if isinstance(v, str)] if isinstance(value, list) else []


def _retrieved_texts(subject: Subject) -> None:
    content, view = subject.table.content, subject.view
    query = view.first(content["query"]) or read_value(view.first(content["input"]))
    if isinstance(query, dict):
        query = next((query[k] for k in ("query", "question", "input", "text") if isinstance(query.get(k), str)), None)
    subject.put("input_text", query if isinstance(query, str) else None)
    documents: Any = None
    for prefix in content["documents_indexed"]:
        documents = documents or unflatten(view.under(prefix))
    documents = documents or read_value(view.first(content["documents"])) or read_value(view.first(content["output"]))
    if isinstance(documents, dict):
        documents = next((documents[k] for k in ("documents", "results", "output") if k in documents), None)
    texts = [t for d in documents if (t := _document_text(d))] if isinstance(documents, list) else []
    subject.put("output_text", "\n".join(texts))


def _document_text(document: Any) -> str | None:
    if isinstance(document, str):
        return document
    if not isinstance(document, dict):
        return None
    inner = next((document[k] for k in ("document", "kwargs") if isinstance(document.get(k), dict)), document)
    said = next((inner[k] for k in ("content", "page_content", "text", "pageContent") if inner.get(k)), None)
    return said if isinstance(said, str) else None


def plain_text(value: Any) -> str | None:
    """Return the text of a function's input or output: a lone string inside it, else its JSON."""
    value = read_value(value)
    if isinstance(value, dict) and set(value) >= {"args", "kwargs"}:
        value = [*value["args"], *value["kwargs"].values()] if _call_shape(value) else value
    if isinstance(value, (dict, list)):
        inner = list(value.values()) if isinstance(value, dict) else value
        if not inner:
            return None
        if len(inner) == 1 and isinstance(inner[0], str):
            return inner[0]
        message = read_message(value) if isinstance(value, dict) and "content" in value else None
        return (text_of([message]) if message else None) or to_text(value)
    return None if value is None or value == "" else to_text(value)


def _call_shape(value: dict[str, Any]) -> bool:
    return isinstance(value["args"], list) and isinstance(value["kwargs"], dict)
