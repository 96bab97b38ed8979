"""Which variant is tried when: every dimension in turn, and within each of them every source in turn. Pure."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from itertools import zip_longest
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from evalgate.synthesize.dimensions import Dimension, Value
    from schema.case import Case


@dataclass(frozen=True, slots=True)
class Attempt:
    """One variant that may be made."""

    source: Case
    dimension: Dimension
    value: Value

    @property
    def key(self) -> tuple[str, str, str]:
        """What tells it apart."""
        return self.source.case_id, self.dimension.name, self.value.name

    def lot(self, seed: int) -> str:
        """Return its place in the draw: fixed by the seed and by what it is."""
        said = "\n".join((str(seed), *self.key))
        return hashlib.sha256(said.encode("utf-8", "surrogatepass")).hexdigest()


def plan(sources: Sequence[Case], dimensions: Sequence[Dimension], seed: int) -> list[Attempt]:
    """Return every attempt, in the order in which they are made until there are enough.

    Neither a dimension with many values nor a source with many facts crowds the others out.
    """
    rows = [_of_dimension(sources, d, seed) for d in dimensions]
    return [a for turn in zip_longest(*rows) for a in turn if a is not None]


def _of_dimension(sources: Sequence[Case], dimension: Dimension, seed: int) -> Iterator[Attempt]:
    rows = [sorted((Attempt(s, dimension, v) for v in dimension.values), key=lambda a: a.lot(seed)) for s in sources]
    ordered = sorted(rows, key=lambda row: row[0].lot(seed))
    for turn in zip_longest(*ordered):
        yield from (a for a in turn if a is not None)
