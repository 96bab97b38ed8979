"""The processor `plain_environment`: a function is enough where there is nothing to set.

processors:
  plain_environment:
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import pyarrow as pa
import pyarrow.compute as pc

if TYPE_CHECKING:
    from schema.batch import SpanBatch


def plain_environment(batch: SpanBatch) -> SpanBatch:
    """Return the batch with environments in small letters: `Prod` and `prod` are one."""
    said = batch.columns.get("environment")
    return batch if said is None else batch.with_columns({"environment": pc.utf8_lower(said.cast(pa.string()))})
