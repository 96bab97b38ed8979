"""Small files beside the segments: one line of checksummed JSON, replaced as a whole.

<magic> <crc32c of the JSON, 8 hex digits> {"…": …}
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import orjson

from collector.journal.layout import crc32c
from schema.errors import Corrupt

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from collector.journal.fs import Fs


def store(fs: Fs, path: Path, magic: bytes, values: Mapping[str, Any]) -> None:
    """Make the values durable. Raises OSError; the old file, or the new, is there then."""
    body = orjson.dumps(values)
    fs.write_file(path, b"%s %08x %s\n" % (magic, crc32c(body), body))


def load(path: Path, magic: bytes) -> dict[str, Any] | None:
    """Return the stored values, or None when there is no file.

    Raises:
        Corrupt: it is unreadable.
        OSError: the disk does not give it.

    """
    try:
        data = path.read_bytes()
    except FileNotFoundError:
        return None
    found, _, rest = data.removesuffix(b"\n").partition(b" ")
    crc, _, body = rest.partition(b" ")
    if found != magic or crc != b"%08x" % crc32c(body):
        raise Corrupt(path, 0, "the file fails its checksum")
    try:
        values: dict[str, Any] = orjson.loads(body)
    except orjson.JSONDecodeError as e:
        raise Corrupt(path, 0, f"the file is no JSON: {e}") from None
    return values
