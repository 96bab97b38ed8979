"""Scan OTLP protobuf into flat tables: the kernels, compiled by numba, without an object per span or attribute.

    outline ─▶ resources, scopes, members (spans and log records), as extents in the joined requests
      read_spans ─▶ columns, and the extents of attributes, events and links
      read_attributes ─▶ key number, type, number or extent of the value

The bytes are hostile: a kernel reads only within the extents it is given, and judges conservatively. It takes what it
reads exactly as the protobuf library does: unknown fields and fields of another wire type are skipped, of a repeated
scalar the last counts. A record with anything else (malformed bytes; groups; a message that comes in pieces to be
merged; a oneof set twice; values nested deeper than MAX_DEPTH; keys that collide) it marks in `irregular`, and leaves
it to the library.

Conventions: `buf` holds the requests, joined or as they lie in the journal, with PADDING bytes of any kind behind the
last; `words[i]` is the int64 at byte i of it, wherever that is (numba loads it as if aligned: x86-64 and arm64 do not
mind).
`start` and `end` are offsets into it. Tables are int64[columns, rows] with one name for each column's number; what does
not fit into a table is counted and not written. All arithmetic is int64: numba makes a float of int64 with uint64.

All kernels that call each other stay in this file: numba's cache notices no change in another one.
"""
# ruff: noqa: PLR0917, PLR1714, SIM109 - kernels take their arrays by position; a comparison is cheaper than a set

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np

from collector.decode.compile import inlined, kernel

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Ints = NDArray[np.int64]
    Rows = NDArray[np.int32]
    Bytes = NDArray[np.uint8]

Int: TypeAlias = Any
"""An int64; uncompiled, Python's and NumPy's integers mix."""

PADDING = 64
"""Bytes behind the requests, so that a word can be read at each of theirs."""
MAX_DEPTH = 40
"""Nesting of array and kvlist values; the library reads 100 levels, counted from the request."""
MAX_PROBES = 64
"""Of the table of keys; more are met by chance never, by design of the sender perhaps."""

HIGH_BITS = -0x7F7F7F7F7F7F7F80
MULTIPLIER = -0x61C8864680B583EB
UINT32 = 0xFFFFFFFF

# Columns of the tables of resources and scopes.
ORIGIN, MESSAGE, MESSAGE_END, SCHEMA, SCHEMA_END, NAME, NAME_END, VERSION, VERSION_END = range(9)
# Columns of the table of members; the first is ORIGIN.
RESOURCE, SCOPE, START, END = range(1, 5)
# Columns of the table of spans.
SPAN_NAME, SPAN_NAME_END, TRACE_STATE, TRACE_STATE_END, STATUS_MESSAGE, STATUS_MESSAGE_END = range(6)
KIND, FLAGS, START_TIME, END_TIME, STATUS_CODE, DROPPED_ATTRIBUTES, DROPPED_EVENTS, DROPPED_LINKS = range(6, 14)
# Columns of the tables of events, links and log records.
EVENT_NAME, EVENT_NAME_END, EVENT_TIME, EVENT_DROPPED = range(4)
LINK_STATE, LINK_STATE_END = range(2)
SEVERITY_TEXT, SEVERITY_TEXT_END, LOG_NAME, LOG_NAME_END = range(4)
LOG_TIME, OBSERVED_TIME, SEVERITY, BODY, BODY_END = range(4, 9)

# Types of a value: schema.anyvalue.ValueType. PAIR and VALUE are the other messages that nest.
EMPTY, STRING, BOOL, INT, DOUBLE, ARRAY, KVLIST, BYTES, PAIR, VALUE = range(10)


@kernel
def read_varint(buf: Bytes, at: Int, end: Int) -> tuple[Int, Int]:
    """Return the value and the offset behind it, -1 where there is no varint of 64 bits."""
    value: Int = 0
    shift: Int = 0
    while at < end and shift < 70:
        byte = np.int64(buf[at])
        at += 1
        value |= (byte & 127) << shift
        if byte < 128:
            if shift == 63 and byte > 1:
                return 0, -1
            return value, at
        shift += 7
    return 0, -1


