"""D9: bytes behind the records that are not ours.

Injected: zeros, random bytes, an old segment's records and copies of this one's are put behind the last record, of a
segment that a crash left open and of one that is sealed.
Holds: every record is delivered once; none of what was put there is; what may be a torn record is kept aside, bounded.
Figure: 4 kinds of bytes in 2 places, 0 records lost, 0 forged.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest

from collector.journal import Journal
from collector.journal.layout import HEADER_BYTES, pack_segment
from collector.journal.seal import MOST_TORN_BYTES
from tests.faults.journals import append, deliver_all, small
from tests.journal.conftest import numbered
from tests.journal.disk import UnsyncedFs

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from collector.journal import JournalOptions

BODIES = [b"%d:" % n + bytes(500) for n in range(20)]
GARBAGE_BYTES = 100_000


async def killed(options: JournalOptions, *, sealed: bool) -> bytes:
    """Fill a journal and end; return its id."""
    journal = await Journal.open(options, fs=UnsyncedFs())
    for body in BODIES:
        await append(journal, body)
    if sealed:
        await journal.close()
    else:
        journal._lock.release()
        journal._committer.shutdown()
    return journal.id


def garbage(kind: str, own: bytes, journal_id: bytes) -> bytes:
    match kind:
        case "zeros":
            return bytes(GARBAGE_BYTES)
        case "random":
            return bytes((n * n * 31 + n // 7) % 255 + 1 for n in range(GARBAGE_BYTES))
        case "old":  # the same journal, an older segment: only the segment's number tells it apart
            return pack_segment(journal_id, 7, 1, numbered(*BODIES, first=len(BODIES) + 1))[HEADER_BYTES:]
        case _:
            return own


@pytest.mark.quick
@pytest.mark.parametrize("sealed", [False, True], ids=["open", "sealed"])
@pytest.mark.parametrize("kind", ["zeros", "random", "old", "own"])
def test_what_stands_behind_the_records_is_not_delivered(
    tmp_path: Path, kind: str, *, sealed: bool, record_property: Callable[[str, object], None]
) -> None:
    options = small(tmp_path)
    journal_id = asyncio.run(killed(options, sealed=sealed))
    (path,) = options.directory.glob("*.seg")
    data = path.read_bytes()
    end = data.rindex(BODIES[-1]) + len(BODIES[-1])
    at = len(data) if sealed else end
    path.write_bytes(data[:at] + garbage(kind, data[HEADER_BYTES:end], journal_id))
    assert asyncio.run(deliver_all(options)) == BODIES
    kept = sum(p.stat().st_size for p in options.directory.glob("quarantine/*.bad"))
    assert kept <= min(GARBAGE_BYTES, MOST_TORN_BYTES)
    assert not list(options.directory.glob("quarantine/*.lost.json"))
    record_property("figure", f"{kept} bytes kept aside")
