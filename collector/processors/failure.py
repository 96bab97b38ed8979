"""The processor `failure`: marks the spans that are worth a person's time, by the rules of schema/failure.py."""

from __future__ import annotations

from typing import TYPE_CHECKING

from schema.component import ComponentConfig, Context, component
from schema.failure import failures

if TYPE_CHECKING:
    from schema.batch import SpanBatch
    from schema.component import Processor


class FailureConfig(ComponentConfig):
    """The rules have no settings yet."""


@component("processor", "failure", FailureConfig)
def failure(config: FailureConfig, context: Context) -> Processor:  # noqa: ARG001 - the shape of a factory
    """Make the processor; it keeps no state."""
    return with_failures


def with_failures(batch: SpanBatch) -> SpanBatch:
    """Return the batch with `failing` and `failure_reasons`; the normaliser must have run before."""
    failing, reasons = failures(batch.columns, len(batch))
    return batch.with_columns({"failing": failing, "failure_reasons": reasons})
