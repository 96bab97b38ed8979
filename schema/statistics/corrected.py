"""A judge's pass rate with the judge's own errors taken out."""

from __future__ import annotations

import math
from dataclasses import dataclass

from schema.statistics.proportion import Z_95

MIN_YOUDEN = 0.1
"""TPR + TNR - 1: below, a judge says next to nothing of the truth, and dividing by it makes noise."""


@dataclass(frozen=True, slots=True)
class Corrected:
    """What share is truly good, as far as a judge of known error tells."""

    rate: float
    low: float
    high: float
    """95 %, with the uncertainty of the cases judged and of the labels that measured the judge."""
    labels: int
    """That measured the judge."""


def corrected_rate(
    passed: float, total: float, *, tp: int, fn: int, tn: int, fp: int, label_weight: float = 1.0
) -> Corrected | None:
    """Return the share that is truly good; None where nothing was judged, a class has no label, or errors drown it.

    The labels: tp bad ones failed, fn bad ones passed, tn good ones passed, fp good ones failed; `label_weight`: what
    one counts, less than 1 where some come from one session (`Measurement.weight`). The estimate is Rogan
    and Gladen's, (p + TPR - 1) / (TPR + TNR - 1), held within 0 and 1 (American Journal of Epidemiology 107, 1978).
    The interval is Lee et al.'s (arXiv:2511.21140): counts are moved inwards as Agresti and Coull do, the centre is
    shifted for the labels' uncertainty, the variance has a term for the cases and one for each class of labels.
    """
    bad, good = tp + fn, tn + fp
    if not total or not bad or not good:
        return None
    rate, caught, spared = passed / total, tp / bad, tn / good
    if caught + spared - 1 < MIN_YOUDEN:
        return None
    point = min(1.0, max(0.0, (rate + caught - 1) / (caught + spared - 1)))
    z2 = Z_95 * Z_95
    n, rate = total + z2, (passed + z2 / 2) / (total + z2)
    worth_bad, worth_good = bad * label_weight + 2, good * label_weight + 2
    caught, spared = (tp * label_weight + 1) / worth_bad, (tn * label_weight + 1) / worth_good
    youden = caught + spared - 1
    if youden < MIN_YOUDEN / 2:
        return None
    theta = min(1.0, max(0.0, (rate + caught - 1) / youden))
    of_bad, of_good = caught * (1 - caught) / worth_bad, spared * (1 - spared) / worth_good
    shift = 2 * z2 * (theta * of_good - (1 - theta) * of_bad)
    spread = math.sqrt(rate * (1 - rate) / n + (1 - theta) ** 2 * of_bad + theta**2 * of_good) / youden
    low, high = (min(1.0, max(0.0, theta + shift + side * Z_95 * spread)) for side in (-1, 1))
    return Corrected(point, min(low, point), max(high, point), tp + fn + tn + fp)
