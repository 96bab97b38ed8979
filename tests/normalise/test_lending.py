"""What the counted record of a call takes from the others."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from collector.processors.normalise.lending import Lenders

ROWS = 12
MASKS = st.lists(st.booleans(), min_size=ROWS, max_size=ROWS)
TWINS = st.lists(st.tuples(st.integers(0, ROWS - 1), st.lists(st.integers(0, ROWS - 1), min_size=1).map(tuple)))


@given(TWINS, MASKS, st.none() | MASKS)
def test_a_value_comes_from_the_first_that_has_one(
    twins: list[tuple[int, tuple[int, ...]]], known: list[bool], better: list[bool] | None
) -> None:
    """The answer is that of looking at one counted row after the other."""
    expected = []
    for row, others in twins:
        giver = next((o for o in others if known[o]), -1)
        if giver >= 0 and (not known[row] or (better is not None and better[giver] and not better[row])):
            expected.append((row, giver))
    rows, givers = Lenders.of(twins).lent(np.array(known), None if better is None else np.array(better))
    assert list(zip(rows.tolist(), givers.tolist(), strict=True)) == expected
