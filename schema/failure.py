"""Why a span is worth a person's time: rules over the canonical columns, each raising a reason of `failure_names`.

Feedback is a matter of the trace, not of a span: the database adds `feedback:<name>` from what it holds. A false alarm
costs a reviewer as much as a miss costs the user; what is unknown (null) is never a failure.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import orjson
import pyarrow as pa
import pyarrow.compute as pc

from schema.arrays import lists_of, truths, valid
from schema.failure_names import EMPTY_OUTPUT, FINISH, GUARDRAIL, REASONS, SPAN_ERROR, TOOL_ERROR
from schema.span import FinishReason, Kind

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

MAYBE_ERROR: Final = r"(?i)error|exception|fail|traceback|success|\bok\b"
"""Whatever reports an error has one of these words: the rest need not be parsed."""
SAYS_ERROR: Final = re.compile(
    r"\s*(?:"
    r"(?:[A-Za-z_][\w.]*)?(?:Error|Exception)\s*[:(]"  # ValueError: ..., openai.APIError(...)
    r"|(?:an? )?(?:unexpected |internal )?(?:error|exception) (?:occurred|executing|calling|running|while|in tool)"
    r"|(?:error|exception)\s*[:(]"
    r"|(?:failed to|failure:)"
    r"|(?:tool|function)(?: call| execution)? (?:failed|error)"
    r"|traceback \(most recent call last\)"
    r")",
    re.IGNORECASE,
)
"""How a text begins that is nothing but the report of a failure."""
BAD_STATUS: Final = frozenset({"error", "failed", "failure"})
TRUE_MEANS_ERROR: Final = ("is_error", "isError")
FALSE_MEANS_ERROR: Final = ("success", "ok")
GUARDRAIL_TRUE: Final = ("triggered", "tripwire_triggered", "tripwireTriggered", "blocked", "flagged", "intervened")
GUARDRAIL_FALSE: Final = ("passed", "valid", "allowed", "is_safe")
GUARDRAIL_ACTIONS: Final = frozenset({"block", "blocked", "deny", "denied", "guardrail_intervened", "intervened"})
MAX_DEPTH: Final = 4
"""A result may be JSON in a text in a part; nothing honest goes deeper."""


Masks = dict[str, "NDArray[np.bool_]"]
"""Which spans each reason is raised of, in the order of `REASONS`."""


def failures(columns: Mapping[str, pa.Array], length: int, *, compiled: bool = False) -> tuple[pa.Array, pa.Array]:
    """Return `failing` (bool) and `failure_reasons` (list of string) for the canonical columns of `length` spans.

    Columns that are missing count as unknown. `compiled` says whether kernels are used; the result is the same.
    """
    return reason_columns(reason_masks(columns, length, compiled=compiled))


def reason_columns(masks: Masks) -> tuple[pa.Array, pa.Array]:
    """Return `failing` and `failure_reasons` of masks."""
    reasons, failing = lists_of(list(masks), list(masks.values()))
    return pa.array(failing), reasons


def reason_masks(columns: Mapping[str, pa.Array], length: int, *, compiled: bool = False) -> Masks:
    """Return which spans each built-in reason is raised of."""
    view = _View(columns, length)
    maybe_answered_tool, maybe_blank = _searches(compiled=compiled)
    is_tool, is_llm = view.is_kind(Kind.TOOL), view.is_kind(Kind.LLM)
    failed = view.is_true("error")
    finish = view.finish_reasons()
    answered = is_llm & view.is_true("counted") & ~failed & ~finish["any_unusual"]
    masks = {
        SPAN_ERROR: failed & ~is_tool,
        TOOL_ERROR: (failed & is_tool)
        | view.where("tool_result", _maybe_error, reports_error_text, is_tool)
        | view.where("input_messages", maybe_answered_tool, answers_tool_error, is_llm),
        **{f"finish:{f}": finish[f] & ~failed if f is FinishReason.ERROR else finish[f] for f in FINISH},
        EMPTY_OUTPUT: view.where("output_messages", maybe_blank, is_empty_answer, answered),
        GUARDRAIL: view.where("output_text", _every, guardrail_intervened, view.is_kind(Kind.GUARDRAIL)),
    }
    return {name: masks[name] for name in REASONS if name in masks}


Search = Callable[[pa.Array, "NDArray[np.bool_]"], "NDArray[np.bool_]"]
"""Finds among some rows of a text column, none of them null, at least those that a rule holds of."""


def _searches(*, compiled: bool) -> tuple[Search, Search]:
    """Return how to find messages that may end with a tool's, and such that may say nothing."""
    if not compiled:
        return _maybe_answered_tool, _every
    from schema import failure_search  # noqa: PLC0415 - numba takes 0.3 s to import

    return failure_search.maybe_answered_tool, failure_search.maybe_blank


def _every(column: pa.Array, among: NDArray[np.bool_]) -> NDArray[np.bool_]:  # noqa: ARG001 - the shape of a search
    return among


def _maybe_error(column: pa.Array, among: NDArray[np.bool_]) -> NDArray[np.bool_]:
    return among & truths(pc.match_substring_regex(column, MAYBE_ERROR))


def _maybe_answered_tool(column: pa.Array, among: NDArray[np.bool_]) -> NDArray[np.bool_]:
    return among & truths(pc.match_substring(column, "tool_call_response"))


