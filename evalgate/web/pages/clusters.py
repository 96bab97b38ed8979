"""/clusters: traffic grouped by what it did, what is new in it, and what nothing looks after."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, replace
from datetime import date, timedelta
from functools import partial
from itertools import count
from typing import TYPE_CHECKING, Final

from starlette.responses import RedirectResponse

from evalgate.align.specs import load_specs
from evalgate.cluster.behaviour import Scope
from evalgate.cluster.gaps import Covered, read_coverage
from evalgate.cluster.plan import draft
from evalgate.cluster.show import event_words
from evalgate.cluster.store import find_cluster, history, latest_run, list_clusters, members
from evalgate.database import sql
from evalgate.errors import BadInput
from evalgate.places import EVALUATORS
from evalgate.queue.definition import Queue
from evalgate.queue.store import list_queues
from evalgate.web.charts import Bar, Chart, histogram
from evalgate.web.errors import NotFound
from evalgate.web.filling import make_and_fill
from evalgate.web.filters import number
from evalgate.web.pages.definition import filled_page
from evalgate.web.site import Page, address
from evalgate.web.trace_lines import MOST_LINES, read_lines
from schema.identity import Scope as KeyScope

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from pathlib import Path
    from typing import Any

    from starlette.requests import Request
    from starlette.responses import Response

    from evalgate.cluster.gaps import Coverage
    from evalgate.cluster.plan import Plan
    from evalgate.cluster.store import Run, Stored
    from evalgate.database import TenantDatabase
    from evalgate.queue.fill import Filled
    from evalgate.web.site import Site
    from evalgate.web.trace_lines import TraceLine

SHOWN: Final = 100
SHOWN_TRACES: Final = 12
EACH: Final = 3
"""Representatives of a cluster in the list."""
DAY_US: Final = 86_400_000_000
MOST_DAYS: Final = 60
MAX_ID_DIGITS: Final = 10
MOST_WAITING: Final = 100
"""Items of a queue that is made of a cluster."""


@dataclass(frozen=True, slots=True)
class Listed:
    """What the list shows."""

    run: Run | None
    clusters: tuple[Stored, ...]
    gone: tuple[Stored, ...]
    """Clusters that the latest run saw no more."""
    standing: Mapping[int, tuple[str, ...]]
    """Traces that stand for a cluster."""
    coverage: Coverage | None


@dataclass(frozen=True, slots=True)
class Opened:
    """What the page of one cluster shows."""

    stored: Stored
    covered: Covered | None
    """None: the latest run saw it no more."""
    plan: Plan | None
    lines: tuple[TraceLine, ...]
    total: int
    earlier: int
    """Labelled traces from before the run's window that are like these; they count nowhere else."""
    standing: frozenset[str]
    events: tuple[str, ...]
    chart: Chart | None
    queue: Queue | None
    """The queue that is of this cluster."""


async def clusters(site: Site, request: Request) -> Response:
    """List the clusters of the latest run."""
    scope = Scope.ALL if request.query_params.get("scope") == str(Scope.ALL) else Scope.FAILING
    listed = await site.read(request, partial(_list, scope=scope, evaluators=site.folder(request) / EVALUATORS))
    lacks = {}
    if listed.coverage is not None:
        lacks = {c.stored.cluster.id: c for c in (*listed.coverage.gaps, *listed.coverage.covered)}
    values = {"listed": listed, "scope": str(scope), "of": lacks, "shown": SHOWN}
    return site.page(request, "clusters/list.html", values)


async def cluster(site: Site, request: Request) -> Response:
    """Show one cluster: its shape, who stands for it, where it came from, and an experiment."""
    cluster_id = _number(request.path_params["id"])
    most = MOST_LINES if request.query_params.get("traces") == "all" else SHOWN_TRACES
    evaluators = site.folder(request) / EVALUATORS
    opened = await site.read(request, partial(_open, cluster_id=cluster_id, most=most, evaluators=evaluators))
    values = {"opened": opened, "can_show_more": opened.total > most and most < MOST_LINES}
    return site.page(request, "clusters/cluster.html", values)


async def novel(site: Site, request: Request) -> Response:
    """List what is like no others."""
    scope = Scope.ALL if request.query_params.get("scope") == str(Scope.ALL) else Scope.FAILING
    run, lines, total = await site.read(request, partial(_novel, scope=scope))
    values = {"run": run, "lines": lines, "total": total, "scope": str(scope)}
    return site.page(request, "clusters/novel.html", values)


