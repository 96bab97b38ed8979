"""What an erasure of a user has found so far, kept until it is finished: ids, as the database is asked for them.

    erasing.jsonl    {"of": "…", "kind": "trace", "id": "4bf9…"}

A span that names the user may come in another request than the rest of its trace, and be dropped while the rest is
stored already. So whoever finds a trace of hers, a lane or the command, writes it here before it goes; the command
deletes what is named here, and the lines when it is done. `of` is the user's hash in the list of what was erased.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import orjson

from collector.journal.fs import Fs

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

FILE: Final = "erasing.jsonl"
Found = tuple[str, str]
"""Kind and id."""


def remember(data_dir: Path, of: bytes, found: Iterable[Found]) -> None:
    """Add what was found, durably; the caller holds the lock of the list. Raises OSError."""
    known = _read(data_dir)
    new = {(of.hex(), *f) for f in found} - known
    if new:
        _write(data_dir, known | new)


def recall(data_dir: Path, of: bytes) -> set[Found]:
    """Return what was found of a user. Raises OSError."""
    return {(kind, key) for whose, kind, key in _read(data_dir) if whose == of.hex()}


def drop(data_dir: Path, of: bytes) -> None:
    """Forget what was found of a user; the caller holds the lock of the list. Raises OSError."""
    known = _read(data_dir)
    left = {line for line in known if line[0] != of.hex()}
    if left:
        _write(data_dir, left)
    else:
        (data_dir / FILE).unlink(missing_ok=True)


def _read(data_dir: Path) -> set[tuple[str, str, str]]:
    try:
        lines = (data_dir / FILE).read_bytes().splitlines()
    except FileNotFoundError:
        return set()
    return {(v["of"], v["kind"], v["id"]) for v in map(orjson.loads, lines)}


def _write(data_dir: Path, lines: set[tuple[str, str, str]]) -> None:
    texts = [orjson.dumps({"of": of, "kind": kind, "id": key}) for of, kind, key in sorted(lines)]
    Fs().write_file(data_dir / FILE, b"\n".join(texts) + b"\n")
