"""/modes: what failure modes are called. Renamed, merged, and taken back; labels keep the words that were said."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from starlette.responses import RedirectResponse

from evalgate.errors import BadInput
from evalgate.issues.modes import list_modes, merge_issues, read_taxonomy, rename_mode, suggest_merges, undo_change
from evalgate.web import forms
from evalgate.web.site import Page, address
from schema.identity import Scope

if TYPE_CHECKING:
    from collections.abc import Sequence

    from starlette.requests import Request
    from starlette.responses import Response

    from evalgate.database import TenantDatabase
    from evalgate.issues.modes import Mode, Suggestion
    from evalgate.issues.taxonomy import Change
    from evalgate.web.site import Site

MOST_CHANGES: Final = 50
MOST_SUGGESTIONS: Final = 10
MAX_NUMBER_DIGITS: Final = 10


@dataclass(frozen=True, slots=True)
class Named:
    """What the page shows."""

    modes: Sequence[Mode]
    suggestions: Sequence[Suggestion]
    changes: Sequence[Change]
    """The latest first."""


async def modes(site: Site, request: Request) -> Response:
    """List the failure modes, those with nearly the same name, and what was changed."""
    return site.page(request, "issues/modes.html", {"named": await site.read(request, _read)})


async def rename(site: Site, request: Request) -> Response:
    """Call a mode something else."""
    form = await site.form(request)
    actor = site.visitor(request).name
    old, new, reason = (forms.text(form, name) for name in ("mode", "name", "reason"))
    await site.write(request, lambda database: rename_mode(database, old, new, actor=actor, reason=reason))
    return _back(request)


async def merge(site: Site, request: Request) -> Response:
    """Let the labels of one issue belong to another."""
    form = await site.form(request)
    actor = site.visitor(request).name
    number, into = number_of(forms.text(form, "issue")), number_of(forms.text(form, "into"))
    reason = forms.text(form, "reason")
    if number == into:
        raise BadInput("choose two different failure modes")
    await site.write(request, lambda database: merge_issues(database, number, into, actor=actor, reason=reason))
    return _back(request)


async def undo(site: Site, request: Request) -> Response:
    """Take a change back."""
    form = await site.form(request)
    actor = site.visitor(request).name
    number, reason = number_of(forms.text(form, "change")), forms.text(form, "reason")
    await site.write(request, lambda database: undo_change(database, number, actor=actor, reason=reason))
    return _back(request)


def number_of(text: str) -> int:
    """Return a number as a form or an address has it.

    Raises:
        BadInput: it is none.

    """
    if not (text.isascii() and text.isdigit() and len(text) <= MAX_NUMBER_DIGITS):
        raise BadInput(f"{text[:40]!r} is no number")
    return int(text)


def _read(database: TenantDatabase) -> Named:
    known = read_taxonomy(database)
    found = list_modes(database, known)
    return Named(found, suggest_merges(found)[:MOST_SUGGESTIONS], known.changes[::-1][:MOST_CHANGES])


def _back(request: Request) -> Response:
    return RedirectResponse(address(request, "modes"), 303)


PAGES = (
    Page("/modes", modes, "modes"),
    Page("/modes/rename", rename, "mode_rename", methods=("POST",), scope=Scope.REVIEW),
    Page("/modes/merge", merge, "mode_merge", methods=("POST",), scope=Scope.REVIEW),
    Page("/modes/undo", undo, "mode_undo", methods=("POST",), scope=Scope.REVIEW),
)
