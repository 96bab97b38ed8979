"""Plain content of a batch, read by kernels into columns of their own."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import pyarrow as pa

from collector.processors.normalise import content_kernels
from collector.processors.normalise.content_kernels import (
    ARGUMENTS_JSON,
    CLASSES,
    COLUMNS,
    HAS_ARGUMENTS,
    HAS_INPUT,
    HAS_INPUT_TEXT,
    HAS_OUTPUT,
    HAS_OUTPUT_TEXT,
    HAS_RESULT,
    INPUT_INDEXED,
    INPUT_JSON,
    INPUT_MESSAGES,
    INPUT_TEXT,
    OUTPUT_INDEXED,
    OUTPUT_JSON,
    OUTPUT_MESSAGES,
    OUTPUT_TEXT,
    RESULT_JSON,
    TOOL_ARGUMENTS,
    TOOL_RESULT,
    Scratch,
)
from collector.processors.normalise.key_classes import by_kind, content_classes, indexed_keys, read_by_kernels
from collector.processors.normalise.quality import ANSWERED, CALLED, REPEATED

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

    from numpy.typing import NDArray

    from schema.batch import SpanBatch
    from schema.dialect import Dialects

    Ints = NDArray[np.int64]

MAX_OFFSET: Final = 2**31 - 1
"""What the offsets of an Arrow string array can say."""
PLAIN: Final = {
    INPUT_JSON: ("input_messages", HAS_INPUT),
    OUTPUT_JSON: ("output_messages", HAS_OUTPUT),
    INPUT_TEXT: ("input_text", HAS_INPUT_TEXT),
    OUTPUT_TEXT: ("output_text", HAS_OUTPUT_TEXT),
    ARGUMENTS_JSON: ("tool_arguments", HAS_ARGUMENTS),
    RESULT_JSON: ("tool_result", HAS_RESULT),
}
"""Column of the kernels -> its name, and the fact that a span has it from them."""
CALLS_OF: Final = (CALLED, REPEATED, ANSWERED)
"""What the kernels note, by number."""


class NotText(Exception):
    """Attributes that are no UTF-8: the kernels do not look, and converters replace what is not."""


@dataclass(frozen=True, slots=True)
class Content:
    """What the kernels read, of n spans."""

    columns: Mapping[str, pa.Array]
    facts: Ints
    finish: Ints
    """How often an answer says why it ended; start and length of what it says."""
    calls: Mapping[str, Mapping[int, list[Any]]]
    """For `quality`, by name and row."""


@dataclass(frozen=True, slots=True)
class Input:
    """A batch as kernels take it."""

    buffer: NDArray[np.uint8]
    words: Ints
    first: Ints
    """Where the attributes of each span begin, and where the last span's end."""
    kind: Ints
    """Index into KINDS."""
    alone: NDArray[np.uint8]
    """1 for spans that have more than attributes, which kernels leave to the converters."""
    class_of_key: NDArray[np.uint8]
    indexed: Ints
    """PLACE, MEMBER and FAMILY of each key."""

    @classmethod
    def of(cls, batch: SpanBatch, kind: Ints, alone: Collection[int], table: Dialects) -> Input:
        """Lay a batch out; its buffer is copied only where too little lies behind the last value."""
        attributes = batch.attributes
        buffer = attributes.buffer
        end = int((attributes.start + attributes.length).max(initial=0))
        if len(buffer) < end + content_kernels.PADDING:
            buffer += bytes(content_kernels.PADDING)
        words = np.ndarray((len(buffer) - 7,), "<i8", buffer, strides=(1,))
        first = attributes.owner.searchsorted(np.arange(len(batch) + 1, dtype=attributes.owner.dtype)).astype(np.int64)
        apart = np.zeros(len(batch), np.uint8)
        apart[list(alone)] = 1
        keys = attributes.keys
        classes, indexed = content_classes(keys, table), indexed_keys(keys, table)
        return cls(np.frombuffer(buffer, np.uint8), words, first, kind, apart, classes, indexed)


