"""Out of quarantine: back into the journal, or away for good. The ledger hears of both.

    replay   append every record again (same tenant, same time of receipt: the same partition and ids), for the reader
             that refused it ─▶ durable ─▶ ledger: no longer quarantined ─▶ the quarantined file goes
    purge    ledger: quarantined becomes purged ─▶ the file goes

A process that is killed in between leaves the file: the same is done again. Rows are the same then and are stored once
at read; the ledger books each once, by its token.
"""

from __future__ import annotations

import asyncio
import sys
from dataclasses import replace
from typing import TYPE_CHECKING

from collector.journal.cursor import load_all
from collector.journal.layout import TYPE_ADDRESSED, TYPE_REQUEST, pack_address, pack_flags
from collector.journal.options import JournalOptions, ReaderOptions
from collector.journal.quarantine import find, read_records
from collector.journal.segment import Entry
from schema.errors import ConfigError
from schema.ledger import State, entries_of, taken_back

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence
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


async def replay(
    fs: Fs, quarantine: Quarantine, key: str, *, readers: Sequence[str], append: Callable[[Entry], Awaitable[int]]
) -> int:
    """Append the records of a quarantined file again, then remove it; return how many there were.

    Raises:
        ConfigError: there are none under that id.
        Corrupt: the file is damaged.
        Refused: the journal is full.
        OSError: the disk fails.

    """
    kept = await asyncio.to_thread(require_kept, quarantine.folder, key)
    records = await asyncio.to_thread(read_records, fs, require_replayable(kept))
    reader = kept.about.get("reader")
    only = str(reader) if reader in readers and len(readers) > 1 else None
    # Only when all are durable may the file go: a refusal of one leaves it, and all of it is replayed again.
    await asyncio.gather(*(append(entry_of(r, only)) for r in records))
    await asyncio.to_thread(_book_replay, fs, quarantine.folder.parent, kept, records)
    await asyncio.to_thread(quarantine.remove, kept)
    return len(records)


async def replay_alone(directory: Path, key: str) -> int:
    """Replay where no collector runs; the next start delivers. Returns how many requests.

    Raises:
        ConfigError: a collector has started meanwhile, or as `replay`.

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
    """Remove something from quarantine for good. Raises OSError."""
    word = kept.about.get("word")
    if word is not None and kept.kind == "records" and kept.path is not None:
        records = read_records(fs, kept.path)
        old = entries_of(records, State.QUARANTINED, str(word))
        _put(fs, quarantine.folder.parent, f"purge-{kept.id}", (*taken_back(old), *entries_of(records, State.PURGED)))
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


def _book_replay(fs: Fs, directory: Path, kept: Kept, records: Sequence[Record]) -> None:
    word = kept.about.get("word")
    if word is not None:
        _put(fs, directory, f"replay-{kept.id}", taken_back(entries_of(records, State.QUARANTINED, str(word))))


def _put(fs: Fs, directory: Path, token: str, entries: Sequence[LedgerEntry]) -> None:
    from collector.ledger.outbox import Outbox  # noqa: PLC0415 - it writes with this package's Fs

    Outbox(directory, fs).put(token, entries)
