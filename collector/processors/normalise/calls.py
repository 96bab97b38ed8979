"""Which span records which provider call: each call is counted once.

Works on row numbers and codes. Spans of one call in different batches are judged apart.
"""

from __future__ import annotations

from bisect import bisect_right
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from collector.processors.normalise.classify import KINDS
from collector.processors.normalise.columns import figures, truths, valid
from collector.processors.normalise.tree import Tree, depths, have_below, nearest_above, numbered
from schema.apart import numbers_apart
from schema.span import Kind

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    import pyarrow as pa
    from numpy.typing import NDArray

    from schema.batch import SpanBatch

CLIENT = 3
"""SpanKind on the wire: a call that leaves the process."""
NEIGHBOURS = 8
"""How many failed siblings are compared with each: instrumentations of one call end within microseconds."""


@dataclass(frozen=True, slots=True)
class Calls:
    """Which spans record the provider calls of a batch."""

    counted: NDArray[np.bool_]
    twins: Sequence[tuple[int, tuple[int, ...]]]
    """(counted row, other rows that record the same call, those to be trusted on tokens first)."""


@dataclass(frozen=True, slots=True)
class _Traits:
    """What is compared between records of one call, by row."""

    answered: NDArray[np.bool_]
    has_usage: NDArray[np.bool_]
    has_content: NDArray[np.bool_]
    details: NDArray[np.int64]
    native: NDArray[np.bool_]
    failed: NDArray[np.bool_]
    response_id: NDArray[np.int64]
    model: NDArray[np.int64]
    given: NDArray[np.int64]
    """Numbers of input messages; 0 for all where nobody asks which."""
    start: NDArray[np.uint64]
    end: NDArray[np.uint64]
    scope: NDArray[np.int64]
    input_tokens: NDArray[np.int64]
    output_tokens: NDArray[np.int64]
    """-1 where unknown."""


def find_calls(
    batch: SpanBatch,
    columns: dict[str, pa.Array],
    kind: NDArray[np.int64],
    tree: Tree,
    native: NDArray[np.bool_],
    *,
    compiled: bool = False,
) -> Calls:
    """Decide for every provider call which one span records it. `kind` is the index into KINDS of every span.

    Spans of one call are found by: the same response id, in the same trace or at the same time; a model span inside a
    model span; a record written when a stream ended, beside its request; two instrumentations failing side by side; a
    client library's own record inside an instrumentation's.
    """
    n = len(batch)
    itself = tree.first == np.arange(n)
    calling = _is(kind, Kind.LLM) | _is(kind, Kind.EMBEDDING)
    counted = calling & itself
    nodes = np.flatnonzero(counted)
    twins: list[tuple[int, tuple[int, ...]]] = []
    if len(nodes) > 1:
        traits = _traits(batch, columns, native, nodes, compiled=compiled)
        begins_anew = _is(kind, Kind.TOOL) | _is(kind, Kind.AGENT)
        above = nearest_above(nodes, counted | begins_anew, tree, compiled=compiled)
        above[(above >= 0) & ~counted[above]] = -1
        related = _related(nodes, above, tree, traits)
        rows = nodes[related]
        inside = dict(zip(rows.tolist(), above[related].tolist(), strict=True))
        rank = _ranks(rows, depths(rows, tree, compiled=compiled), traits)
        counted[rows] = False
        best: list[int] = []
        for group, is_counted in _groups(inside, tree, traits):
            if not is_counted:
                continue
            recording = min(group, key=rank.__getitem__)
            best.append(recording)
            if len(group) > 1:
                others = (r for r in group if r != recording)
                trusted = sorted(others, key=lambda r: (bool(traits.native[r]), r), reverse=True)
                twins.append((recording, tuple(trusted)))
        counted[best] = True
    remote = _remote_agents(batch, columns, _is(kind, Kind.AGENT) & itself)
    if remote.any():  # those below which no model call reports the usage
        counted |= remote & ~have_below(np.flatnonzero(calling), tree, compiled=compiled)
    return Calls(counted[tree.first] if n else counted, twins)


def _is(kind: NDArray[np.int64], wanted: Kind) -> NDArray[np.bool_]:
    return np.asarray(kind == KINDS.index(wanted), np.bool_)


def _related(nodes: NDArray[np.int64], above: NDArray[np.int64], tree: Tree, t: _Traits) -> NDArray[np.bool_]:
    """Return which nodes may have to do with another; every other is a call of its own, and most are.

    Both of two that `_groups` may join are in here: with one response id; one above the other; a request without an
    answer and what was asked of the same model in the same scope; siblings that failed; a client library's record and
    its siblings that asked for the same model.
    """
    related = above >= 0
    related |= np.isin(nodes, above[related])
    response = t.response_id[nodes]
    if (response >= 0).any():
        related |= (response >= 0) & (np.bincount(response + 1)[response + 1] > 1)
    requests = ~t.answered[nodes] & (t.given[nodes] >= 0)
    if requests.any():
        asked = t.model[nodes] * (int(t.scope.max()) + 1) + t.scope[nodes]
        related |= np.isin(asked, asked[requests])
    orphan = (response < 0) & (tree.siblings[nodes] >= 0)
    related |= t.failed[nodes] & orphan
    natives = t.native[nodes] & orphan
    if natives.any():
        family = tree.siblings[nodes] * (int(t.model.max()) + 2) + t.model[nodes]
        related |= np.isin(family, family[natives])
    return related


