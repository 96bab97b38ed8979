"""Kind and operation of every span, and the names of providers: small vocabularies, decided on distinct values."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from collector.processors.normalise.columns import codes
from collector.processors.normalise.exchange import request_kind
from collector.processors.normalise.literal import read_json_object
from collector.processors.normalise.scalars import owners_with
from schema.span import Kind

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from numpy.typing import NDArray

    from collector.processors.normalise.scalars import Source
    from collector.processors.normalise.scopes import ScopeNames
    from schema.batch import SpanBatch
    from schema.dialect import Dialects, KindMark

KINDS = tuple(Kind)
NO_KIND = -1


def translate(column: pa.Array, meaning: Callable[[str], Any], type_: pa.DataType) -> pa.Array:
    """Return the column with each distinct value replaced; None makes null."""
    number, values = codes(column)
    meant = pa.array([*(meaning(v) for v in values), None], type_)
    return meant.take(pa.array(np.where(number < 0, len(values), number)))


def find_kinds(
    batch: SpanBatch, sources: Sequence[Source], table: Dialects, marks: Sequence[pa.Array], scopes: ScopeNames
) -> NDArray[np.int64]:
    """Return the index into KINDS of every span. `marks` are the values of `table.kinds`.

    By its marks, else the request it carries, else its name within a known scope, else the keys it has, else OTHER.
    """
    n = len(batch)
    kind = np.full(n, NO_KIND, np.int64)
    for mark, stated in zip(table.kinds, marks, strict=True):
        if stated.null_count == n:
            continue
        said = _indices(stated, mark)
        kind = np.where(kind == NO_KIND, said, kind)
    if (kind == NO_KIND).any():
        kind = np.where(kind == NO_KIND, _by_request(batch, table, kind == NO_KIND), kind)
        kind = np.where(kind == NO_KIND, _by_name(batch, table, scopes), kind)
        places = [{key: i for i, key in enumerate(source.table.keys)} for source in sources]
        for rule in table.presence:
            if not any(key in of_source for of_source in places for key in rule.with_any):
                continue
            has, lacks = np.zeros(n, np.bool_), np.ones(n, np.bool_)
            for source, of_source in zip(sources, places, strict=True):
                has |= owners_with(n, source, rule.with_any, of_source)
                lacks &= ~owners_with(n, source, rule.without, of_source)
            kind = np.where((kind == NO_KIND) & has & lacks, KINDS.index(rule.kind), kind)
    return np.where(kind == NO_KIND, KINDS.index(Kind.OTHER), kind)


def _by_request(batch: SpanBatch, table: Dialects, wanted: NDArray[np.bool_]) -> NDArray[np.int64]:
    """Read the requests of spans that no mark speaks of: their shape says what was asked for."""
    kind = np.full(len(batch), NO_KIND, np.int64)
    attributes = batch.attributes
    keys = [i for i, k in enumerate(attributes.keys) if k in table.request_keys]
    if not keys:
        return kind
    rows = np.flatnonzero(np.isin(attributes.key, keys))
    for row in rows[wanted[attributes.owner[rows]]].tolist():
        if (asked := request_kind(read_json_object(attributes.value(row)))) is not None:
            kind[attributes.owner[row]] = KINDS.index(asked)
    return kind


def _by_name(batch: SpanBatch, table: Dialects, scopes: ScopeNames) -> NDArray[np.int64]:
    kind = np.full(len(batch), NO_KIND, np.int64)
    for rule in table.named:
        inside = scopes.begin_with((rule.scope,))
        if not inside.any():
            continue
        for start, meant in rule.names.items():
            begins = pc.starts_with(batch.name, start).to_numpy(zero_copy_only=False)
            kind = np.where(inside & begins & (kind == NO_KIND), KINDS.index(meant), kind)
    return kind


def _indices(stated: pa.Array, mark: KindMark) -> NDArray[np.int64]:
    number, distinct = codes(stated)
    index = [NO_KIND if (kind := mark.kind(v)) is None else KINDS.index(kind) for v in distinct]
    return np.asarray([*index, NO_KIND], np.int64)[number]


def kind_column(kind: NDArray[np.int64]) -> pa.Array:
    """Return the column span_kind."""
    return pa.array([str(k) for k in KINDS]).take(pa.array(kind))


def find_operations(stated: pa.Array, kind: NDArray[np.int64], table: Dialects) -> pa.Array:
    """Return the well-known operation: as stated where it belongs to the span's kind, else the kind's own."""
    number, distinct = codes(stated)
    kinds = {v: k for m in table.kinds if m.key in table.operations.keys for v, k in m.values.items()}
    pair = kind * (len(distinct) + 1) + number + 1
    present = np.flatnonzero(np.bincount(pair, minlength=len(KINDS) * (len(distinct) + 1)))
    meant: dict[int, str | None] = {}
    for p in present.tolist():
        k, v = divmod(p, len(distinct) + 1)
        said = distinct[v - 1].lower() if v else None
        belongs = said is not None and (kinds.get(said) in (None, KINDS[k], Kind.OTHER))
        known = table.operations.values.get(said) if said is not None and belongs else None
        meant[p] = known or table.operations.of_kind.get(KINDS[k])
    values = [meant.get(p) for p in range(len(KINDS) * (len(distinct) + 1))]
    return pa.array(values, pa.string()).take(pa.array(pair))
