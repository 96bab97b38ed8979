"""The steps of normalising one batch, in order."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cache
from types import MappingProxyType
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from collector.processors.compiled import are_ready
from collector.processors.normalise.calls import find_calls
from collector.processors.normalise.classify import KINDS, find_kinds, find_operations, kind_column, translate
from collector.processors.normalise.columns import borrow, clear, coalesce, codes, figures, patch, truths, valid
from collector.processors.normalise.content import PREPARES
from collector.processors.normalise.convert import OnFault, convert_marked, log_fault
from collector.processors.normalise.failing import error_columns
from collector.processors.normalise.feedback import EVALUATION, find_feedback
from collector.processors.normalise.lending import Lenders
from collector.processors.normalise.limits import DEFAULT_MAX_BYTES
from collector.processors.normalise.quality import defect_lists
from collector.processors.normalise.scalars import Column, Plan, Slot, Source, fill_slots
from collector.processors.normalise.scopes import ScopeNames
from collector.processors.normalise.silence import EMPTY_ANSWER, said_nothing
from collector.processors.normalise.tree import read_tree, shared
from collector.processors.normalise.usage import (
    EXCLUDES_CACHE,
    EXCLUDES_REASONING,
    TOKENS,
    TOTAL_IS_ADDED_UP,
    inclusive,
)
from schema.dialect import Dialects, dialects
from schema.span import CANONICAL, JSON_COLUMNS, Kind

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

    from collector.processors.normalise.converted import Converted
    from schema.batch import SpanBatch

SNAPSHOT = r"(-\d{4}-\d{2}-\d{2}|[-@]\d{8})$"
"""How the name of a dated snapshot ends, to which providers resolve aliases: OpenAI's, Anthropic's, Google's."""
DETAILS = "gen_ai.client.inference.operation.details"
WHOLE_TRACE = ("session_id", "user_id", "feature")
TOOL_COLUMNS = ("tool_name", "tool_call_id")
KIND_MARK, OPERATION, CONVERSATION = "kind/", "stated operation", "conversation"
"""Slots that are no columns: marks of the kind by number, the operation as stated, ids of conversations."""
BORROWED = (
    "request_model",
    "response_model",
    "response_id",
    "streaming",
    "provider",
    "finish_reasons",
    "request_params",
)
"""What a counted span takes from another record of the same call where it lacks it; tokens besides."""


@dataclass(slots=True)
class Work:
    """A batch under way. Columns are replaced, never changed."""

    batch: SpanBatch
    table: Dialects
    sources: Sequence[Source]
    scopes: ScopeNames
    kind: NDArray[np.int64]
    filled: Mapping[str, Column]
    columns: dict[str, pa.Array]
    compiled: bool

    def is_kind(self, *kinds: Kind) -> NDArray[np.bool_]:
        """Return which spans are of one of these kinds."""
        return np.asarray(np.logical_or.reduce([self.kind == KINDS.index(k) for k in kinds]), np.bool_)


def canonical(
    batch: SpanBatch,
    *,
    table: Dialects | None = None,
    lower_is_better: Mapping[str, bool] | None = None,
    on_fault: OnFault = log_fault,
    max_content_bytes: int = DEFAULT_MAX_BYTES,
    compiled: bool | None = None,
) -> SpanBatch:
    """Return the batch with every canonical column up to `defects`, and its feedback. Pure but for `on_fault`.

    `compiled` says whether kernels are used; by default where they are ready. The result is the same.
    """
    work = _start(batch, table, compiled=are_ready() if compiled is None else compiled)
    stated_error_type = work.columns["error_type"]
    _drop_placeholders(work)
    converted = convert_marked(
        batch,
        work.table,
        work.kind,
        work.columns,
        on_fault,
        max_content_bytes=max_content_bytes,
        compiled=work.compiled,
    )
    _merge(work, converted)
    _unmark_preparations(work, converted)
    if rows := said_nothing(batch, work.columns, work.is_kind(Kind.LLM), work.table):
        work.columns["output_messages"] = patch(work.columns["output_messages"], dict.fromkeys(rows, EMPTY_ANSWER))
    _models(work, converted)
    work.columns |= error_columns(batch, work.columns, stated_error_type)
    _tokens(work, converted)
    _scope_tool_columns(work)
    tree = read_tree(batch, compiled=work.compiled)
    for name in WHOLE_TRACE:
        of_span = Column(work.columns[name], work.filled[name].precedence)
        work.columns[name] = shared(of_span, tree, compiled=work.compiled)
    native = work.scopes.begin_with(work.table.usage.native_scopes)
    calls = find_calls(batch, work.columns, work.kind, tree, native, compiled=work.compiled)
    work.columns["counted"] = pa.array(calls.counted)
    _borrow(work, calls.twins)
    work.columns["defects"] = defect_lists(batch, work.columns, converted, tree, calls)
    feedback = find_feedback(batch, work.table, work.columns["session_id"], lower_is_better or {})
    done = {f.name: work.columns[f.name] for f in CANONICAL if f.name in work.columns}
    return replace(batch.with_columns(done), columns=MappingProxyType({**batch.columns, **done}), feedback=feedback)


