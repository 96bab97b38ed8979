"""The seam to a language model: messages in, a `Completion` or a `ModelError` out, both values.

A model that cannot be reached, refuses the request or answers with something that is no answer is a `ModelError`: an
error of infrastructure, never a bad answer. What a model declines to say is a `Completion` with `refusal` set: whether
that is an error is for the caller to say (it is one of a judge, it may be the right answer of a target).
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Any, Protocol, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

Message: TypeAlias = "Mapping[str, Any]"
"""{role, content} as chat completions have it; of an assistant also tool_calls, of a tool tool_call_id."""

CONTENT_FILTER = "content_filter"
"""The finish reason of an answer that the provider withheld."""


@dataclass(frozen=True, slots=True)
class Completion:
    """What a model answered."""

    text: str
    finish_reason: str | None = None
    tool_calls: tuple[Mapping[str, Any], ...] = ()
    """{id, name, arguments}; `arguments` is the object, or the text where that is no JSON object."""
    input_tokens: int | None = None
    output_tokens: int | None = None
    cost_usd: float | None = None
    """What this answer cost now: 0 from the cache, None where no price of the model is known."""
    latency_ms: float = 0.0
    """Of the attempt that was answered; waits for rate limits and retries are not in it."""
    model: str = ""
    """As the endpoint names it."""
    cached: bool = False
    refusal: str | None = None
    """Why the model or its provider would not answer; None where it did."""
    cached_input_tokens: int | None = None
    """Of `input_tokens`, those that the provider had kept and charges less for."""


class ModelErrorKind(StrEnum):
    """Why there is no answer."""

    TIMEOUT = "timeout"
    RATE_LIMIT = "rate_limit"
    REFUSED = "refused"
    """The provider will not have this content sent to the model."""
    REQUEST = "request"
    """The endpoint does not accept the request: wrong key, unknown model, too many tokens. No retry can help."""
    SERVER = "server"
    MALFORMED = "malformed"
    """The answer is not what chat completions look like."""
    BUDGET = "budget"
    """The call was not made: it might have gone over the budget."""
    CONNECTION = "connection"


@dataclass(frozen=True, slots=True)
class ModelError:
    """There is no answer."""

    kind: ModelErrorKind
    message: str
    """One line that says what to do; it never holds a key."""
    attempts: int = 1
    """How often it was tried; 0: nothing was sent."""


class ChatModel(Protocol):
    """One model behind one endpoint. Safe to call from many threads; never raises for a call."""

    @property
    def name(self) -> str:
        """The model's name as the endpoint knows it."""

    def complete(
        self,
        messages: Sequence[Mapping[str, Any]],
        *,
        temperature: float | None = 0.0,
        max_tokens: int | None = None,
        json_schema: Mapping[str, Any] | None = None,
        tools: Sequence[Mapping[str, Any]] | None = None,
        seed: int | None = None,
        fresh: bool = False,
        timeout_s: float | None = None,
    ) -> Completion | ModelError:
        """Ask for one answer.

        `temperature` None is the endpoint's own. `json_schema` is asked of endpoints that know structured output and
        left out elsewhere: read the text strictly in any case. `tools` are {name, description?, parameters}. `fresh`
        takes no answer from the cache; what comes is kept there. `timeout_s` bounds the whole call, retries included.
        """
