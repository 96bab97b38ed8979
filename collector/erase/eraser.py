"""The eraser of the journal and its quarantine (see schema/erasure.py)."""

from __future__ import annotations

import asyncio
import contextlib
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import unquote

from collector.erase import tombstones
from collector.erase.records import traces_of_users, without
from collector.journal import cursor as cursors
from collector.journal import lock, requests
from collector.journal.erase import ErasedKept, erase_kept
from collector.journal.fs import Fs
from collector.journal.inspect import inspect
from collector.journal.progress import replayed
from collector.journal.quarantine import FOLDER, Quarantine, find, read_records
from schema.erasure import Erased, Waiting
from schema.errors import ConfigError, Corrupt
from schema.ledger import State, entries_of, merged, taken_back

if TYPE_CHECKING:
    from collections.abc import Sequence

    from collector.erase.tombstones import Naming
    from collector.journal.record import Record
    from schema.erasure import Erasure

JOURNAL: Final = "journal"


class JournalEraser:
    """The journals below a data folder."""

    def __call__(self, erasure: Erasure, data_dir: Path, *, only_show: bool) -> list[Erased]:
        """Put the erasure on the list that every delivery heeds, then take what was delivered off the disk."""
        folders = _journals(data_dir / JOURNAL)
        if not folders:
            note = f"there is no journal in {data_dir}: on the collector's machine, name its folder with --data-dir"
            return [Erased("journal", "requests", 0, note, is_left=True)]
        quarantined = {n.trace_id for folder in folders for n in _named_in_quarantine(folder, erasure)}
        erasure = replace(erasure, trace_ids=tuple(sorted({*erasure.trace_ids, *quarantined})))
        if not only_show:
            tombstones.add(data_dir, erasure)
        found = []
        for folder in folders:
            found.append(_kept(folder, erasure, only_show=only_show))
            found.append(_scrubbed(folder, only_show=only_show))
        return found

    def waiting(self, found: Sequence[Erased]) -> list[Waiting]:
        """Return what some reader has not confirmed of what a journal held when the erasure was noted."""
        told = ((Path(e.place), e.until) for e in found if e.until is not None)
        return [w for folder, until in told if (w := _waiting(folder, until)) is not None]

    def recall(self, erasure: Erasure, data_dir: Path) -> Erasure:
        """Return the erasure with what was found of the user in requests, or before, and is not erased for good."""
        return tombstones.recall(data_dir, erasure)

    def finish(self, erasure: Erasure, data_dir: Path) -> None:
        """Forget the ids of what was found; hashes stay."""
        tombstones.finish(data_dir, erasure)


erase_journal = JournalEraser()


def _named_in_quarantine(folder: Path, erasure: Erasure) -> set[Naming]:
    """Return the traces in which a quarantined span names the user."""
    if erasure.user_id is None:
        return set()
    found: set[Naming] = set()
    for kept in find(folder / FOLDER):
        if kept.kind == "records" and kept.path is not None:
            with contextlib.suppress(Corrupt):
                found |= traces_of_users(read_records(Fs(), kept.path), _list_of(erasure))
    return found


def _waiting(folder: Path, until: int) -> Waiting | None:
    # Who owns it first: an owner that ends in between has moved its cursors by then.
    owner = lock.owner(folder)
    behind: dict[str, int] = {}
    for path in folder.glob(f"*{cursors.SUFFIX}"):
        try:
            cursor = cursors.load(path)
        except Corrupt:
            behind[unquote(path.stem)] = until - 1  # nobody can tell: a start puts it right
        else:
            if cursor is not None and cursor.next < until:
                behind[cursor.reader] = until - cursor.next
    if not behind:
        return None
    names = ", ".join(sorted(behind))
    note = f"not delivered to {names} yet" if owner is not None else f"for {names}, and no collector runs: start it"
    return Waiting(str(folder), max(behind.values()), note, is_stuck=owner is None)


def _journals(base: Path) -> list[Path]:
    from collector.workers.plan import leftovers  # noqa: PLC0415 - it imports the service

    if not base.is_dir():
        return []
    of_workers = [*leftovers(base, 1)]
    return [base, *of_workers] if any(p.is_file() for p in base.iterdir()) else of_workers


