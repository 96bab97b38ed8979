"""The processor `team`: says which team's feature a span is of, from the name of its service.

    processors:
      team:
        features: {support-bot: support, checkout-agent: payments}

It comes behind `normalise`, which fills `service_name` and, where the app says so itself, `feature`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import pyarrow as pa
import pyarrow.compute as pc
from pydantic import Field

from schema.component import ComponentConfig, Context, Processor, component

if TYPE_CHECKING:
    from schema.batch import SpanBatch


class TeamConfig(ComponentConfig):
    """What the file may say; anything else is an error with its line."""

    features: Mapping[str, str] = Field(min_length=1)
    """By name of the service."""


class Team:
    """Fills the column `feature` where it is empty.

    A processor works on columns: one call per batch, and no loop over spans. It must be pure, as a batch that could not
    be delivered, or a trace that is read again as a whole, passes it again.
    """

    def __init__(self, features: Mapping[str, str]) -> None:
        self._services = pa.array(features.keys(), pa.string())
        self._features = pa.array(features.values(), pa.string())

    def __call__(self, batch: SpanBatch) -> SpanBatch:
        """Return the batch with the column."""
        services = batch.columns.get("service_name")
        if services is None:
            return batch
        found = self._features.take(pc.index_in(services.cast(pa.string()), value_set=self._services))
        said = batch.columns.get("feature")
        return batch.with_columns({"feature": found if said is None else pc.coalesce(said.cast(pa.string()), found)})


@component("processor", "team", TeamConfig)
def team(config: TeamConfig, context: Context) -> Processor:
    """Make the processor; nothing starts yet."""
    del context  # the data folder, the policy and more, for those who need it
    return Team(config.features)
