r"""The file of decisions, `decisions` in the directory of the journal: appended to, rewritten when it has grown.

    "EGDEC2\n"
    frame     0 |crc32c of all behind it u32|payload length u32|
              8 |number u64|forgotten through i64|length of versions u32|
             28 |versions of the policy, JSON list|rows of FACT, 27 bytes each|

    zeros     room for frames: on a full disk decisions can still be written, and what waits goes on

Numbers are little-endian. Of several rows of one key each raises those before it. A frame that is cut off or does not
verify, and all behind it, is not believed. Frames are numbered, through every rewrite, and readers keep the number of
the last durable one in their cursors (`Cursor.mark`): a torn frame of a higher number was never confirmed and is no
loss; a file that verifies to a lower one has lost decisions, however whole it looks.
"""

from __future__ import annotations

import logging
import struct
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np
import orjson

from collector.journal.layout import crc32c
from collector.processors.asymmetric_sampler.decisions import FACT, facts

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from collector.journal.fs import Fs

log = logging.getLogger(__name__)

NAME: Final = "decisions"
MAGIC: Final = b"EGDEC2\n"
HEAD: Final = struct.Struct("<II")
SAID: Final = struct.Struct("<QqI")
GROWTH: Final = 3
"""Times the size of what was last rewritten, at which the file is rewritten again."""
SMALLEST_BYTES: Final = 1 << 20


@dataclass(frozen=True, slots=True)
class Stored:
    """What a file says."""

    versions: list[str]
    rows: NDArray[np.void]
    """Of FACT, one for each key, sorted."""
    forgotten_through: int
    """As `Decisions.forgotten_through` was."""
    is_whole: bool
    """Whether that is all that was ever confirmed."""


class DecisionFile:
    """The file. One thread at a time."""

    def __init__(self, directory: Path, fs: Fs) -> None:
        self._path = directory / NAME
        self._fs = fs
        self.size_bytes = 0
        self.number = 0
        """Of the last frame that is on the medium."""
        self._rewrite_at = SMALLEST_BYTES

    def load(self, mark: int) -> Stored:
        """Return what the file says; `mark` is the highest number of a frame that a cursor speaks of, 0 for none.

        A file that is not there, or ends before that frame, or is damaged before its own end, is not whole; what is
        damaged is kept as `decisions.bad`. Raises OSError.
        """
        self.number = mark
        try:
            data = self._path.read_bytes()
        except FileNotFoundError:
            if mark:
                log.error("%s is gone; what waits is kept early", self._path)  # noqa: TRY400 - the message is whole
            return Stored([], np.empty(0, FACT), -1, is_whole=False)
        number, forgotten_through = 0, -1
        versions: list[str] = []
        pieces: list[NDArray[np.void]] = []
        at = len(MAGIC)
        is_whole = data.startswith(MAGIC)
        while is_whole and data[at : at + HEAD.size].strip(b"\0"):
            payload = _payload(data, at)
            if payload is None:
                is_whole = _is_torn(data, at)
                break
            number, forgotten_through, frame_versions, rows = _unpacked(payload)
            pieces.append(_renumbered(rows, frame_versions, versions))
            at += HEAD.size + len(payload)
        is_whole = is_whole and number >= mark
        self.number = max(number, mark)
        if not is_whole:
            bad = self._path.with_name(f"{NAME}.bad")
            log.error(
                "%s is damaged or cut off at byte %d; it is kept as %s, and what waits is kept early",
                self._path,
                at,
                bad,
            )
            self._fs.replace(self._path, bad)
        rows = _one_each(np.concatenate(pieces) if pieces else np.empty(0, FACT))
        used, rows["policy"] = np.unique(rows["policy"], return_inverse=True)
        return Stored([versions[i] for i in used.tolist()], rows, forgotten_through, is_whole)

    def append(self, versions: Sequence[str], rows: NDArray[np.void], forgotten_through: int) -> bool:
        """Return True when the rows are on the medium, False where the file has grown and must be rewritten.

        Raises:
            OSError: they are not; call again.

        """
        frame = _frame(self.number + 1, forgotten_through, versions, rows)
        if self.size_bytes + len(frame) > self._rewrite_at:
            return False
        rewrite_at, self._rewrite_at = self._rewrite_at, 0  # where this fails, nobody knows what stands there
        fd = self._fs.open(self._path, writable=True)
        try:
            self._fs.write(fd, (frame,), self.size_bytes)
            self._fs.sync(fd)
        finally:
            self._fs.close(fd)
        self.size_bytes += len(frame)
        self.number += 1
        self._rewrite_at = rewrite_at
        return True

    def rewrite(self, versions: Sequence[str], rows: NDArray[np.void], forgotten_through: int) -> None:
        """Replace the file by one that holds these rows. Raises OSError; the old file, or the new, is there then."""
        data = MAGIC + _frame(self.number + 1, forgotten_through, versions, rows)
        rewrite_at = max(SMALLEST_BYTES, GROWTH * len(data))
        self._fs.write_file(self._path, data + bytes(rewrite_at - len(data)))
        self.size_bytes, self._rewrite_at = len(data), rewrite_at
        self.number += 1


def _frame(number: int, forgotten_through: int, versions: Sequence[str], rows: NDArray[np.void]) -> bytes:
    said = orjson.dumps(list(versions))
    payload = SAID.pack(number, forgotten_through, len(said)) + said + rows.tobytes()
    length = struct.pack("<I", len(payload))
    return struct.pack("<I", crc32c(length + payload)) + length + payload


def _payload(data: bytes, at: int) -> bytes | None:
    """Return what the frame at `at` holds, None where it does not verify."""
    if at + HEAD.size > len(data):
        return None
    crc, length = HEAD.unpack_from(data, at)
    end = at + HEAD.size + length
    if end > len(data) or crc32c(data[at + 4 : end]) != crc:
        return None
    return data[at + HEAD.size : end]


def _is_torn(data: bytes, at: int) -> bool:
    """Say whether what does not verify can be the append that a crash cut off: nothing stands behind it."""
    if at + HEAD.size > len(data):
        return True
    _, length = HEAD.unpack_from(data, at)
    return not data[at + HEAD.size + length :].strip(b"\0")


def _unpacked(payload: bytes) -> tuple[int, int, list[str], NDArray[np.void]]:
    number, forgotten_through, n = SAID.unpack_from(payload)
    versions = [str(v) for v in orjson.loads(payload[SAID.size : SAID.size + n])]
    return number, forgotten_through, versions, np.frombuffer(payload, FACT, offset=SAID.size + n).copy()


def _renumbered(rows: NDArray[np.void], theirs: Sequence[str], ours: list[str]) -> NDArray[np.void]:
    """Return the rows with the numbers that versions have in `ours`, which gets those that it lacks."""
    for version in theirs:
        if version not in ours:
            ours.append(version)
    numbers = np.array([ours.index(v) for v in theirs] or [0], np.uint16)
    rows["policy"] = numbers[np.minimum(rows["policy"], len(numbers) - 1)]
    return rows


def _one_each(rows: NDArray[np.void]) -> NDArray[np.void]:
    """Return one row for each key, sorted; the version is the first that decided."""
    if not len(rows):
        return rows
    _, first = np.unique(rows["key"], return_index=True)
    found = facts(rows["key"], rows["last"], rows["rate"], rows["flags"])
    found["policy"] = rows["policy"][first]
    return found
