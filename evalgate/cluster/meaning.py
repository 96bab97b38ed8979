"""Texts by their meaning: vectors of an embeddings endpoint in the place of TF-IDF. What traces did stays as it is.

What varies from trace to trace (numbers, ids, addresses) is masked before a text leaves, as it is for TF-IDF: it groups
nothing, it names nobody, and the same error is one text.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from evalgate.cluster.words import masked

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from numpy.typing import NDArray

    from evalgate.cluster.behaviour import Behaviour

    Floats = NDArray[np.float64]

KEPT_DIMENSIONS: Final = 64
"""Of the vectors of one kind of text, before all kinds are reduced together: 20 000 traces then take 40 MB."""
MOST_SPREAD: Final = 2.0
"""How much vectors that all point the same way are drawn apart at most: beyond, noise would count as meaning."""


@dataclass(frozen=True, slots=True)
class Meaning:
    """What some texts mean, as unit vectors of one model."""

    model: str
    dimensions: int
    endpoint: str
    """Host of who said it: another one may serve another model under the same name."""
    vectors: Mapping[str, Sequence[float]]
    """By masked text; the empty text has none."""

    def to_json(self) -> dict[str, Any]:
        """Return what is kept of it with a run."""
        return {"model": self.model, "dimensions": self.dimensions, "endpoint": self.endpoint}


def texts_of(behaviours: Iterable[Behaviour]) -> list[str]:
    """Return every text that is compared, masked, once, in order; no empty one."""
    found = {masked(text) for b in behaviours for text in (b.asked, b.answered, " ".join(b.errors), b.comments)}
    return sorted(found - {""})


def spread(texts: Sequence[str], meaning: Meaning, *, seed: int) -> Floats:
    """Return a row for each (unmasked) text, [n, at most KEPT_DIMENSIONS]; of an empty one zeros.

    Vectors of most models point into one corner of their space. What all have in common is taken off, and the rest is
    scaled so that two texts of different meaning are about as far apart as two texts without a common word are for
    TF-IDF; a text that differs from the others by a little stays near them.
    """
    rows = [meaning.vectors.get(masked(text)) for text in texts]
    points = np.zeros((len(rows), meaning.dimensions))
    for i, row in enumerate(rows):
        if row is not None:
            points[i] = np.asarray(row, np.float64)
    lengths = np.linalg.norm(points, axis=1, keepdims=True)
    said = lengths[:, 0] > 0
    if not said.any():
        return np.zeros((len(rows), 1))
    unit = points[said] / lengths[said]
    apart = unit - unit.mean(0)
    usual = float(np.sqrt((apart**2).sum(1).mean()))
    apart *= min(MOST_SPREAD, 1 / usual) if usual > 0 else 0.0
    kept = _fewer(apart, seed)
    found = np.zeros((len(rows), kept.shape[1]))
    found[said] = kept
    return found


def _fewer(points: Floats, seed: int) -> Floats:
    if points.shape[1] <= KEPT_DIMENSIONS or len(points) <= KEPT_DIMENSIONS:
        return points
    from sklearn.decomposition import TruncatedSVD  # noqa: PLC0415 - 1.7 s; only those who group pay

    return np.asarray(TruncatedSVD(KEPT_DIMENSIONS, n_iter=4, random_state=seed).fit_transform(points))
