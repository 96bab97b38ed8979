"""Agreement on new labels, against that on earlier ones."""

from __future__ import annotations

from bisect import bisect_left
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from schema.alignment.confusion import QUANTILES, mcc_at, mcc_quantiles

if TYPE_CHECKING:
    from schema.alignment.confusion import Confusion

DROP_LEVEL: Final = 0.99
"""Of the alarm: agreement is looked at again and again, and each look may be wrong."""


@dataclass(frozen=True, slots=True)
class Drop:
    """Agreement on new labels against that on earlier ones."""

    earlier_mcc: float
    new_mcc: float
    """At the earlier labels' share of bad ones: MCC moves with that share, also where the evaluator does not."""
    new_n: int
    probability: float
    """That the evaluator agrees less on cases like the new ones."""
    is_alarm: bool


def drop_of(
    earlier: Confusion, new: Confusion, weights: tuple[float, float] = (1.0, 1.0), level: float = DROP_LEVEL
) -> Drop | None:
    """Compare two matrices of different cases; None where either says nothing of a class.

    It is an alarm where MCC is lower with a probability of at least `level`: what chance explains is none. `weights`:
    what a label of each counts (`Measurement.weight`).
    """
    if not (earlier.positives and earlier.negatives and new.positives and new.negatives):
        return None
    share = earlier.positives / earlier.n
    ranks = [(i + 0.5) / QUANTILES for i in range(QUANTILES)]
    before = mcc_quantiles(earlier, ranks, weight=weights[0])
    after = mcc_quantiles(new, ranks, share=share, weight=weights[1])
    if before is None or after is None:
        return None
    lower = sum(bisect_left(after, x) for x in before) / QUANTILES**2
    was = earlier.mcc or 0.0  # the same verdict of every case: worth as much as a coin
    now = mcc_at(new.tpr or 0.0, new.tnr or 0.0, share) or 0.0
    return Drop(was, now, new.n, lower, is_alarm=now < was and lower >= level)
