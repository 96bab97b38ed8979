"""What each counted call cost, in US dollars, at the prices of the day it was made.

Prices are those of genai-prices (dated, with cache, context-length and service-tier rates), or the user's own from the
configuration, which come first. A model that neither knows has no cost: null, and a row in the view `unpriced_models`;
never 0. Calls are grouped by (provider, model, tier, day): prices are looked up once a group, the rest is columns.

    cost = (input - cache_read - cache_write) · p_in + cache_read · p_read + cache_write · p_write + output · p_out

Token columns are inclusive (OpenTelemetry: input_tokens includes cached ones), so cached tokens are taken out of the
input first; a price without its own cache rate charges them as input.
"""

from __future__ import annotations

import fnmatch
from dataclasses import dataclass
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from pydantic import Field

from schema.arrays import codes, figures, truths
from schema.component import ComponentConfig, Context, Processor, component

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from schema.batch import SpanBatch

MILLION = 1e6
DAY_NS = np.uint64(86_400 * 10**9)
NAMES = ("provider", "response_model", "request_model", "service_tier")
"""What prices depend on, besides the day."""
MAX_COMBINATIONS = 1 << 16
"""Of values: so many are told apart by a table, more by sorting."""

PROVIDERS = {
    "aws.bedrock": "aws",
    "azure.ai.openai": "azure",
    "azure.ai.inference": "azure",
    "gcp.gemini": "google",
    "gcp.vertex_ai": "google",
    "gcp.gen_ai": "google",
    "mistral_ai": "mistral",
    "moonshot_ai": "moonshotai",
    "x_ai": "x-ai",
}
"""OpenTelemetry's well-known provider names where genai-prices has another id."""


class PriceOverride(ComponentConfig):
    """A price of the user's own; the first that matches wins over genai-prices."""

    model: str
    """Model name, `*` and `?` as wildcards."""
    provider: str | None = None
    """OpenTelemetry provider name; absent = any."""
    input_per_million: float = Field(ge=0)
    output_per_million: float = Field(default=0, ge=0)
    cache_read_per_million: float | None = Field(default=None, ge=0)
    cache_write_per_million: float | None = Field(default=None, ge=0)
    valid_from: date | None = None
    valid_until: date | None = None
    """The last day, inclusive."""

    def matches(self, provider: str | None, model: str, day: date) -> bool:
        """Tell whether this price is the one for a call."""
        return (
            fnmatch.fnmatchcase(model.lower(), self.model.lower())
            and (self.provider is None or self.provider == provider)
            and (self.valid_from is None or day >= self.valid_from)
            and (self.valid_until is None or day <= self.valid_until)
        )


class CostConfig(ComponentConfig):
    """Configuration of the cost processor."""

    prices: tuple[PriceOverride, ...] = ()


