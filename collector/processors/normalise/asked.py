"""Whether a call asked for JSON, however its dialect or provider says so.

Sources: OpenTelemetry GenAI conventions (gen_ai.output.type), and the requests of OpenAI (response_format,
text.format), Anthropic (output_format, output_config.format), Google (response_mime_type), Ollama (format) and Pydantic
AI (output_mode; its mode "tool" answers by a tool call, "prompted" and "native" by text).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from collector.processors.normalise.literal import read_value

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

JSON_WORDS: Final = frozenset({"json", "json_object", "json_schema", "application/json", "native", "prompted"})
MEMBERS: Final = (
    *("response_format", "responseFormat", "output_format", "response_mime_type", "responseMimeType", "output_mode"),
    "format",
)
"""Members of a request that say it, by a word or by an object with a type or a schema."""
HOLDERS: Final = ("text", "output_config")
"""Members that hold such a `format`."""
OBJECT_OPERATIONS: Final = ("ai.generateobject", "ai.streamobject")
SCHEMA_MEMBERS: Final = ("json_schema", "schema", "properties", "$schema")


def asks_for_json(stated: Iterable[Any], requests: Iterable[Mapping[str, Any]]) -> bool:
    """Tell whether any of the values of keys that say nothing else, or a member of a request, asks for JSON."""
    return any(_says_json(read_value(v)) for v in stated) or any(_request_says_json(r) for r in requests)


def _request_says_json(request: Mapping[str, Any]) -> bool:
    if any(_says_json(request[m]) for m in MEMBERS if m in request):
        return True
    holders = (request.get(h) for h in HOLDERS)
    return any(_says_json(h.get("format")) for h in holders if isinstance(h, dict))


def _says_json(value: Any) -> bool:
    if isinstance(value, str):
        word = value.strip().lower()
        return word in JSON_WORDS or word.startswith(OBJECT_OPERATIONS)
    if not isinstance(value, dict):
        return False
    kind = value.get("type", value.get("output_mode"))
    if isinstance(kind, str) and kind in JSON_WORDS:
        return True
    return kind in (None, "object") and any(value.get(m) for m in SCHEMA_MEMBERS)
