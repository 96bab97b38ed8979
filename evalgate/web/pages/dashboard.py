"""/: how it goes, what people got done, and what to do next."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import partial
from typing import TYPE_CHECKING, Final

from starlette.responses import RedirectResponse

from evalgate.database import sql
from evalgate.evals.issue_views import coverage_of_views, issue_views
from evalgate.figures import percent
from evalgate.queue.progress import progress
from evalgate.queue.store import list_queues
from evalgate.queue.yields import measure_yield
from evalgate.review.guidance import guidance, read_counts
from evalgate.terminal import count_of
from evalgate.web.charts import Bar, Chart, Line, Point, Segment, histogram, lines, segments, stacked
from evalgate.web.filters import duration, money, number
from evalgate.web.next_step import Known, next_step
from evalgate.web.remembered import Remembered
from evalgate.web.site import Page
from evalgate.web.traffic import BY, DAYS, read_reviewed, read_traffic, window_of
from schema.errors import EvalgateError
from schema.issue import IssueStatus

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from starlette.requests import Request
    from starlette.responses import Response

    from evalgate.align.coverage import Coverage
    from evalgate.database import TenantDatabase
    from evalgate.evals.issue_views import IssueView
    from evalgate.queue.definition import Queue
    from evalgate.queue.progress import Progress
    from evalgate.queue.yields import Yield
    from evalgate.review.guidance import Counts, Guidance
    from evalgate.run_files import RunShelf
    from evalgate.web.site import Site
    from evalgate.web.traffic import Day, Reviewed, Traffic

DEFAULT_DAYS: Final = 14
MOST_QUEUES: Final = 20
MOST_SIGNALS: Final = 6
NO_POINT: Final = "A day with too few sessions that fail has an interval and no point."
TOO_SLOW: Final = frozenset({159, 160})
"""TIMEOUT_EXCEEDED and TOO_SLOW of ClickHouse `src/Common/ErrorCodes.cpp`."""
WORK_KEPT_S: Final = 5.0
"""Short: who moved an issue wants to see it."""
BY_NAMES: Final = {"feature": "feature", "service_name": "service", "release": "release"}


@dataclass(frozen=True, slots=True)
class Work:
    """What people do about it: issues and queues."""

    issues: Sequence[IssueView]
    queues: Sequence[tuple[Queue, Progress]]
    """Open ones."""
    found: Yield | None
    """None: there is no queue."""


@dataclass(frozen=True, slots=True)
class Seen:
    """What the database says."""

    work: Work

    traffic: Traffic | None
    reviewed: Reviewed
    counts: Counts
    is_new: bool
    """Nothing ever came."""
    is_too_slow: bool = False
    """The figures of traffic took longer than a statement may."""


async def dashboard(site: Site, request: Request) -> Response:
    """Show the figures of a window; without any trace, what is waited for."""
    days = _days(request)
    by = request.query_params.get("by", "")
    by = by if by in BY else BY[0]
    now = datetime.now(UTC)
    state = request.app.state
    if not hasattr(state, "dashboard"):
        state.dashboard = _Kept(Remembered(), Remembered(kept_s=WORK_KEPT_S))
    project = _Project(site.folder(request), site.runs(request))
    seen = await site.read(request, partial(_read, known=state.dashboard, project=project, now=now, days=days, by=by))
    if seen.is_new and "waiting" in request.app.state.paths:
        return RedirectResponse(request.app.state.paths["waiting"], 303)
    guided = guidance(seen.counts)
    flagged = round(seen.traffic.flagged) if seen.traffic else 0
    coverage = coverage_of_views(seen.work.issues)
    step = next_step(_known(seen, coverage, guided, flagged))
    values = {
        "days": days,
        "all_days": DAYS,
        "by": by,
        "all_by": BY_NAMES,
        "traffic": seen.traffic,
        "is_too_slow": seen.is_too_slow,
        "charts": _charts(seen.traffic) if seen.traffic else (),
        "funnel": _funnel(seen.traffic, seen.reviewed) if seen.traffic else None,
        "guided": guided,
        "week": _week(guided),
        "step": step if step.page in request.app.state.paths else None,
        "coverage": coverage,
        "covered": _covered(coverage),
        "rising": [v for v in seen.work.issues if v.issue.is_active and v.occurrences.is_rising],
        "queues": seen.work.queues,
        "found": seen.work.found,
        "signals": [s for s in seen.work.found.signals if s.of.reviewed][:MOST_SIGNALS] if seen.work.found else (),
    }
    return site.page(request, "dashboard/dashboard.html", values)


@dataclass(frozen=True, slots=True)
class _Kept:
    """What was read a moment ago, by tenant."""

    traffic: Remembered[Traffic | None]
    work: Remembered[Work]


@dataclass(frozen=True, slots=True)
class _Project:
    """The files of the visitor's project."""

    folder: Path
    runs: RunShelf