@inlined
def next_field(buf: Bytes, at: Int, end: Int) -> tuple[Int, Int, Int, Int]:
    """Read one field at `at` < `end`: its tag, two values, and the offset behind it, -1 where it is irregular.

    The values are a varint's value and 0, or the start and end of the bytes of any other wire type.
    """
    tag = np.int64(buf[at])
    at += 1
    if tag > 127:
        if at >= end or not 0 < buf[at] < 128:
            return 0, 0, 0, -1
        tag = tag & 127 | np.int64(buf[at]) << 7
        at += 1
    wire = tag & 7
    size: Int = 0
    if wire == 2:
        if at < end and buf[at] < 128:
            size = np.int64(buf[at])
            at += 1
        else:
            first = at
            size, at = read_varint(buf, at, end)
            if at < 0 or at - first > 5:
                return 0, 0, 0, -1
    elif wire == 0:
        value, at = read_varint(buf, at, end)
        return tag, value, 0, at if tag > 7 else -1
    elif wire == 1:
        size = 8
    elif wire == 5:
        size = 4
    else:
        return 0, 0, 0, -1
    if tag < 8 or size > end - at:
        return 0, 0, 0, -1
    return tag, at, at + size, at + size


@kernel
def low_bytes(count: Int) -> Int:
    """Return a mask of the first `count` < 8 bytes of a word."""
    return (np.int64(1) << (8 * count)) - 1


@kernel
def is_text(buf: Bytes, words: Ints, at: Int, end: Int) -> bool:
    """Tell whether the bytes are UTF-8; none behind them is read. Source: Unicode 15, table 3-7."""
    # Words that overlap, not a loop over what is left: how often that turns, nobody can guess.
    if end - at >= 32:
        while at + 32 <= end and ((words[at] | words[at + 8] | words[at + 16] | words[at + 24]) & HIGH_BITS) == 0:
            at += 32
        if at + 32 > end and ((words[end - 32] | words[end - 24] | words[end - 16] | words[end - 8]) & HIGH_BITS) == 0:
            return True
    elif end - at >= 16:
        if (words[at] | words[at + 8] | words[end - 16] | words[end - 8]) & HIGH_BITS == 0:
            return True
    elif end - at >= 8 and (words[at] | words[end - 8]) & HIGH_BITS == 0:
        return True
    while at < end:
        if at + 8 <= end:
            if words[at] & HIGH_BITS == 0:
                at += 8
                continue
        elif end >= 8 and words[end - 8] >> (8 * (8 - end + at)) & HIGH_BITS & low_bytes(end - at) == 0:
            return True
        lead = np.int64(buf[at])
        if lead < 0x80:
            at += 1
            continue
        size = 2 if lead < 0xE0 else 3 if lead < 0xF0 else 4
        if lead < 0xC2 or lead > 0xF4 or at + size > end:
            return False
        second = np.int64(buf[at + 1])
        lowest = 0xA0 if lead == 0xE0 else 0x90 if lead == 0xF0 else 0x80
        highest = 0x9F if lead == 0xED else 0x8F if lead == 0xF4 else 0xBF
        if second < lowest or second > highest:
            return False
        for i in range(at + 2, at + size):
            if np.int64(buf[i]) & 0xC0 != 0x80:
                return False
        at += size
    return True


@kernel
def same_bytes(words: Ints, one: Int, other: Int, length: Int) -> bool:
    """Compare two runs of bytes."""
    whole = length & ~7
    for i in range(0, whole, 8):
        if words[one + i] != words[other + i]:
            return False
    rest = length - whole
    return rest == 0 or bool((words[one + whole] ^ words[other + whole]) & low_bytes(rest) == 0)


