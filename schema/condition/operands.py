"""What a condition may ask of a span: columns and attributes, read from a batch, and as SQL over `settled_spans`.

Each operand says the same in both: `read` of a batch on its way, `sql` of the rows that became of it. What is unknown
is null in both; the database keeps '' for an unknown service, name or scope, so '' is unknown there too.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Final, Literal, Protocol

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from schema.anyvalue import to_text
from schema.batch import BOOL, DOUBLE, INT, STRING
from schema.span import CANONICAL

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from numpy.typing import NDArray

    from schema.batch import AttributeTable, SpanBatch

    Bind = Callable[[object, str], str]
    """Binds a value of a ClickHouse type to a parameter, and returns what stands for it in the SQL."""

VIEW_INLINE: Final = 12
"""Longest text that an Arrow view holds in itself."""
LATER: Final = frozenset({"failing", "failure_reasons", "baseline", "baseline_rate", "arrival_rate", "policy_version"})
"""Columns that are made from the answers to conditions: none can ask for them."""


class Kind(StrEnum):
    """How an operand compares."""

    TEXT = "text"
    WHOLE = "whole number"
    NUMBER = "number"
    FLAG = "true or false"
    TEXTS = "list of texts"


class Operand(Protocol):
    """One side of a comparison."""

    @property
    def kind(self) -> Kind:
        """How it compares."""

    @property
    def name(self) -> str:
        """What its author calls it."""

    def read(self, batch: SpanBatch) -> pa.Array:
        """Return one value per span, null where it is unknown."""

    def sql(self, bind: Bind) -> str:
        """Return the same as an expression over `settled_spans`."""


@dataclass(frozen=True, slots=True)
class Column:
    """A column by name."""

    name: str

    @property
    def kind(self) -> Kind:
        """How it compares."""
        return COLUMNS[self.name]

    def read(self, batch: SpanBatch) -> pa.Array:
        """Return the column; of one that no processor made, nulls."""
        if self.name in WIRE:
            return WIRE[self.name](batch)
        column = batch.columns.get(self.name)
        return pa.nulls(len(batch), CANONICAL.field(self.name).type) if column is None else column

    def sql(self, bind: Bind) -> str:  # noqa: ARG002 - nothing to bind
        """Return the column, '' as null where the table cannot hold null."""
        if self.name == "duration_ms":
            return "(duration_ns / 1e6)"
        return f"nullIf({self.name}, '')" if self.name in EMPTY_IS_UNKNOWN else self.name


@dataclass(frozen=True, slots=True)
class Attribute:
    """An attribute as text, the way the maps of the table hold it."""

    of: Literal["span", "resource"]
    key: str

    @property
    def name(self) -> str:
        """What its author calls it."""
        return f"{self.of}_attributes['{self.key}']"

    @property
    def kind(self) -> Kind:
        """Text; a comparison with a number reads it as one."""
        return Kind.TEXT

    def read(self, batch: SpanBatch) -> pa.Array:
        """Return the text of every span's attribute."""
        if self.of == "span":
            return _texts(batch.attributes, self.key, len(batch))
        resources = batch.resources
        return _texts(resources.attributes, self.key, len(resources.schema_url)).take(pa.array(batch.resource))

    def sql(self, bind: Bind) -> str:
        """Return the entry of the map, NULL where it has none."""
        key = bind(self.key, "String")
        return f"if(mapContains({self.of}_attributes, {key}), {self.of}_attributes[{key}], NULL)"


@dataclass(frozen=True, slots=True)
class Length:
    """The length of a text in characters, or of a list."""

    of: Operand

    @property
    def name(self) -> str:
        """What its author calls it."""
        return f"length({self.of.name})"

    @property
    def kind(self) -> Kind:
        """A whole number."""
        return Kind.WHOLE

    def read(self, batch: SpanBatch) -> pa.Array:
        """Return the lengths; a list is never unknown, only empty."""
        column = self.of.read(batch)
        if self.of.kind is Kind.TEXTS:
            return pc.fill_null(pc.list_value_length(column), 0).cast(pa.int64())
        return pc.utf8_length(plain(column)).cast(pa.int64())

    def sql(self, bind: Bind) -> str:
        """Return the same of the table."""
        count = "length" if self.of.kind is Kind.TEXTS else "lengthUTF8"
        return f"{count}({self.of.sql(bind)})"


def plain(column: pa.Array) -> pa.Array:
    """Return texts as plain strings; a batch may hold them as views or as numbers of words."""
    return column if pa.types.is_string(column.type) else column.cast(pa.string())


def _kind(kind: pa.DataType) -> Kind:
    if pa.types.is_list(kind):
        return Kind.TEXTS
    if pa.types.is_boolean(kind):
        return Kind.FLAG
    if pa.types.is_integer(kind):
        return Kind.WHOLE
    return Kind.NUMBER if pa.types.is_floating(kind) else Kind.TEXT


