"""Every GenAI dialect to the canonical columns of `schema.span.CANONICAL`.

    sources ─▶ kinds ─▶ columns ─▶ converters (marked spans only) ─▶ tokens, errors ─▶ calls, sessions ─▶ feedback

The table `schema/genai.toml` says which key means what; `docs/dialects.md` says how to add one.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from pydantic import Field

from collector.processors.normalise.convert import OnFault, log_fault
from collector.processors.normalise.limits import DEFAULT_MAX_BYTES
from collector.processors.normalise.pipeline import canonical
from schema.component import ComponentConfig, component

if TYPE_CHECKING:
    from schema.batch import SpanBatch
    from schema.component import Context, Processor


class NormaliseConfig(ComponentConfig):
    """Settings of the normaliser."""

    lower_is_better: dict[str, bool] = Field(default_factory=dict)
    """Feedback scores, by name, where a low number is good; see `schema.polarity`."""

    max_content_bytes: int = Field(default=DEFAULT_MAX_BYTES, ge=64)
    """A longer text is cut in the canonical columns, with its length and hash; `span_attributes` has it whole."""


@component("processor", "normalise", NormaliseConfig)
def normalise(config: NormaliseConfig, context: Context) -> Processor:  # noqa: ARG001 - the shape of a factory
    """Make the processor; it keeps no state."""

    def process(batch: SpanBatch) -> SpanBatch:
        return canonical(batch, lower_is_better=config.lower_is_better, max_content_bytes=config.max_content_bytes)

    return process


__all__ = ["NormaliseConfig", "OnFault", "canonical", "log_fault", "normalise"]
