"""Reads what an endpoint answered: a completion, or what went wrong and whether another attempt may help."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from evalgate.files import strict_json
from evalgate.model.chat import CONTENT_FILTER, Completion, ModelErrorKind
from evalgate.model.retry import is_retried
from evalgate.model.vectors import read_vectors
from evalgate.terminal import one_line

if TYPE_CHECKING:
    from collections.abc import Mapping

    from evalgate.model.transport import HttpAnswer
    from evalgate.model.vectors import Vectors

UNSAFE_CODES = frozenset({CONTENT_FILTER, "content_policy_violation", "invalid_prompt", "ResponsibleAIPolicyViolation"})
QUOTA_CODES = frozenset({"insufficient_quota", "billing_hard_limit_reached"})
MESSAGE_CHARS = 300
OK = 200


@dataclass(frozen=True, slots=True)
class Fault:
    """An answer that is none."""

    kind: ModelErrorKind
    message: str
    may_retry: bool
    param: str = ""
    """The parameter of the request that the endpoint complains of, if it says."""
    status: int = 0


class Unreadable(ValueError):
    """The body is no chat completion."""


def read_answer(answer: HttpAnswer) -> Completion | Fault:
    """Return the completion without cost and latency, or the fault."""
    if answer.status != OK:
        return _fault(answer.status, answer.body)
    try:
        value = strict_json(answer.body.decode("utf-8"))
        if isinstance(value, dict) and value.get("error") and not value.get("choices"):
            return _fault(_status_inside(value["error"]), answer.body)  # some gateways say 200 and mean 429
        return read_completion(value)
    except ValueError as e:  # Unreadable, JSON and UTF-8
        return Fault(
            ModelErrorKind.MALFORMED, f"the answer is no chat completion: {one_line(str(e), 200)}", may_retry=True
        )


def read_embeddings(answer: HttpAnswer, texts: int) -> Vectors | Fault:
    """Return the vectors of so many texts without cost and latency, or the fault."""
    if answer.status != OK:
        return _fault(answer.status, answer.body)
    try:
        value = strict_json(answer.body.decode("utf-8"))
        if isinstance(value, dict) and value.get("error") and not value.get("data"):
            return _fault(_status_inside(value["error"]), answer.body)
        return read_vectors(value, texts)
    except ValueError as e:  # NoVectors, JSON and UTF-8
        return Fault(
            ModelErrorKind.MALFORMED, f"the answer holds no embeddings: {one_line(str(e), 200)}", may_retry=True
        )


def read_completion(value: Any) -> Completion:
    """Read the JSON of a chat completion; only its first choice counts.

    Raises:
        Unreadable: in words.

    """
    choices = _object(value, "the body").get("choices")
    if not isinstance(choices, list) or not choices:
        raise Unreadable("it has no choices")
    choice = _object(choices[0], "a choice")
    if choice.get("error") or choice.get("finish_reason") == "error":  # a gateway whose provider broke off
        raise Unreadable("the choice is an error")
    message = _object(choice.get("message"), "the message")
    usage = value.get("usage")
    usage = usage if isinstance(usage, dict) else {}
    details = usage.get("prompt_tokens_details")
    finish = choice.get("finish_reason")
    finish = finish if isinstance(finish, str) else None
    refusal = message.get("refusal")
    if not refusal and finish == CONTENT_FILTER:
        refusal = "the provider's content filter withheld the answer"
    model = value.get("model")
    return Completion(
        text=_whole(_text(message.get("content"))),
        finish_reason=finish,
        tool_calls=tuple(_tool_call(c) for c in _list(message.get("tool_calls"))),
        input_tokens=_count(usage.get("prompt_tokens")),
        output_tokens=_count(usage.get("completion_tokens")),
        cached_input_tokens=_count(details.get("cached_tokens")) if isinstance(details, dict) else None,
        model=model if isinstance(model, str) else "",
        refusal=_whole(str(refusal)) if refusal else None,
    )


def _fault(status: int, body: bytes) -> Fault:
    error = _error(body)
    code = str(error.get("code") or error.get("type") or "")
    said = one_line(str(error.get("message") or ""), MESSAGE_CHARS)
    inner = error.get("innererror")
    codes = {code, str(inner.get("code")) if isinstance(inner, dict) else ""}
    message = f"status {status}" + (f": {said}" if said else "")
    param = str(error.get("param") or "")
    if codes & UNSAFE_CODES:
        return Fault(
            ModelErrorKind.REFUSED,
            f"the provider refuses this content ({message})",
            may_retry=False,
            param=param,
            status=status,
        )
    if codes & QUOTA_CODES or status == 402:
        return Fault(
            ModelErrorKind.RATE_LIMIT,
            f"the quota of this key is used up ({message})",
            may_retry=False,
            param=param,
            status=status,
        )
    if status == 429:
        return Fault(ModelErrorKind.RATE_LIMIT, message, may_retry=True, param=param, status=status)
    if is_retried(status):
        kind = ModelErrorKind.TIMEOUT if status in (408, 504) else ModelErrorKind.SERVER
        return Fault(kind, message, may_retry=True, param=param, status=status)
    return Fault(ModelErrorKind.REQUEST, f"{message}{_advice(status)}", may_retry=False, param=param, status=status)


def _advice(status: int) -> str:
    if 300 <= status < 400:
        return ". Redirects are not followed; give the URL they lead to with --judge-url"
    return {
        401: ". Is OPENAI_API_KEY (or --judge-key-file) the key of this endpoint?",
        403: ". May this key use this model?",
        404: ". Is the model's name right (--judge-model), and does --judge-url end as the server documents it, "
        "mostly in /v1?",
        405: ". Does --judge-url end as the server documents it, mostly in /v1?",
        413: ". The request is too large for this endpoint",
    }.get(status, "")


def _error(body: bytes) -> Mapping[str, Any]:
    """Return the error object, in whatever of the usual shapes it comes; a body that is no JSON is its own message."""
    try:
        value = strict_json(body.decode("utf-8"))
    except ValueError:
        return {"message": body[:2000].decode("utf-8", "replace")}
    if isinstance(value, list) and len(value) == 1:  # as Gemini's compatible endpoint says it
        value = value[0]
    if isinstance(value, dict):
        error = value.get("error", value)
        if isinstance(error, dict):
            return error if error.get("message") else {**error, "message": error.get("detail")}
        return {"message": error}
    return {"message": json.dumps(value)}


def _status_inside(error: Any) -> int:
    code = error.get("code") if isinstance(error, dict) else None
    return code if isinstance(code, int) and 400 <= code < 600 else 502


def _object(value: Any, what: str) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise Unreadable(f"{what} is not an object")
    return value


def _list(value: Any) -> list[Any]:
    if value is not None and not isinstance(value, list):
        raise Unreadable("the tool calls are not a list")
    return value or []


def _text(content: Any) -> str:
    if content is None:
        return ""
    if isinstance(content, str):
        return content
    if isinstance(content, list) and all(isinstance(p, dict) for p in content):
        return "".join(str(p.get("text") or "") for p in content if p.get("type") == "text")
    raise Unreadable("the content is not a text")


def _tool_call(value: Any) -> dict[str, Any]:
    call = _object(value, "a tool call")
    function = _object(call.get("function"), "the function of a tool call")
    name = function.get("name")
    if not isinstance(name, str) or not name:
        raise Unreadable("a tool call has no name")
    arguments = function.get("arguments")
    if isinstance(arguments, str):
        try:
            parsed = strict_json(arguments) if arguments.strip() else {}
        except ValueError:
            parsed = arguments
        arguments = parsed if isinstance(parsed, dict) else arguments
    return {"id": str(call.get("id") or ""), "name": name, "arguments": arguments}


def _count(value: Any) -> int | None:
    return value if isinstance(value, int) and not isinstance(value, bool) and value >= 0 else None


def _whole(text: str) -> str:
    """Return the text without lone surrogates, which JSON allows and UTF-8 lacks."""
    return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
