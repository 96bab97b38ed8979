"""Spans into the wire format: kernels, compiled by numba. Nothing here makes an object per span or attribute.

A message is written backwards, from its last byte to its first, because its length stands before it:

    ◀── tag │ length │ field 1 │ … │ field n ──┤ position

Every `put_…` writes before `at` and returns where it began. The caller makes `out`, large enough, and checks every
extent (`written.py`). Field numbers: opentelemetry-proto `trace/v1/trace.proto`, `common/v1/common.proto`.
"""
# ruff: noqa: PLR0917 - kernels take their arrays by position

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeAlias

from schema.compile import kernel

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Ints = NDArray[np.int64]
    Bytes = NDArray[np.uint8]

Int: TypeAlias = Any
"""An int64; uncompiled, Python's and NumPy's integers mix."""
Texts: TypeAlias = Any
"""(offsets, int64; bytes)."""
Attributes: TypeAlias = Any
"""(first row of each owner, key, type, number, start, length, buffer, keys): int64, but for bytes and Texts."""

STRING, BOOL, INT, DOUBLE = 1, 2, 3, 4


@kernel
def put_varint(out: Bytes, at: Int, value: Int) -> Int:
    """Write a varint; of a negative number ten bytes."""
    if value < 0:
        at -= 10
        for i in range(9):
            out[at + i] = ((value >> (7 * i)) & 127) | 128
        out[at + 9] = 1
        return at
    n, rest = 1, value >> 7
    while rest:
        n += 1
        rest >>= 7
    at -= n
    for i in range(n - 1):
        out[at + i] = ((value >> (7 * i)) & 127) | 128
    out[at + n - 1] = value >> (7 * (n - 1))
    return at


@kernel
def put_bytes(out: Bytes, at: Int, source: Bytes, start: Int, length: Int) -> Int:
    """Write bytes."""
    at -= length
    for i in range(length):
        out[at + i] = source[start + i]
    return at


@kernel
def put_fixed(out: Bytes, at: Int, value: Int, size: Int) -> Int:
    """Write a little-endian number of `size` bytes."""
    at -= size
    for i in range(size):
        out[at + i] = (value >> (8 * i)) & 255
    return at


@kernel
def put_head(out: Bytes, at: Int, end: Int, field: Int) -> Int:
    """Write the tag of a field with a length in front of what stands from `at` to `end`."""
    return put_varint(out, put_varint(out, at, end - at), field << 3 | 2)


@kernel
def put_text(out: Bytes, at: Int, texts: Texts, row: Int, field: Int) -> Int:
    """Write a text where there is any."""
    offsets, data = texts
    start, end = offsets[row], offsets[row + 1]
    if end == start:
        return at
    return put_head(out, put_bytes(out, at, data, start, end - start), at, field)


@kernel
def put_number(out: Bytes, at: Int, value: Int, field: Int) -> Int:
    """Write a varint field where it is not 0."""
    if value == 0:
        return at
    return put_varint(out, put_varint(out, at, value), field << 3)


@kernel
def put_time(out: Bytes, at: Int, value: Int, field: Int) -> Int:
    """Write a fixed64 field where it is not 0."""
    if value == 0:
        return at
    return put_varint(out, put_fixed(out, at, value, 8), field << 3 | 1)


@kernel
def put_id(out: Bytes, at: Int, ids: Bytes, row: Int, size: Int, field: Int) -> Int:
    """Write an id where it is not all zero."""
    some = False
    for i in range(size):
        some |= ids[row * size + i] != 0
    if not some:
        return at
    return put_head(out, put_bytes(out, at, ids, row * size, size), at, field)


@kernel
def put_attributes(out: Bytes, at: Int, attributes: Attributes, owner: Int, field: Int) -> Int:
    """Write the attributes of one owner, each a KeyValue."""
    first, key, kind, number, start, length, buffer, keys = attributes
    for row in range(first[owner + 1] - 1, first[owner] - 1, -1):
        end = at
        of = kind[row]
        if of in (BOOL, INT):
            at = put_varint(out, put_varint(out, at, number[row]), of << 3)
        elif of == DOUBLE:
            at = put_varint(out, put_fixed(out, at, number[row], 8), of << 3 | 1)
        elif of >= STRING:
            at = put_head(out, put_bytes(out, at, buffer, start[row], length[row]), at, of)
        at = put_head(out, at, end, 2)
        at = put_text(out, at, keys, key[row], 1)
        at = put_head(out, at, end, field)
    return at


@kernel
def put_spans(
    out: Bytes,
    begins: Ints,
    order: Ints,
    ids: Any,
    texts: Any,
    numbers: Any,
    attributes: Attributes,
    events: Any,
    links: Any,
) -> int:
    """Write spans as field 2 of ScopeSpans, in `order`; `begins[i]` becomes where the i-th begins. Returns that of all.

    `ids`: trace, span, parent. `texts`: tracestate, name, status message. `numbers`: kind, start, end, dropped
    attributes, events and links, status code, flags. `events`: first of each span, time, name, dropped attributes,
    attributes. `links`: first of each span, trace, span, tracestate, attributes.
    """
    trace_id, span_id, parent_id = ids
    state, name, message = texts
    kind, began, ended, dropped, dropped_events, dropped_links, code, flags = numbers
    event_first, event_time, event_name, event_dropped, event_attributes = events
    link_first, link_trace, link_span, link_state, link_attributes = links
    at = len(out)
    for i in range(len(order) - 1, -1, -1):
        row, end = order[i], at
        if flags[row]:
            at = put_varint(out, put_fixed(out, at, flags[row], 4), 16 << 3 | 5)
        if code[row] or message[0][row + 1] > message[0][row]:
            before = at
            at = put_text(out, put_number(out, at, code[row], 3), message, row, 2)
            at = put_head(out, at, before, 15)
        at = put_number(out, at, dropped_links[row], 14)
        for j in range(link_first[row + 1] - 1, link_first[row] - 1, -1):
            before = at
            at = put_attributes(out, at, link_attributes, j, 4)
            at = put_text(out, at, link_state, j, 3)
            at = put_id(out, put_id(out, at, link_span, j, 8, 2), link_trace, j, 16, 1)
            at = put_head(out, at, before, 13)
        at = put_number(out, at, dropped_events[row], 12)
        for j in range(event_first[row + 1] - 1, event_first[row] - 1, -1):
            before = at
            at = put_number(out, at, event_dropped[j], 4)
            at = put_attributes(out, at, event_attributes, j, 3)
            at = put_time(out, put_text(out, at, event_name, j, 2), event_time[j], 1)
            at = put_head(out, at, before, 11)
        at = put_number(out, at, dropped[row], 10)
        at = put_attributes(out, at, attributes, row, 9)
        at = put_time(out, put_time(out, at, ended[row], 8), began[row], 7)
        at = put_number(out, at, kind[row], 6)
        at = put_id(out, put_text(out, at, name, row, 5), parent_id, row, 8, 4)
        at = put_text(out, at, state, row, 3)
        at = put_id(out, put_id(out, at, span_id, row, 8, 2), trace_id, row, 16, 1)
        at = put_head(out, at, end, 2)
        begins[i] = at
    return at
