"""What an embeddings endpoint answers: a vector for each text, read strictly."""

from __future__ import annotations

import base64
import math
import sys
from array import array
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Sequence

MAX_DIMENSIONS: Final = 16_384
"""Far above that of any model; 4096 is common."""


@dataclass(frozen=True, slots=True)
class Vectors:
    """The vectors of some texts, in their order; all of one dimension."""

    rows: tuple[array[float], ...]
    """Of 32-bit floats: what endpoints send."""
    model: str = ""
    """As the endpoint names it."""
    input_tokens: int | None = None
    output_tokens: int | None = 0
    cached_input_tokens: int | None = None
    cost_usd: float | None = None
    latency_ms: float = 0.0

    @property
    def dimensions(self) -> int:
        """How many numbers a vector has."""
        return len(self.rows[0]) if self.rows else 0


class NoVectors(ValueError):
    """The body holds no vectors for these texts."""


def read_vectors(value: Any, texts: int) -> Vectors:
    """Read the JSON of an answer to so many texts.

    Raises:
        NoVectors: in words.

    """
    if not isinstance(value, dict) or not isinstance(value.get("data"), list):
        raise NoVectors("it has no data")
    rows: list[array[float] | None] = [None] * texts
    for place, item in enumerate(value["data"]):
        if not isinstance(item, dict):
            raise NoVectors("an item is not an object")
        index = item.get("index", place)
        if isinstance(index, bool) or not isinstance(index, int) or not 0 <= index < texts or rows[index] is not None:
            raise NoVectors(f"it has no one vector for each of {texts} texts")
        rows[index] = _vector(item.get("embedding"))
    found = tuple(row for row in rows if row is not None)
    if len(found) != texts:
        raise NoVectors(f"it has {len(found)} vectors for {texts} texts")
    if len({len(row) for row in found}) > 1:
        raise NoVectors("its vectors differ in their dimension")
    usage = value.get("usage")
    tokens = usage.get("prompt_tokens") if isinstance(usage, dict) else None
    model = value.get("model")
    return Vectors(
        found,
        model=model if isinstance(model, str) else "",
        input_tokens=tokens if isinstance(tokens, int) and not isinstance(tokens, bool) and tokens >= 0 else None,
    )


def pack(row: Sequence[float]) -> str:
    """Return a vector as text: base64 of little-endian 32-bit floats, as OpenAI's API has it."""
    own = array("f", row)
    return base64.b64encode(_little(own).tobytes()).decode("ascii")


def unpack(text: str) -> array[float]:
    """Return the vector in a text.

    Raises:
        NoVectors: it holds none.

    """
    own = array("f")
    try:
        own.frombytes(base64.b64decode(text, validate=True))
    except ValueError as e:
        raise NoVectors(f"a vector is no base64 of 32-bit floats: {e}") from None
    return _checked(_little(own))


def _vector(value: Any) -> array[float]:
    if isinstance(value, str):  # some endpoints answer in base64 whatever they are asked for
        return unpack(value)
    if not isinstance(value, list) or not all(isinstance(x, (int, float)) and not isinstance(x, bool) for x in value):
        raise NoVectors("a vector is not a list of numbers")
    try:
        return _checked(array("f", value))
    except OverflowError:
        raise NoVectors("a vector holds a number that is too large") from None


def _checked(row: array[float]) -> array[float]:
    if not 0 < len(row) <= MAX_DIMENSIONS:
        raise NoVectors(f"a vector has {len(row)} numbers, not 1 to {MAX_DIMENSIONS}")
    if not all(map(math.isfinite, row)):
        raise NoVectors("a vector holds what is no finite number")
    return row


def _little(row: array[float]) -> array[float]:
    if sys.byteorder == "big":
        row.byteswap()
    return row
