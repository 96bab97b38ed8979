"""Stored history in portions: what is read at once is bounded, and no trace is ever read in halves.

Rows lie in the order of their hour of receipt, so a portion is some hours. A trace that came in several hours would be
in several portions: all of these are left out there, and read together at the end. Of a trace that began before the
time that was asked for only a part would be seen: it is left out. Where one hour, or what is read at the end, has more
spans than a portion, it is cut by a hash of the trace id; so is a portion whose rows turn out to be too large.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import UTC, datetime
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from evalgate.database import sql
from schema.errors import EvalgateError, Retryable

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    import pyarrow as pa
    from numpy.typing import NDArray

    from evalgate.database import TenantDatabase

PORTION_SPANS: Final = 50_000
"""0.7 GB where rules ask for attributes, with model calls of 3 kB (measured)."""
PORTION_BYTES: Final = 192 << 20
"""Of one answer: below what `evalgate up` allows a reader (docs/clickhouse.md), and what bounds memory here."""
TOO_LARGE_CODES: Final = frozenset({241, 307, 396})
"""MEMORY_LIMIT_EXCEEDED, TOO_MANY_BYTES, TOO_MANY_ROWS_OR_BYTES of ClickHouse `src/Common/ErrorCodes.cpp`."""
ACCESS_DENIED: Final = 497
FORMAT: Final[Mapping[str, Any]] = MappingProxyType(
    {"output_format_arrow_low_cardinality_as_dictionary": 0, "output_format_arrow_string_as_string": 1}
)
MAX_SLICES: Final = 4_096
HOUR_S: Final = 3_600
ID: Final = "V16"
"""A trace id as NumPy sorts and compares it: sixteen bytes."""


@dataclass(frozen=True, slots=True)
class Portion:
    """What is read at once."""

    first_s: int
    """Unix time of the first hour of receipt."""
    last_s: int
    """Of the first that is not in it any more."""
    slice: int = 0
    slices: int = 1
    """Of so many by trace id, this one."""
    is_spread: bool = False
    """The traces of several hours, and nothing else; or all others."""

    def halves(self) -> tuple[Portion, Portion]:
        """Return the portion in two by trace id."""
        first = replace(self, slices=2 * self.slices)
        return first, replace(first, slice=self.slice + self.slices)

    @property
    def parameters(self) -> dict[str, object]:
        """What the statements bind."""
        return {"first_s": self.first_s, "last_s": self.last_s, "slice": self.slice, "slices": self.slices}

    @property
    def condition(self) -> str:
        """What chooses its rows beside the hours, of any table with a trace id."""
        cut = "AND cityHash64(trace_id) % {slices:UInt32} = {slice:UInt32}" if self.slices > 1 else ""
        if not self.is_spread:
            return cut
        spread = sql(__package__, "spread").replace("{since_s:UInt32}", "{first_s:UInt32}")
        return f"{cut} AND trace_id IN ({spread})"


@dataclass(frozen=True, slots=True)
class History:
    """What is stored since a moment, and how it is read."""

    since: datetime
    """A whole hour: the one that was asked for, or the first of which there is anything."""
    until: datetime
    spans: int
    portions: tuple[Portion, ...]
    spread: NDArray[Any]
    """Ids of the traces of several hours, sorted."""
    early: NDArray[Any]
    """Ids of the traces that began before, sorted."""
    portion_bytes: int = PORTION_BYTES

    def rows_of(self, portion: Portion, table: pa.Table) -> pa.Table:
        """Return the rows of a table whose traces belong to a portion that was read."""
        ids = trace_ids(table)
        out = _among(ids, self.early)
        if not portion.is_spread:
            out |= _among(ids, self.spread)
        return table.filter(~out) if out.any() else table


def history(
    database: TenantDatabase,
    since: datetime,
    now: datetime,
    *,
    portion_spans: int = PORTION_SPANS,
    portion_bytes: int = PORTION_BYTES,
) -> History:
    """Look at what is stored and cut it into portions."""
    first = since.astimezone(UTC).replace(minute=0, second=0, microsecond=0)
    asked = {"since_s": max(0, int(first.timestamp()))}
    hours = [(int(r["hour_unix_s"]), int(r["spans"])) for r in database.rows(sql(__package__, "hours"), asked)]
    spread, early = (
        np.sort(np.array([r["trace_id"] for r in database.rows(sql(__package__, name), asked)], ID))
        for name in ("spread", "early")
    )
    # How many spans those of several hours have is not known; they are cut as if each had as many as all others.
    traces_a_portion = max(1, portion_spans // 8)
    portions = [*_cut(hours, portion_spans)]
    if len(spread):
        n = -(-len(spread) // traces_a_portion)
        portions += [Portion(asked["since_s"], hours[-1][0] + HOUR_S, i, n, is_spread=True) for i in range(n)]
    began = max(first, datetime.fromtimestamp(hours[0][0], UTC)) if hours else first
    return History(began, now, sum(spans for _, spans in hours), tuple(portions), spread, early, portion_bytes)


def _cut(hours: Sequence[tuple[int, int]], portion_spans: int) -> Iterator[Portion]:
    """Put hours together until there are enough spans; cut an hour that has too many."""
    first, held = None, 0
    for hour, spans in hours:
        if spans > portion_spans or (first is not None and held + spans > portion_spans):
            if first is not None:
                yield Portion(first, hour)
            first, held = None, 0
        if spans > portion_spans:
            n = -(-spans // portion_spans)
            yield from (Portion(hour, hour + HOUR_S, i, n) for i in range(n))
            continue
        first = hour if first is None else first
        held += spans
    if first is not None:
        yield Portion(first, hours[-1][0] + HOUR_S)


def trace_ids(table: pa.Table) -> NDArray[Any]:
    """Return the column `trace_id`, which has 16 bytes a row."""
    column = table.column("trace_id").combine_chunks()
    if table.num_rows == 0:
        return np.zeros(0, ID)
    return np.frombuffer(column.buffers()[1], ID, len(column), 16 * column.offset)


def _among(ids: NDArray[Any], known: NDArray[Any]) -> NDArray[np.bool_]:
    """Say which ids are among sorted ones."""
    if not len(known):
        return np.zeros(len(ids), np.bool_)
    at = np.minimum(np.searchsorted(known, ids), len(known) - 1)
    return np.asarray(known[at] == ids)


class TooLarge(Exception):
    """An answer has more bytes than a portion may have."""


def arrow(
    database: TenantDatabase, statement: str, parameters: Mapping[str, object], *, max_bytes: int = PORTION_BYTES
) -> pa.Table:
    """Return the rows of a statement of this tenant as one Arrow table.

    Raises:
        TooLarge: they are more than `max_bytes`, or than the database can take at once: ask for fewer.
        EvalgateError: as the database does.

    """
    import pyarrow as pa  # noqa: PLC0415 - Arrow comes with the database's packages

    known = {**parameters, "tenant": database.tenant}
    limit = {"max_result_bytes": max_bytes, "result_overflow_mode": "throw"}
    bound = {name: value for name, value in known.items() if f"{{{name}:" in statement}
    text = database.as_sent(statement)
    try:
        try:
            answer = database.opened.raw(text, parameters=bound, settings={**FORMAT, **limit}, form="ArrowStream")
        except Retryable as e:
            if getattr(e.__cause__, "code", None) != ACCESS_DENIED:
                raise
            # Readers of a running collector have its limits, and may set none of their own.
            answer = database.opened.raw(text, parameters=bound, settings=FORMAT, form="ArrowStream")
    except EvalgateError as e:
        if getattr(e.__cause__, "code", None) in TOO_LARGE_CODES:
            raise TooLarge(str(e)) from e
        raise
    if not answer:
        return pa.table({"trace_id": pa.array([], pa.binary(16))})
    with pa.ipc.open_stream(answer) as stream:
        return stream.read_all()
