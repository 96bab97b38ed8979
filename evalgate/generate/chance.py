"""How good a rule would chance find? The whole search, again and again, on labels that are shuffled."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from evalgate.generate.search import best_score

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from numpy.typing import NDArray

    from evalgate.generate.features import Candidates

    Flags = NDArray[np.bool_]

SHUFFLES = 199
"""With so many the least p is 0.005."""
ENOUGH = 20
"""Shuffles that do as well after which no more are tried: p is then told by how soon that was (Besag and Clifford,
Biometrika 1991)."""
ALPHA = 0.05


@dataclass(frozen=True, slots=True)
class Chance:
    """What chance finds."""

    p_value: float
    score: float
    """Of the rule that was found, penalised MCC."""
    by_chance: tuple[float, ...]
    """The best score with each shuffle of the labels."""

    @property
    def median(self) -> float:
        """What chance finds half of the time."""
        return float(np.median(self.by_chance)) if self.by_chance else 0.0


def chance(
    candidates: Candidates,
    bad: Flags,
    clusters: Sequence[str],
    *,
    shuffles: int = SHUFFLES,
    seed: int = 0,
    step: Callable[[], None] = lambda: None,
) -> Chance:
    """Return the share of shuffles in which the search does at least as well.

    Labels move with their clusters: those of one cluster stay side by side.
    """
    rng = np.random.default_rng(seed)
    score = best_score(candidates, bad)
    _, groups = np.unique(np.array(clusters), return_inverse=True)
    place = np.argsort(groups, kind="stable")
    found: list[float] = []
    better = 0
    for _ in range(shuffles):
        order = rng.permutation(int(groups.max()) + 1)
        source = np.concatenate([np.flatnonzero(groups == g) for g in order])
        shuffled = np.zeros_like(bad)
        shuffled[place] = bad[source]
        found.append(best_score(candidates, shuffled))
        better += found[-1] >= score - 1e-9
        step()
        if better >= ENOUGH:
            return Chance(better / len(found), score, tuple(found))
    return Chance((better + 1) / (len(found) + 1), score, tuple(found))
