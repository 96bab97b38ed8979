"""Walk the protobuf wire format without decoding it, to look at hostile bytes in bounded memory.

A parsed message can take ninety times its size on the wire *(measured: 4 million empty spans, 8 MB, take 709 MB)*.
So a request is parsed in fragments: each is itself a whole request, holding a run of the original's fields wrapped in
the headers of the messages they came from. That works because protobuf messages concatenate, and repeated fields may
be split over several copies of their parent (protobuf encoding guide, "Last One Wins", "Repeated Elements").

    request    1: resource_spans | resource_logs        level 0
    resource   2: scope_spans    | scope_logs           level 1
    scope      2: spans          | log_records          level 2, never split: counted before it is parsed

    field      varint (number << 3 | wire type), then: 0 varint · 1 eight bytes · 2 varint length, bytes
               3 fields up to the 4 of the same number · 5 four bytes
"""

from __future__ import annotations

from dataclasses import dataclass
from types import MappingProxyType
from typing import TYPE_CHECKING

from schema.errors import Limit, Reason, Refused

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from schema.component import Signal

FRAGMENT_BYTES = 128 << 10
"""Bytes parsed at once: at worst 12 MB as messages (measured)."""
MAX_FIELDS_OF_ONE = 200_000
"""Fields of one span or log record larger than a fragment, nested ones included: about 0.1 s to count (measured)."""
MAX_FIELDS_OUTSIDE = 400_000
"""Fields that are walked to cut a body into fragments: of the request, its resources and scopes, unknown ones and what
is in groups included. The largest number of spans, resources and scopes is 20 000 each; about 0.2 s (measured)."""

SPLIT_FIELD = (1, 2, 2)
ATTRIBUTE, VALUE, ARRAY, KVLIST, EVENT, LINK, SPAN, LOG, RESOURCE = range(9)
MESSAGES: Mapping[int, Mapping[int, int]] = MappingProxyType(
    {
        ATTRIBUTE: {2: VALUE},
        VALUE: {5: ARRAY, 6: KVLIST},
        ARRAY: {1: VALUE},
        KVLIST: {1: ATTRIBUTE},
        EVENT: {3: ATTRIBUTE},
        LINK: {4: ATTRIBUTE},
        SPAN: {9: ATTRIBUTE, 11: EVENT, 13: LINK},
        LOG: {5: VALUE, 6: ATTRIBUTE},
        RESOURCE: {1: ATTRIBUTE, 3: ATTRIBUTE},
    }
)
"""Which fields of which message hold messages: opentelemetry-proto trace.proto, logs.proto, common.proto."""
LARGE: Mapping[tuple[int, int], Mapping[Signal, int]] = MappingProxyType(
    {
        (1, 1): {"traces": RESOURCE, "logs": RESOURCE},
        (2, 1): {"traces": RESOURCE, "logs": RESOURCE},
        (2, 2): {"traces": SPAN, "logs": LOG},
    }
)
"""(level, field) of the messages that are parsed whole however large they are."""

Bytes = bytes | memoryview


@dataclass(slots=True)
class Walk:
    """How many fields may still be looked at, one by one in Python: a body of unknown ones has one in two bytes."""

    left: int
    of: str
    """What has too many of them where none is left."""

    def step(self) -> None:
        """Count one.

        Raises:
            Refused: BAD_DATA, those were too many.

        """
        self.left -= 1
        if self.left < 0:
            raise Refused(Reason.BAD_DATA, f"{self.of}; send smaller batches", limit=Limit.FIELDS)


def fragments(body: bytes, signal: Signal, *, fragment_bytes: int = FRAGMENT_BYTES) -> Iterator[bytes]:
    """Yield requests that together say what `body` says, each of `fragment_bytes` or one larger span.

    A resource or scope that is split comes once per fragment, but its attributes come once.

    Raises:
        Refused: BAD_DATA where the bytes are not protobuf, or one span has too many fields; named by its offset.

    """
    if len(body) <= fragment_bytes:
        yield body
        return
    walk = Walk(MAX_FIELDS_OUTSIDE, f"the request has more than {MAX_FIELDS_OUTSIDE} fields outside of its {signal}")
    for level, start, end in _split(body, signal, (0, 0, len(body)), fragment_bytes, walk):
        yield _wrap(body[start:end], level)


