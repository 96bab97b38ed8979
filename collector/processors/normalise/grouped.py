"""Converting by kernels: plain content span by span, and everything else once for all spans that share it.

    attributes ─▶ class of each key ─▶ kernels read what is plain: columns of their own, and facts
      ─▶ spans in groups that converters cannot tell apart ─▶ converters on one span of each ─▶ columns by group

What kernels cannot read is a part of what tells groups apart, so that such a span is a group of its own, mostly.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import pyarrow as pa

from collector.processors.normalise import content_kernels, group_kernels
from collector.processors.normalise.classify import KINDS
from collector.processors.normalise.columns import coalesce, codes, figures
from collector.processors.normalise.content import CONVERSING
from collector.processors.normalise.content_kernels import (
    ARGUMENTS_JSON,
    CLASSES,
    COLUMNS,
    FIGURES,
    HAS_ARGUMENTS,
    HAS_INPUT,
    HAS_INPUT_TEXT,
    HAS_OUTPUT,
    HAS_OUTPUT_TEXT,
    HAS_RESULT,
    INPUT_JSON,
    INPUT_MESSAGES,
    INPUT_TEXT,
    INSTRUCTIONS,
    OUTPUT_JSON,
    OUTPUT_MESSAGES,
    OUTPUT_TEXT,
    REST,
    RESULT_JSON,
    TOOL_ARGUMENTS,
    TOOL_RESULT,
    UNREAD,
)
from collector.processors.normalise.converted import CALLS, MARKS, Converted, type_of
from collector.processors.normalise.quality import ANSWERED, CALLED, REPEATED
from schema.dialect import dialects
from schema.span import Kind

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping, Sequence

    from numpy.typing import NDArray

    from schema.batch import SpanBatch
    from schema.dialect import Dialects

    Ints = NDArray[np.int64]
    Found = dict[str, dict[int, Any]]
    Convert = Callable[[Sequence[int], Mapping[int, frozenset[str]]], Found]

MAX_OFFSET: Final = 2**31 - 1
"""What the offsets of an Arrow string array can say."""
OF_CLASS: Final = {
    "input_messages": INPUT_MESSAGES,
    "output_messages": OUTPUT_MESSAGES,
    "tool_arguments": TOOL_ARGUMENTS,
    "tool_result": TOOL_RESULT,
    "system_instructions": INSTRUCTIONS,
    "usage": FIGURES,
    "output": FIGURES,
}
"""List of keys in the table -> their class; any other that a converter reads is of REST."""
FACT_OF_CLASS: Final = {
    INPUT_MESSAGES: HAS_INPUT,
    OUTPUT_MESSAGES: HAS_OUTPUT,
    TOOL_ARGUMENTS: HAS_ARGUMENTS,
    TOOL_RESULT: HAS_RESULT,
}
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
class _Content:
    """What the kernels read, of n spans."""

    columns: Mapping[str, pa.Array]
    facts: Ints
    finish: Ints
    """How often an answer says why it ended; start and length of what it says."""
    calls: Found


@dataclass(frozen=True, slots=True)
class _Input:
    """A batch as kernels take it."""

    buffer: NDArray[np.uint8]
    words: Ints
    first: Ints
    """Where the attributes of each span begin, and where the last span's end."""
    kind: Ints
    """Index into KINDS."""
    alone: NDArray[np.uint8]
    class_of_key: NDArray[np.uint8]


def convert_grouped(
    batch: SpanBatch,
    table: Dialects,
    *,
    kind: Ints,
    columns: Mapping[str, pa.Array],
    alone: Collection[int],
    convert: Convert,
    max_content_bytes: int,
) -> Converted:
    """Return what `convert`, asked for as few rows as will do, finds in every span; as `Converted.of_rows` has it.

    `convert` gets rows, and by row the names of what it need not tell. Rows in `alone` are like no other.

    Raises:
        NotText: an attribute that is read is not UTF-8; nothing was converted.

    """
    class_of_key = _classify(batch.attributes.keys, table)
    if not class_of_key.any() and not alone:
        return Converted(len(batch), {}, {}, {})
    given = _input(batch, kind, alone, class_of_key)
    content = _read_content(batch, given, max_content_bytes)
    group, rows = _groups(batch, given, content, columns)
    told = {row: _told(int(content.facts[row])) for row in rows.tolist()}
    found = convert(rows.tolist(), told)
    number = {row: i for i, row in enumerate(rows.tolist())}
    back = np.where(group < 0, len(rows), group)
    done: dict[str, pa.Array] = dict(content.columns)
    for name, values in found.items():
        if name in MARKS | CALLS:
            continue
        by_group: list[Any] = [None] * (len(rows) + 1)
        for row, value in values.items():
            by_group[number[row]] = value
        spread = pa.array(by_group, type_of(name)).take(pa.array(back))
        done[name] = coalesce(done[name], spread) if name in done else spread
    return Converted(
        len(batch),
        done,
        {k: np.isin(group, [number[row] for row in v]) for k, v in found.items() if k in MARKS},
        _calls(found, group, content.calls),
    )


