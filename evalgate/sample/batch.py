"""Stored rows as a `SpanBatch`, as far as policies look at one.

The functions that judge spans are those of the collector and take what it has: a batch. This makes one out of columns
as they were stored, with nothing for each span in Python. Attributes are text, as the maps of the database hold them;
conditions compare text in both.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import numpy as np
import pyarrow as pa

from schema.batch import STRING, AttributeTable, Events, Links, Logs, Origins, Resources, Scopes, SpanBatch
from schema.span import CANONICAL

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from schema.policy import Policy

WIRE: Final = (
    "trace_id", "span_id", "parent_span_id", "trace_state", "name", "status_message", "scope_name",
    "toUnixTimestamp64Nano(received_at) AS received_ns", "toUnixTimestamp64Nano(start_time) AS start_ns",
    "toUnixTimestamp64Nano(end_time) AS end_ns",
)  # fmt: skip
"""Read whatever the policy: small, and the order in time matters to some rules."""
JUDGED: Final = (
    "span_kind", "counted", "error", "finish_reasons", "tool_name", "tool_call_id", "tool_arguments", "tool_result",
    "request_model", "request_params", "input_text", "output_messages", "output_text", "input_messages", "defects",
)  # fmt: skip
"""Canonical columns that built-in rules look at; a test holds this list to what they read."""
ASKED: Final = "if(span_kind = 'llm' AND position(input_messages, 'tool_call_response') > 0, input_messages, NULL)"
"""A conversation is most of what is stored; built-in rules look at the answers of tools in it and nothing else."""
RETRIES: Final = ("tool_arguments", "input_text", "tool_name", "tool_call_id", "request_model")
"""Asked for only where it matters that an attempt was retried."""
MAPS: Final = ("span_attributes", "resource_attributes")


def columns_of(*policies: Policy) -> str:
    """Return what a statement selects so that these policies can judge its rows; constants, nothing of a user."""
    wanted: set[str] = set()
    for policy in policies:
        wanted |= _of_conditions(policy)
    ignores = any(p.failure.retried == "ignore" for p in policies)
    read = [*WIRE]
    for name in JUDGED:
        if name == "input_messages" and not ignores and name not in wanted:
            read.append(f"{ASKED} AS found_messages")
        elif name not in RETRIES or ignores or name in wanted:
            read.append(name)
    read += sorted((wanted & set(CANONICAL.names)) - set(JUDGED))
    read += [name for name in MAPS if name in wanted or (ignores and name == "span_attributes")]
    return ", ".join(read)


def _of_conditions(policy: Policy) -> frozenset[str]:
    from schema.condition import parse_condition  # noqa: PLC0415 - its parser takes 0.2 s

    conditions = [rule.when for rule in policy.failure.rules] + [rule.when for rule in policy.sample.rules]
    return frozenset[str]().union(*(parse_condition(when).columns for when in conditions))


def batch_of(table: pa.Table, tenant: str) -> SpanBatch:
    """Return the batch of these rows, in their order. One origin, scope and resource for each row."""
    n = table.num_rows
    own = np.arange(n, dtype=np.int32)
    none = np.zeros(n, np.uint32)
    columns: dict[str, Any] = {}
    for name in table.column_names:
        known = "input_messages" if name == "found_messages" else name
        if known in CANONICAL.names:
            columns[known] = _one(table, name).cast(CANONICAL.field(known).type)
    empty = pa.array([""] * n, pa.string())
    return SpanBatch(
        origin=own,
        resource=own,
        scope=own,
        trace_id=_ids(table, "trace_id", 16),
        span_id=_ids(table, "span_id", 8),
        parent_span_id=_ids(table, "parent_span_id", 8),
        trace_state=_one(table, "trace_state").cast(pa.string()),
        name=_one(table, "name").cast(pa.string()),
        kind=np.zeros(n, np.uint8),
        flags=none,
        start_unix_ns=_times(table, "start_ns"),
        end_unix_ns=_times(table, "end_ns"),
        status_code=np.zeros(n, np.uint8),
        status_message=_one(table, "status_message").cast(pa.string()),
        dropped_attributes_count=none,
        dropped_events_count=none,
        dropped_links_count=none,
        attributes=_attributes(table, "span_attributes"),
        events=_no_events(),
        links=_no_links(),
        resources=Resources(_attributes(table, "resource_attributes"), empty),
        scopes=Scopes(_one(table, "scope_name").cast(pa.string()), empty, empty, _no_attributes()),
        origins=Origins((tenant,) * n, np.zeros(n, np.uint64), _times(table, "received_ns")),
        logs=_no_logs(),
    ).with_columns(columns)


def _one(table: pa.Table, name: str) -> pa.Array:
    column = table.column(name).combine_chunks()
    # Of no rows there are no chunks, and some releases of Arrow then return none either.
    return column if isinstance(column, pa.Array) else pa.concat_arrays(column.chunks)


def _ids(table: pa.Table, name: str, size: int) -> NDArray[np.uint8]:
    column = _one(table, name)
    if len(column) == 0:
        return np.zeros((0, size), np.uint8)
    return np.frombuffer(column.buffers()[1], np.uint8, size * len(column), size * column.offset).reshape(-1, size)


def _times(table: pa.Table, name: str) -> NDArray[np.uint64]:
    return np.asarray(_one(table, name).to_numpy(zero_copy_only=False), np.uint64)


def _attributes(table: pa.Table, name: str) -> AttributeTable:
    """Return the entries of a map column; their texts stay where they are."""
    if name not in table.column_names or table.num_rows == 0:
        return _no_attributes()
    maps = _one(table, name)
    ends = maps.offsets.to_numpy()
    first, n = int(ends[0]), int(ends[-1] - ends[0])
    keys = maps.keys.slice(first, n).cast(pa.string()).dictionary_encode()
    texts = maps.items.slice(first, n).cast(pa.large_string())
    _, offsets, data = texts.buffers()
    bounds = np.frombuffer(offsets, np.int64)[texts.offset : texts.offset + n + 1] if n else np.zeros(1, np.int64)
    return AttributeTable(
        owner=np.repeat(np.arange(len(maps), dtype=np.int32), np.diff(ends)),
        key=keys.indices.to_numpy().astype(np.int32),
        type=np.full(n, STRING, np.uint8),
        number=np.zeros(n, np.int64),
        start=bounds[:-1].astype(np.int64),
        length=np.diff(bounds).astype(np.int64),
        keys=tuple(keys.dictionary.to_pylist()),
        buffer=b"" if data is None else data.to_pybytes(),
    )


def _no_attributes() -> AttributeTable:
    whole, long = np.zeros(0, np.int32), np.zeros(0, np.int64)
    return AttributeTable(whole, whole, np.zeros(0, np.uint8), long, long, long, (), b"")


def _no_events() -> Events:
    nothing = pa.array([], pa.string())
    return Events(np.zeros(0, np.int32), np.zeros(0, np.uint64), nothing, np.zeros(0, np.uint32), _no_attributes())


def _no_links() -> Links:
    ids = np.zeros((0, 16), np.uint8)
    return Links(np.zeros(0, np.int32), ids, ids[:, :8], pa.array([], pa.string()), _no_attributes())


def _no_logs() -> Logs:
    whole, long, nothing = np.zeros(0, np.int32), np.zeros(0, np.uint64), pa.array([], pa.string())
    ids = np.zeros((0, 16), np.uint8)
    return Logs(
        whole, whole, whole, whole, ids, ids[:, :8], long, long, np.zeros(0, np.uint8), nothing, nothing,
        _no_attributes(), _no_attributes(),
    )  # fmt: skip
