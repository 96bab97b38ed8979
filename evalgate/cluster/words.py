"""Texts to words: what varies from trace to trace is masked, so that it groups nothing and names nobody."""

from __future__ import annotations

import re
from itertools import pairwise
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

MAX_CHARS: Final = 24
"""Of a word; what is longer is a key, a token or a path."""
NUMBER: Final = "#"
"""What stands for every number."""
MASKS: Final = (
    (re.compile(NUMBER), " "),
    # Longer than any address: a key. The next patterns would look at it from each of its parts.
    (re.compile(r"[0-9A-Za-z_.+-]{120,}"), " "),
    (re.compile(r"\b[\w.+-]+@[\w-]+\.[\w.-]+"), " "),
    (re.compile(r"\bhttps?://\S+"), " "),
    (re.compile(r"\b[0-9a-f]{8}-[0-9a-f-]{27}\b", re.IGNORECASE), " "),
    # Ids: digits and letters in one, such as 4bf92f35, ord_8812, SKU-77A.
    (re.compile(r"\b(?=[\w-]*\d)[\w-]*[^\W\d_][\w-]*"), " "),
    (re.compile(r"\d+(?:[.,:]\d+)*"), f" {NUMBER} "),
)
WORD: Final = re.compile(
    r"[\u3040-\u30ff\u3400-\u9fff\uac00-\ud7af]|#|[^\W\d_\u3040-\u30ff\u3400-\u9fff\uac00-\ud7af]+"
)
"""A word, the mask of a number, or one sign of a script that sets no spaces."""


def words(text: str) -> list[str]:
    """Return the words of a text in order, folded; numbers are #, addresses and ids are left out."""
    return [w for w in WORD.findall(_without(text).casefold()) if len(w) <= MAX_CHARS]


def masked(text: str) -> str:
    """Return a text on one line without what varies: numbers are #, addresses, keys and ids are left out."""
    return " ".join(_without(text).split()).encode("utf-8", "replace").decode("utf-8")


def _without(text: str) -> str:
    for pattern, mask in MASKS:
        text = pattern.sub(mask, text)
    return text


def with_pairs(found: Iterable[str]) -> Iterator[str]:
    """Yield words, and each two that follow each other."""
    ordered = list(found)
    yield from ordered
    yield from (f"{left} {right}" for left, right in pairwise(ordered))


def grams(steps: Iterable[str], longest: int = 3) -> Iterator[str]:
    """Yield runs of steps with their begin and end; a step that is repeated at once is one step and a mark."""
    path = ["^"]
    for step in steps:
        if path[-1] == step:
            path.append(f"{step}+")
        elif path[-1] != f"{step}+":
            path.append(step)
    path.append("$")
    for n in range(1, longest + 1):
        yield from (" > ".join(path[i : i + n]) for i in range(len(path) - n + 1))
