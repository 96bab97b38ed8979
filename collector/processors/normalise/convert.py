"""Run the content converters on the spans that need them, and on no others."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
import pyarrow as pa

from collector.processors.normalise.classify import KINDS
from collector.processors.normalise.content import convert_content
from collector.processors.normalise.converted import Converted
from collector.processors.normalise.labels import convert_labels
from collector.processors.normalise.limits import DEFAULT_MAX_BYTES, limit_text, limit_value, may_exceed
from collector.processors.normalise.literal import read_value
from collector.processors.normalise.quality import TRUNCATED, is_truncated, tool_parts
from collector.processors.normalise.scalars import Source, owners_of
from collector.processors.normalise.settings import convert_settings
from collector.processors.normalise.subject import Event, Subject
from collector.processors.normalise.tooling import convert_tool
from collector.processors.normalise.usage import convert_usage
from collector.processors.normalise.view import PrefixIndex, View
from schema.anyvalue import dump_json, to_text
from schema.span import CANONICAL

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from numpy.typing import NDArray

    from schema.batch import SpanBatch
    from schema.dialect import Dialects

CONVERTERS = (convert_content, convert_tool, convert_settings, convert_usage)
"""Those that build on what those before them found."""
LABELLING = (convert_labels,)
"""What has nothing to do with the others."""
DETAILS = "gen_ai.client.inference.operation.details"
TEXT_COLUMNS = frozenset(f.name for f in CANONICAL if f.type.equals("string"))


class OnFault(Protocol):
    """What happens when a converter meets a shape it was not written for."""

    def __call__(self, row: int, span_name: str, fault: Exception) -> None:
        """Note it; the span keeps what was found so far. Raise to stop."""


def log_fault(row: int, span_name: str, fault: Exception) -> None:
    """Log the fault as a warning: a defect here, whose cost is unknown columns of one span."""
    logging.getLogger(__name__).warning("span %r (row %d) was not read whole: %r", span_name, row, fault)


def convert_marked(
    batch: SpanBatch,
    table: Dialects,
    kind: NDArray[np.int64],
    columns: Mapping[str, pa.Array],
    on_fault: OnFault,
    *,
    max_content_bytes: int = DEFAULT_MAX_BYTES,
    compiled: bool = False,
) -> Converted:
    """Return what converters find in the marked spans; `kind` is the index into KINDS of every span.

    With `compiled`, kernels read what is plain and tell which spans are alike; the result is the same. A converter's
    exception goes to `on_fault`: one span that nobody foresaw must not cost the batch.
    """
    events = _events(batch, table)
    work = _Conversion(batch, table, kind, columns, on_fault, max_content_bytes, events)
    if compiled:
        from collector.processors.normalise.grouped import convert_grouped  # noqa: PLC0415 - numba is slow to load
        from collector.processors.normalise.plain import NotText  # noqa: PLC0415 - as above

        try:
            return convert_grouped(
                batch,
                table,
                kind=kind,
                columns=columns,
                alone=events,
                convert=partial(work.convert, CONVERTERS),
                convert_labels=partial(work.convert, LABELLING),
                max_content_bytes=max_content_bytes,
            )
        except NotText:
            pass
    marked = np.flatnonzero(_marked(batch, table, events)).tolist()
    return Converted.of_rows(len(batch), work.convert((*CONVERTERS, *LABELLING), marked, {}))


@dataclass(frozen=True, slots=True)
class _Conversion:
    """The converters, on the spans of one batch."""

    batch: SpanBatch
    table: Dialects
    kind: NDArray[np.int64]
    columns: Mapping[str, pa.Array]
    on_fault: OnFault
    max_bytes: int
    events: Mapping[int, Sequence[Event]]

    def convert(
        self, converters: Sequence[Callable[[Subject], None]], rows: Sequence[int], told: Mapping[int, frozenset[str]]
    ) -> dict[str, dict[int, Any]]:
        """Return canonical column -> row -> value as that column's type takes it, where one was found in these rows.

        What `quality` wants to know of a span besides stands under names of its own. Columns in `told` are left out.
        """
        found: dict[str, dict[int, Any]] = {}
        for row, subject in zip(rows, self._subjects(rows), strict=True):
            for convert in converters:
                try:
                    convert(subject)
                except Exception as e:  # noqa: BLE001 - told by on_fault; the bytes stay in span_attributes
                    self.on_fault(row, subject.name, e)
            for column in told.get(row, ()):
                subject.found.pop(column, None)
            for name, ids in tool_parts(subject.found):
                found.setdefault(name, {})[row] = ids
            for column, value in subject.found.items():
                stored, cut = _stored(column, value, self.max_bytes)
                found.setdefault(column, {})[row] = stored
                if cut or is_truncated(value):
                    found.setdefault(TRUNCATED, {})[row] = True
        return found

    def _subjects(self, rows: Sequence[int]) -> Iterator[Subject]:
        batch, attributes = self.batch, self.batch.attributes
        index = PrefixIndex(attributes.keys, _prefixes(self.table))
        marked = np.asarray(rows, np.int32)
        first, last = (attributes.owner.searchsorted(marked + i).tolist() for i in (0, 1))
        names = batch.name.take(pa.array(marked)).to_pylist()
        scopes = batch.scopes.name.to_pylist()
        scope = batch.scope[marked].tolist()
        known = {k: self.columns[k].take(pa.array(marked)).to_pylist() for k in ("input_tokens", "output_tokens")}
        for i, row in enumerate(rows):
            own = self.events.get(row, ())
            details = {k: v for e in own if e.name == DETAILS for k, v in e.fields.items()}
            yield Subject(
                view=View(attributes, range(first[i], last[i]), details, index),
                kind=str(KINDS[self.kind[row]]),
                name=names[i],
                scope_name=scopes[scope[i]] or "",
                events=[e for e in own if e.name != DETAILS],
                known={k: values[i] for k, values in known.items()},
                table=self.table,
            )


def _stored(column: str, value: Any, max_bytes: int) -> tuple[Any, bool]:
    """Return what goes into a column, and whether it was too long and was cut."""
    if column not in TEXT_COLUMNS:
        return value, False
    value = value[0] if (is_json := isinstance(value, tuple)) else value
    if not is_json and not isinstance(value, (dict, list)):
        return limit_text(to_text(value), max_bytes)
    text = dump_json(value)
    if not may_exceed(text, max_bytes):
        return text, False
    limited, cut = limit_value(value, max_bytes)
    return dump_json(limited), cut


def _prefixes(table: Dialects) -> list[str]:
    ours = [k for keys in table.content.values() for k in keys if k.endswith(".")]
    return [*ours, *table.params.prefixes]


def _marked(batch: SpanBatch, table: Dialects, events: Mapping[int, Any]) -> NDArray[np.bool_]:
    """Return which spans carry something that only a converter can read."""
    whole = {k for keys in table.content.values() for k in keys if not k.endswith(".")}
    whole |= set(table.finish.keys)
    whole |= {p + s for p in table.params.prefixes for s in table.params.names}
    prefixes = tuple(k for keys in table.content.values() for k in keys if k.endswith("."))
    wanted = frozenset(whole)
    marked = owners_of(len(batch), Source(batch.attributes), lambda k: k in wanted or k.startswith(prefixes))
    if events:
        marked[list(events)] = True
    return marked


def _events(batch: SpanBatch, dialects: Dialects) -> dict[int, list[Event]]:
    """Return the events of each span that are GenAI's or named: its own, then log records that name it, by time."""
    by_row: dict[int, list[Event]] = {}
    if len(batch.events.owner) == 0 and len(batch.logs) == 0:
        return by_row
    table = batch.events
    for e in np.flatnonzero(_genai(table.name, dialects)).tolist():
        fields = table.attributes.of(e)
        by_row.setdefault(int(table.owner[e]), []).append(Event(table.name[e].as_py(), fields))
    logs = batch.logs
    order = np.argsort(logs.time_unix_ns, kind="stable")
    for r in order[_genai(logs.event_name, dialects)[order] & (logs.span_row[order] >= 0)].tolist():
        body = read_value(logs.body.of(r).get("body"))
        fields = {**logs.attributes.of(r), **(body if isinstance(body, dict) else {"content": body})}
        by_row.setdefault(int(logs.span_row[r]), []).append(Event(logs.event_name[r].as_py(), fields))
    return by_row


def _genai(names: pa.Array, table: Dialects) -> NDArray[np.bool_]:
    return np.asarray(table.event_tells_of_span(names).to_numpy(zero_copy_only=False), np.bool_)
