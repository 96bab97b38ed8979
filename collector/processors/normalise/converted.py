"""What converters found in the spans of one batch, as columns."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa

from collector.processors.normalise.columns import sparse
from collector.processors.normalise.content import PREPARES
from collector.processors.normalise.quality import ANSWERED, CALLED, REPEATED, TRUNCATED
from collector.processors.normalise.usage import EXCLUDES_CACHE, EXCLUDES_REASONING, TOTAL_IS_ADDED_UP
from schema.span import CANONICAL

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

MARKS = frozenset({PREPARES, TRUNCATED, EXCLUDES_CACHE, EXCLUDES_REASONING, TOTAL_IS_ADDED_UP})
"""Facts that are either found or not."""
CALLS = frozenset({CALLED, REPEATED, ANSWERED})
"""Lists for `quality`, of the few spans that call tools."""


@dataclass(frozen=True, slots=True)
class Converted:
    """Facts by name, for a batch of n spans; a name that is missing was found in none of them."""

    n: int
    columns: Mapping[str, pa.Array]
    """Canonical column -> n values of that column's type, null where nothing was found."""
    marks: Mapping[str, NDArray[np.bool_]]
    """One of MARKS -> which spans have it."""
    calls: Mapping[str, Mapping[int, list[Any]]]
    """One of CALLS -> row -> ids."""

    @classmethod
    def of_rows(cls, n: int, found: Mapping[str, Mapping[int, Any]]) -> Converted:
        """Make it of name -> row -> value as a column takes it."""
        return cls(
            n,
            {k: sparse(n, v, type_of(k)) for k, v in found.items() if k not in MARKS | CALLS},
            {k: rows_of(n, v) for k, v in found.items() if k in MARKS},
            {k: dict(v) for k, v in found.items() if k in CALLS},
        )

    def column(self, name: str) -> pa.Array:
        """Return the column, all null where nothing was found."""
        found = self.columns.get(name)
        return pa.nulls(self.n, type_of(name)) if found is None else found

    def mark(self, name: str) -> NDArray[np.bool_]:
        """Return which spans have the mark."""
        found = self.marks.get(name)
        return np.zeros(self.n, np.bool_) if found is None else found


@cache
def type_of(name: str) -> pa.DataType:
    """Return the Arrow type of a column that converters fill; those that are not canonical are token figures."""
    return CANONICAL.field(name).type if name in CANONICAL.names else pa.int64()


def rows_of(n: int, rows: Mapping[int, Any]) -> NDArray[np.bool_]:
    """Return a mask of n spans that is true at these rows."""
    mask = np.zeros(n, np.bool_)
    mask[list(rows)] = True
    return mask
