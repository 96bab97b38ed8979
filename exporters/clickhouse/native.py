"""Arrow columns as one block of ClickHouse's format Native, written piece by piece.

    block          varint columns │ varint rows │ each column
    column         name, type (varint length + text) │ state │ values
    String         varint length + bytes, row after row
    Nullable(T)    one byte a row, 1 where null │ T
    Array(T)       uint64 end of each row among the elements │ T of the elements
    Map(K, V)      as Array of two columns, K and V
    LowCardinality state: uint64 1 │ uint64 width of the indices (0 to 3: 1, 2, 4 bytes) + 0x600 │ uint64 words │ the
                   words, of a nullable column first an empty one for null │ uint64 rows │ the indices
    others         fixed width, little-endian

Nothing else is read by the server faster, and a block of any size is one INSERT's one block: it can be written from a
small buffer, column by column, as its number of rows stands in front. Arrow dictionaries become LowCardinality; the
server casts where its column is of another kind.

Source: https://clickhouse.com/docs/interfaces/formats/Native, ClickHouse src/Formats/NativeWriter.cpp,
src/DataTypes/Serializations/SerializationLowCardinality.cpp.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final, TypeAlias

import numpy as np
import pyarrow as pa

from exporters.clickhouse import kernels

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from numpy.typing import NDArray

    Bytes = NDArray[np.uint8]

BUFFER_BYTES: Final = 256 << 10
"""What fits into the processor's cache: it is written here and read again by the socket."""
DIRECT_BYTES: Final = 32 << 10
"""Columns and texts of this size go out from where they lie."""
SHARED_DICTIONARY: Final = np.array([1], "<u8").tobytes()
OWN_WORDS: Final = 0x600
"""Of the flags of LowCardinality: the block brings its own words, all of them new."""
EMPTY: Final = np.frombuffer(b"", np.uint8)
"""Read-only, as all that is written from: kernels are compiled for one kind of array."""

FIXED: Final = {
    pa.uint8(): "UInt8",
    pa.uint16(): "UInt16",
    pa.uint32(): "UInt32",
    pa.uint64(): "UInt64",
    pa.int32(): "Int32",
    pa.int64(): "Int64",
    pa.float64(): "Float64",
    pa.timestamp("ns", "UTC"): "DateTime64(9, 'UTC')",
}


@dataclass(frozen=True, slots=True)
class Texts:
    """Strings to be written: offsets into one buffer, or Arrow's views of at most two."""

    rows: int
    index: NDArray[Any]
    buffers: tuple[Bytes, ...]
    viewed: bool
    nulls: Bytes = field(default_factory=lambda: EMPTY)


Piece: TypeAlias = "bytes | NDArray[np.generic] | Texts"


@dataclass(frozen=True, slots=True)
class Column:
    """A column in parts that stand one behind the other."""

    type: str
    state: bytes
    pieces: tuple[Piece, ...]


def encode(table: pa.Table | pa.RecordBatch, *, buffer_bytes: int = BUFFER_BYTES) -> Iterator[memoryview]:
    """Yield the block in pieces of about `buffer_bytes`; each is valid until the next.

    Raises:
        TypeError: a column is of a type that no table of ours has.
        IndexError: a text lies outside of its buffer.

    """
    out = _Buffer(buffer_bytes)
    yield from out.put(_varint(table.num_columns) + _varint(table.num_rows))
    for name, array in zip(table.schema.names, table.columns, strict=True):
        column = column_of(_whole(array))
        yield from out.put(_text(name) + _text(column.type) + column.state)
        for piece in column.pieces:
            yield from out.write(piece) if isinstance(piece, Texts) else out.put(piece)
    yield from out.flush()


def column_of(array: pa.Array) -> Column:
    """Return a column of one array in the terms of the format."""
    kind = array.type
    if pa.types.is_dictionary(kind):
        return _low_cardinality(array)
    if pa.types.is_map(kind):
        return _map(array)
    if pa.types.is_list(kind):
        return _array(array)
    if pa.types.is_string(kind) or pa.types.is_string_view(kind) or pa.types.is_large_string(kind):
        if len(array) and array.null_count == len(array):
            return _empty(array)
        nulls = _nulls(array)
        return _nullable(nulls, Column("String", b"", (_texts(array, nulls),)))
    return _nullable(_nulls(array), _fixed(array))