def _traits(
    batch: SpanBatch,
    columns: dict[str, pa.Array],
    native: NDArray[np.bool_],
    nodes: NDArray[np.int64],
    *,
    compiled: bool,
) -> _Traits:
    has = {
        name: valid(columns[name])
        for name in (
            "input_tokens",
            "output_tokens",
            "cache_read_tokens",
            "cache_write_tokens",
            "reasoning_tokens",
            "output_messages",
            "input_messages",
            "response_id",
        )
    }
    failed = truths(columns["error"])
    usage = has["input_tokens"] | has["output_tokens"]
    answered = usage | has["output_messages"] | has["response_id"] | failed

    def apart(number: NDArray[np.int64]) -> NDArray[np.int64]:
        return numbers_apart(number, batch.origin, batch.origins.tenant)

    given = np.where(has["input_messages"], 0, -1)
    if (~answered & has["input_messages"])[nodes].any():  # only then are big texts compared
        given = apart(numbered(columns["input_messages"], compiled=compiled))
    return _Traits(
        answered=answered,
        has_usage=usage,
        has_content=has["output_messages"] | has["input_messages"],
        details=np.asarray(sum(has[k].astype(np.int64) for k in list(has)[:5]), np.int64),
        native=native,
        failed=failed,
        response_id=apart(numbered(columns["response_id"], compiled=compiled)),
        model=numbered(columns["request_model"], compiled=compiled),
        given=given,
        start=batch.start_unix_ns,
        end=batch.end_unix_ns,
        scope=numbered(batch.scopes.name, compiled=compiled)[batch.scope]
        if len(batch.scopes.name)
        else np.zeros(len(batch), np.int64),
        input_tokens=np.where(has["input_tokens"], figures(columns["input_tokens"])[0], -1),
        output_tokens=np.where(has["output_tokens"], figures(columns["output_tokens"])[0], -1),
    )


def _ranks(rows: NDArray[np.int64], depth: NDArray[np.int64], t: _Traits) -> dict[int, int]:
    """Return how well these rows record their calls, 0 the best, by row; `depth` is that of each in its trace.

    Time tells equal records apart, since order of arrival is chance.
    """
    worse = (~t.has_usage, ~t.has_content, -t.details, ~t.failed, t.response_id < 0)
    best_last = (rows, t.start[rows], -depth, *(key[rows] for key in reversed(worse)))
    return {row: place for place, row in enumerate(rows[np.lexsort(best_last)].tolist())}


def _groups(inside: Mapping[int, int], tree: Tree, t: _Traits) -> Iterable[tuple[list[int], bool]]:
    """Yield (rows of one call, True) and (a wrapper's row, False).

    `inside` says of each row which other it lies in, -1 for none: a model call below a tool or an agent is no record of
    a model call above that.
    """
    nodes = list(inside)
    leader = {row: row for row in nodes}

    def find(row: int) -> int:
        while leader[row] != row:
            leader[row] = row = leader[leader[row]]  # halves the way: chains of calls would cost their square
        return row

    def join(a: int, b: int) -> None:
        leader[find(b)] = find(a)

    for a, b in _same_response(nodes, tree, t):
        join(a, b)
    inner: dict[int, list[int]] = {}
    for row, above in inside.items():
        if above >= 0 and find(above) != find(row):
            inner.setdefault(above, []).append(row)
    wrappers = set()
    for above, rows in inner.items():
        calls = {find(r) for r in rows}
        if len(calls) == 1:
            join(calls.pop(), above)
        else:
            wrappers.add(above)
    more = [*_late_records(nodes, tree, t), *_failing_side_by_side(nodes, tree, t)]
    groups: dict[int, list[int]] = {}
    for row in nodes:
        groups.setdefault(find(row), []).append(row)
    alone = [rows[0] for rows in groups.values() if len(rows) == 1]
    for a, b in [*more, *_native_records(alone, tree, t)]:
        join(a, b)
    groups = {}
    for row in nodes:
        groups.setdefault(find(row), []).append(row)
    for rows in groups.values():
        yield rows, not wrappers.issuperset(rows)


