"""CVE-2026-55407: fields that nobody knows, which a parser keeps at many times their size.

Injected: 8 MB of unknown fields of each wire type, alone and between known ones, in the request, in a scope, in a span,
 in a group; the same as unknown keys of JSON.
Holds: taken or 400, within memory and time; what is taken is kept as it came.
Figure: 8 MB of two-byte fields are judged in 1 to 2 s and 20 MB; 500 000 keys of JSON in 150 MB, 2 million are 413.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import pytest

from tests.decode.hostile import varint
from tests.decode.requests import field, in_request
from tests.faults.receiving import MIB, ReceiverProcess

if TYPE_CHECKING:
    from collections.abc import Callable

SPAN = field(1, b"t" * 16) + field(2, b"s" * 8)
GOOD = in_request(field(2, SPAN))
N_BYTES = 8 * MIB
KINDS = {
    "numbers": varint(15 << 3) + b"\x01",
    "eight bytes": varint(99 << 3 | 1) + bytes(8),
    "texts": varint(99 << 3 | 2) + b"\x00",
    "four bytes": varint(99 << 3 | 5) + bytes(4),
    "groups": varint(14 << 3 | 3) + varint(14 << 3 | 4),
    "between known ones": varint(15 << 3) + b"\x01" + field(1, b""),
}


@pytest.mark.parametrize("kind", KINDS)
def test_unknown_fields(kind: str, record_property: Callable[[str, object], None]) -> None:
    one = KINDS[kind]
    many = one * (N_BYTES // len(one))
    group = varint(99 << 3 | 3) + many + varint(99 << 3 | 4)
    bodies = {
        "request": GOOD + many,
        "scope": in_request(field(2, SPAN) + many),
        "span": in_request(field(2, SPAN + many)),
        "group": GOOD + group,
    }
    figures = []
    with ReceiverProcess() as receiver, receiver.peak() as peak:
        for where, body in bodies.items():
            begin_s = time.monotonic()
            status = receiver.post(body)
            took_s = time.monotonic() - begin_s
            figures.append(f"{where} {status} in {took_s:.2f} s")
            assert status in (200, 400), where
            assert took_s < 10, where
        assert receiver.post(GOOD) == 200
    record_property("figure", f"{kind}: {', '.join(figures)}; {peak.growth_bytes / MIB:.0f} MB")
    assert peak.growth_bytes < 96 * MIB


def test_unknown_keys_of_json(record_property: Callable[[str, object], None]) -> None:
    keys = b",".join(b'"k%d":0' % i for i in range(500_000))
    body = b'{"resourceSpans":[{"scopeSpans":[{"spans":[{' + keys + b"}]}]}]}"
    with ReceiverProcess() as receiver:
        begin_s = time.monotonic()
        with receiver.peak() as peak:
            assert receiver.post(body, kind="json") in (200, 400)
        took_s = time.monotonic() - begin_s
        more = b",".join(b'"k%d":0' % i for i in range(2_000_000))
        assert receiver.post(b"{" + more + b"}", kind="json") == 413, "600 MB of memory are more than all may take"
    record_property("figure", f"500 000 keys of JSON: {took_s:.2f} s, {peak.growth_bytes / MIB:.0f} MB")
    assert took_s < 10
    assert peak.growth_bytes < 160 * MIB