@dataclass(frozen=True, slots=True)
class _Plans:
    """What is looked for in the attributes of spans and of resources."""

    of_span: Plan
    of_resource: Plan


def _plans(table: Dialects) -> _Plans:
    slots = [Slot(name, keys, _type(name)) for name, keys in table.columns.items()]
    slots += [Slot(f"{KIND_MARK}{i}", (mark.key,), pa.string()) for i, mark in enumerate(table.kinds)]
    slots += [
        Slot(OPERATION, table.operations.keys, pa.string()),
        Slot(CONVERSATION, table.generated_conversation_keys, pa.string()),
    ]
    return _Plans(Plan.of(slots), Plan.of(Slot(name, keys, pa.string()) for name, keys in table.resource.items()))


@cache
def _shipped() -> tuple[Dialects, _Plans]:
    return dialects(), _plans(dialects())


def _start(batch: SpanBatch, given: Dialects | None, *, compiled: bool) -> Work:
    n = len(batch)
    table, plans = _shipped() if given is None else (given, _plans(given))
    sources = _sources(batch)
    filled = fill_slots(n, sources, plans.of_span, compiled=compiled)
    scopes = ScopeNames.of(batch)
    marks = [filled[f"{KIND_MARK}{i}"].values for i in range(len(table.kinds))]
    kind = find_kinds(batch, sources, table, marks, scopes)
    columns = {name: filled[name].values for name in table.columns}
    count = len(batch.resources.schema_url)
    said = fill_slots(count, [Source(batch.resources.attributes)], plans.of_resource, compiled=compiled)
    for name, column in said.items():
        of_span = borrow(column.values, batch.resource.astype(np.int64))
        columns[name] = coalesce(columns[name], of_span) if name in columns else of_span
    columns["span_kind"] = kind_column(kind)
    columns["operation"] = find_operations(filled[OPERATION].values, kind, table)
    columns["provider"] = translate(columns["provider"], table.providers.canonical, pa.string())
    return Work(batch, table, sources, scopes, kind, filled, columns, compiled)


def _type(name: str) -> pa.DataType:
    if name in CANONICAL.names:
        return CANONICAL.field(name).type
    return pa.int64() if name == "total_tokens" else pa.string()


def _sources(batch: SpanBatch) -> list[Source]:
    """Return where keys are looked for: the span, then its operation-details events, then its log records."""
    sources = [Source(batch.attributes)]
    events, logs = batch.events, batch.logs
    if len(events.owner) and (at := pc.equal(events.name, DETAILS).to_numpy(zero_copy_only=False)).any():
        sources.append(Source(events.attributes, np.where(at, events.owner, -1).astype(np.int64)))
    if len(logs) and (logs.span_row >= 0).any():
        about_call = pc.starts_with(logs.event_name, "gen_ai.").to_numpy(zero_copy_only=False)
        # An evaluation speaks of itself: its error is not that of the span it judges.
        about_call &= pc.not_equal(logs.event_name, EVALUATION).to_numpy(zero_copy_only=False)
        sources.append(Source(logs.attributes, np.where(about_call, logs.span_row, -1).astype(np.int64)))
    return sources


def _drop_placeholders(work: Work) -> None:
    for name, words in work.table.placeholders.items():
        column = work.columns[name]
        if column.null_count < len(column):
            says_none = pc.is_in(column, value_set=pa.array(sorted(words), pa.string()))
            work.columns[name] = clear(column, truths(says_none))
    made_up = work.scopes.begin_with(work.table.generated_conversation_scopes)
    if not made_up.any():
        return
    keys = work.table.columns["session_id"]
    by_key = np.isin(
        work.filled["session_id"].precedence, [keys.index(k) for k in work.table.generated_conversation_keys]
    )
    copied = _equal(
        work.columns["session_id"], work.filled[CONVERSATION].values
    )  # by a span processor that writes another dialect
    work.columns["session_id"] = clear(work.columns["session_id"], made_up & (by_key | copied))


def _merge(work: Work, converted: Converted) -> None:
    """Put what converters found where single keys said nothing."""
    for name in (*JSON_COLUMNS, "finish_reasons", "tags", "input_text", "output_text"):
        work.columns[name] = converted.column(name)
    for name, values in converted.columns.items():
        if name in work.table.columns:
            work.columns[name] = coalesce(work.columns[name], values)


def _unmark_preparations(work: Work, converted: Converted) -> None:
    """Take the kind from spans that are marked as a model's but only prepare a call."""
    if rows := np.flatnonzero(converted.mark(PREPARES)).tolist():
        work.kind[rows] = KINDS.index(Kind.OTHER)
        work.columns["span_kind"] = patch(work.columns["span_kind"], dict.fromkeys(rows, str(Kind.OTHER)))
        work.columns["operation"] = patch(work.columns["operation"], dict.fromkeys(rows))


