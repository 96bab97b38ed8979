"""Reads a judge's verdict strictly: one JSON object with reasoning and a score from 0 to 1, and nothing beside it.

Two things that models put around an answer are taken off, because neither can hold a second verdict that counts: one
`<think>…</think>` at the very beginning, and one Markdown fence around all the rest.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

FENCE = re.compile(r"```(?:json)?[ \t]*\n(?P<inner>.*)\n[ \t]*```", re.DOTALL)
THINK_BEGIN, THINK_END = "<think>", "</think>"
FIELDS = ("reasoning", "score")


@dataclass(frozen=True, slots=True)
class Verdict:
    """What a judge said once."""

    score: float
    """0 to 1."""
    reasoning: str


def parse_verdict(text: str) -> Verdict:
    """Read a verdict.

    Raises:
        ValueError: it is none; the message says why.

    """
    value = parse_object(text, FIELDS)
    score, reasoning = share_of(value, "score"), value["reasoning"]
    if not isinstance(reasoning, str):
        raise ValueError("the reasoning is not a text")  # noqa: TRY004 - a mistake of the model
    return Verdict(score, reasoning)


def parse_object(text: str, fields: Sequence[str]) -> dict[str, Any]:
    """Read one JSON object of exactly these fields, and nothing beside it.

    Raises:
        ValueError: it is none; the message says why.

    """
    try:
        value = json.loads(_bare(text), parse_constant=_refuse, object_pairs_hook=_once)
    except json.JSONDecodeError as e:
        raise ValueError(f"it is not one JSON object ({e.msg} at character {e.colno} of line {e.lineno})") from None
    except RecursionError:
        raise ValueError("it is nested too deep") from None
    if not isinstance(value, dict) or value.keys() != set(fields):
        raise ValueError(f"it is not an object of {', '.join(fields[:-1])} and {fields[-1]} alone")
    return value


def share_of(value: Mapping[str, Any], name: str) -> float:
    """Return a number from 0 to 1.

    Raises:
        ValueError: it is none.

    """
    share = value[name]
    if isinstance(share, bool) or not isinstance(share, (int, float)):
        raise ValueError(f"the {name} is not a number")  # noqa: TRY004 - a mistake of the model
    if not 0 <= share <= 1:
        raise ValueError(f"the {name} is not between 0 and 1")
    return float(share)


def _bare(text: str) -> str:
    text = text.strip()
    if text.startswith(THINK_BEGIN) and THINK_END in text:
        text = text.split(THINK_END, 1)[1].strip()
    fenced = FENCE.fullmatch(text)
    return fenced["inner"] if fenced else text


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        raise ValueError("a field stands twice")
    return found


def _refuse(word: str) -> Any:
    raise ValueError(f"{word} is no score")
