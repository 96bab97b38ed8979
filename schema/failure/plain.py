"""What `schema.failure.search` answers by kernels, by Arrow alone: slower, and the same."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pyarrow.compute as pc

from schema.arrays import truths
from schema.failure.answers import ASKED_FOR_JSON

if TYPE_CHECKING:
    import pyarrow as pa
    from numpy.typing import NDArray

    Mask = NDArray[np.bool_]


def maybe_answered_tool(column: pa.Array, among: Mask) -> Mask:
    """Return which of these rows may hold messages of which the last is a tool's, with a response in it."""
    return among if not among.any() else among & truths(pc.match_substring(column, "tool_call_response"))


def first_parts(column: pa.Array, among: Mask) -> tuple[Mask, Mask]:
    """Return which of these rows may hold messages without anything in them, and which may begin with a refusal."""
    return among, among if not among.any() else among & truths(pc.match_substring(column, '"refusal"'))


def surely_json(column: pa.Array, among: Mask) -> Mask:
    """Return none of these rows: each is read."""
    return among & np.zeros(len(column), np.bool_)


def asks_for_json(column: pa.Array, among: Mask) -> Mask:
    """Return which of these rows of request parameters ask for JSON."""
    return among if not among.any() else among & truths(pc.match_substring(column, ASKED_FOR_JSON))
