"""Which reading decodes: the kernels, and the protobuf library until they are compiled or where they cannot be.

import numba ─▶ machine code from its cache (about a second), or compiled (about seven) ─▶ kernels
    │
    └ missing, or broken ─▶ the library, for good
"""

from __future__ import annotations

import logging
import threading
import time
from functools import cache
from typing import TYPE_CHECKING, Final, Protocol

from collector.decode import protobuf
from collector.journal.records import Records

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from collector.journal.record import Record
    from schema.batch import SpanBatch

log = logging.getLogger(__name__)


class Decode(Protocol):
    """A reading of records."""

    def __call__(self, records: Sequence[Record], /) -> SpanBatch:
        """Return their columns; raise Refused, naming it, where a record does not parse."""


@cache
def load_kernels() -> Decode:
    """Return the decoding by kernels, ready to run. Blocks while they are compiled; the second time it does not.

    Raises:
        Exception: whatever keeps numba from working here.

    """
    from collector.decode import columns  # noqa: PLC0415 - numba takes 0.3 s to import, and may be missing

    columns.decode([])  # calls every kernel, which compiles it
    return columns.decode


def decode(records: Sequence[Record]) -> SpanBatch:
    """Decode records of one journal batch, by the kernels where they can be had.

    Raises:
        Refused: a record does not parse; its sequence is named.

    """
    return _fastest()(records)


@cache
def _fastest() -> Decode:
    return _or_library(load_kernels)


def _or_library(load: Callable[[], Decode]) -> Decode:
    try:
        return load()
    except Exception as e:  # noqa: BLE001 - numba and LLVM fail in many ways; the library always works
        log.warning(
            "no compiled kernels (%s: %s); the protobuf library decodes, about twenty times slower", type(e).__name__, e
        )
        return protobuf.decode


LIBRARY_BYTES: Final = 4 << 20
"""What the library decodes while kernels are loaded: messages take ten times their bytes (measured), and the GIL."""


class Decoder:
    """Decodes from the first moment: by the protobuf library until the kernels are ready; large batches wait for them.

    `warm_up` makes them ready in a thread of its own, then what `also_load` makes ready: the kernels of others. The
    process does not end before that thread does.
    """

    def __init__(self, load: Callable[[], Decode] = load_kernels, also_load: Callable[[], None] | None = None) -> None:
        self._load = load
        self._also_load = also_load
        self._decode: Decode = protobuf.decode
        self._thread: threading.Thread | None = None

    def __call__(self, records: Sequence[Record]) -> SpanBatch:
        """Decode; see `decode`. Any thread may call but the one that must not wait."""
        if self._thread is not None and self._thread.is_alive() and body_bytes(records) > LIBRARY_BYTES:
            log.info("a large batch waits for the kernels; requests are taken and kept meanwhile")
            self._thread.join()
        return self._decode(records)

    def warm_up(self) -> threading.Thread:
        """Begin to load the kernels; the thread ends when they are in use, or are known not to work here."""
        if self._thread is None:
            self._thread = threading.Thread(target=self._warm_up, name="kernels")
            self._thread.start()
        return self._thread

    def _warm_up(self) -> None:
        log.info("kernels are loaded, or compiled, which takes a minute; requests are taken and kept meanwhile")
        began_s = time.monotonic()
        self._decode = _or_library(self._load)
        if self._also_load is not None:
            try:
                self._also_load()
            except Exception as e:  # noqa: BLE001 - as above: there is a way without kernels
                log.warning("no compiled kernels but the decoder's (%s: %s)", type(e).__name__, e)
        log.info("decoding is ready after %.1f s", time.monotonic() - began_s)


def body_bytes(records: Sequence[Record]) -> int:
    """Return the bytes of all bodies."""
    return records.body_bytes if isinstance(records, Records) else sum(len(r.body) for r in records)
