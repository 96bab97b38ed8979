"""From which instrumentation scopes spans come: few names, each looked at once."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from collector.processors.normalise.columns import codes

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from schema.batch import SpanBatch


@dataclass(frozen=True, slots=True)
class ScopeNames:
    """The names of the scopes of a batch."""

    number: NDArray[np.int64]
    """Of each span, the place of its scope's name in `names`."""
    names: Sequence[str]

    @classmethod
    def of(cls, batch: SpanBatch) -> ScopeNames:
        """Read them."""
        number, names = codes(batch.scopes.name)
        return cls(number[batch.scope], names)

    def begin_with(self, prefixes: Sequence[str]) -> NDArray[np.bool_]:
        """Return which spans come from a scope whose name starts with one of these."""
        fits = [name.startswith(tuple(prefixes)) for name in self.names]
        if not any(fits):
            return np.zeros(len(self.number), np.bool_)
        return np.asarray([*fits, False], np.bool_)[self.number]