def _empty(array: pa.Array) -> Column:
    """Return a column of strings that are all null."""
    n = len(array)
    return Column("Nullable(String)", b"", (np.ones(n, np.uint8), np.zeros(n, np.uint8)))


def _nullable(nulls: Bytes, column: Column) -> Column:
    if len(nulls) == 0:
        return column
    return Column(f"Nullable({column.type})", column.state, (nulls, *column.pieces))


def _fixed(array: pa.Array) -> Column:
    kind = array.type
    if pa.types.is_fixed_size_binary(kind):
        width = kind.byte_width
        values = np.frombuffer(array.buffers()[1] or b"", np.uint8)[array.offset * width :][: len(array) * width]
        return Column(f"FixedString({width})", b"", (values,))
    if pa.types.is_boolean(kind):
        return Column("Bool", b"", (array.fill_null(False).to_numpy(zero_copy_only=False).view(np.uint8),))  # noqa: FBT003
    if pa.types.is_timestamp(kind) and kind.unit == "s":
        seconds = array.cast(pa.int64()).cast(pa.uint32())  # raises where DateTime cannot hold it
        return Column("DateTime('UTC')", b"", (seconds.to_numpy(zero_copy_only=False),))
    if kind not in FIXED:
        raise TypeError(f"no column of ClickHouse is made of Arrow's {kind}")
    width = kind.bit_width // 8
    values = np.frombuffer(array.buffers()[1] or b"", np.uint8)[array.offset * width :][: len(array) * width]
    return Column(FIXED[kind], b"", (values,))


def _low_cardinality(array: pa.DictionaryArray) -> Column:
    nullable = array.null_count > 0
    words = _texts(array.dictionary, EMPTY)
    count = words.rows + nullable
    width = 0 if count <= 1 << 8 else 1 if count <= 1 << 16 else 2
    kind = ("<u1", "<u2", "<u4")[width]
    if array.null_count == len(array):
        number = np.zeros(len(array), kind)
    elif nullable:
        number = array.indices.fill_null(0).to_numpy().astype(kind) + array.is_valid().to_numpy(zero_copy_only=False)
        number *= array.is_valid().to_numpy(zero_copy_only=False)
    else:
        number = array.indices.to_numpy().astype(kind)
    head = np.array([width | OWN_WORDS, count], "<u8").tobytes() + (b"\0" if nullable else b"")
    rows = np.array([len(array)], "<u8").tobytes()
    inner = "Nullable(String)" if nullable else "String"
    pieces = (head, words, rows, number) if len(array) else ()
    return Column(f"LowCardinality({inner})", SHARED_DICTIONARY, pieces)


def _array(array: pa.ListArray) -> Column:
    """Return a list; a null becomes an empty one."""
    ends, first, last = _ends(array)
    values = column_of(array.values.slice(first, last - first))
    return Column(f"Array({values.type})", values.state, (ends, *values.pieces))


def _map(array: pa.MapArray) -> Column:
    ends, first, last = _ends(array)
    keys, items = (column_of(c.slice(first, last - first)) for c in (array.keys, array.items))
    return Column(f"Map({keys.type}, {items.type})", keys.state + items.state, (ends, *keys.pieces, *items.pieces))


def _ends(array: pa.ListArray | pa.MapArray) -> tuple[NDArray[np.uint64], int, int]:
    """Return the end of each row among the elements, and which elements these are of the child array."""
    if array.null_count:
        raise TypeError("a list or map of ClickHouse cannot be null: make it empty")
    offsets = array.offsets.to_numpy()
    first = int(offsets[0])
    return (offsets[1:] - first).astype("<u8"), first, int(offsets[-1])


