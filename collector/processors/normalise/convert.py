"""Run the content converters on the spans that need them, and on no others."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
import pyarrow as pa

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
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

    from schema.batch import SpanBatch
    from schema.dialect import Dialects

CONVERTERS = (convert_content, convert_tool, convert_settings, convert_usage, convert_labels)
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
    kinds: Sequence[str],
    columns: Mapping[str, pa.Array],
    on_fault: OnFault,
    *,
    max_content_bytes: int = DEFAULT_MAX_BYTES,
) -> Converted:
    """Return what converters find in the marked spans.

    A converter's exception goes to `on_fault`: one span that nobody foresaw must not cost the batch.
    """
    events = _events(batch, table)
    index = PrefixIndex(batch.attributes.keys, _prefixes(table))
    found: dict[str, dict[int, Any]] = {}
    marked = np.flatnonzero(_marked(batch, table, events))
    attributes = batch.attributes
    first, last = (attributes.owner.searchsorted(marked.astype(np.int32) + i).tolist() for i in (0, 1))
    names = batch.name.take(pa.array(marked)).to_pylist()
    scopes = batch.scopes.name.to_pylist()
    scope = batch.scope[marked].tolist()
    known = {k: columns[k].take(pa.array(marked)).to_pylist() for k in ("input_tokens", "output_tokens")}
    for i, row in enumerate(marked.tolist()):
        own = events.get(row, [])
        details = {k: v for e in own if e.name == DETAILS for k, v in e.fields.items()}
        subject = Subject(
            view=View(attributes, range(first[i], last[i]), details, index),
            kind=kinds[row],
            name=names[i],
            scope_name=scopes[scope[i]] or "",
            events=[e for e in own if e.name != DETAILS],
            known={k: values[i] for k, values in known.items()},
            table=table,
        )
        for convert in CONVERTERS:
            try:
                convert(subject)
            except Exception as e:  # noqa: BLE001 - counted and told by on_fault; the bytes stay in span_attributes
                on_fault(row, subject.name, e)
        for name, ids in tool_parts(subject.found):
            found.setdefault(name, {})[row] = ids
        for column, value in subject.found.items():
            stored, cut = _stored(column, value, max_content_bytes)
            found.setdefault(column, {})[row] = stored
            if cut or is_truncated(value):
                found.setdefault(TRUNCATED, {})[row] = True
    return Converted.of_rows(len(batch), found)


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