@kernel
def intern(
    words: Ints, start: Int, end: Int, slots: Rows, key_start: Ints, key_end: Ints, known: Int, seed: Int
) -> Int:
    """Return the number of the key of these bytes: `known` if it is new, -1 if the table does not take it."""
    length = end - start
    mixed = seed ^ length
    whole = length & ~7
    for i in range(0, whole, 8):
        mixed = (mixed ^ words[start + i]) * MULTIPLIER
        mixed ^= mixed >> 29
    if whole < length:
        mixed = (mixed ^ (words[start + whole] & low_bytes(length - whole))) * MULTIPLIER
        mixed ^= mixed >> 29
    mask = len(slots) - 1
    place = mixed & mask
    for probe in range(1, MAX_PROBES):
        number = np.int64(slots[place]) - 1
        if number < 0:
            if known == len(key_start):
                return -1
            slots[place] = known + 1
            key_start[known] = start
            key_end[known] = end
            return known
        if key_end[number] - key_start[number] == length and same_bytes(words, key_start[number], start, length):
            return number
        place = (place + probe) & mask
    return -1


@kernel
def as_enum(value: Int) -> Int:
    """Return an int32 of the wire, as a byte: negative numbers are 0, large ones 255."""
    value &= UINT32
    if value > 0x7FFFFFFF:
        return 0
    return min(value, 255)


@kernel
def copy_id(buf: Bytes, start: Int, end: Int, out: Bytes) -> None:
    """Copy an id; one of another length is absent, all zero."""
    for i in range(len(out)):
        out[i] = buf[start + i] if end - start == len(out) else 0


@kernel
def outline(
    buf: Bytes, words: Ints, start: Ints, end: Ints, irregular: Bytes, resources: Ints, scopes: Ints, members: Ints
) -> tuple[Int, Int, Int]:
    """List the resources, scopes and members of the requests at `start` to `end`; return how many there are.

    request    1: resource_spans | resource_logs
    resource   1: resource, 2: scope_spans | scope_logs, 3: schema_url
    scope      1: scope, 2: spans | log_records, 3: schema_url
    """
    n_resources, n_scopes, n_members = 0, 0, 0
    for origin in range(len(start)):
        at, last = start[origin], end[origin]
        while at < last:
            tag, group, group_end, at = next_field(buf, at, last)
            if at < 0:
                irregular[origin] = 1
                break
            if tag != 10:
                continue
            resource = n_resources
            n_resources += 1
            if resource < resources.shape[1]:
                resources[:, resource] = 0
                resources[ORIGIN, resource] = origin
            while group < group_end:
                tag, inner, inner_end, group = next_field(buf, group, group_end)
                if group < 0:
                    irregular[origin] = 1
                    break
                if tag == 10 and resource < resources.shape[1]:
                    if resources[MESSAGE, resource] > 0:
                        irregular[origin] = 1
                    resources[MESSAGE, resource] = inner
                    resources[MESSAGE_END, resource] = inner_end
                elif tag == 26:
                    if not is_text(buf, words, inner, inner_end):
                        irregular[origin] = 1
                    if resource < resources.shape[1]:
                        resources[SCHEMA, resource] = inner
                        resources[SCHEMA_END, resource] = inner_end
                elif tag == 18:
                    scope = n_scopes
                    n_scopes += 1
                    if scope < scopes.shape[1]:
                        scopes[:, scope] = 0
                        scopes[ORIGIN, scope] = origin
                    while inner < inner_end:
                        tag, item, item_end, inner = next_field(buf, inner, inner_end)
                        if inner < 0:
                            irregular[origin] = 1
                            break
                        if tag == 18:
                            if n_members < members.shape[1]:
                                members[ORIGIN, n_members] = origin
                                members[RESOURCE, n_members] = resource
                                members[SCOPE, n_members] = scope
                                members[START, n_members] = item
                                members[END, n_members] = item_end
                            n_members += 1
                        elif tag == 10 and scope < scopes.shape[1]:
                            if scopes[MESSAGE, scope] > 0:
                                irregular[origin] = 1
                            scopes[MESSAGE, scope] = item
                            scopes[MESSAGE_END, scope] = item_end
                        elif tag == 26:
                            if not is_text(buf, words, item, item_end):
                                irregular[origin] = 1
                            if scope < scopes.shape[1]:
                                scopes[SCHEMA, scope] = item
                                scopes[SCHEMA_END, scope] = item_end
    return n_resources, n_scopes, n_members


