"""Names of clusters out of their own words: class TF-IDF over the traces that have a word.

A word counts by how many traces of the cluster have it, times how much commoner it is there than elsewhere. A word that
fewer than three traces of the cluster have never names it, so no name is made of one trace. English words that say
nothing ("the", "was") are left out; of other languages they go by being everywhere.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import numpy as np

from evalgate.cluster.words import NUMBER
from evalgate.terminal import one_line

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

LEAST_TRACES: Final = 3
PAIRS: Final = 1.3
"""Two words say more than one of them alone, where both are about as common."""
LEAST_SHARE: Final = 0.2
"""Of the cluster's traces."""
TERMS: Final = 8
IN_A_NAME: Final = 3
NAME_CHARS: Final = 80


def terms_of(counts: Any, terms: Sequence[str], labels: NDArray[np.int64]) -> list[tuple[str, ...]]:
    """Return the words of each group, the most telling first.

    `counts`: sparse [traces, terms] of 0 and 1; `labels`: the group of each trace, -1 for none.
    """
    from sklearn.feature_extraction.text import ENGLISH_STOP_WORDS  # noqa: PLC0415 - 1.7 s; only those who group pay

    groups = int(labels.max(initial=-1)) + 1
    if not terms:
        return [()] * groups
    everywhere = np.asarray(counts.sum(0)).ravel() / max(1, counts.shape[0])
    is_pair = np.array([" " in t for t in terms])
    is_empty = np.array([not ENGLISH_STOP_WORDS.isdisjoint(t.split()) for t in terms])
    found = []
    for g in range(groups):
        own = labels == g
        n = np.asarray(counts[own].sum(0)).ravel()
        share = n / own.sum()
        score = share * np.log(np.maximum(share, 1e-12) / np.maximum(everywhere, 1e-12))
        score[is_pair] *= PAIRS
        score[is_empty | (n < LEAST_TRACES) | (share < LEAST_SHARE)] = 0
        order = np.lexsort((np.arange(len(terms)), -np.round(score, 9)))
        found.append(_distinct([terms[i] for i in order[: 6 * TERMS] if score[i] > 0]))
    return found


def _distinct(ordered: Sequence[str]) -> tuple[str, ...]:
    """Return the first terms that share no word."""
    kept: list[str] = []
    said: set[str] = set()
    for term in ordered:
        own = set(term.split()) - {NUMBER}
        if own and not own & said:
            kept.append(term)
            said |= own
        if len(kept) == TERMS:
            break
    return tuple(kept)


def name_of(terms: Sequence[str], reason: str, path: str, root_name: str) -> str:
    """Return a name on one line, without anything that acts on a terminal: reason or tools, then words."""
    shape = reason or path or root_name
    told = ", ".join(terms[:IN_A_NAME])
    return one_line(": ".join(x for x in (one_line(shape, 40), told) if x) or "unnamed", NAME_CHARS)
