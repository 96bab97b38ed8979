"""How like two texts are."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from evalgate.evaluators.checks.text import opening

if TYPE_CHECKING:
    from collections.abc import Callable

MAX_COMPARED_CHARS = 100_000


def words_of(text: str) -> list[str]:
    """Return the words of a text: what stands between white space, without punctuation around it."""
    stripped = (w.strip(".,;:!?()[]{}\"'«»“”‘’`*_#") for w in text.split())
    return [w for w in stripped if w]


def common(left: Any, right: Any) -> int:
    """Return the length of the longest common subsequence; of texts by character, of lists by item.

    Bits of one integer stand for the places of the shorter one (Hyyrö, 2004).
    """
    if len(left) > len(right):
        left, right = right, left
    places: dict[Any, int] = {}
    for at, item in enumerate(left):
        places[item] = places.get(item, 0) | (1 << at)
    full = (1 << len(left)) - 1
    row = full
    for item in right:
        matches = row & places.get(item, 0)
        row = ((row + matches) | (row - matches)) & full
    return (full & ~row).bit_count()


def likeness(left: str, right: str, method: str, longest: Callable[[Any, Any], int] = common) -> float:
    """Return how like two texts are, from 0 to 1. `longest` gives the length of a longest common subsequence."""
    if method == "ratio":
        total = len(left) + len(right)
        return 2 * longest(left, right) / total if total else 1.0
    if method == "rouge_l":
        one, two = words_of(left), words_of(right)
        return 2 * longest(one, two) / (len(one) + len(two)) if one or two else 1.0
    if method == "token_set":
        ours, theirs = set(words_of(left)), set(words_of(right))
        return 2 * len(ours & theirs) / (len(ours) + len(theirs)) if ours or theirs else 1.0
    raise ValueError(f"{method!r} is not a way to compare texts")


def similarity(
    text: str,
    other: str | None,
    least: float,
    *,
    method: str,
    ignore_case: bool = False,
    measure: Callable[[str, str, str], float] = likeness,
) -> tuple[bool, str]:
    """Say whether the text is at least so like the other."""
    if other is None:
        raise ValueError("the case has no text to compare with")
    left, right = (t.strip().casefold() if ignore_case else t.strip() for t in (text, other))
    if max(len(left), len(right)) > MAX_COMPARED_CHARS:
        longest = max(len(left), len(right))
        raise ValueError(f"a text of {longest} characters is too long to compare; the limit is {MAX_COMPARED_CHARS}")
    value = measure(left, right, method)
    said = f"the likeness ({method}) is {value:.3f}, at least {least:g} is asked for"
    if value >= least:
        return True, said
    return False, f"{said}: {opening(left)} against {opening(right)}"