@kernel
def are_texts(buf: Bytes, words: Ints, at: Int, end: Int) -> bool:
    """Tell whether a message whose fields 1 to 4 are strings, an EntityRef, can be read."""
    while at < end:
        tag, first, last, at = next_field(buf, at, end)
        if at < 0 or (tag & 7 == 2 and tag <= 34 and not is_text(buf, words, first, last)):
            return False
    return True


@kernel
def read_resources(
    buf: Bytes, words: Ints, irregular: Bytes, resources: Ints, owner: Rows, start: Ints, end: Ints
) -> Int:
    """List the attributes of the resources; return how many there are."""
    n = 0
    for row in range(resources.shape[1]):
        origin = resources[ORIGIN, row]
        at, last = resources[MESSAGE, row], resources[MESSAGE_END, row]
        while at < last:
            tag, first, second, at = next_field(buf, at, last)
            if at < 0:
                irregular[origin] = 1
                break
            if tag == 10:
                if n < len(owner):
                    owner[n] = row
                    start[n] = first
                    end[n] = second
                n += 1
            elif tag == 26 and not are_texts(buf, words, first, second):
                irregular[origin] = 1
    return n


@kernel
def read_scopes(buf: Bytes, words: Ints, irregular: Bytes, scopes: Ints, owner: Rows, start: Ints, end: Ints) -> Int:
    """Read the scopes and list their attributes; return how many there are."""
    n = 0
    for row in range(scopes.shape[1]):
        origin = scopes[ORIGIN, row]
        at, last = scopes[MESSAGE, row], scopes[MESSAGE_END, row]
        while at < last:
            tag, first, second, at = next_field(buf, at, last)
            if at < 0:
                irregular[origin] = 1
                break
            if tag == 26:
                if n < len(owner):
                    owner[n] = row
                    start[n] = first
                    end[n] = second
                n += 1
            elif tag == 10 or tag == 18:
                if not is_text(buf, words, first, second):
                    irregular[origin] = 1
                column = NAME if tag == 10 else VERSION
                scopes[column, row] = first
                scopes[column + 1, row] = second
    return n