def plain_facts(
    batch: SpanBatch, table: Dialects, *, kind: Ints, alone: Collection[int], max_content_bytes: int
) -> Ints:
    """Return what kernels read of each span, as bits: HAS_INPUT and its like in `content_kernels`."""
    given = _input(batch, kind, alone, _classify(batch.attributes.keys, table))
    return _read_content(batch, given, max_content_bytes).facts


def _told(facts: int) -> frozenset[str]:
    return frozenset(name for name, fact in PLAIN.values() if facts & fact)


def _calls(found: Found, group: Ints, of_kernels: Found) -> Found:
    """Return by name and row what the converters noted of a group's calls, and the kernels of each span's."""
    calls: defaultdict[str, dict[int, Any]] = defaultdict(dict)
    for name in CALLS & found.keys():
        for representative, ids in found[name].items():
            for row in np.flatnonzero(group == group[representative]).tolist():
                calls[name][row] = ids
    for name, by_row in of_kernels.items():
        for row, ids in by_row.items():
            calls[name][row] = [*calls[name].get(row, ()), *ids]
    return dict(calls)


# ---- classes of keys


@dataclass(frozen=True, slots=True)
class _Classes:
    """What a table says of keys."""

    of_key: Mapping[str, int]
    prefixes: tuple[str, ...]

    @classmethod
    def of(cls, table: Dialects) -> _Classes:
        """Class the keys of a table. One that several lists name is of REST, or FIGURES if one of them is."""
        classes: dict[str, int] = dict.fromkeys(table.finish.keys, REST)
        classes |= dict.fromkeys((p + name for p in table.params.prefixes for name in table.params.names), REST)
        for section, keys in table.content.items():
            class_ = OF_CLASS.get(section, REST)
            for key in keys:
                known = classes.get(key, class_)
                classes[key] = class_ if known == class_ else FIGURES if FIGURES in {class_, known} else REST
        return cls(classes, tuple(k for keys in table.content.values() for k in keys if k.endswith(".")))

    def classify(self, keys: Sequence[str]) -> NDArray[np.uint8]:
        """Return the class of each key."""
        return np.fromiter(map(self._class, keys), np.uint8, len(keys))

    def _class(self, key: str) -> int:
        class_ = self.of_key.get(key, UNREAD)
        if class_ != FIGURES and key.startswith(self.prefixes):
            return REST
        return class_


@cache
def _shipped() -> _Classes:
    return _Classes.of(dialects())


def _classify(keys: Sequence[str], table: Dialects) -> NDArray[np.uint8]:
    return (_shipped() if table is dialects() else _Classes.of(table)).classify(keys)


@cache
def _by_kind(of: Callable[[Kind, int], int]) -> NDArray[np.uint8]:
    """Return a number for each kind and class; not to be written to."""
    return np.array([[of(kind, class_) for class_ in range(CLASSES)] for kind in KINDS], np.uint8)


def _read_by_kernels(kind: Kind, class_: int) -> int:
    if class_ in (INPUT_MESSAGES, OUTPUT_MESSAGES):
        return int(kind in CONVERSING and kind != Kind.EMBEDDING)  # whose inputs are texts, not a talk
    return int(class_ in (TOOL_ARGUMENTS, TOOL_RESULT) and kind == Kind.TOOL)


def _used(kind: Kind, class_: int) -> int:
    """Tell what keys of a class are to converters on spans of a kind."""
    if class_ == FIGURES:
        return group_kernels.USED_WITH_FIGURES
    if class_ in (INPUT_MESSAGES, OUTPUT_MESSAGES):
        return int(kind in CONVERSING)
    if class_ == TOOL_ARGUMENTS:
        return int(kind in (Kind.TOOL, Kind.LLM))  # a model's span may tell a call of its answer so
    return int(kind == Kind.TOOL) if class_ == TOOL_RESULT else int(class_ != UNREAD)


# ---- kernels


def _input(batch: SpanBatch, kind: Ints, alone: Collection[int], class_of_key: NDArray[np.uint8]) -> _Input:
    table = batch.attributes
    buffer = table.buffer
    end = int((table.start + table.length).max(initial=0))
    if len(buffer) < end + content_kernels.PADDING:
        buffer += bytes(content_kernels.PADDING)
    words = np.ndarray((len(buffer) - 7,), "<i8", buffer, strides=(1,))
    first = table.owner.searchsorted(np.arange(len(batch) + 1, dtype=table.owner.dtype)).astype(np.int64)
    apart = np.zeros(len(batch), np.uint8)
    apart[list(alone)] = 1
    return _Input(np.frombuffer(buffer, np.uint8), words, first, kind, apart, class_of_key)