def _texts(array: pa.Array, nulls: Bytes) -> Texts:
    n = len(array)
    if pa.types.is_string_view(array.type):
        _, views, *buffers = array.buffers()
        if len(buffers) <= 2:
            index = kernels.from_buffer(views, np.int64)[2 * array.offset :][: 2 * n]
            return Texts(n, index, tuple(kernels.from_buffer(b, np.uint8) for b in buffers), viewed=True, nulls=nulls)
    array = array if pa.types.is_string(array.type) else array.cast(pa.string())
    _, offsets, data = array.buffers()
    if offsets is None or offsets.size == 0:
        return Texts(0, kernels.from_buffer(bytes(4), np.int32), (EMPTY,), viewed=False)
    return Texts(
        n,
        kernels.from_buffer(offsets, np.int32)[array.offset :][: n + 1],
        (kernels.from_buffer(data, np.uint8),),
        viewed=False,
        nulls=nulls,
    )


def _nulls(array: pa.Array) -> Bytes:
    """Return a byte for each row, 1 where it is null; none at all where no row is."""
    if array.null_count == 0:
        return EMPTY
    nulls: Bytes = array.is_null().to_numpy(zero_copy_only=False).view(np.uint8)
    nulls.flags.writeable = False
    return nulls


def _whole(array: pa.Array | pa.ChunkedArray) -> pa.Array:
    if not isinstance(array, pa.ChunkedArray):
        return array
    return array.chunk(0) if array.num_chunks == 1 else array.combine_chunks()


class _Buffer:
    """Collects pieces, and hands them on when it is full."""

    def __init__(self, size: int) -> None:
        self._out = np.empty(size, np.uint8)
        self._words = kernels.words_of(self._out)
        self._view = self._out.data
        self._at = 0

    def flush(self) -> Iterator[memoryview]:
        """Yield what is there."""
        if self._at:
            at, self._at = self._at, 0
            yield self._view[:at]

    def put(self, piece: bytes | NDArray[np.generic]) -> Iterator[memoryview]:
        """Add bytes as they are; large ones are handed on without a copy."""
        raw = np.frombuffer(piece, np.uint8) if isinstance(piece, bytes) else piece.view(np.uint8)
        if len(raw) > len(self._out) - self._at:
            yield from self.flush()
        if len(raw) > min(DIRECT_BYTES, len(self._out)):
            yield from self.flush()
            yield raw.data
            return
        self._out[self._at : self._at + len(raw)] = raw
        self._at += len(raw)

    def write(self, texts: Texts) -> Iterator[memoryview]:
        """Add texts, each with its length in front."""
        words = tuple(kernels.words_of(b) for b in texts.buffers)
        row = 0
        while row < texts.rows:
            row, self._at = self._fill(texts, words, row)
            if row < 0:
                raise IndexError("a text lies outside of its buffer")
            if row == texts.rows:
                return
            if self._at == 0:  # one text is larger than the buffer
                raw = _one(texts, row)
                yield from self.put(_varint(len(raw)))
                yield from self.flush()
                yield raw
                row += 1
            yield from self.flush()

    def _fill(self, texts: Texts, words: Sequence[NDArray[np.int64]], row: int) -> tuple[int, int]:
        target = (self._out, self._words, self._at)
        if not texts.viewed:
            return kernels.write_texts(texts.buffers[0], words[0], texts.index, texts.nulls, row, *target)
        first, second = (*texts.buffers, EMPTY, EMPTY)[:2]
        of_first, of_second = (*words, kernels.words_of(EMPTY), kernels.words_of(EMPTY))[:2]
        return kernels.write_views(texts.index, first, of_first, second, of_second, texts.nulls, row, *target)


def _one(texts: Texts, row: int) -> memoryview:
    """Return the bytes of one text where they lie."""
    if texts.viewed:
        size, start = int(texts.index[2 * row]) & kernels.UINT32, int(texts.index[2 * row + 1]) >> 32
        source = texts.buffers[int(texts.index[2 * row + 1]) & kernels.UINT32]
    else:
        start = int(texts.index[row])
        size, source = int(texts.index[row + 1]) - start, texts.buffers[0]
    return source[start : start + size].data


def _varint(n: int) -> bytes:
    out = bytearray()
    while n > 0x7F:
        out.append(n & 0x7F | 0x80)
        n >>= 7
    out.append(n)
    return bytes(out)


def _text(text: str) -> bytes:
    raw = text.encode("utf-8")
    return _varint(len(raw)) + raw