@kernel
def read_spans(
    buf: Bytes,
    words: Ints,
    irregular: Bytes,
    members: Ints,
    spans: Ints,
    trace_id: Bytes,
    span_id: Bytes,
    parent_span_id: Bytes,
    owner: Rows,
    start: Ints,
    end: Ints,
    events: Ints,
    links: Ints,
) -> tuple[Int, Int, Int]:
    """Read the fields of the spans; list attributes, events and links, and return how many of each there are."""
    n_attributes, n_events, n_links = 0, 0, 0
    for row in range(members.shape[1]):
        origin = members[ORIGIN, row]
        at, last = members[START, row], members[END, row]
        spans[:, row] = 0
        has_status = False
        while at < last:
            tag, first, second, at = next_field(buf, at, last)
            if at < 0:
                irregular[origin] = 1
                break
            if tag == 9 << 3 | 2:
                if n_attributes < len(owner):
                    owner[n_attributes] = row
                    start[n_attributes] = first
                    end[n_attributes] = second
                n_attributes += 1
            elif tag == 1 << 3 | 2:
                copy_id(buf, first, second, trace_id[row])
            elif tag == 2 << 3 | 2:
                copy_id(buf, first, second, span_id[row])
            elif tag == 4 << 3 | 2:
                copy_id(buf, first, second, parent_span_id[row])
            elif tag == 3 << 3 | 2 or tag == 5 << 3 | 2:
                if not is_text(buf, words, first, second):
                    irregular[origin] = 1
                column = SPAN_NAME if tag == 5 << 3 | 2 else TRACE_STATE
                spans[column, row] = first
                spans[column + 1, row] = second
            elif tag == 6 << 3:
                spans[KIND, row] = as_enum(first)
            elif tag == 7 << 3 | 1:
                spans[START_TIME, row] = words[first]
            elif tag == 8 << 3 | 1:
                spans[END_TIME, row] = words[first]
            elif tag == 10 << 3:
                spans[DROPPED_ATTRIBUTES, row] = first & UINT32
            elif tag == 11 << 3 | 2:
                if n_events < events.shape[1]:
                    events[ORIGIN, n_events] = row
                    events[1, n_events] = first
                    events[2, n_events] = second
                n_events += 1
            elif tag == 12 << 3:
                spans[DROPPED_EVENTS, row] = first & UINT32
            elif tag == 13 << 3 | 2:
                if n_links < links.shape[1]:
                    links[ORIGIN, n_links] = row
                    links[1, n_links] = first
                    links[2, n_links] = second
                n_links += 1
            elif tag == 14 << 3:
                spans[DROPPED_LINKS, row] = first & UINT32
            elif tag == 15 << 3 | 2:
                if has_status:
                    irregular[origin] = 1
                has_status = True
                while first < second:
                    tag, one, other, first = next_field(buf, first, second)
                    if first < 0:
                        irregular[origin] = 1
                        break
                    if tag == 2 << 3 | 2:
                        if not is_text(buf, words, one, other):
                            irregular[origin] = 1
                        spans[STATUS_MESSAGE, row] = one
                        spans[STATUS_MESSAGE_END, row] = other
                    elif tag == 3 << 3:
                        spans[STATUS_CODE, row] = as_enum(one)
            elif tag == 16 << 3 | 5:
                spans[FLAGS, row] = words[first] & UINT32
    return n_attributes, n_events, n_links


@kernel
def read_events(
    buf: Bytes,
    words: Ints,
    irregular: Bytes,
    members: Ints,
    found: Ints,
    events: Ints,
    owner: Rows,
    start: Ints,
    end: Ints,
) -> Int:
    """Read the events that `found` lists by span and extent; return how many attributes they have."""
    n = 0
    for row in range(found.shape[1]):
        origin = members[ORIGIN, found[ORIGIN, row]]
        at, last = found[1, row], found[2, row]
        events[:, row] = 0
        while at < last:
            tag, first, second, at = next_field(buf, at, last)
            if at < 0:
                irregular[origin] = 1
                break
            if tag == 1 << 3 | 1:
                events[EVENT_TIME, row] = words[first]
            elif tag == 2 << 3 | 2:
                if not is_text(buf, words, first, second):
                    irregular[origin] = 1
                events[EVENT_NAME, row] = first
                events[EVENT_NAME_END, row] = second
            elif tag == 3 << 3 | 2:
                if n < len(owner):
                    owner[n] = row
                    start[n] = first
                    end[n] = second
                n += 1
            elif tag == 4 << 3:
                events[EVENT_DROPPED, row] = first & UINT32
    return n


@kernel
def read_links(
    buf: Bytes,
    words: Ints,
    irregular: Bytes,
    members: Ints,
    found: Ints,
    links: Ints,
    trace_id: Bytes,
    span_id: Bytes,
    owner: Rows,
    start: Ints,
    end: Ints,
) -> Int:
    """Read the links that `found` lists by span and extent; return how many attributes they have."""
    n = 0
    for row in range(found.shape[1]):
        origin = members[ORIGIN, found[ORIGIN, row]]
        at, last = found[1, row], found[2, row]
        links[:, row] = 0
        while at < last:
            tag, first, second, at = next_field(buf, at, last)
            if at < 0:
                irregular[origin] = 1
                break
            if tag == 1 << 3 | 2:
                copy_id(buf, first, second, trace_id[row])
            elif tag == 2 << 3 | 2:
                copy_id(buf, first, second, span_id[row])
            elif tag == 3 << 3 | 2:
                if not is_text(buf, words, first, second):
                    irregular[origin] = 1
                links[LINK_STATE, row] = first
                links[LINK_STATE_END, row] = second
            elif tag == 4 << 3 | 2:
                if n < len(owner):
                    owner[n] = row
                    start[n] = first
                    end[n] = second
                n += 1
    return n


