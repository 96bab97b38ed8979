"""How like the output is to what a person says is right. Only where every example has that.

A corrected answer is mostly given to bad ones: whether there is one would give the label away.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from evalgate.generate.features.atom import Atom
from schema.evaluator import Equals, Likeness, Reference, Similarity

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from evalgate.generate.examples import Example

LEAST = (0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9)


def atoms(examples: Sequence[Example], support: int, dropped: dict[str, int]) -> Iterator[Atom]:  # noqa: ARG001 - the seam
    """Yield sameness and likeness with the expected output."""
    wanted = [e.case.expected_output for e in examples]
    if any(w is None for w in wanted):
        if any(w is not None for w in wanted):
            dropped["compares with an expected answer that some examples lack"] = 1
        return
    from evalgate.evaluators.similarity import fast_likeness  # noqa: PLC0415 - loads rapidfuzz

    pairs = [(e.output.text, e.case.expected_output or "") for e in examples]
    other = np.array([a.strip() != b.strip() for a, b in pairs], dtype=bool)
    yield Atom(Equals(), 1.0, "reference", other, "is not the expected answer")
    for kind in Likeness:
        values = np.array([fast_likeness(a, b, kind) for a, b in pairs])
        for least in LEAST:
            rule = Similarity(least, Reference.EXPECTED, likeness=kind)
            yield Atom(rule, 1.3, "reference", values < least, f"{kind} with the expected answer is under {least}")
