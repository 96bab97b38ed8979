"""Requests on the wire as no library writes them, and damage to those that one wrote. Same seed, same bytes."""

from __future__ import annotations

import struct
from random import Random
from typing import TYPE_CHECKING, Any

from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

if TYPE_CHECKING:
    from schema.component import Signal

MESSAGES: dict[str, Any] = {"traces": ExportTraceServiceRequest, "logs": ExportLogsServiceRequest}
TYPE_DOUBLE, TYPE_FIXED64, TYPE_FIXED32, TYPE_STRING, TYPE_MESSAGE, TYPE_BYTES = 1, 6, 7, 9, 11, 12
FIXED64, FIXED32, LENGTH = {TYPE_DOUBLE, TYPE_FIXED64}, {TYPE_FIXED32}, {TYPE_STRING, TYPE_MESSAGE, TYPE_BYTES}
TOWARDS_SPANS = {"resource_spans", "scope_spans", "spans", "resource_logs", "scope_logs", "log_records"}
NUMBERS = (0, 1, 2, 127, 128, 2**31 - 1, 2**31, 2**32 - 1, 2**32, 2**63 - 1, 2**63, 2**64 - 1)
TEXTS: tuple[str, ...] = (
    "",
    "k",
    "event.name",
    "gen_ai.request.model",
    "gen_ai.request.models",
    "0123456",
    "01234567",
    "012345678",
)
TEXTS = (*TEXTS, "ключ", "鍵" * 5, "a" * 40 + "é" + "b" * 40, "\U0010ffff", "\ud7ff\ue000", "\x00")
NOT_TEXTS = (b"\xff", b"\xc0\x80", b"\xed\xa0\x80", b"\xf4\x90\x80\x80", b"\xe0\x80\x80", b"\xc3", b"a" * 33 + b"\x80")


def seeded(seed: int) -> Random:
    return Random(seed)  # noqa: S311 - not a secret


def varint(value: int, *, padding: int = 0) -> bytes:
    """Encode a varint, with this many bytes more than it needs."""
    out = bytearray()
    while value > 127:
        out.append(value & 127 | 128)
        value >>= 7
    out.append(value)
    for _ in range(padding):
        out[-1] |= 128
        out.append(0)
    return bytes(out)


def request(signal: Signal, chance: Random, *, odd: float) -> bytes:
    """Make a request; `odd` is how often a field is not as a library would write it."""
    return message(MESSAGES[signal].DESCRIPTOR, chance, odd=odd, depth=0)


def message(descriptor: Any, chance: Random, *, odd: float, depth: int) -> bytes:
    fields = list(descriptor.fields)
    out = b""
    for _ in range(chance.choice((0, 1, 1, 2, 3, 6)) if depth > 2 else chance.choice((1, 2, 3))):
        if chance.random() < odd * 0.3:
            out += unknown(chance)
            continue
        one = chance.choice(fields)
        if depth < 3 and chance.random() < 0.7:  # towards the spans: most of the fields are theirs
            one = next((f for f in fields if f.name in TOWARDS_SPANS), one)
        if depth > 14 and one.type == TYPE_MESSAGE:
            continue
        body = value(one, chance, odd=odd, depth=depth)
        wire = 1 if one.type in FIXED64 else 5 if one.type in FIXED32 else 2 if one.type in LENGTH else 0
        if chance.random() < odd * 0.1:
            wire = chance.randrange(8)
        out += varint(one.number << 3 | wire, padding=chance.random() < odd * 0.1)
        if wire == 2:
            out += varint(len(body), padding=chance.choice((0, 3, 5)) if chance.random() < odd * 0.3 else 0)
        out += body
    return out


def value(one: Any, chance: Random, *, odd: float, depth: int) -> bytes:
    if one.type == TYPE_MESSAGE:
        return message(one.message_type, chance, odd=odd, depth=depth + 1)
    if one.type == TYPE_STRING:
        return chance.choice(NOT_TEXTS) if chance.random() < odd * 0.1 else chance.choice(TEXTS).encode()
    if one.type == TYPE_BYTES:
        return chance.randbytes(chance.choice((0, 8, 16, 16, 7)))
    if one.type in FIXED64:
        return chance.randbytes(8) if chance.random() < 0.8 else struct.pack("<d", chance.choice((0.0, -0.0, 1.5)))
    if one.type in FIXED32:
        return chance.randbytes(4)
    padding = chance.choice((0, 2, 9, 10)) if chance.random() < odd * 0.3 else 0
    return varint(chance.choice(NUMBERS) if chance.random() < 0.7 else chance.randrange(25), padding=padding)


def unknown(chance: Random) -> bytes:
    number = chance.choice((0, 17, 99, 1000, 19000, 2**29 - 1, 2**29))
    match chance.randrange(6):
        case 0:
            return varint(number << 3) + varint(chance.choice(NUMBERS))
        case 1:
            return varint(number << 3 | 1) + bytes(8)
        case 2:
            return varint(number << 3 | 2) + varint(3) + b"\xff\x00a"
        case 3:
            return varint(number << 3 | 3) + unknown(chance) + varint(number << 3 | 4)
        case 4:
            return varint(number << 3 | 5) + bytes(4)
        case _:
            return varint(number << 3 | chance.choice((3, 4, 6, 7)))


def damaged(body: bytes, chance: Random) -> bytes:
    """Change a few bytes of a body: flip, cut, double, leave out."""
    out = bytearray(body)
    for _ in range(chance.randrange(1, 4)):
        if not out:
            break
        at = chance.randrange(len(out))
        match chance.randrange(5):
            case 0:
                out[at] ^= 1 << chance.randrange(8)
            case 1:
                out[at] = chance.choice((0, 1, 2, 0x7F, 0x80, 0xFF))
            case 2:
                del out[at:]
            case 3:
                del out[at : at + chance.randrange(1, 9)]
            case _:
                out[at:at] = out[at : at + chance.randrange(1, 40)]
    return bytes(out)
