"""What is wrong with a model's answer: nothing in it, a refusal, JSON that does not parse, a guardrail's word."""

from __future__ import annotations

import re
from typing import Any, Final

import orjson

from schema.failure.tools import parts_of, read_json

GUARDRAIL_TRUE: Final = ("triggered", "tripwire_triggered", "tripwireTriggered", "blocked", "flagged", "intervened")
GUARDRAIL_FALSE: Final = ("passed", "valid", "allowed", "is_safe")
GUARDRAIL_ACTIONS: Final = frozenset({"block", "blocked", "deny", "denied", "guardrail_intervened", "intervened"})

ASKED_FOR_JSON: Final = '"output_type":"json"'
"""In the request parameters of a call that asked for JSON, as the normaliser writes them."""
PROBE_TOKENS: Final = 16
"""A limit of tokens up to here is meant to cut the answer off: a probe, a classifier of one word, a warm-up."""
REFUSAL_BYTES: Final = 300
"""A text that is longer says something besides."""
REFUSAL_BEGINNINGS: Final = ("I ", "I'", "I\u2019", "i ", "i'", "So", "so", "Un", "un", "As", "as", "My", "my")
"""How a text begins that `REFUSAL` may match: two characters tell, and few texts pass."""
REFUSAL: Final = re.compile(
    r"\s*(?:(?:i(?:['\u2019]m| am) )?(?:(?:very|really|so|truly) )?sorry[,.;:]? (?:but )?"
    r"|unfortunately,? |my apologies[,.]? (?:but )?|i apologi[sz]e[,.]? (?:but )?|as an ai(?: [a-z]+){0,3},? ){0,3}"
    r"i(?: can(?:['\u2019]t|not| not)|['\u2019]m (?:unable|not able) to| am (?:unable|not able) to"
    r"| won['\u2019]t| will not|['\u2019]m not going to| must decline to)(?: be able to)? "
    r"(?:help|assist|comply|do|provide|answer|fulfil+|respond|engage|continue|support|generate|create|discuss|process)"
    r"(?: you)?(?: with| in| to)? ?"
    r"(?:(?:that|this|your|the|such|those|these|any)(?: kind of| type of| sort of)?"
    r"(?: (?:request|question|topic|task|content|information|query|conversation|prompt|subject)s?)?"
    r"|it|requests? like that)?"
    r"[.!]?(?: [^.!?\n]{0,80}\b(?:else|instead|another|other|different)\b[^.!?\n]{0,80}[.!?]?)?\s*",
    re.IGNORECASE,
)
"""A whole answer that is nothing but a refusal, with or without an offer of something else."""
FENCE: Final = "```"


def is_empty_answer(text: str) -> bool:
    """Say whether output messages, as JSON text, hold nothing at all."""
    messages = read_json(text)
    if not isinstance(messages, list) or not all(isinstance(m, dict) for m in messages):
        return False
    return all(_is_blank(part) for message in messages for part in parts_of(message))


def _is_blank(part: Any) -> bool:
    if not isinstance(part, dict) or part.get("type") != "text":
        return False
    content = part.get("content")
    return isinstance(content, str) and not content.strip()


def is_refusal(text: str) -> bool:
    """Say whether output messages, as JSON text, begin with a refusal as the provider marks it."""
    messages = read_json(text)
    first = messages[0] if isinstance(messages, list) and messages else None
    for part in parts_of(first) if isinstance(first, dict) else ():
        kind = part.get("type") if isinstance(part, dict) else None
        if kind != "reasoning":
            return kind == "refusal"
    return False


def only_refuses(text: str) -> bool:
    """Say whether an answer is nothing but a plain refusal."""
    return REFUSAL.fullmatch(text) is not None


def is_no_json(text: str) -> bool:
    """Say whether an answer that was to be JSON does not parse; a fence around it is forgiven."""
    said = text.strip()
    if said.startswith(FENCE) and said.endswith(FENCE):
        language, _, said = said.removesuffix(FENCE).removeprefix(FENCE).partition("\n")
        if language.strip().lower() not in {"", "json"}:
            return True
    try:
        orjson.loads(said)
    except orjson.JSONDecodeError:
        return bool(text.strip())
    return False


def calls_tool(text: str) -> bool:
    """Say whether output messages, as the normaliser writes them, call a tool: then their text is not the answer."""
    return '"type":"tool_call"' in text


def is_probe(text: str) -> bool:
    """Say whether request parameters, as JSON text, limit the answer to so few tokens that it was to be cut off."""
    params = read_json(text)
    limit = params.get("max_tokens") if isinstance(params, dict) else None
    return isinstance(limit, (int, float)) and 0 < limit <= PROBE_TOKENS


def guardrail_intervened(text: str) -> bool:
    """Say whether the output of a guardrail says that it intervened: in JSON, or by a word for it and nothing else.

    The normaliser makes such a word of an object that holds nothing besides.
    """
    value = read_json(text)
    if isinstance(value, str):
        return value.strip().lower() in GUARDRAIL_ACTIONS
    if not isinstance(value, dict):
        return False
    action = value.get("action")
    return (
        any(value.get(k) is True for k in GUARDRAIL_TRUE)
        or any(value.get(k) is False for k in GUARDRAIL_FALSE)
        or (isinstance(action, str) and action.lower() in GUARDRAIL_ACTIONS)
    )
