"""Where records go that cannot be delivered: kept whole, with the reason, beside the journal.

    quarantine/<first>-<last>-<hash>.seg    good records that could not be decoded or stored: a whole segment
    quarantine/<sequence>-<offset>.bad      bytes of a segment that do not verify, as they stand on disk
    quarantine/<name of the file>.json      why, when, and what is in it
    quarantine/<first>-<last>.lost.json     sequences that no segment has
    quarantine/<id>.replay                  how far a replay has come (progress.py)

The hash is of the reader, the sequences and the bodies: writing the same again (after a crash, by a replay) replaces
the same files, and what is different never does. What is kept is removed by a person alone
(collector/quarantine_commands.py). There is a budget; when it is met the tenants who fill it are refused (`offends`).
"""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final, Literal

import orjson
from xxhash import xxh3_64

from collector.journal import progress
from collector.journal.layout import HEADER_BYTES, RawRecord, pack_segment, seed, unpack_header
from collector.journal.scan import Damage, Tail, Window, scan
from schema.errors import Corrupt

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from collector.journal.fs import Fs
    from collector.journal.record import Record

FOLDER: Final = "quarantine"
NAME: Final = re.compile(r"(\d{16}-\d{16}-[0-9a-f]{16})\.seg|(\d{16}-\d+)\.bad|(\d{16}-\d{16})\.lost")
SEGMENT: Final = 0
"""Number of every segment here: what it holds verifies under it and under no other."""

Kind = Literal["records", "damage", "loss"]


@dataclass(frozen=True, slots=True)
class Kept:
    """One thing that was set aside."""

    id: str
    kind: Kind
    path: Path | None
    """None for a loss, and where the file is gone that the notes speak of."""
    about: Mapping[str, Any]
    size_bytes: int

    @property
    def tenants(self) -> Mapping[str, Mapping[str, int]]:
        """Return by tenant `records`, `members`, `bytes`; nothing of what cannot be read."""
        found = self.about.get("tenants", {})
        return found if isinstance(found, dict) else {}

    def as_row(self) -> dict[str, Any]:
        """Return what a list shows of it."""
        about = self.about
        return {
            "id": self.id,
            "kind": self.kind,
            "reason": about.get("reason", "unknown: the file that says it is missing"),
            "reader": about.get("reader"),
            "tenants": sorted(self.tenants),
            "records": about.get("records", 0),
            "members": about.get("members", 0),
            "bytes": self.size_bytes,
            "first_sequence": about.get("first_sequence"),
            "last_sequence": about.get("last_sequence"),
            "at_unix_ns": about.get("at_unix_ns"),
        }


@dataclass(slots=True)
class _Usage:
    files: dict[str, tuple[int, dict[str, int]]] = field(default_factory=dict)
    """By id: bytes, and bytes of records by tenant."""

    @property
    def bytes(self) -> int:
        return sum(size for size, _ in self.files.values())

    def by_tenant(self) -> Counter[str]:
        total: Counter[str] = Counter()
        for _, tenants in self.files.values():
            total.update(tenants)
        return total


