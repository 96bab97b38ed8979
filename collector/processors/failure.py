"""The processor `failure`: marks the spans that are worth a person's time, by the rules of schema/failure/rules.py."""

from __future__ import annotations

from typing import TYPE_CHECKING

from collector.processors.compiled import are_ready
from schema.component import Context, component
from schema.failure.rules import FailureRules
from schema.policy.failure import FailurePolicy

if TYPE_CHECKING:
    from schema.batch import SpanBatch
    from schema.component import Processor


@component("processor", "failure", FailurePolicy)
def failure(config: FailurePolicy, context: Context) -> Processor:  # noqa: ARG001 - the shape of a factory
    """Make the processor; it keeps no state."""
    rules = FailureRules.of(config)

    def process(batch: SpanBatch) -> SpanBatch:
        return rules(batch, compiled=are_ready())

    return process


def with_failures(batch: SpanBatch, *, compiled: bool | None = None) -> SpanBatch:
    """Return the batch with `failing` and `failure_reasons` by the default policy; the normaliser must have run before.

    `compiled` says whether kernels are used; by default where they are ready. The result is the same.
    """
    return FailureRules.of(FailurePolicy())(batch, compiled=are_ready() if compiled is None else compiled)
