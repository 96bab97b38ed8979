"""Saved inputs: the first byte chooses the signal, the rest is the body of a request."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

    from schema.component import Signal

FOLDER = Path(__file__).parent / "corpus"
SIGNALS: tuple[Signal, ...] = ("traces", "logs")


def split(data: bytes) -> tuple[Signal, bytes]:
    """Return signal and body of one input."""
    return SIGNALS[data[0] & 1 if data else 0], data[1:]


def saved() -> Iterator[tuple[Signal, bytes]]:
    """Yield what is saved, in the same order always."""
    for path in sorted(FOLDER.iterdir()):
        yield split(path.read_bytes())


def save(signal: Signal, body: bytes) -> Path:
    """Keep an input, named by the hash of its bytes as libFuzzer names them."""
    data = bytes((SIGNALS.index(signal),)) + body
    path = FOLDER / hashlib.sha1(data, usedforsecurity=False).hexdigest()
    path.write_bytes(data)
    return path
