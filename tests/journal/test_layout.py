"""The bytes of segments: what goes in comes out, and no bit changes unseen."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from collector.journal import Record
from collector.journal.fs import Fs
from collector.journal.layout import (
    HEADER_BYTES,
    RECORD_BYTES,
    TRAILER_BYTES,
    RawRecord,
    SegmentHeader,
    UnknownVersion,
    crc32c,
    pack_record,
    pack_segment,
    seed,
    unpack_header,
)
from collector.journal.scan import Damage, Tail, Window, scan
from tests.journal.conftest import numbered

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from schema.component import Signal

ID = bytes(range(16))


class BytesFs(Fs):
    """Reads from memory."""

    def __init__(self, data: bytes) -> None:
        self._data = data

    def read(self, fd: int, length: int, offset: int) -> bytes:  # noqa: ARG002 - there is one file
        return self._data[offset : offset + length]


def read(
    data: bytes, *, segment: int = 3, sequence: int = 1, before: int | None = None
) -> list[RawRecord | Damage | Tail]:
    return list(scan(Window(BytesFs(data), 0, len(data)), seed=seed(ID, segment), sequence=sequence, before=before))


def records_of(items: Sequence[RawRecord | Damage | Tail]) -> list[Record | None]:
    return [i.request() for i in items if isinstance(i, RawRecord)]


def signals() -> st.SearchStrategy[Signal]:
    return st.sampled_from(["traces", "logs"])


def encodings() -> st.SearchStrategy[Literal["protobuf", "json"]]:
    return st.sampled_from(["protobuf", "json"])


@st.composite
def journals(draw: st.DrawFn) -> list[Record]:
    first = draw(st.integers(1, 2**62))
    return [
        Record(
            first + i,
            draw(st.text(st.characters(exclude_categories=["Cs"]), max_size=20)),
            draw(signals()),
            draw(encodings()),
            draw(st.booleans()),
            draw(st.integers(0, 2**63 - 1)),
            draw(st.binary(max_size=200)),
            draw(st.integers(0, 2**32 - 1)),
        )
        for i in range(draw(st.integers(1, 5)))
    ]


@given(journals())
def test_a_segment_gives_back_its_records(records: list[Record]) -> None:
    items = read(pack_segment(ID, 3, 1, records), sequence=records[0].sequence)
    assert records_of(items) == records
    assert isinstance(items[-1], Tail)
    assert items[-1].how == "sealed"


@given(journals(), st.data())
def test_a_flipped_bit_costs_at_most_the_record_it_is_in(records: list[Record], data: st.DataObject) -> None:
    whole = pack_segment(ID, 3, 1, records)
    bit = data.draw(st.integers(HEADER_BYTES * 8, len(whole) * 8 - 1))
    broken = bytearray(whole)
    broken[bit // 8] ^= 1 << bit % 8
    after_last = records[-1].sequence + 1
    items = read(bytes(broken), sequence=records[0].sequence, before=after_last)
    found = records_of(items)
    assert all(r in records for r in found), "nothing that was not written"
    at_trailer = bit // 8 >= len(whole) - TRAILER_BYTES
    assert len(found) == len(records) - (0 if at_trailer else 1)
    if at_trailer:
        assert isinstance(items[-1], Tail)
        assert items[-1].how == "bound", "the seal does not verify"


def test_every_bit_of_the_header_is_covered() -> None:
    whole = SegmentHeader(ID, 3, 7, 9).pack()
    for bit in range(len(whole) * 8):
        broken = bytearray(whole)
        broken[bit // 8] ^= 1 << bit % 8
        with pytest.raises(ValueError, match=r"header|magic"):
            unpack_header(bytes(broken))


def test_another_version_is_told_apart_from_damage() -> None:
    head = bytearray(SegmentHeader(ID, 3, 7, 9).pack())
    head[8] = 1
    head[-4:] = crc32c(bytes(head[:-4])).to_bytes(4, "little")
    with pytest.raises(UnknownVersion, match="format 1"):
        unpack_header(bytes(head))


def test_records_of_another_segment_or_journal_do_not_verify() -> None:
    data = pack_segment(ID, 3, 1, numbered(b"a", b"b"))
    assert records_of(read(data, segment=4)) == []
    other = list(scan(Window(BytesFs(data), 0, len(data)), seed=seed(bytes(16), 3), sequence=1))
    assert records_of(other) == []


def test_a_record_forged_inside_a_body_is_not_read_when_its_envelope_is_damaged() -> None:
    forged = pack_record(2, 1, 0, tenant=b"victim", received_unix_ns=1, members=1, body=b"!", seed=seed(bytes(16), 3))[
        0
    ]
    forged += b"!"
    data = bytearray(pack_segment(ID, 3, 1, numbered(b"x" + forged, b"good")))
    data[HEADER_BYTES + 10] ^= 1
    assert [r.body for r in records_of(read(bytes(data))) if r] == [b"good"]


@pytest.mark.parametrize("cut", range(1, 90))
def test_a_tail_cut_anywhere_leaves_the_records_before_it(cut: int) -> None:
    records = numbered(b"first", b"second", b"third")
    whole = pack_segment(ID, 3, 1, records)[:-TRAILER_BYTES]
    data = whole[:-cut] + bytes(cut + 1000)
    sizes = [RECORD_BYTES + len("default") + len(r.body) for r in records]
    kept = sum(1 for i in range(3) if cut <= sum(sizes[i + 1 :]))
    items = read(data)
    assert records_of(items) == records[:kept]
    assert isinstance(items[-1], Tail)
    assert items[-1].how == ("zeros" if cut in (sizes[2], sizes[2] + sizes[1]) else "torn")


def test_what_the_next_segment_took_again_is_not_read() -> None:
    data = pack_segment(ID, 3, 1, numbered(b"a", b"b", b"refused"))
    assert [r.body for r in records_of(read(data, before=3)) if r] == [b"a", b"b"]


def test_reading_resumes_across_windows(tmp_path: Path) -> None:
    big = b"\0" * (3 << 20)
    data = bytearray(pack_segment(ID, 3, 1, numbered(big, b"after", big, b"last")))
    data[HEADER_BYTES] ^= 1
    path = tmp_path / "segment"
    path.write_bytes(bytes(data))
    fs = Fs()
    fd = fs.open(path)
    try:
        items = list(scan(Window(fs, fd, len(data)), seed=seed(ID, 3), sequence=1))
    finally:
        fs.close(fd)
    assert isinstance(items[0], Damage)
    assert items[0].offset == HEADER_BYTES
    assert [r.sequence for r in records_of(items) if r] == [2, 3, 4]