def _read(database: TenantDatabase, *, known: _Kept, project: _Project, now: datetime, days: int, by: str) -> Seen:
    is_too_slow = False
    try:
        traffic = known.traffic.get((database.tenant, days, by), lambda: read_traffic(database, now, days, by))
        if traffic is None:  # a first trace is seen at once
            traffic = read_traffic(database, now, days, by)
    except EvalgateError as e:
        if (getattr(e, "code", None) or getattr(e.__cause__, "code", None)) not in TOO_SLOW:
            raise
        traffic, is_too_slow = None, True
    is_new = traffic is None and not database.rows(sql("evalgate.select", "hours"))
    reviewed = read_reviewed(database, window_of(now, days))
    work = known.work.get(database.tenant, lambda: _work(database, project))
    return Seen(work, traffic, reviewed, read_counts(database, now), is_new, is_too_slow)


def _work(database: TenantDatabase, project: _Project) -> Work:
    queues = [q for q in list_queues(database) if q.is_open]
    return Work(
        issue_views(database, project.folder, shelf=project.runs),
        [(q, progress(database, q)) for q in queues[:MOST_QUEUES]],
        measure_yield(database) if queues else None,
    )


def _known(seen: Seen, coverage: Coverage, guided: Guidance, flagged: int) -> Known:
    views = seen.work.issues
    of = {s: [(v.issue.id, v.issue.failure_mode) for v in views if v.issue.status is s] for s in IssueStatus}
    gap = coverage.gaps[0] if coverage.gaps else None
    return Known(
        reopened=of[IssueStatus.REOPENED],
        rising=[(v.issue.id, v.issue.failure_mode) for v in views if v.issue.is_active and v.occurrences.is_rising],
        new=of[IssueStatus.NEW],
        disputed={q.name: p.disputed for q, p in seen.work.queues if p.disputed},
        gap=(gap.standing.issue.id, gap.standing.issue.failure_mode, gap.todo) if gap else None,
        guidance=guided.sentences[0],
        flagged=flagged,
        labelled=seen.reviewed.labelled,
    )


def _covered(coverage: Coverage) -> Chart:
    parts = [Segment("covered", len(coverage.covered), "covered"), Segment("not yet", len(coverage.gaps), "waiting")]
    return segments("coverage", "Active issues with a trusted evaluator", parts, number)


def _days(request: Request) -> int:
    asked = request.query_params.get("days", "")
    return int(asked) if asked.isascii() and asked.isdigit() and int(asked) in DAYS else DEFAULT_DAYS


def _charts(traffic: Traffic) -> tuple[Chart, ...]:
    of = traffic.days
    rate = [Point(d.label, d.failing.rate, d.failing.low, d.failing.high) if d.traces else Point(d.label, None)
            for d in of]  # fmt: skip
    seconds = lambda value: duration(1000 * value)  # noqa: E731 - a format of one chart
    failing = lines("failing", "Failure rate by day", [Line("failing", tuple(rate))], percent, whole=1.0)
    if any(d.traces and d.failing.rate is None for d in of):
        failing = replace(failing, note=NO_POINT)
    found = [
        failing,
        histogram("traces", "Traces by day", [Bar(d.label, d.traces) for d in of], number, "traces"),
        histogram("cost", "Cost by day", [Bar(d.label, d.cost_usd or 0.0) for d in of], money, "US dollars"),
        lines("latency", "Duration of a trace", _two(of, "p50_ms", "p95_ms"), duration),
        lines("first-chunk", "Time to the first chunk of an answer", _two(of, "first_p50_s", "first_p95_s"), seconds),
        stacked(
            "tokens",
            "Tokens by day",
            [d.label for d in of],
            [("input", [d.input_tokens for d in of]), ("output", [d.output_tokens for d in of])],
            short,
        ),
    ]
    return tuple(found)


def _two(days: tuple[Day, ...], half: str, most: str) -> list[Line]:
    names = (("half of them within", half), ("95 % within", most))
    return [Line(name, tuple(Point(d.label, getattr(d, column)) for d in days)) for name, column in names]


def _funnel(traffic: Traffic, reviewed: Reviewed) -> tuple[tuple[str, str, float], ...]:
    """Return the steps from traffic to datasets: name, count, and which part of the traffic that is."""
    steps = (
        ("received", traffic.traces),
        ("stored", traffic.stored),
        ("flagged", traffic.flagged),
        ("reviewed", float(reviewed.labelled)),
        ("promoted cases", float(reviewed.promoted)),
    )
    whole = max(traffic.traces, 1.0)
    about = "" if traffic.is_exact else "about "
    return tuple(
        (name, f"{about if n < 3 else ''}{number(value)}", min(100 * value / whole, 100.0))
        for n, (name, value) in enumerate(steps)
    )


def _week(guided: Guidance) -> Chart:
    week = guided.week
    left = max(0, week.enough - week.done)
    parts = [Segment("reviewed this week", week.done, "done"), Segment("to go", left, "waiting")]
    return segments("week", f"{count_of(week.done, 'trace')} this week; {week.enough} are enough", parts, number)


def short(value: float) -> str:
    """Return 950, 12 k, 3.4 M."""
    for size, unit in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if value >= size:
            scaled = value / size
            return f"{scaled:.1f} {unit}" if scaled < 9.95 else f"{scaled:.0f} {unit}"
    return f"{value:.0f}"


PAGES = (Page("/", dashboard, "dashboard"),)