@np.errstate(over="ignore")  # hashes wrap; compiled they do so without a word, as plain Python not
def _read_content(batch: SpanBatch, given: _Input, max_bytes: int) -> _Content:
    n, table = len(batch), batch.attributes
    of_row = given.class_of_key[table.key]
    sizes = [
        int(table.length[of_row == c].sum()) for c in (INPUT_MESSAGES, OUTPUT_MESSAGES, TOOL_ARGUMENTS, TOOL_RESULT)
    ]
    rooms = [sizes[0] * 3, sizes[1] * 3, sizes[0], sizes[1], sizes[2] * 2, sizes[3] * 2]
    outs = [_room(room + 4096) for room in rooms]
    longest = int(table.length[of_row > INSTRUCTIONS].max(initial=0))
    tmp, names = _room(8 * min(longest, max_bytes) + 4096), _room(sum(sizes[:2]) + 4096)
    calls = _room((sum(sizes[:2]) // 24 + 16) * 40).view(np.int64).reshape(5, -1)
    facts, finish = np.zeros(n, np.int64), np.zeros((3, n), np.int64)
    ends, has = np.zeros((COLUMNS, n + 1), np.int32), np.zeros((COLUMNS, n), np.uint8)
    tmp_read = tmp.view()
    tmp_read.flags.writeable = False
    tmp_words = np.ndarray((len(tmp) - 7,), "<i8", tmp_read.data, strides=(1,))
    count = np.zeros(content_kernels.COUNTERS, np.int64)
    content_kernels.read_contents(
        given.buffer,
        given.words,
        given.first,
        given.kind,
        given.alone,
        given.class_of_key,
        _by_kind(_read_by_kernels),
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
        np.empty(content_kernels.ALL_SLOTS, np.int64),
        tmp,
        tmp_read,
        tmp_words,
        names,
        calls,
        count,
        np.empty(2 * content_kernels.MAX_DEPTH + 1, np.int64),
        np.empty(content_kernels.MAX_KEYS, np.int64),
        np.empty(content_kernels.MAX_TOLD, np.int64),
    )
    columns = {PLAIN[c][0]: _strings(outs[c], ends[c], has[c]) for c in range(COLUMNS) if has[c].any()}
    return _Content(columns, facts, finish, _noted(calls[:, : count[content_kernels.CALLS]], names))


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


def _noted(calls: Ints, names: NDArray[np.uint8]) -> Found:
    found: Found = {}
    for row, what, begin, middle, end in calls.T.tolist():
        told: Any = names[begin:middle].tobytes().decode("utf-8", "replace")
        if what == content_kernels.MADE:
            told = (told, names[middle:end].tobytes().decode("utf-8", "replace") if end >= 0 else None)
        found.setdefault(CALLS_OF[what], {}).setdefault(row, []).append(told)
    return found


@np.errstate(over="ignore")  # as above
def _groups(batch: SpanBatch, given: _Input, content: _Content, columns: Mapping[str, pa.Array]) -> tuple[Ints, Ints]:
    """Return the group of each span, -1 for one without anything that converters read, and a row of each group."""
    n, table = len(batch), batch.attributes
    known = np.zeros((group_kernels.FACT_COLUMNS, n), np.int64)
    is_tool = given.kind == KINDS.index(Kind.TOOL)
    known[group_kernels.KIND] = given.kind
    known[group_kernels.SCOPE] = codes(batch.scopes.name)[0][batch.scope] if n else 0
    known[group_kernels.NAME] = np.where(is_tool, codes(batch.name)[0], 0) if is_tool.any() else 0
    known[group_kernels.ALONE] = given.alone
    known[group_kernels.FACTS] = content.facts
    known[group_kernels.FINISH_COUNT : group_kernels.FINISH_LENGTH + 1] = content.finish
    for column, name in ((group_kernels.FIGURE, "input_tokens"), (group_kernels.FIGURE_2, "output_tokens")):
        values, valid = figures(columns[name])
        known[column] = np.where(valid, values, -1)
    slots = np.zeros(1 << (2 * n + 1).bit_length(), np.int32)
    group, rows = np.empty(n, np.int64), np.empty(n, np.int64)
    count = group_kernels.group_spans(
        given.words,
        given.first,
        known,
        given.class_of_key,
        _by_kind(_used),
        np.array([FACT_OF_CLASS.get(c, 0) for c in range(CLASSES)], np.int64),
        table.key,
        table.type,
        table.number,
        table.start,
        table.length,
        slots,
        np.empty(n, np.int64),
        rows,
        group,
        np.empty(CLASSES, np.uint8),
    )
    return group, rows[:count]


__all__ = ["Convert", "NotText", "convert_grouped", "plain_facts"]
