"""Make the kernels of this package ready: compiled, or loaded from where numba keeps them.

Whoever prepares an installation does so; an exporter that starts does not: nothing is accepted before it has, and its
first batch compiles or loads what it needs.
"""

from __future__ import annotations

import numpy as np
import pyarrow as pa

from exporters.clickhouse.maps import attribute_maps
from exporters.clickhouse.native import encode
from exporters.clickhouse.quoted import quoted
from schema.anyvalue import ValueType
from schema.batch import AttributeTable

KINDS = (ValueType.STRING, ValueType.INT, ValueType.DOUBLE, ValueType.BYTES)


def run_all() -> None:
    """Run every kernel once on next to nothing: some four seconds where nothing is kept, else some milliseconds."""
    many, few = _attributes(70), _attributes(4)  # 70 are more than one kernel sorts
    texts = pa.array(["a", None])
    at, size, _ = quoted(texts, pa.array(['["a"]', None]))
    columns = {"map": attribute_maps(many, 1, np.zeros(2, np.int32)), "few": attribute_maps(few, 2), "text": texts}
    for _ in encode(pa.table({**columns, "at": at, "size": size})):
        pass


def _attributes(n: int) -> AttributeTable:
    """Return n attributes of one owner, of all types."""
    return AttributeTable(
        owner=np.zeros(n, np.int32),
        key=np.arange(n, dtype=np.int32),
        type=np.resize(np.array(KINDS, np.uint8), n),
        number=np.zeros(n, np.int64),
        start=np.zeros(n, np.int64),
        length=np.zeros(n, np.int64),
        keys=tuple(f"k{i:02}" for i in range(n)),
        buffer=bytes(16),
    )