@np.errstate(over="ignore")  # hashes wrap; compiled they do so without a word, as plain Python not
def read_content(batch: SpanBatch, given: Input, max_bytes: int) -> Content:
    """Read what is plain of every span.

    Raises:
        NotText: what was read is not UTF-8.

    """
    n, table = len(batch), batch.attributes
    of_class = np.zeros(CLASSES, np.int64)
    longest = int(content_kernels.measure(table.key, table.length, given.class_of_key, of_class))
    if longest < 0:
        raise IndexError("an attribute has no key")
    sizes = [
        int(of_class[list(classes)].sum())
        for classes in (
            (INPUT_MESSAGES, INPUT_INDEXED),
            (OUTPUT_MESSAGES, OUTPUT_INDEXED),
            (TOOL_ARGUMENTS,),
            (TOOL_RESULT,),
        )
    ]
    rooms = [sizes[0] * 3, sizes[1] * 3, sizes[0], sizes[1], sizes[2] * 2, sizes[3] * 2]
    outs = [_room(room + 4096) for room in rooms]
    scratch = _scratch(8 * min(longest, max_bytes) + 4096, sum(sizes[:2]))
    facts, finish = np.zeros(n, np.int64), np.zeros((3, n), np.int64)
    ends, has = np.zeros((COLUMNS, n + 1), np.int32), np.zeros((COLUMNS, n), np.uint8)
    content_kernels.read_contents(
        given.buffer,
        given.words,
        given.first,
        given.kind,
        given.alone,
        given.class_of_key,
        given.indexed,
        by_kind(read_by_kernels),
        table.key,
        table.type,
        table.start,
        table.length,
        max_bytes,
        facts,
        finish,
        (outs[0], outs[1], outs[2], outs[3], outs[4], outs[5]),
        ends,
        has,
        scratch,
    )
    columns = {PLAIN[c][0]: _strings(outs[c], ends[c], has[c]) for c in range(COLUMNS) if has[c].any()}
    return Content(columns, facts, finish, _noted(scratch))


def _scratch(size: int, message_bytes: int) -> Scratch:
    tmp, calls = _room(size), min(message_bytes, MAX_OFFSET) // 64 + 16
    tmp_read = tmp.view()
    tmp_read.flags.writeable = False
    return Scratch(
        slots=np.empty(content_kernels.ALL_SLOTS, np.int64),
        tmp=tmp,
        tmp_read=tmp_read,
        tmp_words=np.ndarray((len(tmp) - 7,), "<i8", tmp_read.data, strides=(1,)),
        counts=np.zeros(content_kernels.COUNTERS, np.int64),
        stack=np.empty(2 * content_kernels.MAX_DEPTH + 1, np.int64),
        hashes=np.empty(content_kernels.MAX_KEYS, np.int64),
        told=np.empty(content_kernels.MAX_TOLD, np.int64),
        names=_room(message_bytes + 4096),
        calls=np.empty((5, calls), np.int64),
    )


def _room(size: int) -> NDArray[np.uint8]:
    """Return memory from Arrow's pool, which keeps what was freed: fresh pages cost a third of a microsecond a span."""
    return np.frombuffer(pa.allocate_buffer(min(size, MAX_OFFSET)), np.uint8)


def _strings(data: NDArray[np.uint8], ends: NDArray[np.int32], has: NDArray[np.uint8]) -> pa.Array:
    """Return a column of the texts in `data`, null where there is none."""
    used = data[: ends[-1]]
    present = None if has.all() else pa.array(has.view(np.bool_)).buffers()[1]
    buffers = [present, pa.py_buffer(ends), pa.py_buffer(used)]
    column = pa.Array.from_buffers(pa.string(), len(has), buffers)
    if int(used.max(initial=0)) > 127:
        try:
            column.validate(full=True)
        except pa.ArrowInvalid as e:
            raise NotText(str(e)) from e
    return column


def _noted(scratch: Scratch) -> dict[str, dict[int, list[Any]]]:
    """Return by name and row what was noted of tool calls: ids, of calls made (id, name)."""
    found: dict[str, dict[int, list[Any]]] = {}
    rows, what, begin, middle, end = scratch.calls[:, : int(scratch.counts[content_kernels.CALLS])]
    if len(rows) == 0:
        return found
    edges = np.append(np.stack([begin, middle], axis=1).ravel(), max(middle[-1], end[-1])).astype(np.int32)
    texts = pa.Array.from_buffers(
        pa.binary(), len(edges) - 1, [None, pa.py_buffer(edges), pa.py_buffer(scratch.names)]
    ).to_pylist()  # id, name, id, name, ...: each ends where the next begins
    told = [t.decode("utf-8", "replace") for t in texts]
    for i, (row, kind, named) in enumerate(zip(rows.tolist(), what.tolist(), (end >= 0).tolist(), strict=True)):
        one = (told[2 * i], told[2 * i + 1] if named else None) if kind == content_kernels.MADE else told[2 * i]
        found.setdefault(CALLS_OF[kind], {}).setdefault(row, []).append(one)
    return found
