"""Read every byte of a journal and name what is damaged, by file, offset and sequence. Nothing is changed.

It works beside a running collector: what that one is writing, or has written over meanwhile, is no damage.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, field, replace
from typing import TYPE_CHECKING, Any

from collector.journal import cursor as cursors
from collector.journal import head as heads
from collector.journal import lock
from collector.journal.layout import HEADER_BYTES, RECORD_BYTES, TYPE_TRAILER, RawRecord, seed
from collector.journal.quarantine import FOLDER, find, read_records
from collector.journal.scan import Damage, Tail, Window, add_crc, read_record, scan, trailer_matches
from collector.journal.segment import find_segments
from schema.errors import ConfigError, Corrupt

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from collector.journal.fs import Fs
    from collector.journal.segment import SegmentFile


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that is not as it was written."""

    file: str
    offset: int | None
    end: int | None
    """Behind the last byte concerned."""
    first_sequence: int | None
    """What may be lost with it; None where no record is."""
    last_sequence: int | None
    message: str

    def __str__(self) -> str:
        """Return one line."""
        at = "" if self.offset is None else f" at byte {self.offset}"
        lost = ""
        if self.first_sequence is not None:
            last = self.last_sequence
            lost = f" (sequence {self.first_sequence}{'' if last in (None, self.first_sequence) else f' to {last}'})"
        return f"{self.file}{at}: {self.message}{lost}"


@dataclass(slots=True)
class Verified:
    """What was read."""

    directory: str
    segments: int = 0
    records: int = 0
    members: int = 0
    bytes: int = 0
    quarantined: int = 0
    findings: list[Finding] = field(default_factory=list)

    def as_document(self) -> dict[str, Any]:
        """Return it for --json."""
        return {**asdict(self), "whole": not self.findings}


def verify(fs: Fs, directory: Path, progress: Callable[[int, int], object] = max) -> Verified:
    """Read it all; `progress` is told the bytes read, of how many.

    Raises:
        ConfigError: there is no journal, or one of another format.
        OSError: the disk does not give it.

    """
    if not directory.is_dir():
        raise ConfigError(f"there is no journal in {directory}; name its folder with --directory, or --config FILE")
    result = Verified(str(directory))
    result.findings += _sidecars(directory)
    files = find_segments(fs, directory)
    total = sum(f.segment.end for f in files)
    journal_id = next((f.journal_id for f in files if f.journal_id is not None), None) or _id(directory)
    # Read after the segments were listed: a cursor that is ahead of them is no sign of a loss.
    expected = min((c.next for c in cursors.load_all(directory)), default=None)
    for i, file in enumerate(files):
        following = files[i + 1].segment.first_sequence if i + 1 < len(files) else None
        checked = _segment(fs, file, journal_id, following)
        if checked is not None and following is None and checked.findings and lock.owner(directory) is not None:
            # It is being written: what is wrong with it for good is still so when it is read again.
            again = _segment(fs, file, journal_id, following)
            checked.findings = [f for f in checked.findings if again is not None and f in again.findings]
        if checked is None:
            expected = None
        else:
            if expected is not None and file.segment.first_sequence > expected:
                last = file.segment.first_sequence - 1
                why = f"no segment before {file.segment.path.name} holds what comes before it"
                result.findings.append(Finding(file.segment.path.name, None, None, expected, last, why))
            expected = checked.next_sequence
            result.segments += 1
            result.records += checked.records
            result.members += checked.members
            result.findings += checked.findings
        result.bytes += file.segment.end
        progress(result.bytes, total)
    head = _head(directory)
    if head is not None and expected is not None and head.next_sequence > expected:
        why = "no segment holds what comes last"
        result.findings.append(Finding(heads.FILE, None, None, expected, head.next_sequence - 1, why))
    _quarantine(fs, directory, result)
    return result


@dataclass(slots=True)
class _Checked:
    next_sequence: int
    records: int = 0
    members: int = 0
    crcs: int = 0
    findings: list[Finding] = field(default_factory=list)


