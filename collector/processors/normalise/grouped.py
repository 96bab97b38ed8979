"""Converting by kernels: plain content span by span, and everything else once for all spans that share it.

    attributes ─▶ class of each key ─▶ kernels read what is plain: columns of their own, and facts
      ─▶ spans in groups that converters cannot tell apart ─▶ converters on one span of each ─▶ columns by group

What kernels cannot read is a part of what tells groups apart, so that such a span is a group of its own, mostly. Labels
are grouped apart: they change with user and session, and what is asked of a model does not.
"""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import pyarrow as pa

from collector.processors.normalise import group_kernels
from collector.processors.normalise.classify import KINDS
from collector.processors.normalise.columns import coalesce, codes, figures
from collector.processors.normalise.content_kernels import (
    CLASSES,
    HAS_ARGUMENTS,
    HAS_INPUT,
    HAS_OUTPUT,
    HAS_RESULT,
    INPUT_INDEXED,
    INPUT_MESSAGES,
    OUTPUT_INDEXED,
    OUTPUT_MESSAGES,
    TOOL_ARGUMENTS,
    TOOL_RESULT,
)
from collector.processors.normalise.converted import CALLS, MARKS, Converted, type_of
from collector.processors.normalise.key_classes import by_kind, content_classes, label_classes, used_by_converters
from collector.processors.normalise.plain import PLAIN, Input, read_content
from schema.span import Kind

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping, Sequence

    from numpy.typing import NDArray

    from collector.processors.normalise.plain import Content
    from schema.batch import SpanBatch
    from schema.dialect import Dialects

    Ints = NDArray[np.int64]
    Found = dict[str, dict[int, Any]]
    Convert = Callable[[Sequence[int], Mapping[int, frozenset[str]]], Found]

FACT_OF_CLASS: Final = {
    INPUT_MESSAGES: HAS_INPUT,
    INPUT_INDEXED: HAS_INPUT,
    OUTPUT_MESSAGES: HAS_OUTPUT,
    OUTPUT_INDEXED: HAS_OUTPUT,
    TOOL_ARGUMENTS: HAS_ARGUMENTS,
    TOOL_RESULT: HAS_RESULT,
}


def convert_grouped(
    batch: SpanBatch,
    table: Dialects,
    *,
    kind: Ints,
    columns: Mapping[str, pa.Array],
    alone: Collection[int],
    convert: Convert,
    convert_labels: Convert,
    max_content_bytes: int,
) -> Converted:
    """Return what the converters, asked for as few rows as will do, find in every span, as `Converted.of_rows` has it.

    Both get rows, and by row the names of what they need not tell. Rows in `alone` are like no other.

    Raises:
        NotText: an attribute that kernels read is not UTF-8; nothing was converted.

    """
    n, keys = len(batch), batch.attributes.keys
    class_of_key = content_classes(keys, table)
    if not class_of_key.any() and not alone:
        return Converted(n, {}, {}, {})
    given = Input.of(batch, kind, alone, table)
    content = read_content(batch, given, max_content_bytes)
    group, rows = _groups(batch, given, class_of_key, _known(batch, given, content, columns))
    found = convert(rows.tolist(), {row: _told(int(content.facts[row])) for row in rows.tolist()})
    done = dict(content.columns)
    for name, spread in _spread(found, group, rows):
        done[name] = coalesce(done[name], spread) if name in done else spread
    class_of_label = label_classes(keys, table)
    if class_of_label.any() or alone:
        known = np.zeros((group_kernels.FACT_COLUMNS, n), np.int64)
        known[group_kernels.ALONE] = given.alone
        group_of_labels, rows_of_labels = _groups(batch, given, class_of_label, known)
        done |= _spread(convert_labels(rows_of_labels.tolist(), {}), group_of_labels, rows_of_labels)
    marks = {name: np.isin(group, group[list(v)]) for name, v in found.items() if name in MARKS}
    return Converted(n, done, marks, _calls(found, group, content.calls))


def plain_facts(
    batch: SpanBatch, table: Dialects, *, kind: Ints, alone: Collection[int], max_content_bytes: int
) -> Ints:
    """Return what kernels read of each span, as bits: HAS_INPUT and its like in `content_kernels`."""
    given = Input.of(batch, kind, alone, table)
    return read_content(batch, given, max_content_bytes).facts


def _told(facts: int) -> frozenset[str]:
    return frozenset(name for name, fact in PLAIN.values() if facts & fact)


def _spread(found: Found, group: Ints, rows: Ints) -> list[tuple[str, pa.Array]]:
    """Return columns of what was found in one row of each group."""
    number = {row: i for i, row in enumerate(rows.tolist())}
    of_span = pa.array(np.where(group < 0, len(rows), group))
    columns = []
    for name in found.keys() - MARKS - CALLS:
        by_group: list[Any] = [None] * (len(rows) + 1)
        for row, value in found[name].items():
            by_group[number[row]] = value
        columns.append((name, pa.array(by_group, type_of(name)).take(of_span)))
    return columns


def _calls(
    found: Found, group: Ints, of_kernels: Mapping[str, Mapping[int, list[Any]]]
) -> dict[str, dict[int, list[Any]]]:
    """Return by name and row what the converters noted of a group's calls, and the kernels of each span's."""
    calls: defaultdict[str, dict[int, list[Any]]] = defaultdict(dict)
    for name in CALLS & found.keys():
        by_group = {int(group[row]): ids for row, ids in found[name].items()}
        for row in np.flatnonzero(np.isin(group, list(by_group))).tolist():
            calls[name][row] = by_group[int(group[row])]
    for name, by_row in of_kernels.items():
        for row, ids in by_row.items():
            calls[name][row] = [*calls[name].get(row, ()), *ids]
    return dict(calls)


def _known(batch: SpanBatch, given: Input, content: Content, columns: Mapping[str, pa.Array]) -> Ints:
    """Return what converters know of each span besides its attributes, in the columns of `group_kernels`."""
    n = len(batch)
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
    return known


@np.errstate(over="ignore")  # hashes wrap; compiled they do so without a word, as plain Python not
def _groups(batch: SpanBatch, given: Input, class_of_key: NDArray[np.uint8], known: Ints) -> tuple[Ints, Ints]:
    """Return the group of each span, -1 for one without anything that converters read, and a row of each group."""
    n, table = len(batch), batch.attributes
    slots = np.zeros(1 << (2 * n + 1).bit_length(), np.int32)
    group, rows = np.empty(n, np.int64), np.empty(n, np.int64)
    count = group_kernels.group_spans(
        given.words,
        given.first,
        known,
        class_of_key,
        by_kind(used_by_converters),
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


__all__ = ["Convert", "convert_grouped", "plain_facts"]
