"""/datasets: what releases are gated with; its versions and what they changed; what waits in quarantine."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import partial
from typing import TYPE_CHECKING, Final

from starlette.responses import RedirectResponse

from evalgate.dataset.promote import how
from evalgate.dataset.quarantine import promote_drafts, quarantine_path, read_drafts
from evalgate.dataset.store import DATASETS, check_name, list_names
from evalgate.dataset.versions import NOW, compare, list_datasets, version_cases, versions
from evalgate.errors import BadInput
from evalgate.queue.blind import read_blind
from evalgate.review.cases import CaseEvent, CaseStatus, by_id, list_cases, record
from evalgate.review.disputes import DECIDE, disputed_items, item_of
from evalgate.review.promotion import check_promotion, is_own
from evalgate.web import forms
from evalgate.web.errors import NotFound
from evalgate.web.site import Page, address
from schema.draft import Approval
from schema.identity import Scope

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from starlette.datastructures import FormData
    from starlette.requests import Request
    from starlette.responses import Response

    from evalgate.database import TenantDatabase
    from evalgate.dataset.versions import Compared, DatasetVersion
    from evalgate.queue.blind import Blind
    from evalgate.review.cases import CaseRow
    from evalgate.web.site import Site
    from schema.case import Case

PER_PAGE: Final = 50
MOST_WAITING: Final = 100
MOST_CHANGES: Final = 100
TEXT_CHARS: Final = 4000


@dataclass(frozen=True, slots=True)
class Waiting:
    """A case in quarantine, as the page shows it."""

    case: Case
    is_own: bool
    """The visitor had it drafted: somebody else has to look."""
    made_by: str
    how: str
    is_disputed: bool = False
    """Reviewers differ about it: somebody has to decide."""


@dataclass(frozen=True, slots=True)
class Opened:
    """One dataset at one version."""

    version: DatasetVersion
    cases: tuple[Case, ...]
    versions: tuple[DatasetVersion, ...]
    drafts: tuple[Case, ...]

    @property
    def has_older(self) -> bool:
        """Whether there is something that the file as it is can be compared with."""
        (now,) = (v for v in self.versions if v.is_current)
        older = self.versions[self.versions.index(now) + 1 :]
        return any(v.can_be_read and v.version != now.version for v in older)


async def datasets(site: Site, request: Request) -> Response:
    """List the datasets of the project, and what waits in the database."""
    listed = await site.databases.compute(partial(list_datasets, site.folder(request)))
    who = site.visitor(request).name
    rows, hidden, disputed = await site.read(request, partial(_quarantined, who=who))
    values = {
        "datasets": listed,
        "has_project": site.has_project(request),
        "waiting": [
            replace(_waiting(r.case, who), is_disputed=r.case.case_id in disputed) for r in rows[-MOST_WAITING:][::-1]
        ],
        "total": len(rows),
        "hidden": hidden,
    }
    return site.page(request, "datasets/list.html", values)


async def dataset(site: Site, request: Request) -> Response:
    """Show one dataset: its versions, its cases at one of them, its drafts."""
    name = _name(site.folder(request), request.path_params["name"])
    wanted = request.query_params.get("version", NOW)
    opened = await site.databases.compute(partial(_open, site.folder(request), name, wanted))
    who = site.visitor(request).name
    blind = await site.read(request, partial(read_blind, viewer=who))
    cases, drafts = _told(blind, opened.cases), _told(blind, opened.drafts)
    page, pages = _page(request, len(cases))
    values = {
        "name": name,
        "opened": opened,
        "wanted": wanted,
        "cases": cases[(page - 1) * PER_PAGE : page * PER_PAGE],
        "page": page,
        "pages": pages,
        "waiting": [_waiting(c, who) for c in drafts[:MOST_WAITING]],
        "total": len(drafts),
        "hidden": len(opened.cases) + len(opened.drafts) - len(cases) - len(drafts),
    }
    return site.page(request, "datasets/dataset.html", values)


async def difference(site: Site, request: Request) -> Response:
    """Show what one version changed against another."""
    name = _name(site.folder(request), request.path_params["name"])
    before, after = request.query_params.get("a") or None, request.query_params.get("b") or NOW
    found: Compared = await site.databases.compute(partial(compare, site.folder(request), name, before, after))
    known = await site.databases.compute(partial(versions, site.folder(request), name))
    blind = await site.read(request, partial(read_blind, viewer=site.visitor(request).name))
    shown = replace(
        found.diff,
        added=_told(blind, found.diff.added),
        removed=_told(blind, found.diff.removed),
        changed=tuple(c for c in found.diff.changed if not blind.hides(c.after.provenance.trace_id)),
    )
    found = replace(found, diff=shown)
    values = {"name": name, "found": found, "versions": known, "most": MOST_CHANGES, "chars": TEXT_CHARS}
    return site.page(request, "datasets/diff.html", values)


async def promote_stored(site: Site, request: Request) -> Response:
    """Let cases of the database into datasets that are built from now on."""
    form = await site.form(request)
    wanted, reason = [str(v) for v in form.getlist("case")], _reason(form)
    actor = site.visitor(request).name

    def work(database: TenantDatabase) -> None:
        rows, _, disputed = _quarantined(database, who=actor)
        known = by_id(rows)
        cases = [known[i].case for i in dict.fromkeys(wanted) if i in known]
        if not cases:
            raise BadInput("choose the cases to promote; those that somebody promoted meanwhile wait no more")
        if differing := [c.case_id for c in cases if c.case_id in disputed]:
            raise BadInput(f"reviewers differ about {', '.join(differing)}; nothing was promoted. Decide: {DECIDE}")
        check_promotion(cases, actor=actor, reason=reason)
        record(database, cases, CaseEvent.PROMOTED, actor=actor, reason=reason)

    await site.write(request, work)
    return RedirectResponse(address(request, "datasets"), 303)


async def promote_filed(site: Site, request: Request) -> Response:
    """Let drafts of a file into the dataset beside it."""
    form = await site.form(request)
    name = _name(site.folder(request), request.path_params["name"])
    wanted, reason = {str(v) for v in form.getlist("case")}, _reason(form)
    actor = site.visitor(request).name

    def work(database: TenantDatabase) -> None:
        root = site.folder(request) / DATASETS
        drafts = _told(read_blind(database, actor), [c for c in read_drafts(name, root) if c.case_id in wanted])
        if not drafts:
            raise BadInput("choose the drafts to promote; those that somebody promoted meanwhile wait no more")
        check_promotion(drafts, actor=actor, reason=reason)
        at = datetime.now(UTC).isoformat(timespec="seconds")
        promote_drafts(name, drafts, Approval(actor, at, reason), quarantine_path(name, root), root=root)

    await site.write(request, work)
    return RedirectResponse(address(request, "dataset", name=name), 303)


def _quarantined(database: TenantDatabase, *, who: str) -> tuple[list[CaseRow], int, frozenset[str]]:
    """Return the cases that wait, and how many are not shown, since several label their traces and are not through.

    And of those that are shown the ids about which reviewers differ: somebody has to decide first.
    """
    rows = list_cases(database, status=CaseStatus.QUARANTINED)
    blind = read_blind(database, who)
    shown = [r for r in rows if not blind.hides(r.case.provenance.trace_id)]
    items = disputed_items(database)
    differing = {r.case.case_id for r in shown if not r.case.provenance.is_draft and item_of(r.case) in items}
    return shown, len(rows) - len(shown), frozenset(differing)


def _told(blind: Blind, cases: Sequence[Case]) -> tuple[Case, ...]:
    """Return the cases without those of traces of which the visitor may know nothing yet."""
    return tuple(c for c in cases if not blind.hides(c.provenance.trace_id))


def _open(folder: Path, name: str, wanted: str) -> Opened:
    version, cases = version_cases(folder, name, wanted)
    return Opened(version, cases, tuple(versions(folder, name)), read_drafts(name, folder / DATASETS))


def _name(folder: Path, text: str) -> str:
    """Return the name of a dataset that is there: nothing else of the project is read by name."""
    try:
        name = check_name(text)
    except BadInput as e:
        raise NotFound(str(e)) from None
    if name not in list_names(folder / DATASETS):
        raise NotFound(f"there is no dataset {name!r} in {DATASETS} of this project")
    return name


def _reason(form: FormData) -> str:
    reason = forms.text(form, "reason")
    if not reason:
        raise BadInput("say why these are good cases; it is kept with them")
    return reason


def _page(request: Request, count: int) -> tuple[int, int]:
    pages = max(1, -(-count // PER_PAGE))
    asked = request.query_params.get("page", "1")
    number = int(asked) if asked.isascii() and asked.isdigit() and len(asked) < 9 else 1
    return max(1, min(number, pages)), pages


def _waiting(case: Case, who: str) -> Waiting:
    made = case.provenance
    return Waiting(case, is_own(case, who), made.drafted_by or made.annotator or "", how(case))


PAGES = (
    Page("/datasets", datasets, "datasets"),
    Page("/datasets/promote", promote_stored, "promote", methods=("POST",), scope=Scope.REVIEW),
    Page("/datasets/{name}", dataset, "dataset"),
    Page("/datasets/{name}/diff", difference, "dataset_diff"),
    Page("/datasets/{name}/promote", promote_filed, "promote_drafts", methods=("POST",), scope=Scope.REVIEW),
)
