"""What a call costs: prices that were given, else those of genai-prices for the provider of this URL, else None.

None is never 0 and is never guessed: a model served at an address that genai-prices does not know has no price,
whatever it is called.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

MILLION = 1e6
BYTES_PER_TOKEN = 3
"""For estimates on the high side: English has 4 to 5, code 3."""
DEFAULT_OUTPUT_TOKENS = 1024
"""Reserved for an answer whose length the caller does not bound."""


@dataclass(frozen=True, slots=True)
class Price:
    """US dollars per million tokens."""

    input_usd: float
    output_usd: float
    cached_input_usd: float | None = None
    """None: as other input."""

    def cost_usd(self, input_tokens: int, output_tokens: int, cached_input_tokens: int = 0) -> float:
        """Return what a call costs; `input_tokens` holds the cached ones too."""
        cached = min(cached_input_tokens, input_tokens)
        cached_usd = self.input_usd if self.cached_input_usd is None else self.cached_input_usd
        plain_usd = (input_tokens - cached) * self.input_usd + output_tokens * self.output_usd
        return (plain_usd + cached * cached_usd) / MILLION


class Prices:
    """Prices of models at one URL. Safe from many threads: at worst a price is looked up twice."""

    def __init__(
        self,
        base_url: str,
        given: Mapping[str, Price],
        *,
        look_up: Callable[[str, str], Price | None] | None = None,
    ) -> None:
        """`given` is by model name; the name "*" stands for every model."""
        self._base_url = base_url
        self._given = given
        self._look_up = look_up or price_of_library
        self._known: dict[str, Price | None] = {}

    def of(self, model: str) -> Price | None:
        """Return the price of a model, None where nobody knows it."""
        if (price := self._given.get(model) or self._given.get("*")) is not None:
            return price
        if model not in self._known:
            self._known[model] = self._look_up(model, self._base_url)
        return self._known[model]


def price_of_library(model: str, base_url: str) -> Price | None:
    """Return genai-prices' price of today. Where prices rise with the length of the input, the highest."""
    from genai_prices.data_snapshot import get_snapshot  # noqa: PLC0415 - half a second

    try:
        _, info = get_snapshot().find_provider_model(model, None, None, base_url)
    except LookupError:
        return None
    prices = info.get_prices(datetime.now(UTC), None)
    input_usd, output_usd = _highest(prices.input_mtok), _highest(prices.output_mtok)
    if input_usd is None or output_usd is None:
        return None
    return Price(input_usd, output_usd, _highest(prices.cache_read_mtok))


def price_of_embeddings(model: str, base_url: str) -> Price | None:
    """Return genai-prices' price of today of a model that writes nothing."""
    from genai_prices.data_snapshot import get_snapshot  # noqa: PLC0415 - half a second

    try:
        _, info = get_snapshot().find_provider_model(model, None, None, base_url)
    except LookupError:
        return None
    input_usd = _highest(info.get_prices(datetime.now(UTC), None).input_mtok)
    return None if input_usd is None else Price(input_usd, 0.0)


def estimate_tokens(body_bytes: int) -> int:
    """Return how many tokens a request of so many bytes may have, rather too many than too few."""
    return body_bytes // BYTES_PER_TOKEN + 1


def parse_price(text: str) -> Price:
    """Read "0.15/0.60": US dollars per million tokens of input and of output.

    Raises:
        ValueError: in words for its author.

    """
    first, slash, second = text.partition("/")
    try:
        price = Price(float(first), float(second))
    except ValueError:
        price = Price(-1, -1)
    if not slash or not 0 <= price.input_usd < 1e6 or not 0 <= price.output_usd < 1e6:
        raise ValueError(f"{text!r} is not a price; write IN/OUT in US dollars per million tokens, such as 0.15/0.60")
    return price


def parse_prices(text: str, model: str | None) -> dict[str, Price]:
    """Read "IN/OUT", the price of `model` (None: of every model), or "NAME=IN/OUT,NAME=IN/OUT".

    Raises:
        ValueError: in words for its author.

    """
    if "=" not in text:
        return {model or "*": parse_price(text)}
    prices = {}
    for item in text.split(","):
        name, _, price = item.rpartition("=")
        if not name.strip():
            raise ValueError(f"{item!r} lacks a model's name; write NAME=IN/OUT")
        prices[name.strip()] = parse_price(price)
    return prices


def _highest(price: Any) -> float | None:
    if price is None:
        return None
    if isinstance(price, (Decimal, int, float)):
        return float(price)
    return max(float(price.base), *(float(t.price) for t in price.tiers))
