"""The processor `sample`: marks the baseline, without dropping anything.

What to keep, and for how long, is decided in the database: a trace that fails later must still be there.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import pyarrow as pa
import pyarrow.compute as pc
from pydantic import Field

from schema.arrays import codes
from schema.component import ComponentConfig, Context, component
from schema.sampling import baseline

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from schema.batch import SpanBatch
    from schema.component import Processor


class SampleConfig(ComponentConfig):
    """Settings of the sampler."""

    baseline_rate: float = Field(default=0.1, ge=0, le=1)
    """Part of all traces that is flagged whether or not they fail."""


@component("processor", "sample", SampleConfig)
def sample(config: SampleConfig, context: Context) -> Processor:  # noqa: ARG001 - the shape of a factory
    """Make the processor; it keeps no state."""
    return lambda batch: with_baseline(batch, config.baseline_rate)


def with_baseline(batch: SpanBatch, rate: float) -> SpanBatch:
    """Return the batch with `baseline` and `baseline_rate`."""
    states: list[str] | None = None
    which: NDArray[np.int64] | None = None
    if pc.any(pc.not_equal(batch.trace_state, "")).as_py():
        which, states = codes(batch.trace_state)
    kept, rates = baseline(batch.trace_id, rate, states, which)
    return batch.with_columns({"baseline": pa.array(kept), "baseline_rate": pa.array(rates)})
