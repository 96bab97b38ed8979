"""Requests without what was erased: whole spans and log records go, the rest stays as it was sent."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from collector.decode import decode
from collector.decode.protobuf import parse
from collector.erase import tombstones
from collector.erase.tombstones import TENANT, TRACE, USER, Naming, Tombstones, Watched
from collector.processors.normalise import canonical
from schema.dialect import dialects
from schema.errors import Refused
from schema.ledger import State, entries_of, merged

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence
    from pathlib import Path

    from opentelemetry.proto.common.v1.common_pb2 import KeyValue

    from collector.journal.record import Record
    from schema.ledger import Entry


class Forget:
    """Drops what was erased from records that are about to be delivered."""

    def __init__(self, data_dir: Path) -> None:
        self._data_dir = data_dir
        self._list = Watched(data_dir)

    def __call__(self, records: Sequence[Record]) -> tuple[Sequence[Record], tuple[Entry, ...]]:
        """Return the records without what was erased, the same ones where nothing was, and what the ledger says.

        Costs a look at one file unless something was erased that is younger than the oldest record. Raises OSError.
        """
        known = self._list.now()
        if not known.before_unix_ns or all(r.received_unix_ns >= known.latest_unix_ns for r in records):
            return records, ()
        old = [r for r in records if r.received_unix_ns < known.latest_unix_ns]
        if found := traces_of_users(old, known):
            # Durable before anything of them goes: other requests may have the rest of these traces.
            tombstones.learn(self._data_dir, found)
            known = self._list.now()
        left, erased = without(old, known)
        if not erased:
            return records, ()
        by_sequence = {r.sequence: r for r in left}
        gone = {r.sequence for r in old} - by_sequence.keys()
        return [by_sequence.get(r.sequence, r) for r in records if r.sequence not in gone], erased


def without(records: Iterable[Record], known: Tombstones) -> tuple[list[Record], tuple[Entry, ...]]:
    """Return records without what is on the list, and what the ledger says of what went.

    A record that cannot be read is left as it is: nobody can tell what is in it. Traces of erased users must be on the
    list (`traces_of_users`).
    """
    left: list[Record] = []
    booked: list[Entry] = []
    whole = [r for r in records if not known.covers(TENANT, "", r.tenant, r.received_unix_ns)]
    gone = [r for r in records if known.covers(TENANT, "", r.tenant, r.received_unix_ns)]
    booked += entries_of(gone, State.ERASED)
    users = frozenset(dialects().columns["user_id"])
    for record in whole:

        def is_erased(trace_id: bytes, record: Record = record) -> bool:
            return known.covers(TRACE, record.tenant, trace_id.hex(), record.received_unix_ns)

        def names_erased(attributes: Iterable[KeyValue], record: Record = record) -> bool:
            return known.has_users and any(
                a.key in users and known.covers(USER, record.tenant, a.value.string_value, record.received_unix_ns)
                for a in attributes
            )

        kept, removed = cut(record, is_erased, names_erased)
        if removed:
            booked += entries_of([replace(record, members=removed)], State.ERASED)
        if kept is not None:
            left.append(kept)
    return left, merged(booked)


def cut(
    record: Record,
    is_erased: Callable[[bytes], bool],
    names_erased: Callable[[Iterable[KeyValue]], bool] = lambda _: False,
) -> tuple[Record | None, int]:
    """Return a record without some spans and log records, and how many went; None where none is left.

    Those of some traces go, and log records with attributes, or of a resource with attributes, that name a user.
    """
    try:
        message: Any = parse(record)
    except Refused:
        return record, 0
    resources = message.resource_spans if record.signal == "traces" else message.resource_logs
    removed = left = 0
    said: dict[bytes, bool] = {}
    for resource in resources:
        is_logs = record.signal == "logs"
        all_go = is_logs and names_erased(resource.resource.attributes)
        for scope in resource.scope_spans if record.signal == "traces" else resource.scope_logs:
            members = scope.spans if record.signal == "traces" else scope.log_records
            for i in range(len(members) - 1, -1, -1):
                trace_id = members[i].trace_id
                of_trace = trace_id and said.setdefault(trace_id, is_erased(trace_id))
                if of_trace or all_go or (is_logs and names_erased(members[i].attributes)):
                    del members[i]
                    removed += 1
                else:
                    left += 1
    if not removed:
        return record, 0
    if not left:
        return None, removed
    body = message.SerializeToString()
    return replace(record, encoding="protobuf", gzip=False, body=body, members=left), removed


def traces_of_users(records: Iterable[Record], known: Tombstones) -> set[Naming]:
    """Return the traces of which a span in these records names an erased user."""
    found: set[Naming] = set()
    if not known.has_users:
        return found
    for record in records:
        try:
            batch = canonical(decode([record]))
        except Refused:
            continue
        named = ((row, user) for row, user in enumerate(batch.columns["user_id"].to_pylist()) if user is not None)
        users = {(user, batch.trace_id[row].tobytes().hex()) for row, user in named}
        found |= {
            Naming(record.tenant, trace, user)
            for user, trace in users
            if known.covers(USER, record.tenant, user, record.received_unix_ns)
        }
    return found