@kernel
def read_logs(
    buf: Bytes,
    words: Ints,
    irregular: Bytes,
    members: Ints,
    logs: Ints,
    trace_id: Bytes,
    span_id: Bytes,
    owner: Rows,
    start: Ints,
    end: Ints,
) -> Int:
    """Read the fields of the log records; BODY is -1 without one. Return how many attributes they have."""
    n = 0
    for row in range(members.shape[1]):
        origin = members[ORIGIN, row]
        at, last = members[START, row], members[END, row]
        logs[:, row] = 0
        logs[BODY, row] = -1
        while at < last:
            tag, first, second, at = next_field(buf, at, last)
            if at < 0:
                irregular[origin] = 1
                break
            if tag == 6 << 3 | 2:
                if n < len(owner):
                    owner[n] = row
                    start[n] = first
                    end[n] = second
                n += 1
            elif tag == 1 << 3 | 1:
                logs[LOG_TIME, row] = words[first]
            elif tag == 11 << 3 | 1:
                logs[OBSERVED_TIME, row] = words[first]
            elif tag == 2 << 3:
                logs[SEVERITY, row] = as_enum(first)
            elif tag == 3 << 3 | 2 or tag == 12 << 3 | 2:
                if not is_text(buf, words, first, second):
                    irregular[origin] = 1
                column = SEVERITY_TEXT if tag == 3 << 3 | 2 else LOG_NAME
                logs[column, row] = first
                logs[column + 1, row] = second
            elif tag == 5 << 3 | 2:
                if logs[BODY, row] >= 0:
                    irregular[origin] = 1
                logs[BODY, row] = first
                logs[BODY_END, row] = second
            elif tag == 9 << 3 | 2:
                copy_id(buf, first, second, trace_id[row])
            elif tag == 10 << 3 | 2:
                copy_id(buf, first, second, span_id[row])
    return n


@kernel
def can_nest(buf: Bytes, words: Ints, at: Int, kind: Int, ends: Ints, kinds: Ints) -> bool:
    """Tell whether an array or kvlist from `at` to `ends[0]` can be read; `ends` and `kinds` are scratch."""
    depth = 0
    kinds[0] = kind
    while True:
        while at == ends[depth]:
            if depth == 0:
                return True
            depth -= 1
        tag, first, second, after = next_field(buf, at, ends[depth])
        if after < 0:
            return False
        inner = EMPTY
        kind = kinds[depth]
        if tag == 10:
            if kind == ARRAY:
                inner = VALUE
            elif kind == KVLIST:
                inner = PAIR
            elif not is_text(buf, words, first, second):
                return False
        elif kind == PAIR and tag == 18:
            inner = VALUE
        elif kind == VALUE and (tag == 42 or tag == 50):
            inner = ARRAY if tag == 42 else KVLIST
        if inner == EMPTY:
            at = after
            continue
        depth += 1
        if depth == MAX_DEPTH:
            return False
        kinds[depth] = inner
        ends[depth] = second
        at = first


@kernel
def read_value(buf: Bytes, words: Ints, at: Int, last: Int, ends: Ints, kinds: Ints) -> tuple[Int, Int, Int, Int]:
    """Read an AnyValue: its type (-1 where it is irregular), number, start and length."""
    kind: Int = EMPTY
    number: Int = 0
    start, length = 0, 0
    is_set = False
    while at < last:
        tag, first, second, at = next_field(buf, at, last)
        if at < 0:
            return -1, number, start, length
        if tag == STRING << 3 | 2:
            kind = STRING if is_text(buf, words, first, second) else -1
        elif tag == BOOL << 3:
            kind, number = BOOL, np.int64(first != 0)
        elif tag == INT << 3:
            kind, number = INT, first
        elif tag == DOUBLE << 3 | 1:
            kind, number = DOUBLE, words[first]
        elif tag == ARRAY << 3 | 2 or tag == KVLIST << 3 | 2:
            kind = tag >> 3
            ends[0] = second
            if not can_nest(buf, words, first, kind, ends, kinds):
                kind = -1
        elif tag == BYTES << 3 | 2:
            kind = BYTES
        elif tag != 8 << 3:  # string_value_strindex, which only profiles use, is no value here
            continue
        if is_set or kind < 0:
            return -1, number, start, length
        is_set = True
        if tag & 7 == 2 and first < second:
            start, length = first, second - first
    return kind, number, start, length


