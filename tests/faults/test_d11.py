"""D11: a journal of another version.

Injected: a segment of an older and of newer formats among others; a record of a type that a later version may have.
Holds: a start refuses and says what to do, and changes no file; the record of an unknown type is kept aside whole, and
the others are delivered.
Figure: 4 versions refused, 0 bytes changed.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest

from collector.journal import Journal
from collector.journal.layout import VERSION, SegmentHeader, crc32c, pack_record, seed, unpack_header
from collector.journal.verify import verify
from schema.errors import ConfigError
from tests.faults.journals import append, deliver_all, fill, small
from tests.journal.disk import UnsyncedFs

if TYPE_CHECKING:
    from pathlib import Path

    from collector.journal import JournalOptions


def state(options: JournalOptions) -> dict[str, bytes]:
    return {p.name: p.read_bytes() for p in options.directory.iterdir() if p.is_file() and p.name != "lock"}


@pytest.mark.quick
@pytest.mark.parametrize("version", [1, VERSION + 1, VERSION + 2, 0xFFFF])
def test_another_format_is_refused_and_nothing_is_changed(tmp_path: Path, version: int) -> None:
    options = small(tmp_path)
    asyncio.run(fill(options, [b"ours"]))
    head = bytearray(SegmentHeader(bytes(16), 9, 100, 1).pack())
    head[8:10] = version.to_bytes(2, "little")
    head[-4:] = crc32c(bytes(head[:-4])).to_bytes(4, "little")
    (options.directory / "0000000000000009-0000000000000100.seg").write_bytes(head + b"what we cannot know")
    before = state(options)
    with pytest.raises(ConfigError, match=rf"format {version}.*Drain the journal with the program that wrote it"):
        asyncio.run(deliver_all(options))
    assert state(options) == before
    with pytest.raises(ConfigError, match=f"format {version}"):
        verify(UnsyncedFs(), options.directory)


async def killed(options: JournalOptions) -> bytes:
    journal = await Journal.open(options, fs=UnsyncedFs())
    await append(journal, b"before")
    journal._lock.release()
    journal._committer.shutdown()
    return journal.id


@pytest.mark.quick
def test_a_record_of_a_later_version_is_kept_whole(tmp_path: Path) -> None:
    options = small(tmp_path)
    journal_id = asyncio.run(killed(options))
    (path,) = options.directory.glob("*.seg")
    data = path.read_bytes()
    number = unpack_header(data).segment
    at = data.index(b"before") + len(b"before")
    unknown = b""
    for sequence, kind, body in ((2, 77, b"from the future"), (3, 1, b"after")):
        head, _ = pack_record(
            sequence, kind, 0, tenant=b"t", received_unix_ns=1, members=1, body=body, seed=seed(journal_id, number)
        )
        unknown += head + body
    path.write_bytes(data[:at] + unknown + data[at + len(unknown) :])
    assert asyncio.run(deliver_all(options)) == [b"before", b"after"]
    (bad,) = options.directory.glob("quarantine/*.bad")
    assert bad.read_bytes().endswith(b"from the future")
