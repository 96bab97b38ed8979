"""The body of one request, read from the socket into the place where it stays until the journal has written it."""

from __future__ import annotations

from typing import Any, Final, cast

import numpy as np

DIRECT_BYTES: Final = 64 << 10
"""From this size on a body is read directly. A smaller one comes with its head in one read, more often than not."""
RESERVED_BYTES: Final = 4 << 20
"""Of a larger body so much is reserved at first: a sender may announce what it never sends."""


class Body:
    """A body of known length that fills up. `room` and `arrived` in turn, or `write`."""

    def __init__(self, length_bytes: int) -> None:
        self._length_bytes = length_bytes
        self._filled_bytes = 0
        self._view = _reserve(min(length_bytes, RESERVED_BYTES))

    @property
    def is_whole(self) -> bool:
        """Whether nothing is missing."""
        return self._filled_bytes == self._length_bytes

    def room(self) -> memoryview:
        """Return where the next bytes go: never empty before the body is whole, never more than is missing."""
        if self._filled_bytes == len(self._view):
            larger = _reserve(min(self._length_bytes, 2 * len(self._view)))
            larger[: self._filled_bytes] = self._view
            self._view = larger
        return self._view[self._filled_bytes :]

    def arrived(self, n_bytes: int) -> None:
        """Count bytes that stand in `room` now."""
        self._filled_bytes += n_bytes

    def write(self, data: bytes) -> None:
        """Append bytes that were read elsewhere."""
        rest = memoryview(data)
        while rest:
            room = self.room()
            n = min(len(room), len(rest))
            room[:n] = rest[:n]
            self.arrived(n)
            rest = rest[n:]

    def content(self) -> memoryview:
        """Return the whole body; nothing more may be added."""
        return self._view.toreadonly()


def _reserve(n_bytes: int) -> memoryview:
    # A bytearray would be filled with zeros first. NumPy's stubs do not say that arrays are buffers before Python 3.12.
    return memoryview(cast("Any", np.empty(n_bytes, np.uint8)))