@kernel
def read_attributes(
    buf: Bytes,
    words: Ints,
    irregular: Bytes,
    origin: Ints,
    owner: Rows,
    key: Rows,
    kinds: Bytes,
    number: Ints,
    start: Ints,
    length: Ints,
    slots: Rows,
    following: Rows,
    key_start: Ints,
    key_end: Ints,
    seed: Int,
    stack_end: Ints,
    stack_kind: Ints,
) -> Int:
    """Read the KeyValues at `start` to `length`, which become those of the values; return the number of keys.

    `origin` is the record of each owner. `slots` has a power of two of zeros, twice as many as there may be keys.
    `following`, zeros, learns which key came behind which: most spans have the same keys in the same order, and to
    compare is cheaper than to hash.
    """
    known = np.int64(0)
    before: Int = 0
    for row in range(len(owner)):
        at, last = start[row], length[row]
        name, name_end, value, value_end = 0, 0, -1, -1
        whole = True
        while at < last:
            tag, first, second, at = next_field(buf, at, last)
            if at < 0:
                whole = False
                break
            if tag == 10:
                whole = whole and name == 0
                name, name_end = first, second
            elif tag == 18:
                whole = whole and value < 0
                value, value_end = first, second
        guess = np.int64(following[before]) - 1
        size = name_end - name
        if guess >= 0 and key_end[guess] - key_start[guess] == size and same_bytes(words, key_start[guess], name, size):
            found: Int = guess
        else:
            found = intern(words, name, name_end, slots, key_start, key_end, known, seed)
            if found == known:
                known += 1
                whole = whole and is_text(buf, words, name, name_end)
            following[before] = found + 1
        before = found + 1 if found + 1 < len(following) else 0
        kind, kinds[row], number[row], start[row], length[row] = EMPTY, EMPTY, 0, 0, 0
        if value >= 0:
            kind, number[row], start[row], length[row] = read_value(buf, words, value, value_end, stack_end, stack_kind)
        if not whole or found < 0 or kind < 0:
            irregular[origin[owner[row]]] = 1
            found, kind = 0, EMPTY
        key[row] = found
        kinds[row] = kind
    return known


@kernel
def read_bodies(
    buf: Bytes,
    words: Ints,
    irregular: Bytes,
    origin: Ints,
    kinds: Bytes,
    number: Ints,
    start: Ints,
    length: Ints,
    stack_end: Ints,
    stack_kind: Ints,
) -> None:
    """Read the values at `start` to `length`; `origin` is the record of each."""
    for row in range(len(kinds)):
        kind, number[row], start[row], length[row] = read_value(
            buf, words, start[row], length[row], stack_end, stack_kind
        )
        if kind < 0:
            irregular[origin[row]] = 1
            kind = EMPTY
        kinds[row] = kind


@kernel
def gather(buf: Bytes, start: Ints, end: Ints, offsets: Rows, out: Bytes) -> None:
    """Copy extents one behind the other; `offsets`, one more than there are, say where each is in `out`."""
    for row in range(len(start)):
        to = np.int64(offsets[row])
        for i in range(start[row], end[row]):
            out[to] = buf[i]
            to += 1


