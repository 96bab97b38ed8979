"""Bring a batch within limits: first a look at whole columns, which is all that most batches take."""

from __future__ import annotations

import hashlib
from collections import Counter
from dataclasses import dataclass, replace
from functools import cache
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from schema.anyvalue import ValueType, to_text
from schema.dialect import dialects

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from schema.batch import AttributeTable, SpanBatch

    Rows = NDArray[np.int32]

WITH_BYTES: Final = (int(ValueType.STRING), int(ValueType.ARRAY), int(ValueType.KVLIST), int(ValueType.BYTES))
CONTENT_ENDINGS: Final = (".arguments", ".result", ".input", ".output", ".parameters", "input.value", "output.value")
"""Of keys that hold content besides those that the dialects name."""
KEY_HASH_DIGITS: Final = 16


@dataclass(frozen=True, slots=True)
class Limits:
    """See `LimitsConfig`."""

    max_attributes: int
    max_events: int
    max_links: int
    max_key_bytes: int
    max_value_bytes: int
    max_content_bytes: int


def limited(batch: SpanBatch, limits: Limits) -> tuple[SpanBatch, Counter[str]]:
    """Return the batch within the limits, and how often each was exceeded."""
    work = _Work(limits, Counter())
    changes: dict[str, Any] = {}
    events, dropped = work.children(batch.events, len(batch), "max_events")
    if dropped is not None:
        changes["dropped_events_count"] = _added(batch.dropped_events_count, dropped)
    links, dropped = work.children(batch.links, len(batch), "max_links")
    if dropped is not None:
        changes["dropped_links_count"] = _added(batch.dropped_links_count, dropped)
    events, links = work.attributes(events, counted=True), work.attributes(links)
    whole = work.attributes(batch, counted=True)
    changes |= {
        "events": work.strings(events, "name"),
        "links": work.strings(links, "trace_state"),
        "resources": work.attributes(batch.resources),
        "scopes": work.strings(work.attributes(batch.scopes), "name", "version"),
        "logs": work.logs(batch.logs),
    }
    whole = work.strings(whole, "name", "status_message", "trace_state")
    if all(changes[part] is getattr(batch, part) for part in ("events", "links", "resources", "scopes", "logs")):
        changes = {k: v for k, v in changes.items() if k.startswith("dropped_")}
    return (replace(whole, **changes) if changes else whole), work.exceeded


