"""Why a span is worth a person's time: rules over the canonical columns, each raising a reason of `names`.

Feedback is a matter of the trace, not of a span: the database adds `feedback:<name>` from what it holds. A false alarm
costs a reviewer as much as a miss costs the user; what is unknown (null) is never a failure.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, Protocol

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from schema.arrays import lists_of, truths, valid
from schema.failure import plain
from schema.failure.answers import (
    REFUSAL_BEGINNINGS,
    REFUSAL_BYTES,
    calls_tool,
    guardrail_intervened,
    is_empty_answer,
    is_no_json,
    is_probe,
    is_refusal,
    only_refuses,
)
from schema.failure.names import EMPTY_OUTPUT, FINISH, GUARDRAIL, INVALID_JSON, REFUSED, SPAN_ERROR, TOOL_ERROR
from schema.failure.tools import MAYBE_ERROR, answers_tool_error, reports_error_text
from schema.span import FinishReason, Kind

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from numpy.typing import NDArray

    Mask = NDArray[np.bool_]

TRUNCATED: Final = "truncated_content"
"""The defect of a span of which content was cut off: it no longer says whether it parsed."""
PAIR: Final = 2
REFUSAL_PAIRS: Final = np.array(
    sorted({int.from_bytes(b.encode()[:PAIR], "big") for b in REFUSAL_BEGINNINGS}), np.uint16
)
"""The first two bytes of `REFUSAL_BEGINNINGS`."""

Masks = dict[str, "Mask"]
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
    search = _search(compiled=compiled)
    is_tool, is_llm = view.is_kind(Kind.TOOL), view.is_kind(Kind.LLM)
    failed = view.is_true("error")
    finish = view.finish_reasons()
    answered = is_llm & view.is_true("counted") & ~failed & ~finish["any_unusual"]
    blank, refusing = search.first_parts(*view.said("output_messages", answered))
    asked = search.asks_for_json(*view.said("request_params", view.known("output_text", answered)))
    doubtful = asked & ~search.surely_json(*view.said("output_text", asked))
    told = search.maybe_answered_tool(*view.said("input_messages", is_llm))
    reporting = _maybe_error(*view.said("tool_result", is_tool))
    finish["length"] &= ~view.where("request_params", is_probe, finish["length"])
    unreadable = view.where("output_text", is_no_json, doubtful)
    declining = view.where("output_text", only_refuses, view.begins("output_text", answered))
    unfinished = view.where("output_messages", calls_tool, unreadable | declining)
    return {
        SPAN_ERROR: failed & ~is_tool,
        TOOL_ERROR: (failed & is_tool)
        | view.where("tool_result", reports_error_text, reporting)
        | view.where("input_messages", answers_tool_error, told),
        **{f"finish:{f}": finish[f] & ~failed if f is FinishReason.ERROR else finish[f] for f in FINISH},
        EMPTY_OUTPUT: view.where("output_messages", is_empty_answer, blank),
        REFUSED: view.where("output_messages", is_refusal, refusing) | (declining & ~unfinished),
        INVALID_JSON: unreadable & ~unfinished & ~view.has("defects", TRUNCATED, unreadable),
        GUARDRAIL: view.where("output_text", guardrail_intervened, view.is_kind(Kind.GUARDRAIL)),
    }


class _Search(Protocol):
    """Finds, among rows of a text column that are not null, at least those that a rule holds of."""

    def first_parts(self, column: pa.Array, among: Mask) -> tuple[Mask, Mask]: ...
    def asks_for_json(self, column: pa.Array, among: Mask) -> Mask: ...
    def surely_json(self, column: pa.Array, among: Mask) -> Mask: ...
    def maybe_answered_tool(self, column: pa.Array, among: Mask) -> Mask: ...


def _search(*, compiled: bool) -> _Search:
    if not compiled:
        return plain
    from schema.failure import search  # noqa: PLC0415 - numba takes 0.3 s to import

    return search


def _maybe_error(column: pa.Array, among: Mask) -> Mask:
    return among if not among.any() else among & truths(pc.match_substring_regex(column, MAYBE_ERROR))


class _View:
    """Canonical columns as NumPy masks."""

    def __init__(self, columns: Mapping[str, pa.Array], length: int) -> None:
        self._columns = columns
        self._length = length

    def _none(self) -> Mask:
        return np.zeros(self._length, np.bool_)

    def is_true(self, name: str) -> Mask:
        return self._none() if name not in self._columns else truths(self._columns[name])

    def is_kind(self, kind: Kind) -> Mask:
        column = self._columns.get("span_kind")
        return self._none() if column is None else truths(pc.equal(column, kind.value))

    def known(self, name: str, among: Mask) -> Mask:
        """Return which of these rows of a column are known."""
        if name not in self._columns or not among.any():
            return self._none()
        return among & valid(self._columns[name])

    def said(self, name: str, among: Mask) -> tuple[pa.Array, Mask]:
        """Return a column, and which of these rows of it are known."""
        known = self.known(name, among)
        return self._columns[name] if known.any() else pa.nulls(self._length, pa.string()), known

    def where(self, name: str, rule: Callable[[str], bool], among: Mask) -> Mask:
        """Return the rows among these whose text in a column satisfies the rule. They are few: each is read."""
        found = self._none()
        for row in np.flatnonzero(self.known(name, among)).tolist():
            found[row] = rule(self._columns[name][row].as_py())
        return found

    def begins(self, name: str, among: Mask) -> Mask:
        """Return the rows among these whose text is short and begins as a refusal may."""
        found = self._none()
        rows = np.flatnonzero(self.known(name, among))
        if len(rows) == 0:
            return found
        _, ends, data = self._columns[name].buffers()
        start = np.frombuffer(ends, np.int32, self._length + 1, 4 * self._columns[name].offset)
        size = start[rows + 1] - start[rows]
        rows = rows[(size >= PAIR) & (size <= REFUSAL_BYTES)]
        texts = np.frombuffer(data or b"", np.uint8)
        pairs = texts[start[rows]].astype(np.uint16) << 8 | texts[start[rows] + 1]
        found[rows[np.isin(pairs, REFUSAL_PAIRS)]] = True
        return found

    def has(self, name: str, value: str, among: Mask) -> Mask:
        """Return the rows among these whose list has the value. They are few: each is read."""
        found = self._none()
        for row in np.flatnonzero(self.known(name, among)).tolist():
            found[row] = value in self._columns[name][row].as_py()
        return found

    def finish_reasons(self) -> dict[str, Mask]:
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