def _kept(folder: Path, erasure: Erasure, *, only_show: bool) -> Erased:
    """Erase from what is in quarantine."""
    fs = Fs()
    known = _list_of(erasure)
    quarantine = Quarantine(fs, folder, b"")
    if only_show:
        touched = 0
        for kept in find(folder / FOLDER):
            if kept.kind == "records" and kept.path is not None:
                try:
                    touched += sum(1 for r in read_records(fs, kept.path) if _changed(r, known) is not r)
                except Corrupt:
                    touched += 1
            elif kept.kind == "damage":
                touched += 1
        return Erased(f"{folder}/{FOLDER}", "requests", touched, "damaged bytes go, too: nobody can look inside")
    try:
        # Looked at first, so that nothing goes that is not booked below.
        for kept in find(folder / FOLDER):
            replayed(folder / FOLDER, kept.id)
    except (ConfigError, Corrupt) as e:
        return Erased(f"{folder}/{FOLDER}", "requests", 0, f"{e}; then run this again", is_left=True)
    now_unix_ns = time.time_ns()
    erased = erase_kept(fs, quarantine, lambda r: _changed(r, known), at_unix_ns=now_unix_ns)
    _book(folder, erased, fs, now_unix_ns)
    count = len(erased.dropped) + len(erased.replaced) + len(erased.unreadable) + erased.damaged_files
    return Erased(f"{folder}/{FOLDER}", "requests", count)


def _list_of(erasure: Erasure) -> tombstones.Tombstones:
    salt, whose = b"in memory", erasure.tenant or tombstones.ANY_TENANT
    before = {}
    for kind, key in tombstones.subjects(erasure):
        of = tombstones.ANY_TENANT if kind == tombstones.TENANT else whose
        before[tombstones.hashed(salt, kind, of, key)] = erasure.at_unix_ns
    return tombstones.Tombstones(salt, before, erasure.at_unix_ns, erasure.user_id is not None)


def _changed(record: Record, known: tombstones.Tombstones) -> Record | None:
    left, erased = without([record], known)
    return record if not erased else left[0] if left else None


def _book(folder: Path, erased: ErasedKept, fs: Fs, at_unix_ns: int) -> None:
    """Move what went from quarantined to erased, in the collector's ledger. Each pass has a token of its own."""
    from collector.ledger.outbox import Outbox  # noqa: PLC0415 - as in release.py

    entries: list[Any] = []
    for before, word in erased.dropped:
        if word is not None:
            entries += [*taken_back(entries_of([before], State.QUARANTINED, word)), *entries_of([before], State.ERASED)]
    for before, after, word in erased.replaced:
        if word is not None:
            old, new = (entries_of([r], State.QUARANTINED, word) for r in (before, after))
            gone = entries_of([before], State.ERASED)
            entries += [*taken_back(old), *new, *gone, *taken_back(entries_of([after], State.ERASED))]
    if entries:
        Outbox(folder, fs).put(f"erase-{at_unix_ns}", merged(entries))


def _scrubbed(folder: Path, *, only_show: bool) -> Erased:
    """Take off the disk what was delivered; what was not is dropped when it is."""
    if only_show:
        waiting = int(inspect(folder).get("backlog_records", 0))
        note = "files of delivered requests are removed"
        if waiting:
            note += f"; {waiting} requests wait for delivery: it is dropped from them then"
        return Erased(str(folder), "files", 0, note)
    owner = lock.owner(folder)
    if owner is None:
        found = asyncio.run(_scrub_alone(folder))
    else:
        answer = requests.wait(requests.ask(Fs(), folder, "scrub"))
        if answer is None or not answer["ok"]:
            why = "has not answered" if answer is None else f"says: {answer.get('message', '')}"
            note = f"process {owner}, which owns the journal, {why}; run this again, or stop it first"
            return Erased(str(folder), "files", 0, note, is_left=True)
        found = answer.get("done", answer)
    return Erased(str(folder), "files", int(found["removed_files"]), until=int(found["next_sequence"]))


async def _scrub_alone(folder: Path) -> dict[str, Any]:
    from collector.journal import Journal, JournalOptions  # noqa: PLC0415 - as above
    from collector.journal.cursor import load_all  # noqa: PLC0415 - only on this path
    from collector.journal.options import ReaderOptions  # noqa: PLC0415 - as above

    readers = tuple(ReaderOptions(c.reader) for c in load_all(folder))
    options = JournalOptions(folder, max_bytes=sys.maxsize)
    journal = await Journal.open(replace(options, readers=readers) if readers else options)
    try:
        return await journal.scrub()
    finally:
        await journal.close()
