"""Where records go that cannot be delivered: kept whole, with the reason, beside the journal.

    quarantine/<sequence>-<offset>.bad      bytes of a segment that do not verify, as they stand on disk
    quarantine/<first>-<last>.seg           good records that could not be decoded or stored: a whole segment
    quarantine/<same name>.json             why, when, and which records

Writing the same again (after a crash, by a replay) replaces the same files.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import orjson

from collector.journal.layout import pack_segment

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from collector.journal.fs import Fs
    from collector.journal.record import Record

FOLDER = "quarantine"


class Quarantine:
    """The folder of what was set aside."""

    def __init__(self, fs: Fs, directory: Path, journal_id: bytes) -> None:
        self._fs = fs
        self.folder = directory / FOLDER
        self._journal_id = journal_id

    def keep_bytes(
        self, data: bytes, *, segment: str, sequence: int, offset: int, reason: str, at_unix_ns: int
    ) -> Path:
        """Keep damaged bytes; `sequence` is the first that they may have held. Returns the file."""
        path = self.folder / f"{sequence:016d}-{offset}.bad"
        self._keep(
            path,
            data,
            {"reason": reason, "segment": segment, "offset": offset, "bytes": len(data), "first_sequence": sequence},
            at_unix_ns,
        )
        return path

    def keep_records(self, records: Sequence[Record], *, reader: str, reason: str, at_unix_ns: int) -> Path:
        """Keep records that verified and can be replayed. Returns the file."""
        first, last = records[0].sequence, records[-1].sequence
        path = self.folder / f"{first:016d}-{last:016d}.seg"
        self._keep(
            path,
            pack_segment(self._journal_id, 0, at_unix_ns, records),
            {
                "reason": reason,
                "reader": reader,
                "records": len(records),
                "members": sum(r.members for r in records),
                "first_sequence": first,
                "last_sequence": last,
                "tenants": sorted({r.tenant for r in records}),
            },
            at_unix_ns,
        )
        return path

    def note_loss(self, first: int, last: int, *, reason: str, at_unix_ns: int) -> Path:
        """Put on record that sequences are missing. Returns the file."""
        path = self.folder / f"{first:016d}-{last:016d}.lost.json"
        self._write(path, _document({"reason": reason, "first_sequence": first, "last_sequence": last}, at_unix_ns))
        return path

    def _keep(self, path: Path, data: bytes, about: dict[str, Any], at_unix_ns: int) -> None:
        self._write(path, data)
        self._write(path.with_name(path.name + ".json"), _document(about, at_unix_ns))

    def _write(self, path: Path, data: bytes) -> None:
        if not self.folder.is_dir():
            self.folder.mkdir(mode=0o700)
            self._fs.sync_directory(self.folder.parent)
        self._fs.write_file(path, data)


def _document(about: dict[str, Any], at_unix_ns: int) -> bytes:
    return orjson.dumps({**about, "at_unix_ns": at_unix_ns}, option=orjson.OPT_INDENT_2)
