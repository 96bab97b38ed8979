"""Checks of what an output says."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable

CONTEXT_CHARS = 40
OPENING_CHARS = 80


def quote(text: str, start: int, end: int) -> str:
    """Return what was found with a little of the text around it, on one line."""
    low, high = max(0, start - CONTEXT_CHARS), min(len(text), end + CONTEXT_CHARS)
    piece = " ".join(text[low:high].split())
    return f'"{"…" if low else ""}{piece}{"…" if high < len(text) else ""}"'


def opening(text: str) -> str:
    """Return how a text begins, where nothing was found in it to point at."""
    return quote(text, 0, OPENING_CHARS)


def contains(text: str, wanted: Any, *, ignore_case: bool = False, negated: bool = False) -> tuple[bool, str]:
    """Say whether every wanted text stands in the text; with `negated`, whether none does."""
    folded = text.casefold() if ignore_case else text
    for item in wanted:
        at = folded.find(item.casefold() if ignore_case else item)
        if negated and at >= 0:
            return False, f"the output contains {item!r}: {quote(text, at, at + len(item))}"
        if not negated and at < 0:
            return False, f"the output lacks {item!r}: {opening(text)}"
    words = ", ".join(repr(t) for t in wanted)
    return True, f"the output {'lacks' if negated else 'contains'} {words}"


def equals(text: str, wanted: str | None, *, ignore_case: bool = False) -> tuple[bool, str]:
    """Say whether the text is the wanted one; white space around it does not count."""
    if wanted is None:
        raise ValueError("the case has no expected output to compare with")
    left, right = text.strip(), wanted.strip()
    same = left.casefold() == right.casefold() if ignore_case else left == right
    if same:
        return True, "the output is the expected text"
    return False, f"the output is {opening(left)}, expected {opening(right)}"


def find(pattern: str, text: str, *, ignore_case: bool) -> tuple[int, int] | None:
    """Return where a pattern is first found, None if it is not."""
    found = re.search(pattern, text, re.IGNORECASE if ignore_case else 0)
    return found.span() if found else None


def regex(
    text: str,
    pattern: str,
    *,
    ignore_case: bool = False,
    negated: bool = False,
    search: Callable[..., tuple[int, int] | None] = find,
) -> tuple[bool, str]:
    """Say whether the pattern is found in the text; with `negated`, whether it is not."""
    at = search(pattern, text, ignore_case=ignore_case)
    if at is None:
        said = f"the output does not match /{pattern}/"
        return (True, said) if negated else (False, f"{said}: {opening(text)}")
    said = f"the output matches /{pattern}/"
    return (False, f"{said}: {quote(text, *at)}") if negated else (True, said)


def refusal(text: str, phrases: Any, early_chars: int, *, negated: bool = False) -> tuple[bool, str]:
    """Say whether one of the phrases stands early in the text; with `negated`, whether none does."""
    beginning = " ".join(text.replace("\u2019", "'").casefold()[:early_chars].split())
    found = next((p for p in phrases if p in beginning), None)
    if found is None:
        return negated, f"the output does not begin like a refusal: {opening(text)}"
    return not negated, f"the output begins like a refusal ({found!r}): {opening(text)}"


def max_chars(text: str, limit: int) -> tuple[bool, str]:
    """Say whether the text has no more characters."""
    return len(text) <= limit, f"the output has {len(text)} characters; the limit is {limit}"


def min_chars(text: str, limit: int) -> tuple[bool, str]:
    """Say whether the text has no fewer characters, white space around it aside."""
    size = len(text.strip())
    return size >= limit, f"the output has {size} characters; at least {limit} are asked for"