# What a field is to `check`: nothing to look at, text, an id, or a message of kind (action - MESSAGE_OF).
SKIPPED, TEXT, TRACE_ID, SPAN_ID, MESSAGE_OF = range(5)
# Kinds of messages; the rows of its table.
REQUEST, GROUP, SCOPED, RESOURCE_OF, SCOPE_OF, SPAN, LOG, EVENT, LINK, STATUS, ENTITY = range(11)
PAIR_OF, VALUE_OF, ARRAY_OF, KVLIST_OF = range(11, 15)
# What it counts.
GROUPS, SCOPES, MEMBERS, ITEMS, FIELDS, OTHERS = range(6)
COUNTED = (OTHERS, GROUPS, SCOPES, OTHERS, OTHERS, MEMBERS, MEMBERS, ITEMS, ITEMS, OTHERS, OTHERS, ITEMS)
"""As what a message of each kind counts."""


@inlined
def check_plain_pair(buf: Bytes, words: Ints, at: Int, end: Int) -> Int:
    """Look at a KeyValue at `at` < `end`: 1 where it is a key and then a value that holds one thing that does not nest.

    0 where it is anything else, -1 where a text in it is none. Almost all attributes are of that form; to go down into
    each of their messages and up again costs the whole check a fifth more (measured).
    """
    tag, key, key_end, at = next_field(buf, at, end)
    if at < 0 or at >= end or tag != 10:
        return 0
    tag, first, last, at = next_field(buf, at, end)
    if at != end or tag != 18 or first >= last:
        return 0
    tag, first, end, at = next_field(buf, first, last)
    if at != last or tag == 42 or tag == 50:
        return 0
    if not is_text(buf, words, key, key_end) or (tag == 10 and not is_text(buf, words, first, end)):
        return -1
    return 1


@kernel
def check(
    buf: Bytes, words: Ints, actions: Bytes, ids: Int, limits: Ints, counts: Ints, ends: Ints, kinds: Ints
) -> bool:
    """Tell whether a whole request is one that the protobuf library reads, within `limits`; False leaves it to that.

    `actions[kind, tag]` says what a field of a tag below 128 is: other fields are skipped. Where `ids` is 1 a span must
    have its two. `counts` are zeros and become what was found, ITEMS being attributes (nested ones too), events and
    links; the limit of FIELDS is that of one member or resource. `ends` and `kinds` are scratch.
    """
    depth, seen = 0, 0
    at = np.int64(0)  # a literal would be another type, and next_field compiled for it as well
    end: Int = len(buf)
    kind: Int = REQUEST
    most_fields = limits[FIELDS]
    has_trace_id, has_span_id = False, False
    while True:
        while at == end:
            if depth == 0:
                return True
            if kind == SPAN and ids == 1 and not (has_trace_id and has_span_id):
                return False
            depth -= 1
            end, kind = ends[depth], kinds[depth]
        tag, first, last, at = next_field(buf, at, end)
        seen += 1
        if at < 0 or seen > most_fields:
            return False
        if tag > 127:
            continue
        action = np.int64(actions[kind, tag])
        if action == SKIPPED:
            continue
        if action == TEXT:
            if not is_text(buf, words, first, last):
                return False
        elif action == TRACE_ID:
            has_trace_id = last - first == 16 and (words[first] | words[first + 8]) != 0
        elif action == SPAN_ID:
            has_span_id = last - first == 8 and words[first] != 0
        else:
            if action == MESSAGE_OF + PAIR_OF and first < last and depth + 2 < MAX_DEPTH:
                said = check_plain_pair(buf, words, first, last)
                if said < 0:
                    return False
                if said > 0:
                    seen += 3  # key, value, and what is in the value
                    counts[ITEMS] += 1
                    if seen > most_fields or counts[ITEMS] > limits[ITEMS]:
                        return False
                    continue
            ends[depth], kinds[depth] = end, kind
            depth += 1
            if depth == MAX_DEPTH:
                return False
            end, kind, at = last, action - MESSAGE_OF, first
            if kind >= VALUE_OF:
                continue
            if kind == SPAN or kind == LOG or kind == RESOURCE_OF or kind == SCOPE_OF:
                seen, has_trace_id, has_span_id = 0, False, False
            counted = COUNTED[kind]
            counts[counted] += 1
            if counts[counted] > limits[counted]:
                return False
