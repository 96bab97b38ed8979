"""Redact a batch: every text that is stored of it, in the tables of attributes and in the columns of strings."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field, replace
from itertools import islice
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import pyarrow as pa

from collector.processors.redact.mask import masked
from collector.processors.redact.names import INNER, INNER_SECRET
from collector.processors.redact.search import (
    MAX_IN_BUFFER,
    MAX_IN_VALUE,
    NESTED_KINDS,
    OVERFULL_NAME,
    PAIR,
    STRING,
    Judge,
    Scan,
    Span,
    Texts,
    secret_parts,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from collector.processors.redact.names import SecretNames
    from collector.processors.redact.patterns import UserPattern
    from collector.processors.redact.search import NestedKey, Search
    from schema.batch import AttributeTable, SpanBatch

NAMED: Final = "secret_name"
"""What masks say of a value that is masked for its key."""
NUMBERS: Final = (2, 3, 4)
"""ValueTypes without bytes."""
TABLES: Final = ("", "events", "links", "resources", "scopes", "logs")
"""Parts of a batch that have a table `attributes`; "" is the batch itself."""
STRINGS: Final[Mapping[str, tuple[str, ...]]] = {
    "": ("name", "status_message", "trace_state"),
    "events": ("name",),
    "links": ("trace_state",),
    "resources": ("schema_url",),
    "scopes": ("name", "version", "schema_url"),
    "logs": ("severity_text", "event_name"),
}
"""Columns of strings of each part."""


@dataclass(frozen=True, slots=True)
class Rules:
    """What is looked for, and how."""

    search: Search
    names: SecretNames
    patterns: Sequence[UserPattern]
    allowed: Callable[[bytes], bool]


@dataclass(slots=True)
class Redaction:
    """One batch under way."""

    rules: Rules
    compiled: bool
    counts: Counter[str] = field(default_factory=Counter)
    scans: dict[int, Scan] = field(default_factory=dict)
    """By the id of the buffer, of which tables share one."""

    def batch(self, batch: SpanBatch) -> SpanBatch:
        """Return the batch without secrets; the same one where there are none."""
        parts: dict[str, Any] = {name: getattr(batch, name) if name else batch for name in TABLES}
        tables = {(name, "attributes"): parts[name].attributes for name in TABLES} | {("logs", "body"): batch.logs.body}
        new = self._tables(tables)
        changes: dict[str, dict[str, Any]] = {name: {} for name in TABLES}
        for (part, column), table in new.items():
            changes[part][column] = table
        for part, columns in STRINGS.items():
            for column in columns:
                before = getattr(parts[part], column)
                after = self._strings(before)
                if after is not before:
                    changes[part][column] = after
        whole = {p: replace(parts[p], **c) for p, c in changes.items() if p and c}
        return replace(batch, **changes[""], **whole) if whole or changes[""] else batch

    def _tables(self, tables: Mapping[tuple[str, str], AttributeTable]) -> dict[tuple[str, str], AttributeTable]:
        """Return the tables in which something was found; those of one buffer share one again."""
        spans: dict[int, list[Span]] = {}
        buffers: dict[int, bytes] = {}
        changed: dict[tuple[str, str], AttributeTable] = {}
        for where, table in tables.items():
            if len(table) == 0:
                continue
            buffers[id(table.buffer)] = table.buffer
            if self.compiled and id(table.buffer) not in self.scans:
                self.scans[id(table.buffer)] = Scan.of(table.buffer)
            found, overfull = self._values(table)
            cleared = self._named(table, found, overfull)
            spans.setdefault(id(table.buffer), []).extend(found)
            cleared = self._keys(_as_text(cleared, overfull))
            if cleared is not table:
                changed[where] = cleared
        for number, buffer in buffers.items():
            new, counts = masked(buffer, spans[number])
            self.counts += counts
            if new is buffer:
                continue
            for where, table in tables.items():
                if table.buffer is buffer:
                    changed[where] = replace(changed.get(where, table), buffer=new)
        return changed

    def _values(self, table: AttributeTable) -> tuple[list[Span], list[int]]:
        """Return what is found in the values, and in the kvlists among them by the names of their keys.

        Also the rows of values that have too much in them: these are masked whole, and have to become texts.
        """
        texts = Texts(table.buffer, table.type, table.start, table.length)
        found, keys, overfull = self._found(texts)
        rest: list[NestedKey] = []
        for key in keys:
            if table.buffer[key.start : key.end].decode("utf-8", "replace") in self.rules.names:
                parts = secret_parts(table.buffer, PAIR, key.end, key.pair_end, NAMED)
                if not _took(found, parts):
                    rest.append(key)
        if rest:
            order = np.argsort(table.start, kind="stable")
            at = np.searchsorted(table.start[order], [k.start for k in rest], side="right") - 1
            more = np.unique(order[at]).tolist()
            found += _whole(texts, more)
            overfull += more
        return found, overfull

    def _found(self, texts: Texts) -> tuple[list[Span], list[NestedKey], list[int]]:
        judge = Judge(texts.buffer, self.rules.allowed)
        if self.compiled:
            scan = self.scans.get(id(texts.buffer)) or Scan.of(texts.buffer)
            keys = self.rules.search.by_kernel(texts, judge, scan)
        else:
            keys = self.rules.search.plainly(texts, judge)
        for pattern in self.rules.patterns:
            judge.spans += (s for s in pattern.spans(texts) if not self.rules.allowed(texts.buffer[s.start : s.end]))
        judge.spans += _whole(texts, judge.overfull)
        return judge.spans, keys, judge.overfull

    def _named(self, table: AttributeTable, found: list[Span], overfull: list[int]) -> AttributeTable:
        """Add the values under keys that name secrets; return the table without such numbers."""
        names = [i for i, key in enumerate(table.keys) if key in self.rules.names]
        inner = [i for i, key in enumerate(table.keys) if key in INNER]
        for row in np.flatnonzero(np.isin(table.key, inner)).tolist() if inner else ():
            start = int(table.start[row])
            inside = (Span(start + m.start(1), start + m.end(1), NAMED) for m in INNER_SECRET.finditer(table.raw(row)))
            if not _took(found, inside):
                found += _whole(table, [row])
                overfull.append(row)
        if not names:
            return table
        of_secret = np.isin(table.key, names)
        for row in np.flatnonzero(of_secret).tolist():
            start = int(table.start[row])
            parts = secret_parts(table.buffer, int(table.type[row]), start, start + int(table.length[row]), NAMED)
            if not _took(found, parts):
                found += _whole(table, [row])
                overfull.append(row)
        numbers = of_secret & np.isin(table.type, NUMBERS)
        if not numbers.any():
            return table
        self.counts[NAMED] += int(numbers.sum())
        return replace(
            table, type=np.where(numbers, np.uint8(0), table.type), number=np.where(numbers, 0, table.number)
        )

    def _keys(self, table: AttributeTable) -> AttributeTable:
        """Return the table without secrets in its keys."""
        encoded = [key.encode("utf-8", "replace") for key in table.keys]
        ends = np.cumsum(np.array([len(k) for k in encoded], np.int64))
        length = np.diff(ends, prepend=0)
        buffer = b"".join(encoded)
        found, _, _ = self._found(Texts(buffer, np.full(len(encoded), STRING, np.uint8), ends - length, length))
        if not found:
            return table
        new, counts = masked(buffer, found)
        self.counts += counts
        extents = zip((ends - length).tolist(), ends.tolist(), strict=True)
        return replace(table, keys=tuple(new[s:e].decode("utf-8", "replace") for s, e in extents))

    def _strings(self, array: pa.Array) -> pa.Array:
        """Return a column of strings without secrets, the same one where there are none."""
        n = len(array)
        if n == 0 or array.buffers()[2] is None:
            return array
        _, offsets, data = array.buffers()
        ends = np.frombuffer(offsets, np.int32)[array.offset : array.offset + n + 1].astype(np.int64)
        buffer = data.to_pybytes()
        texts = Texts(buffer, np.full(n, STRING, np.uint8), ends[:-1], np.diff(ends))
        found, _, _ = self._found(texts)
        if not found:
            return array
        new, counts = masked(buffer, found)
        self.counts += counts
        return pa.Array.from_buffers(
            array.type, n, [array.buffers()[0], offsets, pa.py_buffer(new)], offset=array.offset
        )


def _took(found: list[Span], more: Iterator[Span]) -> bool:
    """Add what was found in one value, unless that is too much for it or for all: then nothing is added."""
    room = max(1, min(MAX_IN_VALUE, 2 * MAX_IN_BUFFER - len(found)))
    before = len(found)
    found += islice(more, room)
    if next(more, None) is None:
        return True
    del found[before:]
    return False


def _whole(texts: Texts | AttributeTable, rows: Sequence[int]) -> Iterator[Span]:
    for row in rows:
        start = int(texts.start[row])
        yield Span(start, start + int(texts.length[row]), OVERFULL_NAME)


def _as_text(table: AttributeTable, rows: Sequence[int]) -> AttributeTable:
    """Return the table with lists and maps in these rows called texts: masks are no messages."""
    if not rows:
        return table
    chosen = np.zeros(len(table), np.bool_)
    chosen[list(rows)] = True
    nested = chosen & np.isin(table.type, NESTED_KINDS)
    return replace(table, type=np.where(nested, np.uint8(STRING), table.type)) if nested.any() else table
