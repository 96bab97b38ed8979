"""The processor `asymmetric_sampler`: of what a sidecar forwards, only the traces that are flagged.

    journal ─┬─ look-ahead ─▶ decode ─▶ processors ─▶ which traces are flagged ─▶ Decisions (memory, file)
             └─ each exporter's lane, `decision_wait_s` behind ─▶ decode ─▶ only what is kept ─▶ processors ─▶ export

No span is held in memory: what waits for its decision waits in the journal. The service builds the two sides around the
processor (collector/delivery/forwarding.py); in a chain of processors it changes nothing by itself. docs/sidecar.md
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, Literal

from pydantic import Field

from schema.component import ComponentConfig, Context, component

if TYPE_CHECKING:
    from schema.batch import SpanBatch
    from schema.component import Processor

NAME: Final = "asymmetric_sampler"
MIB: Final = 1 << 20


class AsymmetricSamplerConfig(ComponentConfig):
    """How long a decision may take, and what it may cost."""

    decision_wait_s: float = Field(default=30.0, ge=0, le=86_400)
    """From the receipt of a span to the decision on it: what is known of its trace by then counts. Source: the default
    of the OpenTelemetry Collector's tail sampler; here waiting takes disk, not memory, so it may be longer."""
    max_wait_bytes: int | None = Field(default=None, ge=MIB)
    """Of the journal, for what waits for its decision; beyond it the oldest is kept early. Unset: a quarter of
    service.journal.max_bytes."""
    max_traces: int = Field(default=100_000, ge=1, le=50_000_000)
    """Kept traces that are remembered, 35 bytes each; beyond it what waits is kept early."""
    at_shutdown: Literal["wait", "decide"] = "wait"
    """What becomes of what waits at a clean end: it stays in the journal for the next start, or it is decided then by
    what is known, for a pod that takes its disk along."""


@component("processor", NAME, AsymmetricSamplerConfig)
def asymmetric_sampler(config: AsymmetricSamplerConfig, context: Context) -> Processor:  # noqa: ARG001 - the shape of a factory
    """Make the processor; which spans go on is decided where they leave the journal."""
    return unchanged


def unchanged(batch: SpanBatch) -> SpanBatch:
    """Return the batch."""
    return batch
