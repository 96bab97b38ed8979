"""Records of one batch as they lie in what was read of the journal: no copy of a body unless it is asked for."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, overload

from collector.journal.layout import FLAG_GZIP, FLAG_JSON, SIGNALS

if TYPE_CHECKING:
    from collections.abc import Iterable

    from collector.journal.layout import RawRecord
    from collector.journal.record import Record


class Records(Sequence["Record"]):
    """Records that verified, all of types that this version knows. Each `Record` is made when it is asked for."""

    def __init__(self, raw: Iterable[RawRecord]) -> None:
        self._raw = tuple(raw)

    def __len__(self) -> int:
        return len(self._raw)

    @overload
    def __getitem__(self, index: int) -> Record: ...

    @overload
    def __getitem__(self, index: slice) -> Records: ...

    def __getitem__(self, index: int | slice) -> Record | Records:
        if isinstance(index, slice):
            return Records(self._raw[index])
        record = self._raw[index].request()
        if record is None:
            raise TypeError("a record of unknown type is none of a batch")
        return record

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Records) and list(self) == list(other)

    __hash__ = None  # type: ignore[assignment]  # compared by what they hold, which nobody hashes

    @property
    def raw(self) -> tuple[RawRecord, ...]:
        """The records as they were read."""
        return self._raw

    @property
    def body_bytes(self) -> int:
        """Bytes of all bodies."""
        return sum(r.body_end - r.body_start for r in self._raw)

    def members(self) -> list[int]:
        """Return of each how many spans or log records it holds."""
        return [r.members for r in self._raw]

    def stretch(self) -> tuple[bytes, list[int], list[int]] | None:
        """Return the buffer in which all bodies lie, where each starts and ends; None unless all are plain protobuf."""
        if not self._raw:
            return None
        source = self._raw[0].source
        for r in self._raw:
            if r.source is not source or r.flags & (FLAG_JSON | FLAG_GZIP):
                return None
        return source, [r.body_start for r in self._raw], [r.body_end for r in self._raw]

    def are_logs(self) -> list[bool]:
        """Return of each whether it is of log records."""
        return [SIGNALS[r.flags & 0b11] == "logs" for r in self._raw]
