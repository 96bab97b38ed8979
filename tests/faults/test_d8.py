"""D8: one bit is another.

Injected: each bit of a record, of the segment's header, of its trailer, of a cursor and of the head, one at a time.
Holds: `journal verify` names each; a start loses the one record at most, keeps its bytes with file and offset, delivers
all others byte for byte, and never one that was not written.
Figure: every one of some 3 600 bits.
"""

from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING

import pytest

from collector.journal.layout import HEADER_BYTES, RECORD_BYTES, TRAILER_BYTES
from collector.journal.verify import verify
from tests.faults.journals import copy_of, deliver_all, fill, small
from tests.journal.disk import UnsyncedFs

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from collector.journal import JournalOptions

BODIES = [b"one", b"two, in the middle", b"three"]
RECORD_1 = HEADER_BYTES + RECORD_BYTES + 1 + len(BODIES[0])
RECORD_2 = RECORD_1 + RECORD_BYTES + 1 + len(BODIES[1])
RECORD_3 = RECORD_2 + RECORD_BYTES + 1 + len(BODIES[2])
PLACES = {
    "header": ("*.seg", 0, HEADER_BYTES),
    "record": ("*.seg", RECORD_1, RECORD_2),
    "trailer": ("*.seg", RECORD_3, RECORD_3 + TRAILER_BYTES),
    "cursor": ("*.cursor", 0, None),
    "head": ("journal", 0, None),
}
EVERY_QUICK = 41


def flip(folder: Path, place: str, every: int) -> int:
    """Flip every so many bits of a place; return how many."""
    source = small(folder / "a")
    asyncio.run(fill(source, BODIES))
    pattern, start, end = PLACES[place]
    (name,) = [p.name for p in source.directory.glob(pattern)]
    whole = (source.directory / name).read_bytes()
    bits = range(start * 8, (len(whole) if end is None else end) * 8, every)
    for bit in bits:
        options = copy_of(source, folder / "b")
        path = options.directory / name
        broken = bytearray(whole)
        broken[bit // 8] ^= 1 << bit % 8
        path.write_bytes(broken)
        _check(options, path, place, bit)
    return len(bits)


def _check(options: JournalOptions, path: Path, place: str, bit: int) -> None:
    findings = verify(UnsyncedFs(), options.directory).findings
    assert [f.file for f in findings] == [path.name], f"bit {bit}: {findings}"
    if place == "record":
        (finding,) = findings
        assert (finding.first_sequence, finding.last_sequence) == (2, 2)
        assert finding.offset is not None
        assert finding.end is not None
        assert finding.offset <= bit // 8 < finding.end
    delivered = asyncio.run(deliver_all(options))
    assert delivered == ([BODIES[0], BODIES[2]] if place == "record" else BODIES), f"bit {bit} of the {place}"
    bad = list(options.directory.glob("quarantine/*.bad"))
    if place == "record":
        about = json.loads(bad[0].with_name(bad[0].name + ".json").read_text())
        assert (about["segment"], about["offset"], about["first_sequence"]) == (path.name, RECORD_1, 2)
        assert bad[0].stat().st_size == RECORD_2 - RECORD_1


@pytest.mark.quick
@pytest.mark.parametrize("place", PLACES)
def test_some_bits(tmp_path: Path, place: str) -> None:
    assert flip(tmp_path, place, EVERY_QUICK) > 5


@pytest.mark.parametrize("place", PLACES)
def test_every_bit(tmp_path: Path, place: str, record_property: Callable[[str, object], None]) -> None:
    record_property("figure", f"{flip(tmp_path, place, 1)} bits of the {place}")
