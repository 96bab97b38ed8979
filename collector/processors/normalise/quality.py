"""What is wrong with the record itself, not with what it records: such traces make bad cases.

    truncated_content         content was cut: JSON that ends half-way, or a text over the limit
    withheld_content          a model call tells its usage or how it ended, and nothing of what was said
    tool_call_without_result  a model asked for a tool, the conversation went on, and no result was ever recorded
    disconnected_session      a model call of which nothing says which of the trace's sessions it belongs to
    parent_cycle              a span that is its own parent, or an ancestor of itself: no tree shows where it belongs

`missing_parent` is only known of a trace that is whole: settlement adds it.
"""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from collector.processors.normalise.columns import codes, valid
from schema.arrays import lists_of, truths
from schema.span import Kind

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from numpy.typing import NDArray

    from collector.processors.normalise.calls import Calls
    from collector.processors.normalise.converted import Converted
    from collector.processors.normalise.tree import Tree
    from schema.batch import SpanBatch

TRUNCATED: Final = "truncated_content"
WITHHELD: Final = "withheld_content"
NO_RESULT: Final = "tool_call_without_result"
DISCONNECTED: Final = "disconnected_session"
CYCLE: Final = "parent_cycle"
NAMES: Final = (TRUNCATED, WITHHELD, NO_RESULT, DISCONNECTED, CYCLE)

CALLED, REPEATED, ANSWERED = "calls_made", "calls_repeated", "calls_answered"
"""What converters note of a span: (id, name) of the tool calls of its answer; ids of calls in its input; of results."""

SAYING = ("input_messages", "output_messages", "system_instructions", "input_text", "output_text")