class Quarantine:
    """The folder of what was set aside. Any thread may call any method."""

    def __init__(self, fs: Fs, directory: Path, journal_id: bytes, max_bytes: int | None = None) -> None:
        self._fs = fs
        self.folder = directory / FOLDER
        self._journal_id = journal_id
        self.max_bytes = max_bytes
        self._usage = _Usage()
        self._offenders: frozenset[str] = frozenset()
        self.used_bytes = 0

    def look(self) -> None:
        """Find out what is there, after a start or when a person changed it. Raises OSError."""
        usage = _Usage()
        for kept in find(self.folder):
            usage.files[kept.id] = (kept.size_bytes, {t: c.get("bytes", 0) for t, c in kept.tenants.items()})
        self._usage = usage
        self._settle()

    @property
    def is_full(self) -> bool:
        """Whether the budget is met."""
        return self.max_bytes is not None and self.used_bytes >= self.max_bytes

    def offends(self, tenant: str) -> bool:
        """Say whether the budget is met, and this tenant holds an equal share of it or more."""
        return tenant in self._offenders

    def keep_bytes(
        self, data: bytes, *, segment: str, sequence: int, offset: int, reason: str, at_unix_ns: int
    ) -> Path:
        """Keep damaged bytes; `sequence` is the first that they may have held. Returns the file. Raises OSError."""
        path = self.folder / f"{sequence:016d}-{offset}.bad"
        about = {"segment": segment, "offset": offset, "bytes": len(data), "first_sequence": sequence}
        self._keep(path, data, {"reason": reason, **about}, at_unix_ns)
        return path

    def keep_records(
        self, records: Sequence[Record], *, reader: str, reason: str, word: str | None = None, at_unix_ns: int
    ) -> Path:
        """Keep records that verified and can be replayed. Returns the file. Raises OSError.

        `word` is the reason under which the ledger counts them as quarantined; None where it does not.
        """
        first, last = records[0].sequence, records[-1].sequence
        path = self.folder / f"{first:016d}-{last:016d}-{_mark(records, reader)}.seg"
        tenants: dict[str, Counter[str]] = {}
        for r in records:
            tenants.setdefault(r.tenant, Counter()).update(records=1, members=r.members, bytes=len(r.body))
        about = {
            "reason": reason,
            "word": word,
            "reader": reader,
            "records": len(records),
            "members": sum(r.members for r in records),
            "first_sequence": first,
            "last_sequence": last,
            "tenants": {t: dict(c) for t, c in sorted(tenants.items())},
        }
        self._keep(path, pack_segment(self._journal_id, SEGMENT, at_unix_ns, records), about, at_unix_ns)
        return path

    def note_loss(self, first: int, last: int, *, reason: str, at_unix_ns: int) -> Path:
        """Put on record that sequences are missing. Returns the file. Raises OSError."""
        path = self.folder / f"{first:016d}-{last:016d}.lost.json"
        document = _document({"reason": reason, "first_sequence": first, "last_sequence": last}, at_unix_ns)
        self._write(path, document)
        self._count(path.stem, len(document), {})
        return path

    def remove(self, kept: Kept) -> None:
        """Remove something for good; the note on its replay last. Raises OSError."""
        for path in (kept.path, notes_of(self.folder, kept)):
            if path is not None and path.exists():
                self._fs.unlink(path)
        replay = progress.path_of(self.folder, kept.id)
        if replay.exists():
            # A file that comes back after a power cut must not come back without it.
            self._fs.sync_directory(self.folder)
            self._fs.unlink(replay)
        self._usage.files.pop(kept.id, None)
        self._settle()

    def _keep(self, path: Path, data: bytes, about: dict[str, Any], at_unix_ns: int) -> None:
        document = _document(about, at_unix_ns)
        self._write(path, data)
        self._write(path.with_name(path.name + ".json"), document)
        tenants = {t: c["bytes"] for t, c in about.get("tenants", {}).items()}
        self._count(path.stem, len(data) + len(document), tenants)

    def _write(self, path: Path, data: bytes) -> None:
        self._fs.make_directory(self.folder)
        self._fs.write_file(path, data)

    def _count(self, key: str, size_bytes: int, tenants: dict[str, int]) -> None:
        self._usage.files[key.removesuffix(".lost")] = (size_bytes, tenants)
        self._settle()

    def _settle(self) -> None:
        self.used_bytes = self._usage.bytes
        by_tenant = self._usage.by_tenant()
        if not self.is_full or not by_tenant:
            self._offenders = frozenset()
            return
        share = sum(by_tenant.values()) / len(by_tenant)
        self._offenders = frozenset(t for t, size in by_tenant.items() if size >= share)


def find(folder: Path) -> list[Kept]:
    """Return what a quarantine holds, oldest record first. A file without its notes is there too. Raises OSError."""
    if not folder.is_dir():
        return []
    found: dict[str, Kept] = {}
    for path in sorted(folder.iterdir()):
        match = NAME.fullmatch(path.name.removesuffix(".json"))
        if match is None:
            continue
        records, damage, loss = match.groups()
        key = records or damage or loss
        if key in found:
            continue
        kind: Kind = "records" if records else "damage" if damage else "loss"
        data = None if loss else folder / match[0]
        notes = folder / f"{match[0]}.json"
        size_bytes = sum(p.stat().st_size for p in (data, notes) if p is not None and p.exists())
        found[key] = Kept(key, kind, data if data and data.exists() else None, _notes(notes), size_bytes)
    return list(found.values())


def notes_of(folder: Path, kept: Kept) -> Path:
    """Return the file that says why something was kept."""
    suffix = {"records": ".seg", "damage": ".bad", "loss": ".lost"}[kept.kind]
    return folder / f"{kept.id}{suffix}.json"


def read_records(fs: Fs, path: Path) -> list[Record]:
    """Return the records of a quarantined segment, in order.

    Raises:
        Corrupt: it is damaged; where, and how much is whole.
        OSError: it cannot be read.

    """
    fd = fs.open(path)
    try:
        size_bytes = path.stat().st_size
        try:
            header = unpack_header(fs.read(fd, HEADER_BYTES, 0))
        except ValueError as e:
            raise Corrupt(path, 0, str(e)) from None
        found: list[Record] = []
        start = seed(header.journal_id, SEGMENT)
        for item in scan(Window(fs, fd, size_bytes), seed=start, sequence=header.first_sequence):
            if isinstance(item, Damage) or (isinstance(item, Tail) and item.how != "sealed"):
                raise Corrupt(path, item.offset, f"{item.message}; {len(found)} records before it are whole")
            if isinstance(item, RawRecord) and (record := item.request()) is not None:
                found.append(record)
        return found
    finally:
        fs.close(fd)


def _mark(records: Sequence[Record], reader: str) -> str:
    digest = xxh3_64(reader.encode())
    for r in records:
        digest.update(b"%d,%d," % (r.sequence, len(r.body)))
        digest.update(r.body)
    return digest.hexdigest()


def _notes(path: Path) -> dict[str, Any]:
    try:
        values = orjson.loads(path.read_bytes())
    except (FileNotFoundError, orjson.JSONDecodeError):
        return {}
    return values if isinstance(values, dict) else {}


def _document(about: dict[str, Any], at_unix_ns: int) -> bytes:
    return orjson.dumps({**about, "at_unix_ns": at_unix_ns}, option=orjson.OPT_INDENT_2)