def _segment(fs: Fs, file: SegmentFile, journal_id: bytes | None, following: int | None) -> _Checked | None:
    """Return what a segment holds; None when it was delivered and written over while it was read."""
    segment, name = file.segment, file.segment.path.name
    checked = _Checked(segment.first_sequence)
    if file.problem:
        checked.findings.append(Finding(name, 0, HEADER_BYTES, None, None, file.problem))
    if journal_id is None:
        return checked
    try:
        fd = fs.open(segment.path)
    except FileNotFoundError:
        return None
    try:
        window = Window(fs, fd, segment.end)
        start = seed(file.journal_id or journal_id, segment.number)
        for item in scan(window, seed=start, sequence=segment.first_sequence, before=following):
            if isinstance(item, Tail):
                _end(window, item, checked, name, start=start, is_last=following is None)
            else:
                _take(checked, item, name)
    finally:
        fs.close(fd)
    return checked if segment.path.exists() else None


def _take(checked: _Checked, item: RawRecord | Damage, name: str) -> None:
    if isinstance(item, Damage):
        checked.findings.append(Finding(name, item.offset, item.end, checked.next_sequence, None, item.message))
        return
    _close_gap(checked, item, name)
    checked.next_sequence = item.sequence + 1
    checked.records += 1
    checked.members += item.members
    checked.crcs = add_crc(checked.crcs, item.crc)


def _close_gap(checked: _Checked, found: RawRecord, name: str) -> None:
    """Say which sequences are missing before a record or the trailer: those of the damage, where there is any."""
    if found.sequence <= checked.next_sequence:
        return
    damage = checked.findings.pop() if checked.findings and checked.findings[-1].end == found.offset else None
    gap = damage or Finding(name, found.offset, found.offset, None, None, "records are missing before this one")
    checked.findings.append(replace(gap, first_sequence=checked.next_sequence, last_sequence=found.sequence - 1))


def _end(window: Window, tail: Tail, checked: _Checked, name: str, *, start: int, is_last: bool) -> None:
    """Look at the end of a segment."""
    found = read_record(window, tail.offset, seed=start)
    if isinstance(found, RawRecord):
        if found.kind == TYPE_TRAILER:
            _close_gap(checked, found, name)
            if not checked.findings and not trailer_matches(found, checked.records, checked.crcs):
                why = "the trailer speaks of other records than these"
                checked.findings.append(Finding(name, tail.offset, found.end, None, None, why))
        return
    if tail.how == "torn":
        why = f"the records end in bytes that do not verify: {tail.message}"
        checked.findings.append(Finding(name, tail.offset, window.end, checked.next_sequence, None, why))
    elif tail.how == "bound" and not is_last:
        rest = window.read(tail.offset, RECORD_BYTES)
        if rest.count(0) != len(rest):
            why = f"the seal does not verify: {found}"
            checked.findings.append(Finding(name, tail.offset, window.end, None, None, why))


def _sidecars(directory: Path) -> list[Finding]:
    found = []
    for path in sorted(directory.glob(f"*{cursors.SUFFIX}")):
        try:
            cursors.load(path)
        except Corrupt as e:
            found.append(Finding(path.name, 0, None, None, None, _why(e)))
    try:
        heads.load(directory)
    except Corrupt as e:
        found.append(Finding(heads.FILE, 0, None, None, None, _why(e)))
    return found


def _head(directory: Path) -> heads.Head | None:
    try:
        return heads.load(directory)
    except Corrupt:
        return None


def _why(error: Corrupt) -> str:
    """Return the message without the file and the offset, which are said beside it."""
    return str(error).removeprefix(f"{error.file} at byte {error.offset}: ")


def _id(directory: Path) -> bytes | None:
    known = {c.journal for c in cursors.load_all(directory)}
    return bytes.fromhex(known.pop()) if len(known) == 1 else None


def _quarantine(fs: Fs, directory: Path, result: Verified) -> None:
    """Look at the records that are set aside, too: they can be replayed only while they are whole."""
    for kept in find(directory / FOLDER):
        result.quarantined += 1
        if kept.kind == "records" and kept.path is not None:
            try:
                read_records(fs, kept.path)
            except Corrupt as e:
                name = f"{FOLDER}/{kept.path.name}"
                result.findings.append(Finding(name, e.offset, None, None, None, _why(e)))
            except FileNotFoundError:
                continue  # replayed or purged meanwhile
