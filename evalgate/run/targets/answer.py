"""What a target is, and what it may answer."""

from __future__ import annotations

import contextlib
import json
import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol, TypeAlias

from schema.fields import did_you_mean, json_name
from schema.run import Output, RunError

if TYPE_CHECKING:
    from collections.abc import Mapping

ANSWER_FIELDS = ("output", "tool_calls", "finish_reason", "input_tokens", "output_tokens", "cost_usd", "model")
MAX_TOOL_CALLS = 10_000
"""Of one answer: a loop is an answer too, and must fit a file."""
MAX_OUTPUT_CHARS = 4 << 20
MAX_DEPTH = 64
MAX_FIGURE = 10**15
"""Of tokens and of dollars: more is a mistake."""
MAX_NUMBER_BITS = 4096
"""Of whole numbers: Python reads and prints some 14 000 bits of decimal digits, and no more."""


@dataclass(frozen=True, slots=True)
class Busy:
    """Something broke on the way, and may be whole a moment later."""

    error: RunError
    retry_after_s: float | None = None
    """What the other side asks for; None: it did not say."""


@dataclass(frozen=True, slots=True)
class TargetAnswer:
    """An output or an error, with what a reader should know of how it came about."""

    output: Output | None = None
    error: RunError | None = None
    notes: tuple[str, ...] = ()

    @classmethod
    def of(cls, answer: Output | RunError) -> TargetAnswer:
        """Return the answer without notes."""
        return cls(output=answer) if isinstance(answer, Output) else cls(error=answer)


Answer: TypeAlias = "Output | RunError | Busy | TargetAnswer"


class Target(Protocol):
    """Where cases go. Called from several threads."""

    def __call__(self, request: Mapping[str, Any], timeout_s: float, /) -> Answer:
        """Return the output for one request (see `evalgate.run.engine.request_of`). Never raises for a case."""


def to_output(value: Any) -> Output:
    """Return the output in what a target answered.

    Raises:
        ValueError: it is no answer.

    """
    if isinstance(value, str):
        return Output(_text(value))
    if not isinstance(value, dict):
        raise ValueError(f'the target must return a text or {{"output": ...}}, not {_name(value)}')  # noqa: TRY004 - a value
    if "output" not in value:
        hint = f".{did_you_mean(near, ANSWER_FIELDS)}" if (near := next(iter(value), None)) else ""
        raise ValueError(f"the target's answer lacks 'output'{hint}")
    answer = value["output"]
    text = (
        answer if isinstance(answer, str) else "" if answer is None else json.dumps(plain(answer), ensure_ascii=False)
    )
    calls = value.get("tool_calls") or []
    if not isinstance(calls, (list, tuple)):
        raise ValueError(f"the target's tool_calls must be a list, not {_name(calls)}")  # noqa: TRY004 - a value
    if len(calls) > MAX_TOOL_CALLS:
        raise ValueError(f"the answer has {len(calls)} tool calls; the limit is {MAX_TOOL_CALLS}")
    return Output(
        _text(text),
        tuple(_tool_call(c) for c in calls),
        finish_reason=_typed(value, "finish_reason", str),
        input_tokens=_typed(value, "input_tokens", int),
        output_tokens=_typed(value, "output_tokens", int),
        cost_usd=_typed(value, "cost_usd", float),
        model=_typed(value, "model", str),
    )


def _text(text: str) -> str:
    if len(text) > MAX_OUTPUT_CHARS:
        raise ValueError(f"the output has {len(text)} characters; the limit is {MAX_OUTPUT_CHARS}")
    clean: str = plain(text)
    return clean


def _tool_call(value: Any) -> Mapping[str, Any]:
    if not isinstance(value, dict) or not isinstance(value.get("name"), str):
        raise ValueError('each of tool_calls must be {"name": ..., "arguments": {...}}')  # noqa: TRY004 - a value
    arguments = value.get("arguments")
    if isinstance(arguments, str):
        with contextlib.suppress(ValueError, RecursionError):
            arguments = json.loads(arguments)
    call = {"name": plain(value["name"]), "arguments": plain(arguments)}
    return call | {k: plain(value[k]) for k in ("result", "error") if value.get(k) is not None}


def plain(value: Any, depth: int = 0) -> Any:
    """Return the value as JSON can hold it: what a program hands over may be anything.

    Halves of characters become U+FFFD, NaN, the infinities and endless whole numbers texts, objects what they print;
    what is nested too deep is left out.
    """
    if isinstance(value, str):
        return value.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, int):
        return value if value.bit_length() <= MAX_NUMBER_BITS else hex(value)
    if isinstance(value, float):
        return value if math.isfinite(value) else str(value)
    if depth >= MAX_DEPTH:
        return "…"
    if isinstance(value, dict):
        return {plain(str(k)): plain(v, depth + 1) for k, v in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(v, depth + 1) for v in value]
    return plain(str(value))


def _typed(value: Mapping[str, Any], name: str, kind: type[Any]) -> Any:
    """Return what an answer says of itself; a text where a number is wanted is nothing."""
    given = value.get(name)
    if isinstance(given, str) and kind is str:
        return plain(given)
    wanted = (int, float) if kind is float else kind
    if not isinstance(given, wanted) or isinstance(given, (bool, str)) or not 0 <= given < MAX_FIGURE:
        return None
    return kind(given)


def _name(value: Any) -> str:
    return json_name(value) if isinstance(value, (list, bool, int, float, type(None))) else type(value).__name__
