"""The vectorised pass: one look at every attribute table fills every column that one key can fill.

For each column the table `schema/genai.toml` names keys in order of precedence. Keys are numbered once per batch, so
this is array work: no Python object per span, none per attribute, except for values of an unexpected type.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa

from collector.processors.normalise.columns import coalesce, gather_strings, patch
from collector.processors.normalise.literal import read_value
from schema.anyvalue import ValueType, to_text

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from numpy.typing import NDArray

    from schema.batch import AttributeTable

INT64_MAX = 2**63 - 1
NO_KEY = 255
BOOLEANS = {"true": True, "false": False, "1": True, "0": False}


@dataclass(frozen=True, slots=True)
class Source:
    """An attribute table and the span each of its owners speaks for (-1: none)."""

    table: AttributeTable
    span_of_owner: NDArray[np.int64] | None = None

    def owners(self) -> NDArray[np.int64]:
        """Return the row of the span for every attribute."""
        owner = self.table.owner.astype(np.int64)
        return owner if self.span_of_owner is None else self.span_of_owner[owner]


@dataclass(frozen=True, slots=True)
class Column:
    """A column filled by keys, with the precedence of the key that filled it (255: none)."""

    values: pa.Array
    precedence: NDArray[np.uint8]


@dataclass(frozen=True, slots=True)
class Slot:
    """A column that keys may fill."""

    name: str
    keys: tuple[str, ...]
    """In order of precedence."""
    type: pa.DataType
    """Text, int64 or bool."""


@dataclass(frozen=True, slots=True)
class Plan:
    """What is looked for in an attribute table, all at once."""

    slots: tuple[Slot, ...]
    places: Mapping[str, tuple[tuple[int, int], ...]]
    """Key -> (number of a slot, place of the key in it)."""

    @classmethod
    def of(cls, slots: Iterable[Slot]) -> Plan:
        """Make a plan for these slots; their names differ."""
        all_slots = tuple(slots)
        places: dict[str, dict[int, int]] = {}
        for number, slot in enumerate(all_slots):
            for place, key in enumerate(slot.keys):
                places.setdefault(key, {})[number] = place
        return cls(all_slots, {key: tuple(of.items()) for key, of in places.items()})


def fill_slots(n: int, sources: Sequence[Source], plan: Plan, *, compiled: bool) -> dict[str, Column]:
    """Return by name what `fill` returns for each slot; with kernels if they are compiled."""
    if not compiled:
        return {slot.name: fill(n, sources, slot.keys, slot.type) for slot in plan.slots}
    from collector.processors.normalise.picking import pick_slots  # noqa: PLC0415 - numba takes 0.3 s to import

    return pick_slots(n, sources, plan)


def fill(n: int, sources: Sequence[Source], keys: Sequence[str], type_: pa.DataType) -> Column:
    """Return the column of n spans that these keys fill; an earlier source wins over a later one."""
    values = pa.nulls(n, type_)
    precedence = np.full(n, NO_KEY, np.uint8)
    for source in sources:
        picked = fill_from(n, source, keys, type_)
        if picked is None:
            continue
        precedence = np.where(precedence == NO_KEY, picked.precedence, precedence)
        values = coalesce(values, picked.values)
    return Column(values, precedence)


def fill_from(n: int, source: Source, keys: Sequence[str], type_: pa.DataType) -> Column | None:
    """Return the column that one source fills, None where it has none of the keys."""
    table = source.table
    rank_of_key = rank(table.keys, keys)
    if (rank_of_key == NO_KEY).all():
        return None
    ranks = rank_of_key[table.key]
    rows = np.flatnonzero(ranks != NO_KEY)
    owners = source.owners()[rows]
    usable = (owners >= 0) & USABLE[type_](table, rows)
    rows, owners = rows[usable], owners[usable]
    order = np.lexsort((rows, ranks[rows], owners))
    rows, owners = rows[order], owners[order]
    first = np.ones(len(rows), np.bool_)
    first[1:] = owners[1:] != owners[:-1]
    rows, owners = rows[first], owners[first]
    precedence = np.full(n, NO_KEY, np.uint8)
    precedence[owners] = ranks[rows]
    return Column(READ[type_](n, table, rows, owners), precedence)


def rank(table_keys: Sequence[str], wanted: Sequence[str]) -> NDArray[np.uint8]:
    """Return for each key of a table its place in `wanted`, or 255."""
    place = {key: i for i, key in enumerate(wanted)}
    return np.fromiter((place.get(k, NO_KEY) for k in table_keys), np.uint8, len(table_keys))


def owners_of(n: int, source: Source, wanted: Callable[[str], bool]) -> NDArray[np.bool_]:
    """Return which spans carry a key that is wanted."""
    table = source.table
    of_key = np.fromiter((wanted(k) for k in table.keys), np.bool_, len(table.keys))
    found = np.zeros(n, np.bool_)
    if of_key.any():
        owners = source.owners()[of_key[table.key]]
        found[owners[owners >= 0]] = True
    return found


def owners_with(n: int, source: Source, keys: Iterable[str], places: Mapping[str, int]) -> NDArray[np.bool_]:
    """Return which spans carry one of these keys; `places` are those of the keys of the source's table."""
    found = np.zeros(n, np.bool_)
    for key in keys:
        if (place := places.get(key)) is not None:
            owners = source.owners()[source.table.key == place]
            found[owners[owners >= 0]] = True
    return found


