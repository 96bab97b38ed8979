"""What the signals are made of: one row a trace, read in a few statements, as columns."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from evalgate.database import sql
from evalgate.select.recent import recent_hour
from evalgate.select.where import LATEST_UNIX_S, Where
from evalgate.signals.phrases import Phrases, read_phrases

if TYPE_CHECKING:
    from collections.abc import Mapping

    import pyarrow as pa
    from numpy.typing import NDArray

    from evalgate.database import TenantDatabase
    from evalgate.terminal import Step

    Floats = NDArray[np.float64]
    Ints = NDArray[np.int64]

MAX_TRACES: Final = 100_000
"""About so many of the latest are compared, for an hour is looked at whole; 8 s of CPU (measured)."""
MOST_CHARS: Final = 4000
"""Of an answer that are read for hedging."""
LEAST_CHARS: Final = 12
"""Of a request that can be near another one, or be repeated: "yes" and "thank you" are said often."""
AROUND: Final = timedelta(days=7)
"""What one old trace is compared with: what came in so long before."""
STATEMENTS: Final = ("population", "spans", "first_chunk", "judged", "flagged")
FORMAT: Final[Mapping[str, Any]] = {
    "output_format_arrow_low_cardinality_as_dictionary": 0,
    "output_format_arrow_string_as_string": 1,
}


def nobody(_status: str = "", /) -> None:
    """Tell nobody of a step."""


@dataclass(frozen=True, slots=True)
class Window:
    """Of which hours of receipt traces are compared."""

    first_s: int = 0
    """Unix time of the first hour."""
    last_s: int = LATEST_UNIX_S
    """Of the first that is not in it any more."""


@dataclass(frozen=True, slots=True)
class Lists:
    """A list of names in each row."""

    offsets: Ints
    """Of n rows, n + 1: where each begins."""
    codes: Ints
    names: tuple[str, ...]

    @property
    def lengths(self) -> Ints:
        """Return how many names each row has."""
        return np.diff(self.offsets)

    def of(self, row: int) -> tuple[str, ...]:
        """Return the names of a row."""
        return tuple(self.names[c] for c in self.codes[self.offsets[row] : self.offsets[row + 1]])


@dataclass(frozen=True, slots=True)
class Judged:
    """What feedback and evaluations say of traces; columns, one element for each trace and name."""

    row: Ints
    """Of the population."""
    name: NDArray[np.str_]
    negative: Ints
    positive: Ints
    lowest: Floats
    """Of 0 to 1; NaN: it has no such number."""
    highest: Floats


@dataclass(frozen=True, slots=True)
class Flagged:
    """What a model said of traces in which it saw something; columns, one element for each trace."""

    row: Ints
    """Of the population."""
    category: NDArray[np.str_]
    confidence: Floats
    reason: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Population:
    """Traces that are compared with each other; columns, one element a trace, in order of trace id."""

    trace: NDArray[np.str_]
    start_ns: Ints
    end_ns: Ints
    took_ms: Floats
    service: NDArray[np.str_]
    feature: NDArray[np.str_]
    root: NDArray[np.str_]
    session: NDArray[np.str_]
    tokens: Floats
    cost_usd: Floats
    failing: NDArray[np.bool_]
    reasons: Lists
    defects: Lists
    weight: Floats
    asked_for: NDArray[np.bool_]
    """Whether the conditions hold of it."""
    tools: Lists
    recovered: NDArray[np.bool_]
    """Calls of tools failed, and each was made again and did not."""
    same_calls: Floats
    """How often the call was made that was made most often with the same arguments."""
    same_tool: NDArray[np.str_]
    request_chars: Floats
    answer_words: Floats
    """NaN: no answer was recorded."""
    hedges: Floats
    refusals: Floats
    hedge_words: Lists
    refusal_words: Lists
    likeness: Floats
    """Of the request to the three before it in the session, 0 to 1; 1: the same words."""
    like: Ints
    """Row of the request that it is like; -1: none."""
    first_chunk_s: Floats
    judged: Judged
    flagged: Flagged

    @property
    def size(self) -> int:
        """Return how many traces there are."""
        return len(self.trace)


def read_population(
    database: TenantDatabase, where: Where, window: Window, *, phrases: Phrases | None = None, step: Step = nobody
) -> Population:
    """Read the traces of a window; `where` chooses those that are asked for, not those they are compared with.

    `step` is told after each of `STATEMENTS`.
    """
    said = phrases or read_phrases()
    where = where.spans_from(datetime.fromtimestamp(window.first_s, UTC)) if where.reads_spans else where
    bound = {"first_s": window.first_s, "last_s": window.last_s}
    spoken = {"hedges": said.hedging, "refusals": said.refusal, "least_chars": LEAST_CHARS, "most_chars": MOST_CHARS}
    tables = []
    for name in STATEMENTS:
        tables.append(_read(database, name, {**bound, **spoken, **where.parameters}, conditions=where.sql))
        step()
    listed, spans, chunks, judged, flagged = tables
    trace = _texts(listed, "trace")
    at = _Rows(trace, _texts(spans, "trace"))
    first_chunk = _Rows(trace, _texts(chunks, "trace"))
    words = at.numbers(spans, "answer_words")
    return Population(
        trace=trace,
        start_ns=_whole(listed, "start_ns"),
        end_ns=_whole(listed, "end_ns"),
        took_ms=_numbers(listed, "took_ms"),
        service=_texts(listed, "service"),
        feature=_texts(listed, "of_feature"),
        root=_texts(listed, "root"),
        session=_texts(listed, "session"),
        tokens=_numbers(listed, "tokens"),
        cost_usd=_numbers(listed, "cost"),
        failing=_numbers(listed, "is_failing") > 0,
        reasons=_lists(listed, "reasons"),
        defects=_lists(listed, "found_defects"),
        weight=_numbers(listed, "weight"),
        asked_for=_numbers(listed, "is_asked_for") > 0,
        tools=at.lists(spans, "tools"),
        recovered=np.nan_to_num(at.numbers(spans, "is_recovered")) > 0,
        same_calls=np.nan_to_num(at.numbers(spans, "same_calls")),
        same_tool=at.texts(spans, "same_tool"),
        request_chars=np.nan_to_num(at.numbers(spans, "request_chars")),
        answer_words=np.where(words > 0, words, np.nan),
        hedges=np.nan_to_num(at.numbers(spans, "hedges")),
        refusals=np.nan_to_num(at.numbers(spans, "refusals")),
        hedge_words=at.lists(spans, "hedge_words"),
        refusal_words=at.lists(spans, "refusal_words"),
        likeness=np.nan_to_num(at.numbers(spans, "likeness")),
        like=_find(trace, at.texts(spans, "like_trace")),
        first_chunk_s=first_chunk.numbers(chunks, "first_chunk_s"),
        judged=_judged(trace, judged),
        flagged=_flagged(trace, flagged),
    )


def recent_window(database: TenantDatabase, since: datetime | None = None, *, most: int = MAX_TRACES) -> Window:
    """Return the window of what was received from an hour on, else of about `most` of the latest traces."""
    first = since or recent_hour(database, most)
    return Window(max(0, int(first.timestamp()) // 3600 * 3600)) if first else Window()


def window_around(database: TenantDatabase, trace_id: str, *, most: int = MAX_TRACES) -> Window:
    """Return the window that one trace is compared in: the latest traces where it is one of them, else its own time."""
    recent = recent_window(database, most=most)
    (row,) = database.rows(sql(__package__, "received"), {"trace": trace_id})
    at = int(row["received_s"])
    if at >= recent.first_s:
        return recent
    first = datetime.fromtimestamp(at, UTC) - AROUND
    return Window(max(0, int(first.timestamp()) // 3600 * 3600), at // 3600 * 3600 + 86_400)


class _Rows:
    """Puts columns of some traces into the order of all."""

    def __init__(self, every: NDArray[np.str_], some: NDArray[np.str_]) -> None:
        self.size = len(every)
        found = _find(every, some)
        self.taken = np.flatnonzero(found >= 0)
        self.rows = found[self.taken]

    def numbers(self, table: pa.Table, name: str) -> Floats:
        column = np.full(self.size, np.nan)
        column[self.rows] = _numbers(table, name)[self.taken]
        return column

    def texts(self, table: pa.Table, name: str) -> NDArray[np.str_]:
        own = _texts(table, name)
        column = np.zeros(self.size, own.dtype)
        column[self.rows] = own[self.taken]
        return column

    def lists(self, table: pa.Table, name: str) -> Lists:
        own = _lists(table, name)
        source = np.full(self.size, -1)
        source[self.rows] = self.taken
        lengths = np.where(source >= 0, own.lengths[source] if len(own.lengths) else 0, 0)
        offsets = np.r_[0, np.cumsum(lengths)]
        inside = np.arange(offsets[-1]) - np.repeat(offsets[:-1], lengths)
        begins = own.offsets[:-1][source] if len(own.lengths) else np.zeros(self.size, np.int64)
        return Lists(offsets, own.codes[np.repeat(begins, lengths) + inside], own.names)


def _read(database: TenantDatabase, name: str, parameters: Mapping[str, object], *, conditions: str = "") -> pa.Table:
    import pyarrow as pa  # noqa: PLC0415 - Arrow comes with the database's packages

    text = database.as_sent(sql(__package__, name).replace("/* conditions */", conditions))
    bound = {**parameters, "tenant": database.tenant}
    known = {key: value for key, value in bound.items() if f"{{{key}:" in text}
    with pa.ipc.open_stream(database.opened.raw(text, parameters=known, settings=FORMAT, form="ArrowStream")) as stream:
        return stream.read_all()


def _find(every: NDArray[np.str_], some: NDArray[np.str_]) -> Ints:
    """Return the row of each in the sorted column, -1 where there is none."""
    if len(every) == 0:
        return np.full(len(some), -1, np.int64)
    at = np.minimum(np.searchsorted(every, some), len(every) - 1)
    return np.where(every[at] == some, at, -1).astype(np.int64)


def _numbers(table: pa.Table, name: str) -> Floats:
    return np.array(table.column(name).cast("float64").to_numpy(), np.float64)


def _whole(table: pa.Table, name: str) -> Ints:
    return np.array(table.column(name).to_numpy(), np.int64)


def _texts(table: pa.Table, name: str) -> NDArray[np.str_]:
    return np.array(table.column(name).to_numpy(), dtype=np.str_)


def _lists(table: pa.Table, name: str) -> Lists:
    import pyarrow as pa  # noqa: PLC0415 - as above

    column = table.column(name).combine_chunks()
    if isinstance(column, pa.ChunkedArray):  # of no chunks
        return Lists(np.zeros(1, np.int64), np.zeros(0, np.int64), ())
    encoded = column.flatten().dictionary_encode()
    lengths = np.array(column.value_lengths().to_numpy(zero_copy_only=False), np.int64)
    names = tuple(str(x) for x in encoded.dictionary.to_pylist())
    return Lists(np.r_[0, np.cumsum(lengths)], np.array(encoded.indices.to_numpy(), np.int64), names)


def _judged(trace: NDArray[np.str_], table: pa.Table) -> Judged:
    row = _find(trace, _texts(table, "trace"))
    has = row >= 0
    numbers = _numbers(table, "numbers")[has] > 0
    return Judged(
        row[has],
        _texts(table, "said_name")[has],
        _whole(table, "negative")[has],
        _whole(table, "positive")[has],
        np.where(numbers, _numbers(table, "lowest")[has], np.nan),
        np.where(numbers, _numbers(table, "highest")[has], np.nan),
    )


def _flagged(trace: NDArray[np.str_], table: pa.Table) -> Flagged:
    row = _find(trace, _texts(table, "trace"))
    has = row >= 0
    reasons = table.column("said_reason").to_pylist()
    return Flagged(
        row[has],
        _texts(table, "said_category")[has],
        _numbers(table, "said_confidence")[has],
        tuple(str(reasons[i]) for i in np.flatnonzero(has)),
    )