async def make_queue(site: Site, request: Request) -> Response:
    """Make a queue of a cluster and fill it; where there is one already, go there, and open it if it is closed."""
    cluster_id = _number(request.path_params["id"])
    actor = site.visitor(request).name

    def make(database: TenantDatabase) -> tuple[Queue, Filled | None]:
        traces = find_cluster(database, cluster_id).cluster.traces
        queues = list_queues(database)
        known = _queue_of(queues, cluster_id)
        if known is not None and known.is_open:
            return known, None
        names = {q.name for q in queues}
        name = next(n for n in _names(cluster_id) if n not in names)
        queue = known or Queue(name, clusters=(cluster_id,), size=max(1, min(traces, MOST_WAITING)))
        opened = replace(queue, is_open=True)
        return opened, make_and_fill(
            site.folder(request), database, opened, actor, reason=f"made of cluster {cluster_id}"
        )

    queue, filled = await site.write(request, make)
    if filled is None:
        return RedirectResponse(address(request, "queue", name=queue.name), 303)
    return filled_page(site, request, queue, filled)


def _list(database: TenantDatabase, *, scope: Scope, evaluators: Path) -> Listed:
    run = latest_run(database, scope)
    if run is None:
        return Listed(None, (), (), {}, None)
    found = list_clusters(database, scope)
    bound = {"scope": str(scope), "number": run.number, "each": EACH}
    standing: dict[int, tuple[str, ...]] = {}
    for row in database.rows(sql("evalgate.web", "representatives"), bound):
        own = int(row["cluster_id"])
        standing[own] = (*standing.get(own, ()), str(row["trace_id"]))
    return Listed(
        run,
        tuple(s for s in found if s.number == run.number)[:SHOWN],
        tuple(s for s in found if s.number < run.number)[:SHOWN],
        standing,
        read_coverage(database, scope, load_specs(evaluators)),
    )


def _open(database: TenantDatabase, *, cluster_id: int, most: int, evaluators: Path) -> Opened:
    try:
        stored = find_cluster(database, cluster_id)
    except BadInput as e:
        raise NotFound(str(e)) from None
    every = members(database, cluster_id, stored.number)
    rows = [r for r in every if r["in_window"]]
    coverage = read_coverage(database, stored.scope, load_specs(evaluators))
    covered = next((c for c in (*coverage.gaps, *coverage.covered) if c.stored.cluster.id == cluster_id), None)
    standing = [str(r["trace_id"]) for r in rows if r["representative"]]
    return Opened(
        stored=stored,
        covered=covered,
        plan=draft(covered, standing) if covered else None,
        lines=tuple(read_lines(database, [str(r["trace_id"]) for r in rows[:most]])),
        total=len(rows),
        earlier=len(every) - len(rows),
        standing=frozenset(standing),
        events=tuple(event_words(e) for e in history(database, cluster_id)),
        chart=_by_day(rows),
        queue=_queue_of(list_queues(database), cluster_id),
    )


def _novel(database: TenantDatabase, *, scope: Scope) -> tuple[Run | None, list[TraceLine], int]:
    run = latest_run(database, scope)
    if run is None:
        return None, [], 0
    rows = [r for r in members(database, 0, run.number) if r["in_window"]]
    return run, read_lines(database, [str(r["trace_id"]) for r in rows]), len(rows)


def _by_day(rows: Sequence[Mapping[str, Any]]) -> Chart | None:
    """Return how many of the traffic its traces stand for, each day; of the last days only, where there are many."""
    if not rows:
        return None
    weights: defaultdict[int, float] = defaultdict(float)
    for r in rows:
        weights[int(r["start_unix_us"]) // DAY_US] += float(r["sample_weight"]) or 1.0
    last = max(weights)
    first = max(min(weights), last - MOST_DAYS + 1)
    epoch = date(1970, 1, 1)
    bars = [
        Bar(f"{at.day} {at:%b}", weights.get(n, 0.0))
        for n in range(first, last + 1)
        for at in [epoch + timedelta(days=n)]
    ]
    return histogram("seen", "Traces by day, weighted", bars, number, "traces")


def _queue_of(queues: Sequence[Queue], cluster_id: int) -> Queue | None:
    """Return the queue of a cluster, rather an open one."""
    own = [q for q in queues if q.clusters == (cluster_id,)]
    return next((q for q in own if q.is_open), own[0] if own else None)


def _names(cluster_id: int) -> Iterator[str]:
    """Give names for a queue of a cluster: somebody may have called another queue so."""
    yield f"cluster-{cluster_id}"
    for n in count(2):
        yield f"cluster-{cluster_id}-{n}"


def _number(text: str) -> int:
    if not (text.isascii() and text.isdigit() and len(text) <= MAX_ID_DIGITS and 0 < int(text) < 2**32):
        raise NotFound(f"{text[:40]!r} is no cluster: they have numbers")
    return int(text)


PAGES = (
    Page("/clusters", clusters, "clusters"),
    Page("/clusters/novel", novel, "novel"),
    Page("/clusters/{id}", cluster, "cluster"),
    Page("/clusters/{id}/queue", make_queue, "cluster_queue", methods=("POST",), scope=KeyScope.REVIEW),
)
