"""OTLP requests to columns with the kernels: all requests of a batch are scanned at once, where the journal read them.

What the kernels do not take (see `collector.decode.kernels`) the protobuf library reads and writes anew, so that each
field stands in one piece; what they do not take even then, the library decodes by itself. The result is the same.
"""

from __future__ import annotations

import secrets
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa

from collector.decode import kernels, protobuf
from collector.decode.inflate import gunzip
from collector.decode.protobuf import MAX_INFLATED_BYTES, parse
from collector.journal.records import Records
from schema.anyvalue import ValueType
from schema.apart import ids_apart
from schema.batch import AttributeTable, Events, Links, Logs, Origins, Resources, Scopes, SpanBatch
from schema.errors import Refused

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from typing import Any

    from numpy.typing import NDArray

    from collector.journal.record import Record

    Ints = NDArray[np.int64]
    Rows = NDArray[np.int32]
    Body = bytes | memoryview
    Extents = tuple[bytes, Ints, Ints]
    """A buffer with PADDING bytes behind the last request, and where each starts and ends in it."""

EXPECTED_KEYS = 8192
"""Of the attributes of a batch; for more it is scanned a second time."""
FOLLOWED_KEYS = 1024
"""For which it is remembered what came behind them; no sender of ours has as many."""
SAMPLED_SPANS = 64
"""That tell how many attributes, events and links to make room for."""
MAX_JOINED_BYTES = 2**31 - 1
"""What the offsets of an Arrow string array can say."""


def decode(records: Sequence[Record], *, seed: Callable[[], int] = lambda: secrets.randbits(63)) -> SpanBatch:
    """Decode records of one journal batch, as `collector.decode.protobuf.decode` does.

    `seed` gives a number that senders cannot foresee: keys are looked up by a hash of it and their bytes.

    Raises:
        Refused: a record does not parse; its sequence is named.

    """
    try:
        extents = _as_read(records)
        if extents is None:
            bodies = [_plain(r) for r in records]
            if sum(map(len, bodies)) > MAX_JOINED_BYTES:
                return protobuf.decode(records)
            extents = _joined(bodies)
        origins = _origins(records)
        scan, batch = _scanned(origins, extents, seed)
        if scan.irregular.any():
            buffer, starts, ends = extents
            bodies = [memoryview(buffer)[s:e] for s, e in zip(starts.tolist(), ends.tolist(), strict=True)]
            for i in np.flatnonzero(scan.irregular).tolist():
                bodies[i] = parse(records[i]).SerializeToString()
            scan, batch = _scanned(origins, _joined(bodies), seed)
    except Refused:
        return protobuf.decode(records)  # which names the first that is damaged
    return protobuf.decode(records) if scan.irregular.any() else batch


def _scanned(
    origins: tuple[Origins, NDArray[np.bool_]], extents: Extents, seed: Callable[[], int]
) -> tuple[_Scan, SpanBatch]:
    scan = _Scan(origins, extents, seed())
    try:
        return scan, scan.batch()
    except _MoreKeys:
        scan = _Scan(origins, extents, seed(), key_room=len(extents[0]))
        return scan, scan.batch()


def _as_read(records: Sequence[Record]) -> Extents | None:
    """Return where the requests lie in what was read of the journal; None where they have to be joined."""
    stretch = records.stretch() if isinstance(records, Records) else None
    if stretch is None:
        return None
    buffer, starts, ends = stretch
    if len(buffer) > MAX_JOINED_BYTES or len(buffer) - max(ends) < kernels.PADDING:
        return None
    return buffer, np.array(starts, np.int64), np.array(ends, np.int64)


def _joined(bodies: Sequence[Body]) -> Extents:
    ends = np.cumsum(np.array([len(b) for b in bodies], np.int64))
    starts = np.concatenate((np.zeros(1, np.int64), ends[:-1])) if len(bodies) else ends
    return b"".join([*bodies, bytes(kernels.PADDING)]), starts, ends