def _tenant(batch: SpanBatch) -> pa.Array:
    return pa.array(batch.origins.tenant, pa.string()).take(pa.array(batch.origin))


def _duration_ms(batch: SpanBatch) -> pa.Array:
    """Return durations; a missing start is the receipt, a missing end the start, and none is negative."""
    received = batch.origins.received_unix_ns[batch.origin]
    begin = np.where(batch.start_unix_ns == 0, received, batch.start_unix_ns)
    end = np.where(batch.end_unix_ns == 0, begin, batch.end_unix_ns)
    return pa.array((end - np.minimum(begin, end)).astype(np.float64) / 1e6)


def _service_name(batch: SpanBatch) -> pa.Array:
    service = Column("service_name")
    found = batch.columns.get(service.name)
    told = Attribute("resource", "service.name").read(batch) if found is None or found.null_count else None
    return _known(told if found is None else plain(found) if told is None else pc.coalesce(plain(found), told))


def _known(texts: pa.Array) -> pa.Array:
    """Return texts with null for ''."""
    texts = plain(texts)
    return pc.if_else(pc.equal(texts, ""), pa.scalar(None, pa.string()), texts)


WIRE: Final[Mapping[str, Callable[[SpanBatch], pa.Array]]] = {
    "tenant": _tenant,
    "duration_ms": _duration_ms,
    "service_name": _service_name,
    "name": lambda batch: _known(batch.name),
    "status_message": lambda batch: _known(batch.status_message),
    "scope_name": lambda batch: _known(batch.scopes.name.take(pa.array(batch.scope))),
}
"""Columns that are not what a processor made."""
EMPTY_IS_UNKNOWN: Final = frozenset({"service_name", "name", "status_message", "scope_name"})
COLUMNS: Final[Mapping[str, Kind]] = {
    **{f.name: _kind(f.type) for f in CANONICAL if f.name not in LATER},
    "tenant": Kind.TEXT,
    "duration_ms": Kind.NUMBER,
    "name": Kind.TEXT,
    "status_message": Kind.TEXT,
    "scope_name": Kind.TEXT,
}
"""Every column that a condition may name."""
MAPS: Final = ("span_attributes", "resource_attributes")


def _texts(table: AttributeTable, key: str, owners: int) -> pa.Array:
    """Return per owner the text of its attribute `key`, null where it has none; of equal keys the last holds."""
    if key not in table.keys:
        return pa.nulls(owners, pa.string())
    rows = np.flatnonzero(table.key == table.keys.index(key))
    row_of = np.full(owners, -1, np.int64)
    row_of[table.owner[rows]] = np.arange(len(rows))  # the last assignment stays
    texts = _strings(table, rows) if (table.type[rows] == STRING).all() else _mixed(table, rows)
    return texts.take(pa.array(row_of, mask=row_of < 0))


def _mixed(table: AttributeTable, rows: NDArray[np.int64]) -> pa.Array:
    """Return texts of values of any type: of scalars each distinct value once."""
    texts = np.empty(len(rows), object)
    kinds = table.type[rows]
    strings = kinds == STRING
    texts[strings] = _strings(table, rows[strings]).to_pylist()
    for scalar in (BOOL, INT, DOUBLE):
        among = np.flatnonzero(kinds == scalar)
        _, first, which = np.unique(table.number[rows[among]], return_index=True, return_inverse=True)
        said = np.array([to_text(table.value(int(rows[among[at]]))) for at in first.tolist()], object)
        texts[among] = said[which] if len(said) else said
    for at in np.flatnonzero(~np.isin(kinds, (STRING, BOOL, INT, DOUBLE))).tolist():
        texts[at] = to_text(table.value(int(rows[at])))
    return pa.array(texts, pa.string())


def _strings(table: AttributeTable, rows: NDArray[np.int64]) -> pa.Array:
    """Return the strings of these rows as they stand in the buffer, without an object for each.

    Views (https://arrow.apache.org/docs/format/Columnar.html): int32 length, then 12 bytes of a short text, or 4 bytes
    of a long one, the number of its buffer and its offset there.
    """
    start, length = table.start[rows], table.length[rows]
    if len(rows) == 0:
        return pa.array([], pa.string())
    buffer = np.frombuffer(table.buffer, np.uint8)
    views = np.zeros((len(rows), 16), np.uint8)
    views[:, :4] = length.astype("<i4").view(np.uint8).reshape(-1, 4)
    near = np.minimum(start[:, None] + np.arange(VIEW_INLINE), len(buffer) - 1)
    views[:, 4:] = np.where(np.arange(VIEW_INLINE) < length[:, None], buffer[near] if len(buffer) else 0, 0)
    long = length > VIEW_INLINE
    views[long, 8:12] = 0
    views[long, 12:] = start[long].astype("<i4").view(np.uint8).reshape(-1, 4)
    held = [None, pa.py_buffer(views), pa.py_buffer(table.buffer)]
    return pa.Array.from_buffers(pa.string_view(), len(rows), held).cast(pa.string())
