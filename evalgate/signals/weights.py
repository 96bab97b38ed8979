"""`evals/queue.yaml`: what each signal adds to the priority of a trace.

    weights:
      asked_again: 40      points at full strength; 0 switches a signal off
      pattern: 15

What is not named keeps its default. The defaults are judgements, in the order of the evidence, and measured in
bench/queue_yield.py; docs/signals.md says where each comes from.
"""

from __future__ import annotations

from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Annotated, Final

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from evalgate.files import read_text
from schema.config_file import explain, read
from schema.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Mapping

QUEUE_FILE: Final = Path("evals/queue.yaml")
PATTERN: Final = "pattern"
"""The part for how common the failure is."""
NO_ENVIRONMENT: Final[Mapping[str, str]] = MappingProxyType({})
Points = Annotated[float, Field(ge=0, le=1000, allow_inf_nan=False)]


class Weights(BaseModel):
    """Points that a signal adds at full strength."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    failure: Points = 40
    low_score: Points = 40
    judges_differ: Points = 25
    asked_again: Points = 30
    refusal: Points = 20
    hedging: Points = 20
    tool_loop: Points = 30
    odd_tools: Points = 15
    fast_and_short: Points = 25
    long_session: Points = 10
    tokens: Points = 10
    duration: Points = 6
    first_chunk: Points = 4
    cost: Points = 4
    broken: Points = 10
    model_flag: Points = 20
    pattern: Points = 10

    def of(self, name: str) -> float:
        """Return the points of a signal."""
        return float(getattr(self, name))


class QueueSettings(BaseModel):
    """The whole file."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    weights: Weights = Weights()


def read_weights(path: Path = QUEUE_FILE, environment: Mapping[str, str] = NO_ENVIRONMENT) -> Weights:
    """Return the weights of a file; the defaults where there is none.

    Raises:
        BadInput: it cannot be read.
        ConfigError: it says something that is not understood; every mistake on a line of its own, joined by "; ".

    """
    if not path.is_file():
        return Weights()
    text = read_text(path)
    if not text.strip():
        return Weights()
    document = read(text, str(path), environment)
    try:
        return QueueSettings.model_validate(document.data).weights
    except ValidationError as e:
        raise ConfigError("; ".join(explain(e, QueueSettings, document, ()))) from None
