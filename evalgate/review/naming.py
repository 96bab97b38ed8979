"""The failure mode that somebody typed: a known one, or a new one that may be a known one spelled differently. Pure."""

from __future__ import annotations

import difflib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from schema.verdict import failure_mode_of

if TYPE_CHECKING:
    from collections.abc import Sequence

ALIKE: Final = 0.82
"""A new name that is so like a known one is probably that one, spelled differently (difflib's ratio)."""


@dataclass(frozen=True, slots=True)
class Named:
    """The failure mode that somebody typed."""

    failure_mode: str | None
    is_new: bool = False
    like: str | None = None
    """The known one that it is probably a spelling of."""


def chosen(typed: str, known: Sequence[str]) -> Named:
    """Return the failure mode that is meant by a number of the list, from 1 on, or by a name.

    Raises:
        ValueError: there is no such number, or that is no name.

    """
    text = typed.strip()
    if text.isascii() and text.isdigit():
        if 1 <= int(text) <= len(known):
            return Named(known[int(text) - 1])
        raise ValueError(f"there is no number {text[:20]}")
    return named(text, known)


def named(typed: str, known: Sequence[str]) -> Named:
    """Return the failure mode of a name; of known ones that are equally like it the one that comes first.

    Raises:
        ValueError: that is no name.

    """
    mode = failure_mode_of(typed)
    if mode is None or mode in known:
        return Named(mode)
    lowered = mode.casefold()
    if same := [k for k in known if k.casefold() == lowered]:
        return Named(same[0])
    folded = {_folded(k): k for k in reversed(known)}
    near = difflib.get_close_matches(_folded(mode), folded, n=1, cutoff=ALIKE)
    return Named(mode, is_new=True, like=folded[near[0]] if near else None)


def _folded(name: str) -> str:
    return " ".join(name.casefold().replace("_", " ").replace("-", " ").split())
