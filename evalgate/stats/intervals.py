"""Limits of a share from counts that need not be whole numbers. NumPy in, NumPy out; scipy is loaded when called."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]

LEVEL: Final = 0.95
STEPS: Final = 30
"""Halvings of the distance between two exact limits: what is left is a billionth of it."""


def share_limits(events: Floats, others: Floats, level: float = LEVEL) -> tuple[Floats, Floats]:
    """Return the mid-P limits of the share of events among `events + others` trials, elementwise.

    The two limits are where half the probability of what was seen, and all of what is more extreme, is
    (1 - level) / 2. With no events the lower limit is 0, with nothing else the upper one is 1; of no trials at all
    nothing is known: (0, 1). Counts are not negative, of any shape that broadcasts; they may be effective counts, as
    E. L. Korn and B. I. Graubard (Survey Methodology 24, 1998) put them into the exact interval. Mid-P instead of
    exact since that one is too wide: G. Berry and P. Armitage, The Statistician 44 (1995).
    """
    x, z = np.broadcast_arrays(np.asarray(events, np.float64), np.asarray(others, np.float64))
    return _above(z, x, level), 1 - _above(x, z, level)


def _above(x: Floats, z: Floats, level: float) -> Floats:
    """Return what the upper limits leave to 1; they lie between the exact ones of x - 1 and of x events."""
    from scipy.special import betainc, betaincinv  # noqa: PLC0415 - 0.3 s, and some commands need no interval

    tail = (1 - level) / 2
    seen, rest = np.where(x > 0, x, 1.0), np.where(z > 0, z, 1.0)
    high = np.where(x > 0, betaincinv(z + 1, seen, tail), 1.0)
    low = betaincinv(rest, x + 1, tail)
    for _ in range(STEPS):
        middle = (low + high) / 2
        fewer = np.where(x > 0, betainc(z + 1, seen, middle), 0.0)
        above = betainc(rest, x + 1, middle) + fewer > 2 * tail
        low, high = np.where(above, low, middle), np.where(above, middle, high)
    return np.where(z > 0, (low + high) / 2, 0.0)


def student(degrees: Floats, level: float = LEVEL) -> Floats:
    """Return the two-sided quantile of Student's t, elementwise."""
    from scipy.special import stdtrit  # noqa: PLC0415 - as above

    return np.asarray(stdtrit(degrees, (1 + level) / 2), np.float64)


def gamma_limits(counts: Floats, scale: Floats, level: float = LEVEL) -> tuple[Floats, Floats]:
    """Return limits of `scale` times the mean of a Poisson distribution that gave so many counts, elementwise.

    By the gamma distribution, as M. P. Fay and E. J. Feuer (Statistics in Medicine 16, 1997) do for sums of weighted
    counts; half a count is added to both shapes, where the exact interval adds none and one: mid-P is between, too.
    """
    from scipy.special import gammaincinv  # noqa: PLC0415 - as above

    tail = (1 - level) / 2
    shape = np.asarray(counts, np.float64) + 0.5
    return scale * gammaincinv(shape, tail), scale * gammaincinv(shape, 1 - tail)
