"""What a call was asked with and how it ended: request parameters, models, finish reasons, streaming."""

from __future__ import annotations

import math
import re
from typing import TYPE_CHECKING, Any

from collector.processors.normalise.asked import asks_for_json
from collector.processors.normalise.exchange import first_text, is_response_echo, read_params
from collector.processors.normalise.literal import read_json_object, read_value
from schema.span import FinishReason, Kind

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from collector.processors.normalise.subject import Subject

ECHOED_DEFAULTS = {"temperature": 1, "top_p": 1, "frequency_penalty": 0, "presence_penalty": 0}
"""What an answer of OpenAI's Responses API repeats of a request that set nothing (its API reference)."""
PRINTED = re.compile(r"^<.* object at 0x[0-9a-f]+>$|^NOT_GIVEN$")
"""A client library's stand-in for "not set", printed."""
POSITIVE = frozenset({"max_tokens", "top_k"})
WHOLE = POSITIVE | {"seed"}


def convert_settings(subject: Subject) -> None:
    """Find parameters, models, response id, streaming and finish reasons."""
    if subject.kind not in (Kind.LLM, Kind.EMBEDDING, Kind.RERANK):
        return
    stated = _stated(subject)
    request, response = subject.request, subject.response
    if subject.kind == Kind.LLM:
        subject.put("request_params", _params(subject, stated))
        subject.put("finish_reasons", _finish_reasons(subject))
    if request is not None:
        subject.put("request_model", request.model)
        subject.put("streaming", request.streaming)
    for params in stated:
        if not is_response_echo(params):
            subject.put("request_model", first_text(params, ("model", "model_name")))
        if isinstance(params.get("stream"), bool):
            subject.put("streaming", params["stream"])
    if any(k in subject.view for k in subject.table.content["first_chunk"]):
        subject.put("streaming", True)  # noqa: FBT003 - a column's value
    name = subject.view.first(subject.table.content["streaming_names"])
    if isinstance(name, str):
        subject.put("streaming", "stream" in name.lower())
    if response is not None:
        subject.put("response_model", response.model)
        subject.put("response_id", response.response_id)


def _stated(subject: Subject) -> list[dict[str, Any]]:
    """Return the objects of settings the dialect keeps apart from the request."""
    found = map(read_json_object, subject.view.each(subject.table.content["params"]))
    return [read_params(p) for p in found if p]


def _params(subject: Subject, stated: Sequence[dict[str, Any]]) -> dict[str, Any]:
    names = subject.table.params.names
    found: dict[str, Any] = {}
    places: list[Iterable[tuple[str, Any]]] = [subject.view.under(p) for p in subject.table.params.prefixes]
    places += [p.items() for p in stated if not is_response_echo(p)]
    places += [_echoed(p) for p in stated if is_response_echo(p)]
    places += [subject.request.params.items()] if subject.request is not None else []
    for place in places:
        for spelling, raw in place:
            name = names.get(spelling)
            if name and name not in found and (value := param(name, raw)) is not None:
                found[name] = value
    made_up = _invented(subject)
    found = {k: v for k, v in found.items() if made_up.get(k) != v}
    requests = stated if subject.request is None else [*stated, subject.request.params]
    if asks_for_json(subject.view.each(subject.table.content["output_type"]), requests):
        found["output_type"] = "json"
    return found


def _echoed(answer: Mapping[str, Any]) -> Iterable[tuple[str, Any]]:
    """Return what a response repeats of its request; a default proves nothing."""
    return [(k, v) for k, v in answer.items() if v is not None and ECHOED_DEFAULTS.get(k) != v]


def _invented(subject: Subject) -> Mapping[str, float]:
    for scope, defaults in subject.table.params.invented:
        if subject.scope_name.startswith(scope):
            return defaults
    return {}


def param(name: str, raw: Any) -> Any:
    """Return a parameter as a number or a list of stop texts; None for what no request can carry (NaN, max -1)."""
    value = read_value(raw)
    if name == "stop":
        items = value if isinstance(value, list) else [value]
        return [s for s in items if isinstance(s, str) and s and not PRINTED.search(s)] or None
    if isinstance(value, str):
        try:
            value = float(value) if len(value) < 32 else None
        except ValueError:
            return None
    if value is None or isinstance(value, bool) or not isinstance(value, (int, float)) or not math.isfinite(value):
        return None
    if name in POSITIVE and value <= 0:
        return None
    return int(value) if name in WHOLE and float(value).is_integer() else value


def _finish_reasons(subject: Subject) -> list[str]:
    messages = subject.found.get("output_messages", [])
    raw: list[Any] = _listed(subject.view.first(subject.table.finish.keys))
    told = {m["finish_reason"] for m in messages if "finish_reason" in m}
    response = subject.response
    reasons = _classes(subject, raw) or _classes(subject, [m.get("finish_reason") for m in messages])
    if not reasons and response is not None:
        reasons = _classes(subject, response.finish_reasons)
    if not reasons:
        reasons = _classes(subject, [e.fields.get("finish_reason") for e in subject.events])
    if not reasons:
        reasons = _classes(subject, _of_empty_answers(subject))
    calls = any(p["type"] == "tool_call" for m in messages for p in m["parts"])
    if calls and reasons and (set(reasons) == {FinishReason.STOP}):
        # "stop" (or Google's STOP, or "completed") on a turn that ends in tool calls: it stopped to have them run
        return [FinishReason.TOOL_CALL]
    return reasons if reasons or not told else []


def _of_empty_answers(subject: Subject) -> list[Any]:
    """Return the reasons of indexed answers of which nothing else was written down."""
    return [
        v
        for prefix in subject.table.content["output_indexed"]
        for k, v in subject.view.under(prefix)
        if k.endswith(".finish_reason")
    ]


def _listed(value: Any) -> list[Any]:
    value = read_value(value)
    if isinstance(value, str):
        return [v.strip() for v in value.split(",")]
    return value if isinstance(value, list) else []


def _classes(subject: Subject, raw: Iterable[Any]) -> list[str]:
    return [c for r in raw if (c := subject.table.finish.canonical(r))]
