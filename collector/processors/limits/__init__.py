"""The processor `limits`: what one span may fill the tables with. What is over is dropped or cut, counted, and said so.

It comes after `normalise`, which reads content whole. Defaults: the limits of the OpenTelemetry SDKs are 128 attributes
and no length; these are for senders that have none.
"""

from __future__ import annotations

from collections import Counter
from threading import Lock
from typing import TYPE_CHECKING

from pydantic import Field

from collector.processors.limits.apply import Limits, limited
from schema.component import ComponentConfig, component

if TYPE_CHECKING:
    from schema.batch import SpanBatch
    from schema.component import Context


class LimitsConfig(ComponentConfig):
    """How much is kept. What is over is counted under the name of its limit."""

    max_attributes: int = Field(default=1024, ge=1)
    """Of a span, an event, a link, a log record, a resource or a scope; those sent first are kept."""

    max_events: int = Field(default=1024, ge=0)
    """Of a span; those sent first are kept."""

    max_links: int = Field(default=256, ge=0)
    """Of a span; those sent first are kept."""

    max_key_bytes: int = Field(default=256, ge=64)
    """A longer key is cut; a hash of the whole at its end keeps it apart from others."""

    max_value_bytes: int = Field(default=64 << 10, ge=64)
    """A longer value, name or message is cut on a character boundary, with its length and hash at its end."""

    max_content_bytes: int = Field(default=1 << 20, ge=64)
    """As `max_value_bytes`, for what holds messages: prompts, answers, calls of tools, bodies of log records."""


class LimitsProcessor:
    """Cuts and drops. `exceeded` has how often each limit was met, since the start."""

    def __init__(self, config: LimitsConfig | None = None) -> None:
        config = config or LimitsConfig()
        self._limits = Limits(**config.model_dump())
        self.exceeded: Counter[str] = Counter()
        self._counting = Lock()  # each exporter's lane calls from a thread of its own

    def __call__(self, batch: SpanBatch) -> SpanBatch:
        """Return the batch within the limits, the same one where it is."""
        within, exceeded = limited(batch, self._limits)
        with self._counting:
            self.exceeded += exceeded
        return within


@component("processor", "limits", LimitsConfig)
def limits(config: LimitsConfig, context: Context) -> LimitsProcessor:  # noqa: ARG001 - the shape of a factory
    """Make the processor."""
    return LimitsProcessor(config)


__all__ = ["LimitsConfig", "LimitsProcessor", "limits"]