@dataclass(frozen=True, slots=True)
class _Work:
    limits: Limits
    exceeded: Counter[str]

    def children(self, part: Any, owners: int, limit: str) -> tuple[Any, Rows | None]:
        """Return events or links within their limit, and how many of each span went; None where none did."""
        most = getattr(self.limits, limit)
        if not _exceeds(part.owner, most):
            return part, None
        kept = _place(part.owner) < most
        dropped = np.bincount(part.owner[~kept], minlength=owners).astype(np.int32)
        self.exceeded[limit] += int((~kept).sum())
        number = np.cumsum(kept, dtype=np.int32) - 1
        at = pa.array(np.flatnonzero(kept))
        values: dict[str, Any] = {"owner": part.owner[kept]}
        for name in ("time_unix_ns", "dropped_attributes_count", "trace_id", "span_id"):
            if hasattr(part, name):
                values[name] = getattr(part, name)[kept]
        for name in ("name", "trace_state"):
            if hasattr(part, name):
                values[name] = getattr(part, name).take(at)
        table = part.attributes
        stays = kept[table.owner] if len(table) else np.zeros(0, np.bool_)
        values["attributes"] = _rows(table, stays, number[table.owner[stays]])
        return replace(part, **values), dropped

    def attributes(self, part: Any, *, counted: bool = False) -> Any:
        """Return a part with its attributes within limits; `counted`: it says how many were dropped."""
        table, dropped = self.table(part.attributes)
        if table is part.attributes:
            return part
        values: dict[str, Any] = {"attributes": table}
        if counted and dropped is not None:
            before = part.dropped_attributes_count
            values["dropped_attributes_count"] = _added(before, np.bincount(dropped, minlength=len(before)))
        return replace(part, **values)

    def table(self, table: AttributeTable, *, is_content: bool = False) -> tuple[AttributeTable, Rows | None]:
        """Return a table within limits, and the owners of the attributes that went."""
        dropped = None
        if _exceeds(table.owner, self.limits.max_attributes):
            stays = _place(table.owner) < self.limits.max_attributes
            dropped = table.owner[~stays]
            self.exceeded["max_attributes"] += len(dropped)
            table = _rows(table, stays, table.owner[stays])
        if len(table) and int(table.length.max()) > self.limits.max_value_bytes:
            table = self._values(table, is_content=is_content)
        if any(4 * len(key) > self.limits.max_key_bytes for key in table.keys):
            table = self._keys(table)
        return table, dropped

    def _values(self, table: AttributeTable, *, is_content: bool) -> AttributeTable:
        content = np.array([is_content or _holds_content(k) for k in table.keys], np.bool_)
        most = np.where(content[table.key], self.limits.max_content_bytes, self.limits.max_value_bytes)
        rows = np.flatnonzero((table.length > most) & np.isin(table.type, WITH_BYTES))
        if not len(rows):
            return table
        kind, start, length = table.type.copy(), table.start.copy(), table.length.copy()
        new: list[bytes] = []
        end = len(table.buffer)
        for row in rows.tolist():
            text = table.raw(row) if kind[row] == ValueType.STRING else to_text(table.value(row)).encode()
            cut = _cut(text, int(most[row]))
            kind[row], start[row], length[row] = ValueType.STRING, end, len(cut)
            new.append(cut)
            end += len(cut)
        self.exceeded["max_value_bytes"] += int((~content[table.key[rows]]).sum())
        self.exceeded["max_content_bytes"] += int(content[table.key[rows]].sum())
        return replace(table, type=kind, start=start, length=length, buffer=b"".join([table.buffer, *new]))

    def _keys(self, table: AttributeTable) -> AttributeTable:
        keys = tuple(_cut_key(k, self.limits.max_key_bytes) for k in table.keys)
        cut = np.array([a is not b for a, b in zip(keys, table.keys, strict=True)], np.bool_)
        if not cut.any():
            return table
        self.exceeded["max_key_bytes"] += int(cut[table.key].sum())
        return replace(table, keys=keys)

    def strings(self, part: Any, *columns: str) -> Any:
        """Return a part with columns of strings within the limit."""
        values: dict[str, Any] = {}
        for name in columns:
            array = getattr(part, name)
            longest = pc.max(pc.binary_length(array)).as_py() or 0
            if longest > self.limits.max_value_bytes:
                texts = [_cut(t.encode(), self.limits.max_value_bytes).decode() for t in array.to_pylist()]
                self.exceeded["max_value_bytes"] += 1
                values[name] = pa.array(texts, pa.string())
        return replace(part, **values) if values else part

    def logs(self, logs: Any) -> Any:
        """Return log records within limits."""
        logs = self.strings(self.attributes(logs), "severity_text", "event_name")
        body, _ = self.table(logs.body, is_content=True)
        return logs if body is logs.body else replace(logs, body=body)


def _exceeds(owner: Rows, most: int) -> bool:
    """Tell whether one owner has more rows than that; `owner` ascends."""
    return bool((owner[most:] == owner[: len(owner) - most]).any()) if len(owner) > most else False


def _place(owner: Rows) -> NDArray[np.int64]:
    """Return of each row which of its owner's it is, from 0."""
    return np.arange(len(owner)) - np.searchsorted(owner, owner)


def _rows(table: AttributeTable, stays: NDArray[np.bool_], owner: Rows) -> AttributeTable:
    columns = {name: getattr(table, name)[stays] for name in ("key", "type", "number", "start", "length")}
    return replace(table, owner=owner.astype(np.int32), **columns)


def _added(before: NDArray[np.uint32], more: NDArray[Any]) -> NDArray[np.uint32]:
    return np.minimum(before.astype(np.uint64) + more.astype(np.uint64), np.uint64(2**32 - 1)).astype(np.uint32)


def _cut(text: bytes, most: int) -> bytes:
    """Return a text of at most so many bytes, cut where a character begins, with its length and hash at its end."""
    if len(text) <= most:
        return text
    note = f"… [cut: {len(text)} bytes, sha256 {hashlib.sha256(text).hexdigest()}]".encode()
    if len(note) > most:
        note = b""
    kept = text[: most - len(note)].decode("utf-8", "ignore").encode()
    return kept + note


def _cut_key(key: str, most: int) -> str:
    whole = key.encode("utf-8", "replace")
    if len(whole) <= most:
        return key
    digest = hashlib.sha256(whole).hexdigest()[:KEY_HASH_DIGITS]
    return f"{whole[: most - KEY_HASH_DIGITS - 4].decode('utf-8', 'ignore')}…#{digest}"


@cache
def _content_keys() -> tuple[frozenset[str], tuple[str, ...]]:
    named = {k for keys in dialects().content.values() for k in keys}
    return frozenset(k for k in named if not k.endswith(".")), tuple(k for k in named if k.endswith("."))


def _holds_content(key: str) -> bool:
    whole, prefixes = _content_keys()
    return key in whole or key.startswith(prefixes) or key.endswith(CONTENT_ENDINGS)
