"""Fields of a form that was sent, read one way by all pages. Pure."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from evalgate.errors import BadInput

if TYPE_CHECKING:
    from starlette.datastructures import FormData

MAX_NUMBER_CHARS = 12


def typed(form: FormData, name: str) -> str:
    """Return what stands in a field as it was typed, "" where it is missing."""
    value = form.get(name, "")
    return value if isinstance(value, str) else ""


def text(form: FormData, name: str) -> str:
    """Return what stands in a field without the space around it, "" where it is missing."""
    return typed(form, name).strip()


def lines(form: FormData, name: str) -> tuple[str, ...]:
    """Return the lines of a field that are not empty."""
    return tuple(line.strip() for line in text(form, name).splitlines() if line.strip())


def decimal(form: FormData, name: str, words: str) -> float:
    """Return the number in a field; `words` is what the page calls it.

    Raises:
        BadInput: it is none.

    """
    said = text(form, name)
    try:
        found = float(said) if said.isascii() and len(said) <= MAX_NUMBER_CHARS else math.nan
    except ValueError:
        found = math.nan
    if not math.isfinite(found):
        raise BadInput(f"{words} is a number, not {said[:20]!r}")
    return found


def whole(form: FormData, name: str, words: str) -> int:
    """Return the whole number in a field.

    Raises:
        BadInput: it is none.

    """
    found = decimal(form, name, words)
    if found != int(found):
        raise BadInput(f"{words} is a whole number, not {text(form, name)[:20]!r}")
    return int(found)