def tool_parts(found: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    """Yield what the messages of one span say of tool calls."""
    given, said = found.get("input_messages") or [], found.get("output_messages") or []
    made = [(p["id"], p.get("name")) for p in _parts(said, "tool_call")]
    repeated = [p["id"] for p in _parts(given, "tool_call")]
    answered = [p["id"] for p in _parts([*given, *said], "tool_call_response")]
    yield from ((name, ids) for name, ids in ((CALLED, made), (REPEATED, repeated), (ANSWERED, answered)) if ids)


def _parts(messages: Iterable[dict[str, Any]], kind: str) -> Iterator[dict[str, Any]]:
    parts = (p for m in messages for p in m.get("parts") or ())
    return (p for p in parts if p.get("type") == kind and isinstance(p.get("id"), str))


def is_truncated(messages: Any) -> bool:
    """Tell whether one of these messages was cut off."""
    return isinstance(messages, list) and any(isinstance(m, dict) and m.get("truncated") is True for m in messages)


def defect_lists(
    batch: SpanBatch,
    columns: Mapping[str, pa.Array],
    converted: Converted,
    tree: Tree,
    calls: Calls,
) -> pa.Array:
    """Return the list of defects of every span."""
    n = len(batch)
    masks = [
        converted.mark(TRUNCATED),
        _withheld(columns, calls, n),
        _unanswered(batch, columns, converted, tree, calls),
        _disconnected(columns, tree, calls),
        _in_cycle(batch, tree),
    ]
    return lists_of(NAMES, masks)[0]


def _is_llm(columns: Mapping[str, pa.Array]) -> NDArray[np.bool_]:
    return truths(pc.equal(columns["span_kind"], Kind.LLM.value))


def _withheld(columns: Mapping[str, pa.Array], calls: Calls, n: int) -> NDArray[np.bool_]:
    silent = np.ones(n, np.bool_)
    for name in SAYING:
        silent &= ~valid(columns[name])
    withheld = calls.counted & silent & _is_llm(columns)
    if not withheld.any():
        return withheld
    reasons = truths(pc.greater(pc.list_value_length(columns["finish_reasons"]), 0))
    withheld &= valid(columns["input_tokens"]) | valid(columns["output_tokens"]) | reasons
    for row, others in calls.twins:  # another record of the same call may say it
        withheld[row] &= all(silent[o] for o in others)
    return withheld


def _disconnected(columns: Mapping[str, pa.Array], tree: Tree, calls: Calls) -> NDArray[np.bool_]:
    known = valid(columns["session_id"])
    disconnected = calls.counted & ~known
    if not disconnected.any() or not known.any():
        return np.zeros(len(known), np.bool_)
    with_session = np.zeros(int(tree.trace.max()) + 1, np.bool_)
    with_session[tree.trace[known]] = True
    return disconnected & with_session[tree.trace] & _is_llm(columns)


def _in_cycle(batch: SpanBatch, tree: Tree) -> NDArray[np.bool_]:
    """Return which spans have themselves above them.

    Twice as far up in each round, all others come to an end in as many rounds as their depth has bits.
    """
    found = np.asarray((batch.span_id == batch.parent_span_id).all(axis=1), np.bool_)
    found &= batch.parent_span_id.any(axis=1)
    above = tree.parent
    for _ in range(len(above).bit_length()):
        if not (above >= 0).any():
            return found
        above = np.where(above >= 0, above[above], -1)
    for row in np.unique(above[above >= 0]).tolist():  # each of them is in a cycle: whoever goes up long enough is
        at = row
        while not found[at]:
            found[at] = True
            at = int(tree.parent[at])
    return found


def _unanswered(
    batch: SpanBatch,
    columns: Mapping[str, pa.Array],
    converted: Converted,
    tree: Tree,
    calls: Calls,
) -> NDArray[np.bool_]:
    """Return which calls asked for a tool of which nothing came back although the conversation went on.

    It went on when a later call repeats the request in its input, or follows under the same parent. The last word of a
    trace may be a tool call: a structured answer is one.
    """
    found = np.zeros(len(batch), np.bool_)
    made = {row: ids for row, ids in converted.calls.get(CALLED, {}).items() if calls.counted[row]}
    if not made:
        return found
    answered = _of_traces(converted.calls.get(ANSWERED, {}), tree)
    repeated = _of_traces(converted.calls.get(REPEATED, {}), tree)
    ran = _tools(columns, tree)
    following = _last_starts(batch, columns, tree, calls)
    for row, ids in made.items():
        trace = int(tree.trace[row])
        followed = following.get(int(tree.siblings[row]), 0) >= int(batch.end_unix_ns[row])
        done = answered[trace] | ran[trace]
        found[row] = any(
            id_ not in done and name not in done and (followed or id_ in repeated[trace]) for id_, name in ids
        )
    return found


def _of_traces(ids_of_row: Mapping[int, Iterable[str]], tree: Tree) -> defaultdict[int, set[str]]:
    of_trace: defaultdict[int, set[str]] = defaultdict(set)
    for row, ids in ids_of_row.items():
        of_trace[int(tree.trace[row])].update(ids)
    return of_trace


def _tools(columns: Mapping[str, pa.Array], tree: Tree) -> defaultdict[int, set[str]]:
    """Return by trace the call ids of the tools that ran, and the names of those that tell no id."""
    of_trace: defaultdict[int, set[str]] = defaultdict(set)
    kind, kinds = codes(columns["span_kind"])
    for row in np.flatnonzero(np.isin(kind, [i for i, k in enumerate(kinds) if k == Kind.TOOL])).tolist():
        told = columns["tool_call_id"][row].as_py() or columns["tool_name"][row].as_py()
        of_trace[int(tree.trace[row])].update([told] if told else [])
    return of_trace


def _last_starts(batch: SpanBatch, columns: Mapping[str, pa.Array], tree: Tree, calls: Calls) -> Mapping[int, int]:
    """Return for each family of siblings when its last model call began."""
    starts: dict[int, int] = {}
    for row in np.flatnonzero(calls.counted & _is_llm(columns) & (tree.siblings >= 0)).tolist():
        family = int(tree.siblings[row])
        starts[family] = max(starts.get(family, 0), int(batch.start_unix_ns[row]))
    return starts
