"""D10: a segment is gone, or empty.

Injected: each segment of a journal, the first, one in the middle and the last, is removed or cut to nothing.
Holds: a start succeeds; exactly the sequences of that segment are named as lost, in a note, in the status and by
`journal verify`; all others are delivered, and requests are taken.
Figure: 4 segments, each removed and each emptied.
"""

from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING

import pytest

from collector.journal import Journal
from collector.journal.layout import NAME
from collector.journal.verify import verify
from tests.faults.journals import append, copy_of, deliver_all, drained, fill, small
from tests.journal.disk import UnsyncedFs

if TYPE_CHECKING:
    from pathlib import Path

    from collector.journal import JournalOptions

BODIES = [b"%d:" % n + bytes(20_000) for n in range(24)]


async def deliver(options: JournalOptions) -> tuple[list[bytes], int]:
    """Return what is delivered, and how many records the status says are lost."""
    journal = await Journal.open(options, fs=UnsyncedFs())
    await append(journal, b"new")
    journal.drain()
    found = await drained(journal)
    lost = journal.status()["lost_records"]
    await journal.close()
    return found, lost


@pytest.mark.quick
@pytest.mark.parametrize("how", ["removed", "emptied"])
def test_exactly_what_is_gone_is_named(tmp_path: Path, how: str) -> None:
    source = small(tmp_path / "a")
    asyncio.run(fill(source, BODIES))
    names = sorted(p.name for p in source.directory.glob("*.seg"))
    assert len(names) == 4
    firsts = [int(m[2]) for n in names if (m := NAME.fullmatch(n))] + [len(BODIES) + 1]
    for name, first, after in zip(names, firsts, firsts[1:], strict=False):
        options = copy_of(source, tmp_path / "b")
        path = options.directory / name
        if how == "removed":
            path.unlink()
        else:
            path.write_bytes(b"")
        findings = verify(UnsyncedFs(), options.directory).findings
        assert (first, after - 1) in {(f.first_sequence, f.last_sequence) for f in findings}, findings
        found, lost = asyncio.run(deliver(options))
        assert found == [*BODIES[: first - 1], *BODIES[after - 1 :], b"new"], f"{name} {how}"
        notes = [json.loads(p.read_text()) for p in options.directory.glob("quarantine/*.lost.json")]
        assert [(n["first_sequence"], n["last_sequence"]) for n in notes] == [(first, after - 1)]
        assert lost == after - first


@pytest.mark.quick
def test_all_segments_are_gone(tmp_path: Path) -> None:
    options = small(tmp_path)
    asyncio.run(fill(options, BODIES))
    for path in options.directory.glob("*.seg"):
        path.unlink()
    assert asyncio.run(deliver_all(options)) == []
    (note,) = options.directory.glob("quarantine/*.lost.json")
    assert json.loads(note.read_text())["last_sequence"] == len(BODIES)
    asyncio.run(fill(options, [b"new"]))
    assert asyncio.run(deliver_all(options)) == [b"new"]
