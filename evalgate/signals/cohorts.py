"""What is usual among traces of the same task. Pure; columns in, columns out; NaN is unknown.

A trace is compared in several groups of traces, from the narrowest to the widest. What the widest says is the starting
point, and each narrower group moves it by how many traces it has: a figure `a` of a group of n, below one that said
`b`, becomes (n a + k b) / (n + k) with k = WIDER_TRACES (shrinkage to the parent, after Efron & Morris 1975,
doi:10.2307/2285814). Where even the widest group has fewer than MIN_COHORT, nothing is said.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    Floats = NDArray[np.float64]
    Codes = NDArray[np.int64]

MIN_COHORT: Final = 20
"""Traces that a percentile needs at least: with 20, the highest is the 97.5th."""
WIDER_TRACES: Final = 5
"""What the wider group counts for beside the traces of the narrower one."""
MAD_TO_SIGMA: Final = 1.4826
"""Of a normal distribution."""
UNUSUAL_Z: Final = 3.5
"""From here on a robust z-score counts as an outlier (Iglewicz & Hoaglin 1993, "How to Detect and Handle Outliers")."""
CERTAIN_Z: Final = 7.0
"""Here its strength is 1."""


def codes(*columns: NDArray[Any]) -> Codes:
    """Return numbers from 0 on, equal where all the columns are."""
    found = np.zeros(len(columns[0]), np.int64)
    for column in columns:
        _, own = np.unique(column, return_inverse=True)
        _, found = np.unique(found * (own.max(initial=0) + 1) + own, return_inverse=True)
    return found.astype(np.int64)


def sizes(group: Codes, known: NDArray[np.bool_]) -> Floats:
    """Return for each row how many of its group are known."""
    counts = np.bincount(group[known], minlength=int(group.max(initial=-1)) + 1)
    return counts[group].astype(np.float64)


def percentiles(values: Floats, levels: Sequence[Codes]) -> Floats:
    """Return which share of its cohort each value is above, ties halved, 0 to 1; `levels` from narrow to wide."""
    return _shrink(values, levels, [_mid_ranks(values, level) for level in levels])


def shares(has: NDArray[np.bool_], levels: Sequence[Codes]) -> Floats:
    """Return which share of its cohort has something; 0 where nobody can know."""
    values = has.astype(np.float64)
    means = [np.bincount(level, values)[level] / np.maximum(1, np.bincount(level))[level] for level in levels]
    return np.nan_to_num(_shrink(values, levels, means))


def robust_z(values: Floats, levels: Sequence[Codes], least_sigma: float) -> tuple[Floats, Floats]:
    """Return how many robust standard deviations each value is above the median of its cohort, and that median.

    The deviation is that of the median absolute deviation, and no less than `least_sigma`: where all are alike, a
    trifle is no outlier.
    """
    medians = [_medians(values, level) for level in levels]
    mads = [_medians(np.abs(values - m), level) for m, level in zip(medians, levels, strict=True)]
    middle, mad = _shrink(values, levels, medians), _shrink(values, levels, mads)
    return (values - middle) / np.maximum(MAD_TO_SIGMA * mad, least_sigma), middle


def ramp(values: Floats, start: float, full: float) -> Floats:
    """Return 0 up to `start`, 1 from `full` on, straight between; 0 where unknown. `full` may be the lower one."""
    return np.nan_to_num(np.clip((values - start) / (full - start), 0.0, 1.0))


def _shrink(values: Floats, levels: Sequence[Codes], figures: Sequence[Floats]) -> Floats:
    known = ~np.isnan(values)
    found = np.full(len(values), np.nan)
    for level, figure in zip(reversed(levels), reversed(figures), strict=True):
        n = sizes(level, known)
        moved = (n * figure + WIDER_TRACES * found) / (n + WIDER_TRACES)
        found = np.where(np.isnan(found), np.where(n >= MIN_COHORT, figure, np.nan), moved)
    return np.where(known, found, np.nan)


def _mid_ranks(values: Floats, group: Codes) -> Floats:
    ranks = np.full(len(values), np.nan)
    known = np.flatnonzero(~np.isnan(values))
    if len(known) == 0:
        return ranks
    order = known[np.lexsort((values[known], group[known]))]
    of, sorted_values = group[order], values[order]
    at = np.arange(len(order))
    begins = np.r_[True, of[1:] != of[:-1]]
    run = np.r_[True, begins[1:] | (sorted_values[1:] != sorted_values[:-1])]
    first = at[begins][np.cumsum(begins) - 1]
    size = np.diff(np.r_[at[begins], len(order)])[np.cumsum(begins) - 1]
    tie = np.diff(np.r_[at[run], len(order)])[np.cumsum(run) - 1]
    ranks[order] = (at[run][np.cumsum(run) - 1] - first + tie / 2) / size
    return ranks


def _medians(values: Floats, group: Codes) -> Floats:
    """Return for each row the median of its group."""
    found = np.full(int(group.max(initial=-1)) + 1, np.nan)
    known = np.flatnonzero(~np.isnan(values))
    if len(known):
        order = known[np.lexsort((values[known], group[known]))]
        of, first, size = np.unique(group[order], return_index=True, return_counts=True)
        found[of] = (values[order][first + (size - 1) // 2] + values[order][first + size // 2]) / 2
    return found[group]