# ---- text


def _usable_text(table: AttributeTable, rows: NDArray[np.int64]) -> NDArray[np.bool_]:
    kind = table.type[rows]
    plain = (kind == ValueType.INT) | (kind == ValueType.BOOL)
    return np.asarray(plain | ((kind == ValueType.STRING) & (table.length[rows] > 0)))


def _read_text(n: int, table: AttributeTable, rows: NDArray[np.int64], owners: NDArray[np.int64]) -> pa.Array:
    kind = table.type[rows]
    text = kind == ValueType.STRING
    at = rows[text]
    quoted = np.zeros(len(rows), np.bool_)
    quoted[text] = np.frombuffer(table.buffer, np.uint8)[table.start[at]] == ord('"') if len(at) else False
    try:
        column = gather_strings(n, owners[text], table.buffer, table.start[at], table.length[at])
    except pa.ArrowInvalid:
        column, quoted = pa.nulls(n, pa.string()), quoted | text
    special = np.flatnonzero(quoted | ~text)
    return patch(column, {int(owners[i]): text_of(table.value(int(rows[i]))) for i in special})


def text_of(value: Any) -> str | None:
    """Return a value as text, out of its quotes and trimmed; None where nothing is left."""
    value = read_value(value) if isinstance(value, str) and value[:1] == '"' else value
    return (to_text(value).strip() or None) if isinstance(value, (str, int, bool)) else None


# ---- figures


def _usable_figure(table: AttributeTable, rows: NDArray[np.int64]) -> NDArray[np.bool_]:
    kind, number = table.type[rows], table.number[rows]
    usable = (kind == ValueType.INT) & (number >= 0)
    double = number.view(np.float64)
    with np.errstate(invalid="ignore"):
        usable |= (kind == ValueType.DOUBLE) & (double >= 0) & (double < float(2**63)) & (np.floor(double) == double)
    for i in np.flatnonzero(kind == ValueType.STRING):
        usable[i] = figure(table.value(int(rows[i]))) is not None
    return np.asarray(usable)


def _read_figure(n: int, table: AttributeTable, rows: NDArray[np.int64], owners: NDArray[np.int64]) -> pa.Array:
    kind, number = table.type[rows], table.number[rows]
    values = np.zeros(n, np.int64)
    known = np.zeros(n, np.bool_)
    known[owners] = True
    values[owners] = number
    double = kind == ValueType.DOUBLE
    values[owners[double]] = number[double].view(np.float64).astype(np.int64)
    for i in np.flatnonzero(kind == ValueType.STRING):
        values[owners[i]] = figure(table.value(int(rows[i]))) or 0
    return pa.array(values, pa.int64(), mask=~known)


def figure(value: Any) -> int | None:
    """Return a count of any spelling as int; None for what is no count: NaN, negative, a fraction, text, bool."""
    if isinstance(value, str):
        whole, _, fraction = value.strip().strip('"').partition(".")
        digits = whole if not fraction.strip("0") else ""  # "97.0": a double, stored as text
        return int(digits) if digits.isascii() and digits.isdigit() and int(digits[:20]) <= INT64_MAX else None
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return None
    if isinstance(value, float) and not value.is_integer():
        return None
    return int(value) if 0 <= value <= INT64_MAX else None


# ---- booleans


def _usable_boolean(table: AttributeTable, rows: NDArray[np.int64]) -> NDArray[np.bool_]:
    kind = table.type[rows]
    usable = kind == ValueType.BOOL
    for i in np.flatnonzero(kind == ValueType.STRING):
        usable[i] = _boolean(table.value(int(rows[i]))) is not None
    return np.asarray(usable)


def _read_boolean(n: int, table: AttributeTable, rows: NDArray[np.int64], owners: NDArray[np.int64]) -> pa.Array:
    kind = table.type[rows]
    values, known = np.zeros(n, np.bool_), np.zeros(n, np.bool_)
    known[owners] = True
    values[owners] = table.number[rows] != 0
    for i in np.flatnonzero(kind == ValueType.STRING):
        values[owners[i]] = bool(_boolean(table.value(int(rows[i]))))
    return pa.array(values, pa.bool_(), mask=~known)


def _boolean(text: str) -> bool | None:
    return BOOLEANS.get(text.strip().strip('"').lower())


USABLE: Mapping[pa.DataType, Any] = {
    pa.string(): _usable_text,
    pa.int64(): _usable_figure,
    pa.bool_(): _usable_boolean,
}
READ: Mapping[pa.DataType, Any] = {pa.string(): _read_text, pa.int64(): _read_figure, pa.bool_(): _read_boolean}