def _same_response(nodes: list[int], tree: Tree, t: _Traits) -> Iterable[tuple[int, int]]:
    """Yield pairs with one response id; over two traces they must overlap in time, since ids do collide."""
    by_id: dict[int, list[int]] = {}
    for row in nodes:
        if t.response_id[row] >= 0:
            by_id.setdefault(int(t.response_id[row]), []).append(row)
    for rows in by_id.values():
        of_trace: dict[int, int] = {}
        longest = -1  # of the rows so far, the one that ends last
        for row in sorted(rows, key=lambda r: (int(t.start[r]), r)) if len(rows) > 1 else ():
            known = of_trace.setdefault(int(tree.trace[row]), row)
            if known != row:
                yield known, row
            elif longest >= 0 and t.start[row] <= t.end[longest]:
                yield longest, row
            if longest < 0 or t.end[row] > t.end[longest]:
                longest = row


def _late_records(nodes: list[int], tree: Tree, t: _Traits) -> Iterable[tuple[int, int]]:
    """Yield (record, request) where a request without any answer is followed by a record of the very same request.

    The record stands beside its request, or both are roots, or it is the request's child.
    """
    requests = [r for r in nodes if not t.answered[r] and t.given[r] >= 0]
    if not requests:
        return
    records: dict[tuple[int, ...], list[int]] = {}
    for row in sorted((r for r in nodes if t.answered[r]), key=lambda r: int(t.start[r])):
        records.setdefault((*_asked(row, t), int(tree.siblings[row]), -1), []).append(row)
        records.setdefault((*_asked(row, t), -1, int(tree.parent[row])), []).append(row)
    taken: set[int] = set()
    for request in sorted(requests, key=lambda r: int(t.start[r])):
        asked = _asked(request, t)
        for place in ((*asked, int(tree.siblings[request]), -1), (*asked, -1, request)):
            candidates = records.get(place, [])
            while candidates and (t.start[candidates[0]] < t.start[request] or candidates[0] in taken):
                candidates.pop(0)  # requests come in order of time: an earlier record is of no later request
            if candidates:
                taken.add(candidates[0])
                yield candidates.pop(0), request
                break


def _asked(row: int, t: _Traits) -> tuple[int, int, int]:
    return int(t.given[row]), int(t.model[row]), int(t.scope[row])


def _failing_side_by_side(nodes: list[int], tree: Tree, t: _Traits) -> Iterable[tuple[int, int]]:
    """Yield pairs of siblings of two instrumentations that failed on one model at one time: no id can join them."""
    families: dict[tuple[int, int], list[int]] = {}
    for row in nodes:
        if t.failed[row] and t.response_id[row] < 0 and tree.siblings[row] >= 0:
            families.setdefault((int(tree.siblings[row]), int(t.model[row])), []).append(row)
    for rows in families.values():
        rows.sort(key=lambda r: int(t.start[r]))
        alone: list[int] = []  # calls made in parallel must not run together: each record has one partner
        for b in rows:
            near = (a for a in alone[-NEIGHBOURS:] if t.scope[a] != t.scope[b])
            partner = next((a for a in near if _within(a, b, t) or _within(b, a, t)), None)
            if partner is None:
                alone.append(b)
            else:
                alone.remove(partner)
                yield partner, b


def _native_records(nodes: list[int], tree: Tree, t: _Traits) -> Iterable[tuple[int, int]]:
    """Yield (instrumentation's, client library's) records of one call that no id joins.

    The library's lies within the other in time, has no response id, asks for the same model and says nothing else of
    tokens; they are siblings. Each has one partner, the tightest. Over two traces nothing is joined without an id:
    who sees one of them alone could not know.
    """
    natives = [r for r in nodes if t.native[r] and t.response_id[r] < 0 and tree.siblings[r] >= 0]
    if not natives:
        return
    others: dict[tuple[int, int], list[int]] = {}
    for row in sorted((r for r in nodes if not t.native[r]), key=lambda r: int(t.start[r])):
        others.setdefault((int(tree.siblings[row]), int(t.model[row])), []).append(row)
    taken: set[int] = set()
    for row in sorted(natives, key=lambda r: int(t.start[r])):
        beside = others.get((int(tree.siblings[row]), int(t.model[row])), [])
        before = bisect_right(beside, int(t.start[row]), key=lambda r: int(t.start[r]))
        near = (o for o in reversed(beside[max(0, before - NEIGHBOURS) : before]) if o not in taken)
        partner = next((o for o in near if _within(row, o, t) and _same_figures(row, o, t)), None)
        if partner is not None:
            taken.add(partner)
            yield partner, row


def _same_figures(a: int, b: int, t: _Traits) -> bool:
    return all(x[a] == x[b] or x[a] < 0 or x[b] < 0 for x in (t.input_tokens, t.output_tokens))


def _within(a: int, b: int, t: _Traits) -> bool:
    return bool(t.start[b] <= t.start[a] and t.end[a] <= t.end[b])


def _remote_agents(batch: SpanBatch, columns: dict[str, pa.Array], agents: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Return which of these agents run elsewhere (SpanKind CLIENT) and report usage."""
    told = valid(columns["input_tokens"]) | valid(columns["output_tokens"])
    return np.asarray(agents & (batch.kind == CLIENT) & told, np.bool_)
