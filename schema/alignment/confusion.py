"""How often an evaluator agrees with people, and how sure one may be of it.

Positive is the failure: a person said bad and the evaluator says fail is a true positive. Partial verdicts and errors
stand beside the matrix.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from schema.statistics import wilson_interval

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy as np
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]

LEVEL: Final = 0.95
GRID: Final = 2000
"""Points of a rate's distribution: its quantiles agree with scipy's to 0.00002."""
QUANTILES: Final = 240
"""Of each rate; MCC is looked at in every pair of them."""


@dataclass(frozen=True, slots=True)
class Confusion:
    """Counts of cases by what people said and what the evaluator said."""

    tp: int
    fp: int
    fn: int
    tn: int
    partial_passed: int = 0
    partial_failed: int = 0
    errors: int = 0

    @property
    def n(self) -> int:
        """Cases in the matrix: without partial ones and errors."""
        return self.tp + self.fp + self.fn + self.tn

    @property
    def positives(self) -> int:
        """Cases that people call bad."""
        return self.tp + self.fn

    @property
    def negatives(self) -> int:
        """Cases that people call good."""
        return self.tn + self.fp

    @property
    def mcc(self) -> float | None:
        """Matthews correlation; None where a row or a column of the matrix is empty: it is undefined, not 0."""
        margins = self.positives * self.negatives * (self.tp + self.fp) * (self.tn + self.fn)
        return (self.tp * self.tn - self.fp * self.fn) / math.sqrt(margins) if margins else None

    @property
    def tpr(self) -> float | None:
        """Share of the bad ones that the evaluator catches."""
        return self.tp / self.positives if self.positives else None

    @property
    def tnr(self) -> float | None:
        """Share of the good ones that the evaluator lets pass."""
        return self.tn / self.negatives if self.negatives else None

    @property
    def balanced_accuracy(self) -> float | None:
        """Mean of TPR and TNR."""
        return (self.tpr + self.tnr) / 2 if self.tpr is not None and self.tnr is not None else None

    @property
    def tpr_interval(self) -> tuple[float, float] | None:
        """Wilson's 95 % interval."""
        return wilson_interval(self.tp, self.positives)

    @property
    def tnr_interval(self) -> tuple[float, float] | None:
        """Wilson's 95 % interval."""
        return wilson_interval(self.tn, self.negatives)

    def mcc_interval(self, level: float = LEVEL, weight: float = 1.0) -> tuple[float, float] | None:
        """Return a two-sided interval of MCC at the labels' share of bad ones; None where a class has no label.

        As with shares, nothing seen to the contrary leaves an end open: of a perfect table the upper one is 1.
        `weight`: what a label counts (`Measurement.weight`).
        """
        tail = (1 - level) / 2
        found = mcc_quantiles(self, (tail, 1 - tail), weight=weight)
        if found is None:
            return None
        low, high = found
        return (low if self.tp or self.tn else -1.0), (high if self.fp or self.fn else 1.0)

    def mcc_lower_bound(self, level: float = LEVEL, weight: float = 1.0) -> float | None:
        """Return the one-sided lower bound of MCC; the interval of twice the tail has it, too."""
        interval = self.mcc_interval(2 * level - 1, weight)
        return interval[0] if interval else None


def mcc_quantiles(
    found: Confusion, at: Sequence[float], *, share: float | None = None, weight: float = 1.0
) -> list[float] | None:
    """Return quantiles of what MCC may be, given these counts; None where a class has none.

    TPR ~ Beta(tp + ½, fn + ½) and TNR ~ Beta(tn + ½, fp + ½), Jeffreys' prior, independent; `share`: of bad ones, by
    default that of the labels; `weight`: what a label counts. So a perfect table of ten is no certainty: its 95 % lower
    bound is 0.57. How often the bound holds is in docs/alignment.md; bench/alignment.py counts it. No randomness:
    quantiles of both rates, each pair of them.
    """
    import numpy as np  # noqa: PLC0415 - 0.1 s, and most who read measurements need no bound

    if not found.positives or not found.negatives:
        return None
    share = found.positives / found.n if share is None else share
    tpr = _beta_quantiles(found.tp * weight, found.fn * weight)[:, None]
    fpr = 1 - _beta_quantiles(found.tn * weight, found.fp * weight)[None, :]
    flagged = share * tpr + (1 - share) * fpr
    mcc = (tpr - fpr) * np.sqrt(share * (1 - share) / (flagged * (1 - flagged)))
    return [float(x) for x in np.quantile(mcc, list(at))]


def _beta_quantiles(successes: float, failures: float) -> Floats:
    """Return QUANTILES midpoints of Beta(successes + ½, failures + ½), rising.

    In the angle θ, where the rate is sin²θ, that density is sin^(2·successes) θ · cos^(2·failures) θ: bounded at both
    ends, which a sum over a grid needs.
    """
    import numpy as np  # noqa: PLC0415 - as above

    edges = np.linspace(0.0, math.pi / 2, GRID + 1)
    middles = (edges[1:] + edges[:-1]) / 2
    log_density = 2 * successes * np.log(np.sin(middles)) + 2 * failures * np.log(np.cos(middles))
    density = np.exp(log_density - log_density.max())
    below = np.concatenate(([0.0], np.cumsum(density))) / density.sum()
    ranks = (np.arange(QUANTILES) + 0.5) / QUANTILES
    angles = np.interp(ranks, below, edges)
    return np.asarray(np.sin(angles) ** 2, np.float64)


def mcc_at(tpr: float, tnr: float, share: float) -> float | None:
    """Return the MCC of these rates where `share` of the cases is bad; None where it is undefined."""
    flagged = share * tpr + (1 - share) * (1 - tnr)
    spread = flagged * (1 - flagged)
    return (tpr + tnr - 1) * math.sqrt(share * (1 - share) / spread) if spread > 0 else None
