"""How much of what was acknowledged the database does not have yet, per tenant and signal.

found in the journal at the start + appended since - confirmed by the reader of the database
"""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Final

from collector.journal.layout import SIGNALS, TYPE_REQUEST, RawRecord, unpack_address
from collector.journal.records import Records
from collector.journal.segment import read_segment
from schema.ledger import State

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from collector.journal import Record
    from collector.journal.fs import Fs
    from collector.journal.segment import Entry, Segment
    from schema.component import Signal
    from schema.ledger import Tally

LOST: Final = "damaged"
"""The ledger's reason for what the journal could not give back."""

Key = tuple[str, "Signal"]


class Waiting:
    """The counts. Everything but `survey` belongs to one event loop."""

    def __init__(self, reader: str, tally: Tally) -> None:
        """Begin with nothing; `reader` delivers to the database, what it never gets is told to `tally`."""
        self._reader = reader.encode()
        self._tally = tally
        self._counts: Counter[Key] = Counter()
        self._known = False
        self._lost_records = 0

    def appended(self, entry: Entry) -> None:
        """Count a record that is durable now (`Journal.on_durable`)."""
        if entry.kind == TYPE_REQUEST:
            tenant = entry.tenant
        else:
            reader, tenant = unpack_address(entry.tenant)
            if reader != self._reader:
                return
        self._counts[tenant.decode("utf-8", "replace"), SIGNALS[entry.flags & 0b11]] += entry.members

    def found(self, counts: Counter[Key]) -> None:
        """Add what `survey` found."""
        self._counts += counts
        self._known = True

    def confirmed(self, records: Sequence[Record]) -> None:
        """Count records that were delivered or set aside."""
        self._counts.subtract(members_of(records))

    def emptied(self, lost_records: int) -> None:
        """Book what is lost: nothing is left in the journal, and of it so many records were lost since the start.

        What should wait then, and does not come, is counted as what it was. What was lost before the start was not
        found by `survey` either: nobody knows what those requests held, nor whose they were.
        """
        if not self._known:
            return
        missing = {key: n for key, n in self._counts.items() if n > 0}
        for (tenant, signal), n in missing.items():
            self._tally(tenant, signal, State.LOST, LOST, count=n)
        if not missing and lost_records > self._lost_records:
            self._tally("", "traces", State.LOST, LOST, uncounted_requests=lost_records - self._lost_records)
        self._lost_records = lost_records
        self._counts.clear()

    def document(self) -> dict[str, dict[str, int]]:
        """Return members by tenant and signal."""
        found: dict[str, dict[str, int]] = {}
        for (tenant, signal), n in self._counts.items():
            if n > 0:
                found.setdefault(tenant, {})[signal] = n
        return found


def survey(
    fs: Fs, segments: Iterable[Segment], journal_id: bytes, reader: str, *, first: int, before: int
) -> Counter[Key]:
    """Return the members of the records `first` to `before` that a reader gets. Blocks while they are read. OSError."""
    name = reader.encode()
    return members_of(
        r
        for r in records_of(fs, segments, journal_id)
        if first <= r.sequence < before and r.is_known and r.reader in (None, name)
    )


def records_of(fs: Fs, segments: Iterable[Segment], journal_id: bytes) -> Iterator[RawRecord]:
    """Yield what verifies in segments. Raises OSError."""
    for segment in segments:
        items = read_segment(fs, segment, journal_id, sequence=segment.first_sequence, offset=0, before=None)
        yield from (item for item in items if isinstance(item, RawRecord))


def members_of(records: Iterable[Record | RawRecord]) -> Counter[Key]:
    """Return members by tenant and signal; no body is copied."""
    counts: Counter[Key] = Counter()
    for r in records.raw if isinstance(records, Records) else records:
        if isinstance(r, RawRecord):
            counts[r.tenant.decode("utf-8", "replace"), SIGNALS[r.flags & 0b11]] += r.members
        else:
            counts[r.tenant, r.signal] += r.members
    return counts
