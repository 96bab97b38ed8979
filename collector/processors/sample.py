"""The processor `sample`: marks the baseline, without dropping anything.

What to keep, and for how long, is decided in the database: a trace that fails later must still be there.
"""

from __future__ import annotations

import logging
from collections import Counter
from threading import Lock
from types import MappingProxyType
from typing import TYPE_CHECKING, Final

import numpy as np
import pyarrow as pa

from collector.rates.file import RatesFile
from schema.component import Context, component
from schema.policy import SamplePolicy
from schema.policy.rates import NONE, Rates
from schema.sampling import baseline
from schema.sampling.arrival import DEFAULT_TRUST, Arrival, arrival

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from schema.batch import SpanBatch
    from schema.component import Processor
    from schema.policy.rates import Raised
    from schema.sampling import Trust

log = logging.getLogger(__name__)

FAULTS: Final = MappingProxyType(
    {
        "malformed": "its member ot does not follow the specification",
        "inconsistent": "it says a threshold that the trace does not reach",
        "too_small": "it says a rate below min_arrival_rate",
    }
)
"""What is counted, by the mask of `Arrival` that has it, and what it means."""


@component("processor", "sample", SamplePolicy)
def sample(config: SamplePolicy, context: Context) -> Processor:
    """Make the processor."""
    raised = RatesFile.of(context.data_dir).current if config.target_per_day else None
    return Sample(Rates.of(config), policy_version=context.policy_version, raised=raised, trust=config.trust)


class Sample:
    """Fills `baseline`, `baseline_rate`, `arrival_rate` and `policy_version`.

    The decision is a function of the trace id, the settings and the rates in use; nothing else is remembered.
    """

    def __init__(
        self,
        rates: Rates,
        *,
        policy_version: str = "",
        raised: Callable[[], Raised] | None = None,
        trust: Trust = DEFAULT_TRUST,
    ) -> None:
        """Make it of a policy made ready; `raised` returns the rates that are in use above what is set."""
        self._rates = rates
        self._version = policy_version
        self._raised = raised
        self._trust = trust
        self.tracestate_faults: Counter[str] = Counter()
        """Spans whose tracestate says of sampling what is not believed: it is as if it were not there. A span that is
        read again, because its trace is read as a whole, counts again."""
        self._counting = Lock()  # each exporter's lane calls from a thread of its own

    def __call__(self, batch: SpanBatch) -> SpanBatch:
        """Return the batch with the columns."""
        came = arrival(batch.trace_id, batch.trace_state, self._trust)
        self._count(came)
        kept, rates = baseline(came, self._rates.of_batch(batch, self._raised() if self._raised else NONE))
        columns = {"baseline": pa.array(kept), "baseline_rate": pa.array(rates)}
        if came.rate is not None:
            columns["arrival_rate"] = pa.array(came.rate, from_pandas=True)  # NaN is null
        if self._version:
            words = pa.array(np.zeros(len(batch), np.int32))
            columns["policy_version"] = pa.DictionaryArray.from_arrays(words, [self._version])
        return batch.with_columns(columns)

    def _count(self, came: Arrival) -> None:
        for fault in FAULTS:
            where: NDArray[np.bool_] | None = getattr(came, fault)
            if where is None:
                continue
            with self._counting:
                if not self.tracestate_faults[fault]:
                    log.warning("a sender's tracestate is not believed: %s", FAULTS[fault])
                self.tracestate_faults[fault] += int(where.sum())
