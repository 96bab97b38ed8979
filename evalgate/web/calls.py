"""What each model call of a trace took: its tokens by kind, as parts of a bar, and its cost. Pure but for one read.

Input holds what was read from a cache and written to one, output holds reasoning (docs/normalized.md); the parts of a
bar are what is left of each.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from evalgate.database import sql

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from evalgate.database import TenantDatabase
    from evalgate.select.traces import Span

WIDTH: Final = 1000.0
KINDS: Final = ("input", "cache_read", "cache_write", "output", "reasoning")
NAMES: Final = ("input", "read from cache", "written to cache", "output", "reasoning")
MAX_CALLS: Final = 200
"""Shown; totals are of all."""


@dataclass(frozen=True, slots=True)
class TokensPart:
    """A part of the bar of a call."""

    kind: str
    """One of KINDS."""
    tokens: int
    x: float
    width: float


@dataclass(frozen=True, slots=True)
class Call:
    """One call of a model."""

    span_id: str
    name: str
    model: str | None
    duration_ms: float
    is_counted: bool
    """False: another span tells of the same call; sums leave this one out."""
    parts: tuple[TokensPart, ...]
    tokens: int | None
    """None: nobody said."""
    cost_usd: float | None
    price_source: str | None
    cost_width: float
    """Of the bar of its cost, on the scale of the dearest call; 0 without a price."""


@dataclass(frozen=True, slots=True)
class Calls:
    """The calls of a trace and what they add up to."""

    calls: tuple[Call, ...]
    totals: Mapping[str, int]
    """Tokens by kind, of what counts."""
    cost_usd: float | None
    """None: nothing has a price."""
    unpriced: int
    """Calls that count and have no price; the cost is of the others."""
    left_out: int


def read_calls(database: TenantDatabase, trace_id: str, spans: Sequence[Span]) -> Calls:
    """Read what the model calls of a trace took."""
    return calls_of(database.rows(sql(__package__, "span_figures"), {"trace_id": trace_id}), spans)


def calls_of(rows: Sequence[Mapping[str, Any]], spans: Sequence[Span]) -> Calls:
    """Return rows of `span_figures.sql` as bars, tokens on one scale and costs on one: the longest has all room."""
    known = {s.span_id: s for s in spans}
    rows = [r for r in rows if r["span_hex"] in known]
    counts = [_counts(r) for r in rows]
    most = max((sum(c.values()) for c in counts), default=0)
    dearest = max((r["cost_usd"] or 0.0 for r in rows), default=0.0)
    calls = tuple(_call(r, c, known[r["span_hex"]], most, dearest) for r, c in zip(rows, counts, strict=True))
    counted = [(call, c) for call, c in zip(calls, counts, strict=True) if call.is_counted]
    priced = [call.cost_usd for call, _ in counted if call.cost_usd is not None]
    return Calls(
        calls=calls[:MAX_CALLS],
        totals={kind: sum(c[kind] for _, c in counted) for kind in KINDS},
        cost_usd=sum(priced) if priced else None,
        unpriced=len(counted) - len(priced),
        left_out=max(len(calls) - MAX_CALLS, 0),
    )


def _call(row: Mapping[str, Any], counts: Mapping[str, int], span: Span, most: int, dearest: float) -> Call:
    parts = []
    x = 0.0
    for kind, tokens in counts.items():
        width = tokens / most * WIDTH if most else 0.0
        if tokens:
            parts.append(TokensPart(kind, tokens, round(x, 2), round(width, 2)))
        x += width
    is_known = row["input_tokens"] is not None or row["output_tokens"] is not None
    return Call(
        span_id=row["span_hex"],
        name=span.name,
        model=span.model,
        duration_ms=span.duration_ms,
        is_counted=bool(row["is_counted"]),
        parts=tuple(parts),
        tokens=sum(counts.values()) if is_known else None,
        cost_usd=row["cost_usd"],
        price_source=row["price_source"],
        cost_width=round((row["cost_usd"] or 0.0) / dearest * WIDTH, 2) if dearest else 0.0,
    )


def _counts(row: Mapping[str, Any]) -> dict[str, int]:
    def of(name: str) -> int:
        return max(int(row[name] or 0), 0)

    given, made = of("input_tokens"), of("output_tokens")
    read = min(of("cache_read_tokens"), given)
    written = min(of("cache_write_tokens"), given - read)
    thought = min(of("reasoning_tokens"), made)
    return {
        "input": given - read - written,
        "cache_read": read,
        "cache_write": written,
        "output": made - thought,
        "reasoning": thought,
    }