def _models(work: Work, converted: Converted) -> None:
    """Sort out keys that hold the model asked for or the one that answered, depending on the emitter.

    Where the request is known, it says what was asked for, and such a key that differs from it is the answer's. Where
    such a key is alone, a snapshot's name is the answer's (an alias may have been asked for), any other the request's.
    """
    c = work.columns
    none = pa.nulls(len(work.batch), pa.string())
    answered = valid(c["output_tokens"]) | valid(c["output_messages"])
    either = coalesce(c["either_model"], c["latest_model"])
    asked = converted.column("request_model")
    copied = _equal(c["request_model"], c["response_model"]) & valid(asked)  # the answer's name under the request's key
    c["request_model"] = pc.if_else(pa.array(copied), asked, c["request_model"])
    c["request_model"] = _without_prefix(c["request_model"], c["provider"], either, work.table)
    if either.null_count == len(either):
        return
    known = valid(c["request_model"])
    repeats = _equal(_without_prefix(either, c["provider"], none, work.table), c["request_model"])
    snapshot = truths(pc.match_substring_regex(either, SNAPSHOT))
    of_response = answered & np.where(known, ~repeats, snapshot) | _equal(either, c["response_model"])
    replied = pc.if_else(pa.array(of_response), either, none)
    alone = pc.if_else(pa.array(known | (of_response & snapshot)), none, either)
    c["request_model"] = coalesce(c["request_model"], _without_prefix(alone, c["provider"], none, work.table))
    c["response_model"] = coalesce(c["response_model"], replied)


def _equal(a: pa.Array, b: pa.Array) -> NDArray[np.bool_]:
    return truths(pc.equal(a, b))


def _without_prefix(models: pa.Array, provider: pa.Array, other: pa.Array, table: Dialects) -> pa.Array:
    """Drop a router's "<provider>/" where it repeats the provider the span names, or another key names the rest."""
    if models.null_count == len(models):
        return models
    number, distinct = codes(models)
    slashed = [i for i, m in enumerate(distinct) if "/" in m]
    if not slashed:
        return models
    rows = np.flatnonzero(np.isin(number, slashed)).tolist()
    bare = {}
    for row in rows:
        prefix, _, rest = distinct[number[row]].partition("/")
        if rest and (table.providers.canonical(prefix) == provider[row].as_py() or other[row].as_py() == rest):
            bare[row] = rest
    return patch(models, bare)


def _tokens(work: Work, converted: Converted) -> None:
    marks = [converted.mark(name) for name in (EXCLUDES_CACHE, EXCLUDES_REASONING, TOTAL_IS_ADDED_UP)]
    habit = work.scopes.begin_with(work.table.usage.exclusive_input_scopes)
    total = clear(work.columns["total_tokens"], habit | marks[2])  # a total that leaves the cached part out too
    work.columns |= inclusive({**work.columns, "total_tokens": total}, marks[0] | habit, marks[1])
    failed = truths(work.columns["error"])
    told = valid(work.columns["input_tokens"]) | valid(work.columns["output_tokens"])
    zero = failed | (told & work.is_kind(Kind.LLM, Kind.EMBEDDING))
    for name in TOKENS[:2]:
        zero &= figures(work.columns[name])[0] == 0
    for name in TOKENS:  # no call has neither input nor output: who reports 0 of both had no usage to report
        work.columns[name] = clear(work.columns[name], zero)
    nothing = failed & ~valid(work.columns["output_tokens"]) & ~valid(work.columns["output_messages"])
    if nothing.any():
        echo = nothing & _equal(work.columns["request_model"], work.columns["response_model"])
        work.columns["response_model"] = clear(work.columns["response_model"], echo)


def _scope_tool_columns(work: Work) -> None:
    """Keep a tool's name and call id on tool spans alone: some emitters put them on the model call."""
    not_tool = ~work.is_kind(Kind.TOOL)
    for name in TOOL_COLUMNS:
        work.columns[name] = clear(work.columns[name], not_tool)
    unnamed = work.is_kind(Kind.AGENT) & ~valid(work.columns["agent_name"])
    entity = clear(work.columns["entity_name"], ~unnamed)
    work.columns["agent_name"] = coalesce(work.columns["agent_name"], entity)


def _borrow(work: Work, twins: Sequence[tuple[int, tuple[int, ...]]]) -> None:
    """Give the counted span of a call what only another record of it says; the client library's tokens win."""
    if not twins:
        return
    native = work.scopes.begin_with(work.table.usage.native_scopes)
    lenders = Lenders.of(twins)
    for name in (*TOKENS, *BORROWED):
        column = work.columns[name]
        rows, givers = lenders.lent(valid(column), native if name in TOKENS else None)
        if len(rows):
            source = np.arange(len(column))
            source[rows] = givers
            work.columns[name] = borrow(column, source)


__all__ = ["canonical"]
