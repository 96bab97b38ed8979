"""The processor `failure`: marks the spans that are worth a person's time, by the rules of schema/failure.py."""

from __future__ import annotations

from typing import TYPE_CHECKING

from collector.processors.compiled import are_ready
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


def with_failures(batch: SpanBatch, *, compiled: bool | None = None) -> SpanBatch:
    """Return the batch with `failing` and `failure_reasons`; the normaliser must have run before.

    `compiled` says whether kernels are used; by default where they are ready. The result is the same.
    """
    failing, reasons = failures(batch.columns, len(batch), compiled=are_ready() if compiled is None else compiled)
    return batch.with_columns({"failing": failing, "failure_reasons": reasons})
