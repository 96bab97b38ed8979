r"""The file of decisions, `decisions` in the directory of the journal: appended to, rewritten when it has grown.

    "EGDEC1\n"
    frame     0 |crc32c of all behind it u32|payload length u32|
              8 |length of versions u32|versions of the policy, JSON list|rows of FACT, 27 bytes each|

    zeros     room for frames: on a full disk decisions can still be written, and what waits goes on

Numbers are little-endian. Of several rows of one key each raises those before it. A frame that is cut off or does not
verify, and all behind it, is not believed; a torn one at the end was never confirmed and is no loss.
"""

from __future__ import annotations

import logging
import struct
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
MAGIC: Final = b"EGDEC1\n"
HEAD: Final = struct.Struct("<II")
LENGTH: Final = struct.Struct("<I")
GROWTH: Final = 3
"""Times the size of what was last rewritten, at which the file is rewritten again."""
SMALLEST_BYTES: Final = 1 << 20


class DecisionFile:
    """The file. One thread at a time."""

    def __init__(self, directory: Path, fs: Fs) -> None:
        self._path = directory / NAME
        self._fs = fs
        self.size_bytes = 0
        self._rewrite_at = SMALLEST_BYTES

    def load(self) -> tuple[list[str], NDArray[np.void], bool]:
        """Return the versions, the rows, one for each key, and whether that is all there ever was.

        A file that is not there, or is damaged before its end, is not whole; what is damaged is kept as
        `decisions.bad`. Raises OSError.
        """
        try:
            data = self._path.read_bytes()
        except FileNotFoundError:
            return [], np.empty(0, FACT), False
        versions: list[str] = []
        pieces: list[NDArray[np.void]] = []
        at = len(MAGIC)
        is_whole = data.startswith(MAGIC)
        while is_whole and data[at : at + HEAD.size].strip(b"\0"):
            payload = _payload(data, at)
            if payload is None:
                is_whole = _is_torn(data, at)
                break
            frame_versions, rows = _unpacked(payload)
            pieces.append(_renumbered(rows, frame_versions, versions))
            at += HEAD.size + len(payload)
        if not is_whole:
            bad = self._path.with_name(f"{NAME}.bad")
            log.error("%s is damaged at byte %d; it is kept as %s, and what waits is kept early", self._path, at, bad)
            self._fs.replace(self._path, bad)
        rows = _one_each(np.concatenate(pieces) if pieces else np.empty(0, FACT))
        used, rows["policy"] = np.unique(rows["policy"], return_inverse=True)
        return [versions[i] for i in used.tolist()], rows, is_whole

    def append(self, versions: Sequence[str], rows: NDArray[np.void]) -> bool:
        """Return True when the rows are on the medium, False where the file has grown and must be rewritten.

        Raises:
            OSError: they are not; call again.

        """
        frame = _frame(versions, rows)
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
        self._rewrite_at = rewrite_at
        return True

    def rewrite(self, versions: Sequence[str], rows: NDArray[np.void]) -> None:
        """Replace the file by one that holds these rows. Raises OSError; the old file, or the new, is there then."""
        data = MAGIC + _frame(versions, rows)
        rewrite_at = max(SMALLEST_BYTES, GROWTH * len(data))
        self._fs.write_file(self._path, data + bytes(rewrite_at - len(data)))
        self.size_bytes, self._rewrite_at = len(data), rewrite_at


def _frame(versions: Sequence[str], rows: NDArray[np.void]) -> bytes:
    said = orjson.dumps(list(versions))
    payload = LENGTH.pack(len(said)) + said + rows.tobytes()
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


def _unpacked(payload: bytes) -> tuple[list[str], NDArray[np.void]]:
    (n,) = LENGTH.unpack_from(payload)
    versions = [str(v) for v in orjson.loads(payload[LENGTH.size : LENGTH.size + n])]
    return versions, np.frombuffer(payload, FACT, offset=LENGTH.size + n).copy()


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
