"""What a policy says of stored traces: with the functions by which a collector decides, so that it cannot differ.

A trace fails as soon as one reading of one of its spans says so, and nothing takes that back: what an INSERT understood
counts, what the whole trace says, and what people and evaluations said. It is in the baseline if the rate of one of its
spans takes it, and rates are asked for of what INSERTs understood alone, as in a collector.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from evalgate.sample.compare import Verdict
from schema.failure.names import FEEDBACK
from schema.failure.rules import FailureRules
from schema.policy.rates import NONE, Rates
from schema.sampling import baseline
from schema.sampling.arrival import DEFAULT_TRUST, arrival

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    import pyarrow as pa
    from numpy.typing import NDArray

    from schema.batch import SpanBatch
    from schema.policy import Policy
    from schema.policy.rates import Raised
    from schema.sampling import Trust

Said = Mapping[bytes, frozenset[str]]
"""Trace id -> the reasons that feedback raises."""
NOTHING_SAID: Final[Said] = MappingProxyType({})


@dataclass(frozen=True, slots=True)
class Judge:
    """One policy, made ready."""

    failure: FailureRules
    rates: Rates
    raised: Raised
    said: Said
    """Of all traces."""
    trust: Trust = DEFAULT_TRUST

    @classmethod
    def of(cls, policy: Policy, said: Said = NOTHING_SAID, raised: Raised = NONE) -> Judge:
        """Make a policy ready."""
        return cls(FailureRules.of(policy.failure), Rates.of(policy.sample), raised, said, policy.sample.trust)

    def __call__(
        self, ids: NDArray[Any], frozen: NDArray[np.float64], *, raw: SpanBatch, revised: SpanBatch
    ) -> Verdict:
        """Judge traces by all of their spans.

        `ids` are their ids, sorted; `frozen` how many of those that arrived each stands for since the others went, 0
        where none went: of these the rate itself is the verdict (see compare.py).
        """
        reasons: list[set[str]] = [set(self.said.get(one.tobytes(), ())) for one in ids]
        for batch in (raw, revised):
            rows = _rows(ids, batch)
            for reason, mask in self.failure.masks(batch).items():
                for row in np.unique(rows[mask]).tolist():
                    reasons[row].add(reason)
        sampled, rate = self._baseline(raw, _rows(ids, raw), len(ids))
        found = np.where(frozen > 0, rate, sampled)
        failing = np.array([bool(r) for r in reasons], np.bool_)
        return Verdict(failing, [frozenset(r) for r in reasons], found)

    def _baseline(
        self, batch: SpanBatch, rows: NDArray[np.intp], n: int
    ) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Return of each trace whether it is in the baseline, and the part of those that arrived that is."""
        came = arrival(batch.trace_id, batch.trace_state, self.trust)
        kept, rates = baseline(came, self.rates.of_batch(batch, self.raised))
        of_arrived = rates if came.rate is None else rates / np.nan_to_num(came.rate, nan=1.0)
        sampled, part = np.zeros(n), np.zeros(n)
        np.maximum.at(sampled, rows, kept.astype(np.float64))
        np.maximum.at(part, rows, of_arrived)
        return sampled, part


def stored(table: pa.Table, frozen: NDArray[np.float64]) -> Verdict:
    """Return what is stored of the traces of a portion."""
    reasons = [frozenset(found) for found in table.column("reasons").to_pylist()]
    failing = np.array(table.column("is_failing").to_pylist(), np.bool_)
    sampled = np.array(table.column("is_baseline").to_pylist(), np.float64)
    # One that stands for ten was one of ten.
    return Verdict(failing, reasons, np.where(frozen > 0, sampled / np.maximum(frozen, 1.0), sampled))


def feedback_reasons(policy: Policy, rows: Iterable[Mapping[str, Any]]) -> dict[bytes, frozenset[str]]:
    """Return the reasons that these rows of feedback raise under a policy."""
    rules = FailureRules.of(policy.failure)
    found: dict[bytes, set[str]] = {}
    for row in rows:
        if rules.judged(row)["polarity"] == "negative":
            found.setdefault(bytes.fromhex(row["trace_id"]), set()).add(f"{FEEDBACK}{row['name']}")
    return {trace: frozenset(reasons) for trace, reasons in found.items()}


def _rows(ids: NDArray[Any], batch: SpanBatch) -> NDArray[np.intp]:
    """Return of each span the row of its trace among sorted ids."""
    own = np.ascontiguousarray(batch.trace_id).view(ids.dtype).reshape(-1)
    return np.asarray(np.searchsorted(ids, own), np.intp)


def names(of: Sequence[bytes]) -> list[str]:
    """Return ids as people write them."""
    return [one.hex() for one in of]
