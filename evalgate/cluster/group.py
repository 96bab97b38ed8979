"""Points to groups: HDBSCAN, what is like no others apart, and the traces that stand for a group.

Campello, Moulavi, Sander 2013: groups of any number, density and shape; what is in none is noise, here a novelty. Texts
of models repeat themselves, so that it finds a group for each phrase; those with near centres are joined after it
(average linkage). That took the adjusted Rand index of bench/clusters.py from 0.5 to 0.8 (1 500 traces); the epsilon
of HDBSCAN itself, which is meant for this, raises in scikit-learn 1.9 with NumPy 2.4.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]
    Ints = NDArray[np.int64]

REPRESENTATIVES: Final = 4
"""The medoid, and traces of the core that differ most from it and from each other."""
MOST_COMPARED: Final = 1_500
"""Members whose distances are all computed to find the medoid; of more, every n-th."""
CORE: Final = 0.5
"""Members at least so strong can stand for the others."""


@dataclass(frozen=True, slots=True)
class Grouping:
    """Which point is in which group."""

    labels: Ints
    """[n], 0 .. groups - 1, or -1: like no others. Larger groups come first."""
    strengths: Floats
    """[n], 0 to 1: how deep inside its group."""
    representatives: tuple[tuple[int, ...], ...]
    """Of each group: the places of its medoid, then of others."""


def group(points: Floats, *, least: int, neighbours: int, join_below: float) -> Grouping:
    """Return the groups of points on the unit sphere that have at least `least` of them.

    `neighbours`: how many others count for the density around a point; more makes more noise, and steadier groups.
    `join_below`: groups whose centres are nearer than this (1 - cosine, on average) are one; 0 joins none.
    """
    from sklearn.cluster import HDBSCAN  # noqa: PLC0415 - 1.7 s; only those who group pay
    from threadpoolctl import threadpool_limits  # noqa: PLC0415

    if len(points) < max(2, least):
        nobody = np.full(len(points), -1, dtype=np.int64)
        return Grouping(nobody, np.zeros(len(points)), ())
    bounds = {"min_cluster_size": max(2, least), "min_samples": min(neighbours, len(points))}
    search = HDBSCAN(**bounds, n_jobs=1, copy=True)
    with threadpool_limits(limits=1):
        search.fit(points)
        if search.labels_.max() < 0 and _is_one(points, join_below):  # HDBSCAN looks for two or more
            search = HDBSCAN(**bounds, allow_single_cluster=True, n_jobs=1, copy=True).fit(points)
    joined = join(points, np.asarray(search.labels_), join_below)
    labels, strengths = by_size(joined), np.nan_to_num(np.asarray(search.probabilities_))
    found = range(int(labels.max(initial=-1)) + 1)
    standing = tuple(representatives(points, strengths, np.flatnonzero(labels == g)) for g in found)
    return Grouping(labels, strengths, standing)


def _is_one(points: Floats, below: float) -> bool:
    """Tell whether most points are as near to their centre as groups are that are joined."""
    centre = points.mean(0)
    length = float(np.linalg.norm(centre))
    return length > 0 and float(np.median(1.0 - points @ (centre / length))) < below


def join(points: Floats, labels: Ints, below: float) -> Ints:
    """Return labels in which groups with near centres are one."""
    from sklearn.cluster import AgglomerativeClustering  # noqa: PLC0415 - as above

    groups = int(labels.max(initial=-1)) + 1
    if groups < 2 or below <= 0:
        return labels
    centres = np.array([points[labels == g].mean(0) for g in range(groups)])
    lengths = np.linalg.norm(centres, axis=1, keepdims=True)
    centres = np.where(lengths > 0, centres / np.maximum(lengths, 1e-12), 0.0)
    apart = np.clip(1.0 - centres @ centres.T, 0.0, 2.0)
    tree = AgglomerativeClustering(n_clusters=None, distance_threshold=below, metric="precomputed", linkage="average")
    return np.where(labels >= 0, np.asarray(tree.fit(apart).labels_)[labels], -1)


def by_size(labels: Ints) -> Ints:
    """Return the labels numbered anew, the larger groups first; of equals the one whose first point comes first."""
    known, first, counts = np.unique(labels, return_index=True, return_counts=True)
    order = [int(known[i]) for i in np.lexsort((first, -counts)) if known[i] >= 0]
    place = {old: new for new, old in enumerate(order)}
    return np.array([place.get(int(x), -1) for x in labels], dtype=np.int64)


def representatives(points: Floats, strengths: Floats, members: Ints) -> tuple[int, ...]:
    """Return the places of the medoid and of members of the core that are farthest from those chosen before."""
    core = members[strengths[members] >= CORE]
    core = core if len(core) else members
    core = core[:: -(-len(core) // MOST_COMPARED)]
    near = 1.0 - points[core] @ points[core].T
    chosen = [int(near.sum(1).argmin())]
    while len(chosen) < min(REPRESENTATIVES, len(core)):
        away = near[chosen].min(0)
        if away.max() < 1e-9:  # the others are the same
            break
        chosen.append(int(away.argmax()))
    return tuple(int(core[i]) for i in chosen)
