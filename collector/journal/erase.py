"""What has to be forgotten: the journal keeps requests as they came, so it holds what is erased elsewhere.

    Journal.scrub()       confirmed records: their segments and the spares go, so that no file holds them any more.
                          What is not confirmed yet stays, must stay, and is named: erase it when it is delivered
    erase_kept(…)         quarantine: each record is kept, replaced or dropped; damaged bytes go, nobody can look inside

Files are removed, not written over: the blocks of a disk are the disk's.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from collector.journal.progress import replayed
from collector.journal.quarantine import find, read_records
from schema.errors import Corrupt

if TYPE_CHECKING:
    from collections.abc import Callable

    from collector.journal.fs import Fs
    from collector.journal.quarantine import Quarantine
    from collector.journal.record import Record


@dataclass(frozen=True, slots=True)
class Scrubbed:
    """What a journal still holds after `scrub`."""

    held_from: int
    """First sequence that some reader has not confirmed."""
    next_sequence: int
    """First sequence that was not there yet: erase from records of `held_from` up to, and without, this one."""
    removed_files: int

    @property
    def held_records(self) -> int:
        """How many records are still to be delivered."""
        return self.next_sequence - self.held_from


@dataclass(slots=True)
class ErasedKept:
    """What was erased of a quarantine."""

    dropped: list[tuple[Record, str | None]] = field(default_factory=list)
    """Records that are gone whole, each with the reason under which the ledger has them as quarantined, or None."""
    replaced: list[tuple[Record, Record, str | None]] = field(default_factory=list)
    """Records as they were, as they are, and the reason in the ledger."""
    damaged_files: int = 0
    """Removed: bytes that do not verify."""
    unreadable: list[str] = field(default_factory=list)
    """Ids that were removed because their records cannot be read."""


def erase_kept(
    fs: Fs,
    quarantine: Quarantine,
    choose: Callable[[Record], Record | None],
    *,
    at_unix_ns: int,
    with_damaged: bool = True,
) -> ErasedKept:
    """Pass every quarantined record to `choose`, which returns it as it is, another in its place, or None to drop it.

    The new file is durable before the old one goes. What was replayed before is in the journal, and left out.

    Raises:
        ConfigError: a replay is under way, or was cut short.
        Corrupt: the note on a replay is damaged.
        OSError: the disk fails.

    """
    erased = ErasedKept()
    for kept in find(quarantine.folder):
        if kept.kind == "damage" and with_damaged:
            quarantine.remove(kept)
            erased.damaged_files += 1
        if kept.kind != "records" or kept.path is None:
            continue
        try:
            old = read_records(fs, kept.path)
        except Corrupt:
            if with_damaged:
                quarantine.remove(kept)
                erased.unreadable.append(kept.id)
            continue
        if done := replayed(quarantine.folder, kept.id):
            old = [r for i, r in enumerate(old) if i not in done]
        new = [choose(r) for r in old]
        if all(a is b for a, b in zip(old, new, strict=True)):
            continue
        word = kept.about.get("word")
        left = [r for r in new if r is not None]
        if left:
            quarantine.keep_records(
                left,
                reader=str(kept.about.get("reader") or ""),
                reason=str(kept.about.get("reason") or ""),
                word=word,
                at_unix_ns=at_unix_ns,
            )
        quarantine.remove(kept)
        for before, after in zip(old, new, strict=True):
            if after is None:
                erased.dropped.append((before, word))
            elif after is not before:
                erased.replaced.append((before, after, word))
    return erased
