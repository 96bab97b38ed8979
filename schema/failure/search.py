"""What `schema.failure` asks of many texts before it reads any, answered by kernels."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np

from schema import json_kernels
from schema.failure import kernels
from schema.failure.answers import ASKED_FOR_JSON

if TYPE_CHECKING:
    import pyarrow as pa
    from numpy.typing import NDArray

    Mask = NDArray[np.bool_]
    Bytes = NDArray[np.uint8]

TOOL_RESPONSE: Final = b"tool_call_response"
REFUSAL: Final = b'"refusal"'


def first_parts(column: pa.Array, among: Mask) -> tuple[Mask, Mask]:
    """Return which of these rows may hold messages without anything in them, and which may begin with a refusal."""
    if not among.any():
        return among, among
    offsets, data = _texts(column)
    words = (b'[{"role":"', b'","parts":[{"type":"', b"text", b"tool_call", b'","content":"')
    role, parts, text, call, content = (np.frombuffer(w, np.uint8) for w in words)
    found = np.zeros(len(among), np.uint8)
    kernels.first_parts(offsets, data, _bytes(among), role, parts, text, call, content, found)
    return (found & kernels.BLANK).astype(np.bool_), _contain(column, (found & kernels.OTHER).astype(np.bool_), REFUSAL)


def asks_for_json(column: pa.Array, among: Mask) -> Mask:
    """Return which of these rows of request parameters ask for JSON."""
    return _contain(column, among, ASKED_FOR_JSON.encode())


def surely_json(column: pa.Array, among: Mask) -> Mask:
    """Return which of these rows are surely JSON."""
    if not among.any():
        return among
    offsets, data = _texts(column)
    found = np.zeros(len(among), np.uint8)
    true, false, null = (np.frombuffer(w, np.uint8) for w in (b"true", b"false", b"null"))
    json_kernels.surely_json(offsets, data, _bytes(among), true, false, null, found)
    return found.view(np.bool_)


def maybe_answered_tool(column: pa.Array, among: Mask) -> Mask:
    """Return which of these rows may hold messages of which the last is a tool's, with a response in it."""
    told = _contain(column, among, TOOL_RESPONSE)
    if not told.any():
        return told
    offsets, data = _texts(column)
    found = np.zeros(len(among), np.uint8)
    role, tool = np.frombuffer(b'"role":"', np.uint8), np.frombuffer(b"tool", np.uint8)
    kernels.maybe_end_with(offsets, data, _bytes(told), role, tool, found)
    return found.view(np.bool_)


def _contain(column: pa.Array, among: Mask, word: bytes) -> Mask:
    """Return which of these rows contain a word."""
    if not among.any():
        return among
    offsets, data = _texts(column)
    found, needle = np.zeros(len(among), np.uint8), np.frombuffer(word, np.uint8)
    kernels.contain(offsets, data, _bytes(among), needle, _triples(needle), found)
    return found.view(np.bool_)


def _texts(column: pa.Array) -> tuple[NDArray[np.int32], Bytes]:
    """Return offsets and bytes of a text column."""
    _, offsets, data = column.buffers()
    found = (
        np.frombuffer(offsets, np.int32, len(column) + 1, 4 * column.offset),
        np.frombuffer(data or b"", np.uint8),
    )
    for array in found:
        array.flags.writeable = False  # as some are: kernels are compiled for one type
    return found


def _bytes(mask: Mask) -> Bytes:
    view = np.ascontiguousarray(mask).view(np.uint8)
    view.flags.writeable = False  # as above
    return view


def _triples(needle: Bytes) -> Bytes:
    """Return which triples of bytes are in a needle, by number."""
    found = np.zeros(kernels.TRIPLES, np.uint8)
    found[[int(kernels.triple(needle, at)) for at in range(len(needle) - 2)]] = 1
    return found
