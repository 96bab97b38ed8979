"""Which record of a call gives the counted one what it lacks."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import chain
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    Ints = NDArray[np.int64]
    Mask = NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class Lenders:
    """The records of calls, by row: one that is counted, and the others, those to be trusted first."""

    counted: Ints
    others: Ints
    """Those of each counted row, one behind the other."""
    firsts: Ints
    """Where those of each counted row begin among them; each has one at least."""

    @classmethod
    def of(cls, twins: Sequence[tuple[int, tuple[int, ...]]]) -> Lenders:
        """Lay out pairs of a counted row and its others, of which there is at least one."""
        sizes = np.fromiter((len(others) for _, others in twins), np.int64, len(twins))
        return cls(
            np.fromiter((row for row, _ in twins), np.int64, len(twins)),
            np.fromiter(chain.from_iterable(others for _, others in twins), np.int64, int(sizes.sum())),
            np.cumsum(sizes) - sizes,
        )

    def lent(self, known: Mask, better: Mask | None = None) -> tuple[Ints, Ints]:
        """Return the counted rows that take a value of another, and of which; `known` is where there is a value.

        The first other that has one gives it to a row without; with `better`, also to a row that is not better, if it
        is itself.
        """
        beyond = len(self.others)
        place = np.where(known[self.others], np.arange(beyond), beyond)
        first_known = np.minimum.reduceat(place, self.firsts) if beyond else place
        given = first_known < beyond
        row, giver = self.counted[given], self.others[first_known[given]]
        taken = ~known[row] if better is None else ~known[row] | (better[giver] & ~better[row])
        return row[taken], giver[taken]