def _plain(record: Record) -> Body:
    """Return the request in protobuf, not yet checked."""
    if record.encoding == "json":
        body: bytes = parse(record).SerializeToString()
        return body
    return gunzip(record.body, MAX_INFLATED_BYTES) if record.gzip else record.body


def _origins(records: Sequence[Record]) -> tuple[Origins, NDArray[np.bool_]]:
    """Return where the rows come from, and of which records they are log records."""
    if isinstance(records, Records):
        raw = records.raw
        tenants = {r.tenant: r.tenant.decode("utf-8", "replace") for r in raw}
        named = tuple(tenants[r.tenant] for r in raw)
        sequences, received = [r.sequence for r in raw], [r.received_unix_ns for r in raw]
        are_logs = records.are_logs()
    else:
        named = tuple(r.tenant for r in records)
        sequences, received = [r.sequence for r in records], [r.received_unix_ns for r in records]
        are_logs = [r.signal == "logs" for r in records]
    return Origins(named, np.array(sequences, np.uint64), np.array(received, np.uint64)), np.array(are_logs, np.bool_)


class _MoreKeys(Exception):
    """There may be more keys than were expected: scan again, with room for as many as there can be."""


class _Scan:
    """One pass over the joined requests. `irregular` marks the records that were not read whole."""

    def __init__(
        self,
        origins: tuple[Origins, NDArray[np.bool_]],
        extents: Extents,
        seed: int,
        *,
        key_room: int = EXPECTED_KEYS,
    ) -> None:
        self._origins, self._are_logs = origins
        self._seed = seed
        self._key_room = key_room
        self._buffer, self._starts, self._ends = extents
        self._buf = np.frombuffer(self._buffer, np.uint8)
        self._words: Ints = np.ndarray((len(self._buffer) - 7,), "<i8", self._buffer, strides=(1,))
        self._stacks: tuple[Ints, Ints] = (np.empty(kernels.MAX_DEPTH, np.int64), np.empty(kernels.MAX_DEPTH, np.int64))
        self.irregular = np.zeros(len(self._starts), np.uint8)

    @np.errstate(over="ignore")  # the hash of keys wraps; compiled it does so without a word, as plain Python not
    def batch(self) -> SpanBatch:
        """Return the columns; those of irregular records are not to be used."""
        resources, scopes, members = self._outline()
        is_log = self._are_logs[members[kernels.ORIGIN]]
        return self._spans(
            members if not is_log.any() else np.ascontiguousarray(members[:, ~is_log]),
            resources,
            scopes,
            np.ascontiguousarray(members[:, is_log]),
        )

    def _outline(self) -> tuple[Ints, Ints, Ints]:
        size = int((self._ends - self._starts).sum())
        wanted = (size // 2048 + 16, size // 2048 + 16, size // 256 + 16)
        while True:
            tables = tuple(np.empty((width, n), np.int64) for width, n in zip((5, 9, 5), wanted, strict=True))
            found = kernels.outline(self._buf, self._words, self._starts, self._ends, self.irregular, *tables)
            if all(n <= room for n, room in zip(found, wanted, strict=True)):
                resources, scopes, members = (_cut(t, n) for t, n in zip(tables, found, strict=True))
                return resources, scopes, members
            wanted = found

    def _spans(self, members: Ints, resources: Ints, scopes: Ints, log_members: Ints) -> SpanBatch:
        n = members.shape[1]
        spans = np.empty((14, n), np.int64)
        trace_id, span_id, parent_span_id = (np.zeros((n, w), np.uint8) for w in (16, 8, 8))
        wanted = self._room(members)
        while True:
            extents = _extents(wanted[0])
            events, links = np.empty((3, wanted[1]), np.int64), np.empty((3, wanted[2]), np.int64)
            found = kernels.read_spans(
                self._buf,
                self._words,
                self.irregular,
                members,
                spans,
                trace_id,
                span_id,
                parent_span_id,
                *extents,
                events,
                links,
            )
            if all(count <= room for count, room in zip(found, wanted, strict=True)):
                break
            wanted = found
        origin = members[kernels.ORIGIN]
        return SpanBatch(
            origin=origin.astype(np.int32),
            resource=members[kernels.RESOURCE].astype(np.int32),
            scope=members[kernels.SCOPE].astype(np.int32),
            trace_id=trace_id,
            span_id=span_id,
            parent_span_id=parent_span_id,
            trace_state=self._strings(spans, kernels.TRACE_STATE),
            name=self._strings(spans, kernels.SPAN_NAME),
            kind=spans[kernels.KIND].astype(np.uint8),
            flags=spans[kernels.FLAGS].astype(np.uint32),
            start_unix_ns=spans[kernels.START_TIME].view(np.uint64),
            end_unix_ns=spans[kernels.END_TIME].view(np.uint64),
            status_code=spans[kernels.STATUS_CODE].astype(np.uint8),
            status_message=self._strings(spans, kernels.STATUS_MESSAGE),
            dropped_attributes_count=spans[kernels.DROPPED_ATTRIBUTES].astype(np.uint32),
            dropped_events_count=spans[kernels.DROPPED_EVENTS].astype(np.uint32),
            dropped_links_count=spans[kernels.DROPPED_LINKS].astype(np.uint32),
            attributes=self._attributes(extents, found[0], origin),
            events=self._events(members, _cut(events, found[1])),
            links=self._links(members, _cut(links, found[2])),
            resources=self._resources(resources),
            scopes=self._scopes(scopes),
            origins=self._origins,
            logs=self._logs(log_members, members[kernels.ORIGIN], trace_id, span_id),
        )

    def _room(self, members: Ints) -> tuple[int, int, int]:
        """Guess how many attributes, events and links the spans have, from a few that lie evenly among them."""
        n = members.shape[1]
        few = np.ascontiguousarray(members[:, :: max(1, n // SAMPLED_SPANS)])
        rows = few.shape[1]
        trace_id, span_id, parent_span_id = (np.empty((rows, w), np.uint8) for w in (16, 8, 8))
        fields, nothing = np.empty((14, rows), np.int64), np.empty((3, 0), np.int64)
        found = kernels.read_spans(
            self._buf,
            self._words,
            self.irregular,
            few,
            fields,
            trace_id,
            span_id,
            parent_span_id,
            *_extents(0),
            nothing,
            nothing,
        )
        attributes, events, links = (count * n * 9 // (8 * rows) + 16 if rows else 0 for count in found)
        return attributes, events, links

    def _resources(self, table: Ints) -> Resources:
        extents, n = self._listed(kernels.read_resources, table, size=_bytes_in(table, kernels.MESSAGE))
        attributes = self._attributes(extents, n, table[kernels.ORIGIN])
        return Resources(attributes, self._strings(table, kernels.SCHEMA))

    def _scopes(self, table: Ints) -> Scopes:
        extents, n = self._listed(kernels.read_scopes, table, size=_bytes_in(table, kernels.MESSAGE))
        return Scopes(
            self._strings(table, kernels.NAME),
            self._strings(table, kernels.VERSION),
            self._strings(table, kernels.SCHEMA),
            self._attributes(extents, n, table[kernels.ORIGIN]),
        )

    def _events(self, members: Ints, found: Ints) -> Events:
        table = np.empty((4, found.shape[1]), np.int64)
        extents, n = self._listed(kernels.read_events, members, found, table, size=_bytes_in(found, 1))
        return Events(
            owner=found[kernels.ORIGIN].astype(np.int32),
            time_unix_ns=table[kernels.EVENT_TIME].view(np.uint64),
            name=self._strings(table, kernels.EVENT_NAME),
            dropped_attributes_count=table[kernels.EVENT_DROPPED].astype(np.uint32),
            attributes=self._attributes(extents, n, members[kernels.ORIGIN][found[kernels.ORIGIN]]),
        )

    def _links(self, members: Ints, found: Ints) -> Links:
        rows = found.shape[1]
        table = np.empty((2, rows), np.int64)
        trace_id, span_id = np.zeros((rows, 16), np.uint8), np.zeros((rows, 8), np.uint8)
        extents, n = self._listed(
            kernels.read_links, members, found, table, trace_id, span_id, size=_bytes_in(found, 1)
        )
        return Links(
            owner=found[kernels.ORIGIN].astype(np.int32),
            trace_id=trace_id,
            span_id=span_id,
            trace_state=self._strings(table, kernels.LINK_STATE),
            attributes=self._attributes(extents, n, members[kernels.ORIGIN][found[kernels.ORIGIN]]),
        )

    def _logs(self, members: Ints, origin: Ints, of_trace: NDArray[np.uint8], of_span: NDArray[np.uint8]) -> Logs:
        """Read the log records; `origin`, `of_trace` and `of_span` are those of the spans."""
        rows = members.shape[1]
        table = np.empty((9, rows), np.int64)
        trace_id, span_id = np.zeros((rows, 16), np.uint8), np.zeros((rows, 8), np.uint8)
        extents, n = self._listed(
            kernels.read_logs, members, table, trace_id, span_id, size=_bytes_in(members, kernels.START)
        )
        attributes = self._attributes(extents, n, members[kernels.ORIGIN])
        _name_events(table, attributes)
        n_spans, origins = len(of_trace), np.concatenate((origin, members[kernels.ORIGIN]))
        ids = ids_apart(np.concatenate((of_trace, trace_id)), origins, self._origins.tenant)
        return Logs(
            origin=members[kernels.ORIGIN].astype(np.int32),
            resource=members[kernels.RESOURCE].astype(np.int32),
            scope=members[kernels.SCOPE].astype(np.int32),
            span_row=_rows_of((ids[:n_spans], of_span), (ids[n_spans:], span_id)),
            trace_id=trace_id,
            span_id=span_id,
            time_unix_ns=table[kernels.LOG_TIME].view(np.uint64),
            observed_unix_ns=table[kernels.OBSERVED_TIME].view(np.uint64),
            severity_number=table[kernels.SEVERITY].astype(np.uint8),
            severity_text=self._strings(table, kernels.SEVERITY_TEXT),
            event_name=self._strings(table, kernels.LOG_NAME),
            attributes=attributes,
            body=self._bodies(members, table),
        )

    def _listed(self, read: Callable[..., int], *tables: Any, size: int) -> tuple[tuple[Rows, Ints, Ints], int]:
        """Run a kernel that lists attributes of messages of `size` bytes; again where there are more than guessed."""
        room = size // 16 + 16
        while True:
            extents = _extents(room)
            n = read(self._buf, self._words, self.irregular, *tables, *extents)
            if n <= room:
                return extents, n
            room = n

    def _attributes(self, extents: tuple[Rows, Ints, Ints], n: int, origin: Ints) -> AttributeTable:
        """Read the attributes of those extents; `origin` is the record of each owner."""
        owner, start, length = extents[0][:n], extents[1][:n], extents[2][:n]
        key, kinds, number = np.empty(n, np.int32), np.empty(n, np.uint8), np.empty(n, np.int64)
        room = min(n, self._key_room)
        key_start, key_end = np.empty(room, np.int64), np.empty(room, np.int64)
        slots = np.zeros(1 << max(4, (2 * room).bit_length()), np.int32)
        known = kernels.read_attributes(
            self._buf,
            self._words,
            self.irregular,
            np.ascontiguousarray(origin),
            owner,
            key,
            kinds,
            number,
            start,
            length,
            slots,
            np.zeros(FOLLOWED_KEYS, np.int32),
            key_start,
            key_end,
            self._seed,
            *self._stacks,
        )
        if known == room < n:
            raise _MoreKeys
        names = zip(key_start[:known].tolist(), key_end[:known].tolist(), strict=True)
        return AttributeTable(
            owner=owner,
            key=key,
            type=kinds,
            number=number,
            start=start,
            length=length,
            keys=tuple(self._buffer[s:e].decode("utf-8", "replace") for s, e in names),
            buffer=self._buffer,
        )

    def _bodies(self, members: Ints, table: Ints) -> AttributeTable:
        rows = np.flatnonzero(table[kernels.BODY] >= 0)
        n = len(rows)
        kinds, number = np.empty(n, np.uint8), np.empty(n, np.int64)
        start, length = table[kernels.BODY][rows], table[kernels.BODY_END][rows]
        origin = members[kernels.ORIGIN][rows]
        kernels.read_bodies(self._buf, self._words, self.irregular, origin, kinds, number, start, length, *self._stacks)
        return AttributeTable(
            owner=rows.astype(np.int32),
            key=np.zeros(n, np.int32),
            type=kinds,
            number=number,
            start=start,
            length=length,
            keys=("body",) if n else (),
            buffer=self._buffer,
        )

    def _strings(self, table: Ints, column: int) -> pa.Array:
        """Return the strings of the extents in a column and the next."""
        start, end = table[column], table[column + 1]
        n = len(start)
        offsets = np.zeros(n + 1, np.int32)
        np.cumsum(end - start, out=offsets[1:])
        data = np.empty(int(offsets[-1]), np.uint8)
        kernels.gather(self._buf, start, end, offsets, data)
        return pa.Array.from_buffers(pa.string(), n, [None, pa.py_buffer(offsets), pa.py_buffer(data)])


def _cut(table: Ints, n: int) -> Ints:
    """Return the first n columns, so that memory that was not needed goes back."""
    return np.ascontiguousarray(table[:, :n])


def _extents(room: int) -> tuple[Rows, Ints, Ints]:
    return np.empty(room, np.int32), np.empty(room, np.int64), np.empty(room, np.int64)


def _bytes_in(table: Ints, column: int) -> int:
    return int((table[column + 1] - table[column]).sum())


def _name_events(table: Ints, attributes: AttributeTable) -> None:
    """Where a log record has no event name, take the first that its attributes give."""
    if "event.name" not in attributes.keys:
        return
    names = (attributes.key == attributes.keys.index("event.name")) & (attributes.type == int(ValueType.STRING))
    rows = np.flatnonzero(names & (attributes.length > 0))[::-1]  # backwards, so that the first is written last
    rows = rows[table[kernels.LOG_NAME][attributes.owner[rows]] == table[kernels.LOG_NAME_END][attributes.owner[rows]]]
    owner = attributes.owner[rows]
    table[kernels.LOG_NAME, owner] = attributes.start[rows]
    table[kernels.LOG_NAME_END, owner] = attributes.start[rows] + attributes.length[rows]


def _rows_of(
    spans: tuple[NDArray[np.uint8], NDArray[np.uint8]], wanted: tuple[NDArray[np.uint8], NDArray[np.uint8]]
) -> Rows:
    """Return the last row of `spans` that has the ids of each of `wanted`, -1 where none has."""
    if len(spans[0]) == 0 or len(wanted[0]) == 0:
        return np.full(len(wanted[0]), -1, np.int32)
    known, asked = (np.concatenate(ids, axis=1).view("S24").ravel() for ids in (spans, wanted))
    order = np.argsort(known, kind="stable")
    at = np.searchsorted(known, asked, side="right", sorter=order) - 1
    row = order[np.maximum(at, 0)]
    return np.where((at >= 0) & (known[row] == asked), row, -1).astype(np.int32)
