"""What `scalars.fill` does slot by slot, for all slots in one pass of the kernels over each attribute table."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import numpy as np
import pyarrow as pa

from collector.processors.normalise import scalar_kernels as kernels
from collector.processors.normalise.columns import coalesce, patch
from collector.processors.normalise.scalars import NO_KEY, Column, fill_from, text_of

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from numpy.typing import NDArray

    from collector.processors.normalise.scalars import Plan, Source
    from schema.batch import AttributeTable

    Rows = NDArray[np.int32]

TEXT_TYPE: Final = pa.string()
FIGURE_TYPE: Final = pa.int64()
FLAG_TYPE: Final = pa.bool_()
TWO_WORDS: Final = 16
NONE: Final = np.empty(0, np.int64)


def pick_slots(n: int, sources: Sequence[Source], plan: Plan) -> dict[str, Column]:
    """Return by name the columns of n spans that a plan asks for; an earlier source wins over a later one."""
    unknown = np.full(n, NO_KEY, np.uint8)
    none = {t: Column(pa.nulls(n, t), unknown) for t in (TEXT_TYPE, FIGURE_TYPE, FLAG_TYPE)}
    found = {slot.name: none[slot.type] for slot in plan.slots}
    for source in sources:
        for name, picked in _pick(n, source, plan).items():
            before = found[name]
            if before.precedence is unknown:
                found[name] = picked
                continue
            precedence = np.where(before.precedence == NO_KEY, picked.precedence, before.precedence)
            found[name] = Column(coalesce(before.values, picked.values), precedence)
    return found


def _pick(n: int, source: Source, plan: Plan) -> dict[str, Column]:
    table = source.table
    places = [plan.places.get(key, ()) for key in table.keys]
    asked = sorted({number for of_key in places for number, _ in of_key})
    if not asked or n == 0:
        return {}
    numbers = {number: i for i, number in enumerate(asked)}
    slots = [plan.slots[number] for number in asked]
    first = np.zeros(len(places) + 1, np.int32)
    np.cumsum([len(of_key) for of_key in places], out=first[1:])
    rows = np.full((len(slots), n), -1, np.int32)
    ranks = np.full((len(slots), n), NO_KEY, np.uint8)
    odd = np.zeros(len(slots), np.uint8)
    buf, double = _read_only(table.buffer), table.number.view(np.float64)
    kernels.pick(
        buf,
        table.owner,
        table.key,
        table.type,
        table.number,
        double,
        table.start,
        table.length,
        NONE if source.span_of_owner is None else source.span_of_owner,
        first,
        np.array([numbers[number] for of_key in places for number, _ in of_key], np.int32),
        np.array([rank for of_key in places for _, rank in of_key], np.uint8),
        np.array([_sort(slot.type) for slot in slots], np.uint8),
        rows,
        ranks,
        odd,
    )
    read = _Reader(table, buf, double)
    texts = [i for i, slot in enumerate(slots) if slot.type == TEXT_TYPE]
    values = dict(zip(texts, read.texts(rows[texts]), strict=True))
    found = {}
    for i, slot in enumerate(slots):
        if odd[i]:
            column = fill_from(n, source, slot.keys, slot.type)
        else:
            column = Column(values[i] if i in values else read.column(rows[i], slot.type), ranks[i])
        if column is not None:
            found[slot.name] = column
    return found


def _sort(type_: pa.DataType) -> int:
    if type_ == TEXT_TYPE:
        return kernels.TEXT
    return kernels.FIGURE if type_ == FIGURE_TYPE else kernels.FLAG


class _Reader:
    """Makes columns of the values of picked attributes."""

    def __init__(self, table: AttributeTable, buf: NDArray[np.uint8], double: NDArray[np.float64]) -> None:
        self._table = table
        self._buf = buf
        self._double = double

    def column(self, rows: Rows, type_: pa.DataType) -> pa.Array:
        """Return the figures or flags of the attributes at rows (-1: null)."""
        return self._figures(rows) if type_ == FIGURE_TYPE else self._flags(rows)

    def _figures(self, rows: Rows) -> pa.Array:
        t, n = self._table, len(rows)
        values, bits = np.empty(n, np.int64), _bits(n)
        nulls = kernels.read_figures(self._buf, rows, t.type, t.number, self._double, t.start, t.length, values, bits)
        return pa.Array.from_buffers(FIGURE_TYPE, n, [pa.py_buffer(bits), pa.py_buffer(values)], nulls)

    def _flags(self, rows: Rows) -> pa.Array:
        n = len(rows)
        values, bits = _bits(n), _bits(n)
        nulls = kernels.read_flags(rows, self._table.number, values, bits)
        return pa.Array.from_buffers(FLAG_TYPE, n, [pa.py_buffer(bits), pa.py_buffer(values)], nulls)

    def texts(self, rows: Rows) -> Iterator[pa.Array]:
        """Yield a column for each row of int32[columns, spans]: the texts of the attributes there (-1: null)."""
        t, (columns, n) = self._table, rows.shape
        offsets, bits = np.empty((columns, n + 1), np.int32), np.zeros((columns, (n + 7) // 8), np.uint8)
        nulls, specials, beyond = np.zeros((3, columns), np.int64)
        size = int(kernels.measure_texts(rows, t.type, t.length, offsets, bits, nulls))
        sizes = offsets[:, n].astype(np.int64)
        base = np.cumsum(sizes) - sizes
        data, special = np.empty(max(size, TWO_WORDS), np.uint8), np.zeros((columns, n), np.uint8)
        kernels.copy_texts(
            self._buf,
            words_of(self._buf),
            rows,
            t.type,
            t.start,
            offsets,
            base,
            data,
            words_of(data),
            special,
            specials,
            beyond,
        )
        for c in range(columns):
            texts = data[base[c] : base[c] + sizes[c]]
            buffers = [pa.py_buffer(bits[c]), pa.py_buffer(offsets[c]), pa.py_buffer(texts)]
            column = pa.Array.from_buffers(TEXT_TYPE, n, buffers, int(nulls[c]))
            by_python = np.flatnonzero(special[c]) if specials[c] else NONE
            if beyond[c]:
                try:
                    column.validate(full=True)
                except pa.ArrowInvalid:
                    column, by_python = pa.nulls(n, TEXT_TYPE), np.flatnonzero(rows[c] >= 0)
            yield patch(column, {i: text_of(t.value(int(rows[c, i]))) for i in by_python.tolist()})


def words_of(data: NDArray[np.uint8]) -> NDArray[np.int64]:
    """Return the words at every byte of an array of two or more. One word alone would be of another type to numba."""
    return np.ndarray((len(data) - 7,), "<i8", data, strides=(1,))


def _read_only(buffer: Any) -> NDArray[np.uint8]:
    """Return the bytes of a buffer, and two words more if it is shorter. Kernels are compiled for this type."""
    data = np.frombuffer(buffer if len(buffer) >= TWO_WORDS else bytes(buffer) + bytes(TWO_WORDS), np.uint8)
    data.flags.writeable = False
    return data


def _bits(n: int) -> NDArray[np.uint8]:
    return np.zeros((n + 7) // 8, np.uint8)
