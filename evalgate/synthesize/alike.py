"""Texts that were seen, and whether another says the same.

Two texts say the same when they have the same letters and digits; or when they have the same facts, their sets of
trigrams share nine tenths (Jaccard), and so do their characters in order (longest common subsequence): another number,
another order of sentences and other words are something else. That needs no comparison with every text: by any one
order of all trigrams, two sets that are so alike share one of their first tenth (prefix filtering, Chaudhuri, Ganti,
Kaushik, 2006). Short texts are compared by letters and digits alone: "yes" is not "yet".
"""

from __future__ import annotations

import math
import unicodedata
import zlib
from typing import TYPE_CHECKING, Final

from evalgate.evaluators.similarity import fast_likeness
from evalgate.synthesize.facts import facts_of

if TYPE_CHECKING:
    from collections.abc import Iterable

SAME: Final = 0.9
SHORT_CHARS: Final = 12
MAX_CHARS: Final = 20_000
"""How much of a text is compared."""
GRAM: Final = 3


class Seen:
    """Texts, to be asked whether another is like one of them. Of one thread."""

    def __init__(self, texts: Iterable[str] = ()) -> None:
        self._exact: set[str] = set()
        self._sets: list[tuple[frozenset[str], str]] = []
        self._first: dict[str, list[int]] = {}
        for text in texts:
            self.add(text)

    def add(self, text: str) -> None:
        """Remember a text."""
        letters = letters_of(text)
        if letters in self._exact:
            return
        self._exact.add(letters)
        grams = grams_of(text)
        if grams:
            for gram in _prefix(grams):
                self._first.setdefault(gram, []).append(len(self._sets))
            self._sets.append((grams, text[:MAX_CHARS].casefold()))

    def has_like(self, text: str) -> bool:
        """Return whether a text that was seen says the same."""
        if letters_of(text) in self._exact:
            return True
        grams = grams_of(text)
        near = {place for gram in _prefix(grams) for place in self._first.get(gram, ())}
        return any(self._is_like(grams, text[:MAX_CHARS].casefold(), place) for place in near)

    def _is_like(self, grams: frozenset[str], text: str, place: int) -> bool:
        others, other = self._sets[place]
        if min(len(grams), len(others)) < SAME * max(len(grams), len(others)):
            return False
        if jaccard(grams, others) < SAME or facts_of(text) != facts_of(other):
            return False
        return fast_likeness(text, other, "ratio") >= SAME


def letters_of(text: str) -> str:
    """Return the letters and digits of a text, folded: case, white space and punctuation make no other text."""
    folded = unicodedata.normalize("NFKC", text).casefold()
    return "".join(c for c in folded if c.isalnum()) or folded.strip()


def grams_of(text: str) -> frozenset[str]:
    """Return the runs of three characters of a folded text; none of a short one."""
    folded = " ".join(unicodedata.normalize("NFKC", text[:MAX_CHARS]).casefold().split())
    if len(folded) < SHORT_CHARS:
        return frozenset()
    return frozenset(folded[i : i + GRAM] for i in range(len(folded) - GRAM + 1))


def jaccard(left: frozenset[str], right: frozenset[str]) -> float:
    """Return the share of what two sets have together that both have; 0 where either is empty."""
    return len(left & right) / len(left | right) if left and right else 0.0


def _prefix(grams: frozenset[str]) -> list[str]:
    """Return the first of the set by the order of checksums: as many as it cannot lose and stay alike, and one."""
    ordered = sorted(grams, key=lambda g: (zlib.crc32(g.encode("utf-8", "surrogatepass")), g))
    return ordered[: len(grams) - math.ceil(SAME * len(grams)) + 1] if grams else []
