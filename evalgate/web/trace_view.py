"""What the page of a trace shows, read in one go."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from evalgate.cluster.match import NOISE
from evalgate.cluster.store import find_cluster
from evalgate.database import sql
from evalgate.errors import BadInput
from evalgate.queue.blind import read_blind
from evalgate.queue.store import list_queues
from evalgate.review.cases import list_cases
from evalgate.review.numbers import issue_numbers
from evalgate.select.traces import load_trace
from evalgate.web.calls import read_calls
from evalgate.web.content import content_of
from evalgate.web.waterfall import waterfall
from schema.case import case_id_of

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from evalgate.database import TenantDatabase
    from evalgate.review.cases import CaseRow
    from evalgate.web.calls import Calls
    from evalgate.web.content import Content
    from evalgate.web.waterfall import Waterfall

MAX_SPANS: Final = 300
"""Rows of the waterfall before one asks for all."""
MOST_SPANS: Final = 10_000
"""Rows of it when one does: a browser lays them out in a second or two."""


@dataclass(frozen=True, slots=True)
class InCluster:
    """A cluster that holds the trace."""

    scope: str
    cluster_id: int
    name: str


@dataclass(frozen=True, slots=True)
class TraceView:
    """Everything of the page of a trace."""

    content: Content
    drawn: Waterfall
    calls: Calls
    cases: tuple[CaseRow, ...]
    issues: Mapping[str, int]
    """The number of each failure mode that a visible label names."""
    clusters: tuple[InCluster, ...]
    queues: tuple[str, ...]
    """Open queues that hold it."""


def read_view(
    database: TenantDatabase, trace_id: str, viewer: str, *, all_spans: bool = False, is_whole: bool = False
) -> TraceView:
    """Read a trace by its whole id, as this visitor may see it.

    Raises:
        BadInput: there is no such trace.

    """
    trace = load_trace(database, trace_id)
    blind = read_blind(database, viewer, [trace_id] if trace.labels else [])
    content = content_of(trace, blind, is_whole=is_whole)
    cases = list_cases(database, ids=sorted({case_id_of(trace_id, row["span_id"]) for row in trace.labels}))
    numbers = issue_numbers(database)
    modes = {label.failure_mode for label in content.labels if label.failure_mode}
    return TraceView(
        content=content,
        drawn=waterfall(trace.spans, MOST_SPANS if all_spans else MAX_SPANS),
        calls=read_calls(database, trace_id, trace.spans),
        cases=() if blind.hides(trace_id) else tuple(cases),
        issues={mode: numbers[mode] for mode in sorted(modes) if mode in numbers},
        clusters=tuple(_clusters(database, trace_id)),
        queues=_queues(database, trace_id),
    )


def _queues(database: TenantDatabase, trace_id: str) -> tuple[str, ...]:
    holding = {str(row["queue"]) for row in database.rows(sql(__package__, "queues_of"), {"trace_id": trace_id})}
    return tuple(q.name for q in list_queues(database) if q.is_open and q.name in holding) if holding else ()


def _clusters(database: TenantDatabase, trace_id: str) -> Iterator[InCluster]:
    for row in database.rows(sql(__package__, "cluster_of"), {"trace_id": trace_id}):
        number = int(row["cluster_id"])
        if number == NOISE:
            yield InCluster(row["scope"], NOISE, "")
            continue
        try:
            yield InCluster(row["scope"], number, find_cluster(database, number).cluster.name)
        except BadInput:
            continue  # its run did not count
