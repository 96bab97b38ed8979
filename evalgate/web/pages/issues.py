"""/issues: what goes wrong, what came back first; one issue with everything that is known of it."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import partial
from typing import TYPE_CHECKING, Final

from starlette.responses import RedirectResponse

from evalgate.database import sql
from evalgate.errors import BadInput
from evalgate.evals.issue_views import coverage_of_views, issue_views
from evalgate.issues.evidence import absence
from evalgate.issues.lifecycle import BY_HAND, COMMANDS, WITH_REASON
from evalgate.issues.modes import merge_issues, split_issue
from evalgate.issues.moves import merged_into, move
from evalgate.issues.occurrences import Affected
from evalgate.queue.blind import read_blind
from evalgate.select.traces import resolve_trace
from evalgate.web.charts import Bar, histogram, sparkline
from evalgate.web.errors import NotFound
from evalgate.web.filters import number as shown_number
from evalgate.web.pages.modes import number_of
from evalgate.web.site import Page, address
from evalgate.web.trace_lines import MOST_LINES, read_lines
from schema.case import case_id_of
from schema.identity import Scope
from schema.issue import IssueStatus
from schema.verdict import Severity

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from markupsafe import Markup
    from starlette.datastructures import FormData
    from starlette.requests import Request
    from starlette.responses import Response

    from evalgate.database import TenantDatabase
    from evalgate.evals.issue_views import IssueView
    from evalgate.issues.evidence import Absence
    from evalgate.issues.occurrences import Day
    from evalgate.web.charts import Chart
    from evalgate.web.site import Site
    from evalgate.web.trace_lines import TraceLine

SPARK_DAYS: Final = 14
SHOWN_TRACES: Final = 12
SHOWN_RUNS: Final = 12
MOST_AT_ONCE: Final = 200
WEIGHTED: Final = (
    "Each trace counts for those it stands for; one that is no part of the sample counts for nothing here."
)
EVERY: Final = "all"
OPEN: Final = "active"
SORTS: Final = {"": "what needs attention", "severity": "severity", "latest": "last seen", "count": "traces"}
SEVERITIES: Final = tuple(Severity)


@dataclass(frozen=True, slots=True)
class Row:
    """An issue as a line."""

    number: int
    mode: str
    status: IssueStatus
    severity: Severity | None
    is_rising: bool
    total: int
    first_seen: datetime | None
    last_seen: datetime | None
    evaluators: tuple[tuple[str, str], ...]
    """Id, and what it may do."""
    next: str | None
    spark: Markup


@dataclass(frozen=True, slots=True)
class Opened:
    """What the page of one issue shows."""

    view: IssueView
    views: list[IssueView]
    lines: list[TraceLine]
    more: int
    """Traces that are not shown."""
    hidden: int
    """Traces that show it and of which the visitor may know nothing yet."""
    cases: tuple[tuple[str, str | None], ...]
    """(id, trace id where it has one), without those of traces of which the visitor may know nothing yet."""
    absence: Absence | None
    """What speaks for its being gone; None: nobody says that it is."""


async def issues(site: Site, request: Request) -> Response:
    """List the issues."""
    state = request.query_params.get("state", OPEN)
    sort = request.query_params.get("sort", "")
    views = await site.read(request, partial(_views, site=site, request=request))
    shown = [v for v in views if _fits(v, state)]
    if sort in _KEYS:
        shown.sort(key=_KEYS[sort])
    states = Counter(v.issue.status for v in views)
    values = {
        "views": [row_of(v) for v in shown],
        "total": len(views),
        "state": state,
        "states": [
            (OPEN, OPEN, sum(v.issue.is_active for v in views)),
            *((str(s), str(s), states[s]) for s in IssueStatus if states[s]),
            (EVERY, EVERY, len(views)),
        ],
        "sort": sort,
        "sorts": SORTS,
        "coverage": coverage_of_views(views) if views else None,
        "counts": {str(s): states[s] for s in IssueStatus},
        "rising": sum(v.occurrences.is_rising for v in views if v.issue.is_active),
    }
    return site.page(request, "issues/list.html", values)


async def issue(site: Site, request: Request) -> Response:
    """Show one issue."""
    number = _number(request)
    most = MOST_LINES if request.query_params.get("traces") == EVERY else SHOWN_TRACES
    opened = await site.read(request, partial(_open, number=number, most=most, site=site, request=request))
    if isinstance(opened, tuple):
        into, mode = opened
        return site.page(request, "issues/merged.html", {"number": number, "into": into, "mode": mode})
    view, views, more = opened.view, opened.views, opened.more
    seen = view.occurrences
    met = seen.affected or Affected()
    values = {
        "v": row_of(view),
        "chart": by_day("seen", "Labelled traces by the day they began, weighted", seen.days, "traces"),
        "machine_chart": by_day("judged", "What its evaluators failed in production, weighted", seen.machine, "traces")
        if seen.machine
        else None,
        "lines": opened.lines,
        "absence": opened.absence,
        "more": more,
        "hidden": opened.hidden,
        "can_show_more": bool(more) and most < MOST_LINES,
        "evaluators": view.evaluators,
        "gate": view.gate_history[:SHOWN_RUNS],
        "cases": opened.cases,
        "transitions": view.transitions[::-1],
        "lineage": view.lineage,
        "words": view.words,
        "users": _met(met.users, met.without_user, "names none", "name none"),
        "sessions": _met(met.sessions, met.without_session, "is of none", "are of none"),
        "machine": seen.machine_total,
        "moves": moves_of(view.issue.status),
        "others": [row_of(v) for v in views if v.issue.id != number],
    }
    return site.page(request, "issues/issue.html", values)


async def bulk(site: Site, request: Request) -> Response:
    """Move several issues; those that cannot be moved so stay, and are named."""
    form = await site.form(request)
    numbers = [number_of(str(n)) for n in form.getlist("issue")][:MOST_AT_ONCE]
    if not numbers:
        raise BadInput("choose the issues first")
    to, reason, actor = _status(form), _reason(form), site.visitor(request).name

    def work(database: TenantDatabase) -> None:
        refused = []
        for number in dict.fromkeys(numbers):
            try:
                move(database, number, to, actor=actor, reason=reason)
            except BadInput as e:
                refused.append(str(e))
        if refused:
            done = len(set(numbers)) - len(refused)
            raise BadInput(f"{done} moved, {len(refused)} not: {'; '.join(refused[:3])}")

    await site.write(request, work)
    return RedirectResponse(address(request, "issues"), 303)


async def move_one(site: Site, request: Request) -> Response:
    """Move one issue."""
    form = await site.form(request)
    number, to, reason, actor = _number(request), _status(form), _reason(form), site.visitor(request).name
    await site.write(request, lambda database: move(database, number, to, actor=actor, reason=reason))
    return RedirectResponse(address(request, "issue", number=number), 303)


async def merge(site: Site, request: Request) -> Response:
    """Let its labels belong to another issue."""
    form = await site.form(request)
    number, into = _number(request), number_of(str(form.get("into", "")))
    reason, actor = _reason(form), site.visitor(request).name
    if number == into:
        raise BadInput("choose another issue to merge it into")
    await site.write(request, lambda database: merge_issues(database, number, into, actor=actor, reason=reason))
    return RedirectResponse(address(request, "issue", number=into), 303)


async def split(site: Site, request: Request) -> Response:
    """Let the labels of some of its traces belong to another failure mode."""
    form = await site.form(request)
    number, into = _number(request), str(form.get("into", ""))
    traces = [str(t) for t in form.getlist("trace")]
    reason, actor = _reason(form), site.visitor(request).name
    if not traces:
        raise BadInput("choose the traces to split off")

    def work(database: TenantDatabase) -> None:
        blind = read_blind(database, actor)
        for trace_id in (resolve_trace(database, t) for t in dict.fromkeys(traces)):
            if blind.hides(trace_id):
                raise BadInput(
                    f"several people label trace {trace_id[:16]}, and not all are through: split it off then"
                )
        split_issue(database, number, traces, into, actor=actor, reason=reason)

    await site.write(request, work)
    return RedirectResponse(address(request, "issue", number=number), 303)


def row_of(view: IssueView) -> Row:
    """Return an issue as a line."""
    known = view.issue
    days = view.occurrences.days[-SPARK_DAYS:]
    counts = [float(d.count) for d in days]
    told = f"{sum(d.count for d in days)} labelled traces began in {len(days)} days, {days[-1].count} of them today"
    return Row(
        number=known.id,
        mode=known.failure_mode,
        status=known.status,
        severity=known.severity,
        is_rising=view.occurrences.is_rising,
        total=view.occurrences.total,
        first_seen=_moment(known.first_seen),
        last_seen=_moment(known.last_seen),
        evaluators=tuple((t.spec.id, f"may {t.grant.permission}") for t in view.evaluators),
        next=view.next,
        spark=sparkline(counts, told),
    )


def by_day(ident: str, title: str, days: Sequence[Day], noun: str) -> Chart:
    """Return a histogram of days with what was to be expected."""
    bars = [Bar(_label(d.date), d.weighted, d.expected_low, d.expected_high, is_above=d.is_above) for d in days]
    return replace(histogram(ident, title, bars, _tenth, noun), note=WEIGHTED)


def moves_of(status: IssueStatus) -> list[tuple[str, str, bool]]:
    """Return what people may do: the state, the word, and whether a reason is needed; what goes on first."""
    return [(str(to), COMMANDS[to].capitalize(), to in WITH_REASON) for to in IssueStatus if to in BY_HAND[status]]


def _views(
    database: TenantDatabase, *, site: Site, request: Request, affected_of: int | None = None
) -> list[IssueView]:
    return issue_views(database, site.folder(request), shelf=site.runs(request), affected_of=affected_of)


def _open(
    database: TenantDatabase, *, number: int, most: int, site: Site, request: Request
) -> Opened | tuple[int, str]:
    """Read an issue; of a merged one (number, failure mode) of the one that it belongs to now."""
    views = _views(database, site=site, request=request, affected_of=number)
    view = next((v for v in views if v.issue.id == number), None)
    if view is None:
        if merged := merged_into(database, number):
            return merged
        raise NotFound(f"there is no issue {number}")
    blind = read_blind(database, site.visitor(request).name)
    found = database.rows(sql("evalgate.web", "issue_traces"), {"failure_mode": view.issue.failure_mode})
    rows = [r for r in found if not blind.hides(r["trace_id"])]
    hidden = {c.case_id for c in view.cases if blind.hides(c.provenance.trace_id)}
    hidden |= {case_id_of(trace_id, "") for trace_id in blind.traces}
    made_of = {c.case_id: c.provenance.trace_id for c in view.cases}
    cases = tuple((c, made_of.get(c)) for c in view.issue.cases if c not in hidden)
    lines = read_lines(database, [str(r["trace_id"]) for r in rows[:most]])
    gone = absence(database, view.issue) if view.issue.is_over else None
    return Opened(view, views, lines, max(0, len(rows) - most), len(found) - len(rows), cases, gone)


def _fits(view: IssueView, state: str) -> bool:
    if state == OPEN:
        return view.issue.is_active
    return state in (EVERY, view.issue.status)


def _severity(view: IssueView) -> int:
    return -1 - SEVERITIES.index(view.issue.severity) if view.issue.severity else 0


_KEYS: Final[dict[str, Callable[[IssueView], tuple[float, ...]]]] = {
    "severity": lambda v: (_severity(v), -v.occurrences.total),
    "latest": lambda v: (-at.timestamp() if (at := _moment(v.issue.last_seen)) else 0.0, -v.occurrences.total),
    "count": lambda v: (-v.occurrences.total, v.issue.id),
}


def _met(known: int, without: int, one: str, several: str) -> str:
    if not without:
        return str(known)
    return f"{known}; {without} trace{'' if without == 1 else 's'} {one if without == 1 else several}"


def _number(request: Request) -> int:
    try:
        return number_of(request.path_params["number"])
    except BadInput as e:
        raise NotFound(f"{e}: issues have numbers") from None


def _status(form: FormData) -> IssueStatus:
    said = str(form.get("to", ""))
    if said not in {str(s) for s in COMMANDS}:
        raise BadInput(f"an issue cannot be made {said[:40]!r} by hand")
    return IssueStatus(said)


def _reason(form: FormData) -> str:
    return str(form.get("reason", "")).strip()


def _moment(text: str | None) -> datetime | None:
    return None if text is None else datetime.fromisoformat(text).astimezone(UTC)


def _label(day: str) -> str:
    at = datetime.fromisoformat(day)
    return f"{at.day} {at:%b}"


def _tenth(value: float) -> str:
    """Return a weighted count: whole where it is."""
    return shown_number(value, 0 if value == round(value) or value >= 20 else 1)


PAGES = (
    Page("/issues", issues, "issues"),
    Page("/issues/bulk", bulk, "issues_bulk", methods=("POST",), scope=Scope.REVIEW),
    Page("/issues/{number}", issue, "issue"),
    Page("/issues/{number}/move", move_one, "issue_move", methods=("POST",), scope=Scope.REVIEW),
    Page("/issues/{number}/merge", merge, "issue_merge", methods=("POST",), scope=Scope.REVIEW),
    Page("/issues/{number}/split", split, "issue_split", methods=("POST",), scope=Scope.REVIEW),
)