class _View:
    """Canonical columns as NumPy masks."""

    def __init__(self, columns: Mapping[str, pa.Array], length: int) -> None:
        self._columns = columns
        self._length = length

    def _none(self) -> NDArray[np.bool_]:
        return np.zeros(self._length, np.bool_)

    def is_true(self, name: str) -> NDArray[np.bool_]:
        return self._none() if name not in self._columns else truths(self._columns[name])

    def is_kind(self, kind: Kind) -> NDArray[np.bool_]:
        column = self._columns.get("span_kind")
        return self._none() if column is None else truths(pc.equal(column, kind.value))

    def where(
        self, name: str, search: Search, rule: Callable[[str], bool], among: NDArray[np.bool_]
    ) -> NDArray[np.bool_]:
        """Return the rows among these whose text in a column the search finds and then satisfies the rule."""
        found = self._none()
        column = self._columns.get(name)
        if column is None or column.null_count == len(column) or not among.any():
            return found
        said = among & valid(column)
        for row in np.flatnonzero(search(column, said)).tolist() if said.any() else ():
            found[row] = rule(column[row].as_py())
        return found

    def finish_reasons(self) -> dict[str, NDArray[np.bool_]]:
        """Return a mask per reason of FINISH, and `any_unusual`: anything but a plain stop."""
        masks = {str(f): self._none() for f in FINISH} | {"any_unusual": self._none()}
        column = self._columns.get("finish_reasons")
        if column is None or len(column) == 0:
            return masks
        rows, values = pc.list_parent_indices(column).to_numpy(), pc.list_flatten(column)
        for f in FINISH:
            masks[f][rows[truths(pc.equal(values, f.value))]] = True
        masks["any_unusual"][rows[truths(pc.not_equal(values, FinishReason.STOP.value))]] = True
        return masks


def reports_error_text(text: str) -> bool:
    """Say whether the JSON text of a tool's result reports an error."""
    return reports_error(_loads(text))


def reports_error(value: Any, depth: int = 0) -> bool:
    """Say whether a tool's result reports an error: a flag, a status, an error field, or a text that begins as one."""
    if depth > MAX_DEPTH:
        return False
    if isinstance(value, str):
        inner = _loads(value) if value.lstrip()[:1] in ("{", "[") else value
        return reports_error(inner, depth + 1) if inner is not value else SAYS_ERROR.match(value) is not None
    if isinstance(value, dict):
        if any(value.get(k) is True for k in TRUE_MEANS_ERROR) or any(value.get(k) is False for k in FALSE_MEANS_ERROR):
            return True
        if any(value.get(k) is False for k in TRUE_MEANS_ERROR) or any(value.get(k) is True for k in FALSE_MEANS_ERROR):
            return False
        status = value.get("status")
        if isinstance(status, str) and status.lower() in BAD_STATUS:
            return True
        if value.get("error"):
            return True
        # The envelopes of results: MCP and Anthropic content, a message part, a wrapped return value.
        return any(reports_error(value[k], depth + 1) for k in ("content", "text", "result", "output") if k in value)
    if isinstance(value, list):
        return (
            bool(value)
            and all(isinstance(v, dict) and "type" in v for v in value)
            and any(reports_error(v, depth + 1) for v in value)
        )
    return False


def answers_tool_error(text: str) -> bool:
    """Say whether the input messages of a call end with a tool's message that reports an error."""
    return bool(answered_tool_errors(text))


def answered_tool_errors(text: str) -> list[str | None]:
    """Return the call ids of the tool results at the end of input messages that report an error; unknown ids as None.

    Only of the messages that this call answers: the history holds the errors of turns long past.
    """
    messages = _loads(text)
    found: list[str | None] = []
    for message in reversed(messages) if isinstance(messages, list) else ():
        if not isinstance(message, dict) or message.get("role") != "tool":
            break
        errors = [part for part in _parts(message) if _is_error_response(part)]
        found += [part["id"] if isinstance(part.get("id"), str) else None for part in errors]
    return found


def _is_error_response(part: Any) -> bool:
    if not isinstance(part, dict) or part.get("type") != "tool_call_response":
        return False
    return any(part.get(k) is True for k in TRUE_MEANS_ERROR) or reports_error(part.get("response"))


def is_empty_answer(text: str) -> bool:
    """Say whether output messages, as JSON text, hold nothing at all."""
    messages = _loads(text)
    if not isinstance(messages, list) or not all(isinstance(m, dict) for m in messages):
        return False
    return all(_is_blank(part) for message in messages for part in _parts(message))


def _parts(message: dict[str, Any]) -> list[Any]:
    """Return the parts; what is no list counts as one part that nobody knows."""
    parts = message.get("parts") or []
    return parts if isinstance(parts, list) else [parts]


def _is_blank(part: Any) -> bool:
    if not isinstance(part, dict) or part.get("type") != "text":
        return False
    content = part.get("content")
    return isinstance(content, str) and not content.strip()


def guardrail_intervened(text: str) -> bool:
    """Say whether the JSON output of a guardrail says that it intervened."""
    value = _loads(text)
    if not isinstance(value, dict):
        return False
    action = value.get("action")
    return (
        any(value.get(k) is True for k in GUARDRAIL_TRUE)
        or any(value.get(k) is False for k in GUARDRAIL_FALSE)
        or (isinstance(action, str) and action.lower() in GUARDRAIL_ACTIONS)
    )


def _loads(text: str) -> Any:
    try:
        return orjson.loads(text)
    except orjson.JSONDecodeError:
        return text
