"""Requests that the journal still holds, delivered or not, so that a restart does not forget what it answered."""

from __future__ import annotations

import logging
import time
from typing import TYPE_CHECKING, Final

from collector.journal.fs import Fs
from collector.journal.layout import RawRecord
from collector.journal.segment import read_segment

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from collector.journal import Journal, Record
    from collector.journal.segment import Segment

log = logging.getLogger(__name__)

MAX_BYTES: Final = 64 << 20
"""That are read for it, the newest; 50 ms."""


def recent_requests(
    journal: Journal, within_s: float, *, now_unix_ns: Callable[[], int] = time.time_ns, fs: Fs | None = None
) -> Iterator[Record]:
    """Yield what was received within so many seconds, as far as it lies in the newest segments. Blocks.

    A disk that fails costs what could not be read.
    """
    now = now_unix_ns()
    since = now - int(within_s * 1e9)
    for segment in _newest(journal.segments):
        try:
            items = read_segment(
                fs or Fs(), segment, journal.id, sequence=segment.first_sequence, offset=0, before=journal.next_sequence
            )
            for item in items:
                if isinstance(item, RawRecord) and since <= item.received_unix_ns <= now:
                    request = item.request()
                    if request is not None:
                        yield request
        except OSError as e:
            log.warning("%s cannot be read for what was received lately: %s", segment.path, e)


def _newest(segments: tuple[Segment, ...]) -> tuple[Segment, ...]:
    """Return the newest segments that are not too large together, the oldest of them first; one at least."""
    size_bytes = 0
    for n, segment in enumerate(reversed(segments)):
        size_bytes += segment.end
        if n and size_bytes > MAX_BYTES:
            return segments[len(segments) - n :]
    return segments
