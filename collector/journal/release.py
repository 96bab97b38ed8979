"""What becomes of a quarantined file: replayed (replay.py) or away for good. The ledger hears of both.

    purge    ledger: quarantined becomes purged ─▶ the file goes

A process that is killed in between leaves the file: the same is done again, and booked once, by its token.
"""

from __future__ import annotations

import sys
from dataclasses import replace
from typing import TYPE_CHECKING

from collector.journal.cursor import load_all
from collector.journal.layout import TYPE_ADDRESSED, TYPE_REQUEST, pack_address, pack_flags
from collector.journal.options import JournalOptions, ReaderOptions
from collector.journal.progress import replayed
from collector.journal.quarantine import find, read_records
from collector.journal.segment import Entry
from schema.errors import ConfigError
from schema.ledger import State, entries_of, taken_back

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from collector.journal.fs import Fs
    from collector.journal.quarantine import Kept, Quarantine
    from collector.journal.record import Record
    from schema.ledger import Entry as LedgerEntry


def require_kept(folder: Path, key: str) -> Kept:
    """Return what is in quarantine under an id.

    Raises:
        ConfigError: nothing is.

    """
    for kept in find(folder):
        if kept.id == key:
            return kept
    raise ConfigError(f"nothing is in quarantine under {key!r}; `quarantine list` shows what is")


def require_replayable(kept: Kept) -> Path:
    """Return the file of records.

    Raises:
        ConfigError: what was kept holds no records.

    """
    if kept.kind != "records" or kept.path is None:
        raise ConfigError(f"{kept.id} cannot be replayed: it is {_WHAT[kept.kind]}. `quarantine purge` removes it")
    return kept.path


_WHAT = {
    "records": "the note of a file that is gone",
    "damage": "bytes that do not verify",
    "loss": "the note of records that are lost",
}


async def replay_alone(directory: Path, key: str) -> int:
    """Replay where no collector runs; the next start delivers. Returns how many requests.

    Raises:
        ConfigError: a collector has started meanwhile, or as `Replays.replay`.

    """
    from collector.journal.journal import Journal  # noqa: PLC0415 - which imports this

    readers = tuple(ReaderOptions(c.reader) for c in load_all(directory))
    options = JournalOptions(directory, max_bytes=sys.maxsize)
    journal = await Journal.open(replace(options, readers=readers) if readers else options)
    try:
        return await journal.replay(key)
    finally:
        await journal.close()


def purge(fs: Fs, quarantine: Quarantine, kept: Kept) -> None:
    """Remove something from quarantine for good; what of it was replayed before is in the journal, and stays there.

    Raises:
        ConfigError: a replay of it is under way, or was cut short.
        Corrupt: the file, or the note on a replay, is damaged.
        OSError: the disk fails.

    """
    if kept.kind == "records" and kept.path is not None:
        done = replayed(quarantine.folder, kept.id)
        if (word := kept.about.get("word")) is not None:
            records = [r for i, r in enumerate(read_records(fs, kept.path)) if i not in done]
            old = entries_of(records, State.QUARANTINED, str(word))
            new = entries_of(records, State.PURGED)
            book(fs, quarantine.folder.parent, f"purge-{kept.id}", (*taken_back(old), *new))
    quarantine.remove(kept)


def entry_of(record: Record, reader: str | None) -> Entry:
    """Return a record as it is appended again, for all readers or for one."""
    tenant = record.tenant.encode()
    return Entry(
        tenant if reader is None else pack_address(reader, tenant),
        pack_flags(record.signal, record.encoding, gzip=record.gzip),
        record.received_unix_ns,
        record.members,
        record.body,
        TYPE_REQUEST if reader is None else TYPE_ADDRESSED,
    )


def book(fs: Fs, directory: Path, token: str, entries: Sequence[LedgerEntry]) -> None:
    """Leave entries for the ledger of the journal in a directory. Raises OSError."""
    from collector.ledger.outbox import Outbox  # noqa: PLC0415 - it writes with this package's Fs

    Outbox(directory, fs).put(token, entries)