@dataclass(frozen=True, slots=True)
class Rate:
    """US dollars per token by the length of the whole input; `tiers` = ascending (more than so many tokens, rate)."""

    base: float
    tiers: tuple[tuple[int, float], ...] = ()

    def at(self, input_tokens: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return the rate of each call; passing a tier's start charges all its tokens at that tier."""
        rate = np.full(len(input_tokens), self.base)
        for start, price in self.tiers:
            rate[input_tokens > start] = price
        return rate


MAX_NAME_CHARS = 512
"""Of provider, model and tier together; no name with a price has nearly as many. Looking one up takes 0.1 µs a char."""
MAX_KNOWN = 10_000
"""Looked-up combinations that are remembered: some 10 MB at most."""


@dataclass(frozen=True, slots=True)
class Prices:
    """The rates of one model on one day."""

    input: Rate
    output: Rate
    cache_read: Rate
    cache_write: Rate
    source: str


@component("processor", "cost", CostConfig)
def cost(config: CostConfig, context: Context) -> Processor:  # noqa: ARG001 - the signature of every factory
    """Add `cost_usd` and `price_source` to counted calls."""
    return CostProcessor(config.prices)


class CostProcessor:
    """Prices batches; looks up each (provider, model, tier, day) once in its life."""

    def __init__(self, overrides: Sequence[PriceOverride] = ()) -> None:
        self._overrides = tuple(overrides)
        self._known: dict[tuple[str | None, str, str | None, date], Prices | None] = {}

    def __call__(self, batch: SpanBatch) -> SpanBatch:
        """Return the batch with `cost_usd` and `price_source`."""
        n = len(batch)
        counted = truths(_column(batch, "counted", n, pa.bool_()))
        if not counted.any():
            return batch.with_columns({"cost_usd": pa.nulls(n, pa.float64()), "price_source": pa.nulls(n, pa.string())})
        tokens = {
            name: _floats(batch, name, n)
            for name in ("input_tokens", "output_tokens", "cache_read_tokens", "cache_write_tokens")
        }
        embedding = truths(pc.equal(_column(batch, "span_kind", n), "embedding"))
        tokens["output_tokens"][embedding & np.isnan(tokens["output_tokens"])] = 0.0
        priceable = np.flatnonzero(counted & ~np.isnan(tokens["input_tokens"]) & ~np.isnan(tokens["output_tokens"]))
        prices, number = self._find(batch, priceable)
        rows, number = priceable[number >= 0], number[number >= 0]
        cost_usd = np.full(n, np.nan)
        cost_usd[rows] = charge(
            prices,
            number,
            tokens["input_tokens"][rows],
            tokens["output_tokens"][rows],
            np.nan_to_num(tokens["cache_read_tokens"][rows]),
            np.nan_to_num(tokens["cache_write_tokens"][rows]),
        )
        source = np.full(n, -1, np.int64)
        source[rows] = number
        sources = pa.array([p.source for p in prices], pa.string())
        return batch.with_columns(
            {
                "cost_usd": pa.array(cost_usd, pa.float64(), mask=np.isnan(cost_usd)),
                "price_source": sources.take(pa.array(source, mask=source < 0)),
            }
        )

    @property
    def remembered(self) -> int:
        """How many looked-up combinations are in memory; MAX_KNOWN at most."""
        return len(self._known)

    def _find(self, batch: SpanBatch, rows: NDArray[np.int64]) -> tuple[list[Prices], NDArray[np.int64]]:
        """Return distinct prices, and for each of the rows the number of its own; -1 for an unknown model."""
        if len(rows) == 0:
            return [], np.zeros(0, np.int64)
        n = len(batch)
        at = pa.array(rows)
        columns = [codes(_column(batch, name, n).take(at)) for name in NAMES]
        first, group = distinct([*(c for c, _ in columns), (batch.start_unix_ns[rows] // DAY_NS).astype(np.int64)])
        names = [[None if i < 0 else values[i] for i in c[first].tolist()] for c, values in columns]
        days = (batch.start_unix_ns[rows[first]] // DAY_NS).tolist()
        of_prices: dict[Prices, int] = {}
        number = np.full(len(first), -1, np.int64)
        for i, (provider, answered, asked, tier, day) in enumerate(zip(*names, days, strict=True)):
            when = date.fromordinal(min(719_163 + day, date.max.toordinal()))
            prices = next(
                (p for model in (answered, asked) if model and (p := self._prices(provider, model, tier, when))), None
            )
            if prices is not None:
                number[i] = of_prices.setdefault(prices, len(of_prices))
        return list(of_prices), number[group]

    def _prices(self, provider: str | None, model: str, tier: str | None, day: date) -> Prices | None:
        key = (provider, model, tier, day)
        if key not in self._known:
            # Names are input: what they cost us, in time and in memory, stays bounded.
            if sum(len(name or "") for name in (provider, model, tier)) > MAX_NAME_CHARS:
                return None
            if len(self._known) >= MAX_KNOWN:
                self._known.clear()
            override = next((o for o in self._overrides if o.matches(provider, model, day)), None)
            self._known[key] = _of_override(override) if override else _of_library(provider, model, tier, day)
        return self._known[key]


def distinct(columns: Sequence[NDArray[np.int64]]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return a row of each distinct combination of values, and which combination each row is."""
    group, combinations = columns[0] - columns[0].min(), 1 + int(np.ptp(columns[0]))
    for column in columns[1:]:
        span = 1 + int(np.ptp(column))
        if combinations * span > MAX_COMBINATIONS:  # many models, or days far apart: number those that there are
            _, group = np.unique(group, return_inverse=True)
            _, column = np.unique(column, return_inverse=True)  # noqa: PLW2901 - the same column, in other numbers
            combinations, span = 1 + int(group.max()), 1 + int(column.max())
        group = group * span + (column - column.min())
        combinations *= span
    if combinations > MAX_COMBINATIONS:
        _, first, group = np.unique(group, return_index=True, return_inverse=True)
        return first, group
    row_of = np.full(combinations, -1, np.int64)
    row_of[group] = np.arange(len(group))
    present = np.flatnonzero(row_of >= 0)
    number = np.empty(combinations, np.int64)
    number[present] = np.arange(len(present))
    return row_of[present], number[group]


def charge(  # noqa: PLR0917 - columns of figures
    prices: Sequence[Prices],
    number: NDArray[np.int64],
    input_tokens: NDArray[np.float64],
    output_tokens: NDArray[np.float64],
    cache_read: NDArray[np.float64],
    cache_write: NDArray[np.float64],
) -> NDArray[np.float64]:
    """Return dollars per call, of which `number` says the prices; cached tokens beyond the input count as the input."""
    if len(number) == 0:
        return np.zeros(0)
    cache_read = np.minimum(cache_read, input_tokens)
    cache_write = np.minimum(cache_write, input_tokens - cache_read)
    plain = input_tokens - cache_read - cache_write
    return (
        plain * _rates([p.input for p in prices], number, input_tokens)
        + cache_read * _rates([p.cache_read for p in prices], number, input_tokens)
        + cache_write * _rates([p.cache_write for p in prices], number, input_tokens)
        + output_tokens * _rates([p.output for p in prices], number, input_tokens)
    )


def _rates(rates: Sequence[Rate], number: NDArray[np.int64], input_tokens: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the rate of each call; `number` says which."""
    of_call = np.array([r.base for r in rates])[number]
    for i, rate in enumerate(rates):
        if rate.tiers:
            rows = number == i
            of_call[rows] = rate.at(input_tokens[rows])
    return of_call


def _of_override(o: PriceOverride) -> Prices:
    read = o.input_per_million if o.cache_read_per_million is None else o.cache_read_per_million
    write = o.input_per_million if o.cache_write_per_million is None else o.cache_write_per_million
    rates = [Rate(x / MILLION) for x in (o.input_per_million, o.output_per_million, read, write)]
    return Prices(rates[0], rates[1], rates[2], rates[3], source="configuration")


def _of_library(provider: str | None, model: str, tier: str | None, day: date) -> Prices | None:
    """Return genai-prices' rates, or None; a provider it does not know is never guessed from the model's name."""
    from genai_prices import __version__  # noqa: PLC0415 - half a second, and only where costs are wanted
    from genai_prices.data_snapshot import get_snapshot  # noqa: PLC0415

    try:
        _, info = get_snapshot().find_provider_model(model, None, PROVIDERS.get(provider or "", provider), None)
    except LookupError:
        return None
    context = {"service_tier": tier} if tier else None
    p = info.get_prices(datetime(day.year, day.month, day.day, tzinfo=UTC), context)
    rate_in, rate_out = _rate(p.input_mtok), _rate(p.output_mtok)
    if rate_in is None:
        return None
    return Prices(
        rate_in,
        rate_out or Rate(0.0),
        _rate(p.cache_read_mtok) or rate_in,
        _rate(p.cache_write_mtok) or rate_in,
        source=f"genai-prices {__version__}",
    )


def _rate(price: Any) -> Rate | None:
    if price is None:
        return None
    if isinstance(price, Decimal):
        return Rate(float(price) / MILLION)
    return Rate(float(price.base) / MILLION, tuple((int(t.start), float(t.price) / MILLION) for t in price.tiers))


def _column(batch: SpanBatch, name: str, n: int, kind: pa.DataType | None = None) -> pa.Array:
    column = batch.columns.get(name)
    return pa.nulls(n, kind or pa.string()) if column is None else column


def _floats(batch: SpanBatch, name: str, n: int) -> NDArray[np.float64]:
    """Return a token column as floats, NaN where null; figures below zero count as unknown."""
    values, known = figures(_column(batch, name, n, pa.int64()))
    return np.where(known & (values >= 0), values.astype(np.float64), np.nan)