def _split(
    body: bytes, signal: Signal, message: tuple[int, int, int], fragment_bytes: int, walk: Walk
) -> Iterator[tuple[int, int, int]]:
    """Yield (level, start, end) of runs of fields, in order."""
    level, first, message_end = message
    for number, start, value, end in fields(body, first, message_end, walk):
        large = end - start > fragment_bytes
        if (large or end - first > fragment_bytes) and first < start:
            yield level, first, start
            first = start
        if large and level < 2 and number == SPLIT_FIELD[level]:
            yield from _split(body, signal, (level + 1, value, end), fragment_bytes, walk)
            first = end
        elif large and (kinds := LARGE.get((level, number))):
            _count(body, kinds[signal], value, end)
    if first < message_end:
        yield level, first, message_end


def _wrap(run: bytes, level: int) -> bytes:
    for outer in reversed(SPLIT_FIELD[:level]):
        run = bytes((outer << 3 | 2,)) + _varint(len(run)) + run
    return run


def _count(body: Bytes, kind: int, start: int, end: int) -> None:
    """Refuse a message whose fields, nested ones included, are more than anyone sends."""
    walk = Walk(
        MAX_FIELDS_OF_ONE, f"the span, log record or resource at byte {start} has more than {MAX_FIELDS_OF_ONE} fields"
    )
    todo = [(kind, start, end)]
    while todo:
        kind, first, last = todo.pop()
        inner = MESSAGES[kind]
        for number, _, value, value_end in fields(body, first, last, walk):
            if number in inner:
                todo.append((inner[number], value, value_end))


def fields(body: Bytes, start: int, end: int, walk: Walk) -> Iterator[tuple[int, int, int, int]]:
    """Yield (number, start of the field, start of its value, end) of each field of a message.

    Raises:
        Refused: BAD_DATA with the offset, or more fields than `walk` allows; nothing outside [start, end) is ever read.

    """
    at = start
    while at < end:
        first = at
        walk.step()
        tag = body[at]
        at += 1
        if tag > 127:
            tag, at = _read_varint(body, at - 1, end)
        wire = tag & 7
        value = at
        if wire == 2:
            if at >= end:
                raise _malformed(first)
            size = body[at]
            at += 1
            if size > 127:
                size, at = _read_varint(body, at - 1, end)
            value = at
            at += size
        elif wire == 3:
            at = _skip_group(body, at, end, walk)
        else:
            at = _skip(body, at, end, wire)
        if at > end or tag < 8:
            raise _malformed(first)
        yield tag >> 3, first, value, at


def _skip(body: Bytes, at: int, end: int, wire: int) -> int:
    if wire == 0:
        return _read_varint(body, at, end)[1]
    if wire == 1:
        return at + 8
    if wire == 5:
        return at + 4
    raise _malformed(at)


def _skip_group(body: Bytes, at: int, end: int, walk: Walk) -> int:
    """Return the end of a group: long out of use, but an unknown field may be one and must be ignored."""
    depth = 1
    while depth:
        walk.step()
        tag, at = _read_varint(body, at, end)
        match tag & 7:
            case 3:
                depth += 1
            case 4:
                depth -= 1
            case 2:
                size, at = _read_varint(body, at, end)
                at += size
            case wire:
                at = _skip(body, at, end, wire)
    return at


def _read_varint(body: Bytes, at: int, end: int) -> tuple[int, int]:
    value = shift = 0
    for i in range(at, min(end, at + 10)):
        byte = body[i]
        value |= (byte & 127) << shift
        if byte < 128:
            return value, i + 1
        shift += 7
    raise _malformed(at)


def _varint(value: int) -> bytes:
    out = bytearray()
    while value > 127:
        out.append(value & 127 | 128)
        value >>= 7
    out.append(value)
    return bytes(out)


def _malformed(at: int) -> Refused:
    return Refused(Reason.BAD_DATA, f"the body is not protobuf: malformed at byte {at}")
