"""One call of a model: turns, budget, attempts, and what is done about each fault."""

from __future__ import annotations

import json
import math
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from evalgate.model.answer import Fault
from evalgate.model.budget import NoBudget
from evalgate.model.chat import Completion, ModelError, ModelErrorKind
from evalgate.model.dialect import MAX_CHANGES
from evalgate.model.price import DEFAULT_OUTPUT_TOKENS, estimate_tokens
from evalgate.model.retry import asked_wait_s
from evalgate.model.transport import NoAnswer
from evalgate.model.vectors import Vectors

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from evalgate.model.budget import Budget, Reservation
    from evalgate.model.clock import Clock
    from evalgate.model.dialect import Dialect
    from evalgate.model.price import Price, Prices
    from evalgate.model.rate import RateLimit
    from evalgate.model.settings import ModelSettings
    from evalgate.model.transport import HttpAnswer, Transport

Answer = TypeVar("Answer", Completion, Vectors)
BILLED = (ModelErrorKind.MALFORMED, ModelErrorKind.TIMEOUT)
"""Faults after which the endpoint may have done the work all the same."""
NO_HEADERS: Mapping[str, str] = MappingProxyType({})


@dataclass(frozen=True, slots=True)
class Endpoint:
    """What the models of one endpoint share."""

    settings: ModelSettings
    transport: Transport
    budget: Budget
    rate: RateLimit
    prices: Prices
    clock: Clock


@dataclass(frozen=True, slots=True)
class Failed:
    """One attempt that came to nothing."""

    fault: Fault
    headers: Mapping[str, str]


class Call(Generic[Answer]):
    """One call with all its attempts; used once, by one thread. `read` makes an answer of what came back."""

    def __init__(
        self,
        endpoint: Endpoint,
        model: str,
        asked: Mapping[str, Any],
        dialect: Dialect,
        *,
        read: Callable[[HttpAnswer], Answer | Fault],
        timeout_s: float | None = None,
        output_tokens: int = DEFAULT_OUTPUT_TOKENS,
    ) -> None:
        """Prepare it; `output_tokens` are expected of an answer that the request does not bound."""
        self.dialect = dialect
        """What the endpoint takes; after an answer it is known to."""
        self._endpoint = endpoint
        self._model = model
        self._asked = asked
        self._read: Callable[[HttpAnswer], Answer | Fault] = read
        self._price: Price | None = endpoint.prices.of(model)
        tokens_in = estimate_tokens(len(json.dumps(asked, ensure_ascii=False).encode("utf-8")))
        tokens_out = int(asked.get("max_tokens") or output_tokens)
        self._tokens = tokens_in + tokens_out
        self._most_usd = self._price.cost_usd(tokens_in, tokens_out) if self._price else None
        self._ends = math.inf if timeout_s is None else endpoint.clock.monotonic() + timeout_s
        self._attempts = 0
        self._failed = 0
        self._changes = 0
        self._fault: Fault | None = None

    def run(self) -> Answer | ModelError:
        """Try until there is an answer, a fault that stays, or no time or money is left."""
        budget = self._endpoint.budget
        while True:
            if (late := self._turn()) is not None:
                return late
            reservation = budget.reserve(self._most_usd, self._model)
            if isinstance(reservation, NoBudget):
                return ModelError(ModelErrorKind.BUDGET, reservation.message, self._attempts)
            try:
                outcome = self._attempt(reservation)
            finally:
                reservation.release()  # does nothing where it was settled
            if not isinstance(outcome, Failed):
                return outcome
            self._fault = outcome.fault
            goes_on = self._wait(outcome) if outcome.fault.may_retry else self._change(outcome.fault)
            if not goes_on:
                return self._error(outcome.fault.kind, "")

    def _turn(self) -> ModelError | None:
        """Wait for a turn; return the error where it comes too late."""
        clock, settings = self._endpoint.clock, self._endpoint.settings
        if not self._endpoint.rate.wait(self._tokens, self._ends):
            return self._error(ModelErrorKind.RATE_LIMIT, "no turn came within the time that was given")
        # From the first turn on: waiting for one's own limit is no fault of the endpoint.
        self._ends = min(self._ends, clock.monotonic() + settings.deadline_s)
        return self._error(ModelErrorKind.TIMEOUT, "no time is left") if clock.monotonic() >= self._ends else None

    def _attempt(self, reservation: Reservation) -> Answer | Failed:
        """Send the request once, and settle what it cost."""
        endpoint = self._endpoint
        self._attempts += 1
        timeout_s = min(self._ends - endpoint.clock.monotonic(), endpoint.settings.attempt_timeout_s)
        reply = endpoint.transport(self.dialect.body(self._asked), timeout_s)
        if isinstance(reply, NoAnswer):
            if reply.was_sent:
                reservation.lose()
            return self._failed_by(Fault(reply.kind, reply.message, may_retry=True), NO_HEADERS)
        answer = self._read(reply)
        if not isinstance(answer, Fault):
            done = replace(answer, cost_usd=_cost(self._price, answer), latency_ms=reply.latency_ms)
            reservation.spend(done.cost_usd)
            endpoint.rate.correct(self._tokens, _tokens(done))
            return done
        if answer.kind in BILLED:
            reservation.lose()
        return self._failed_by(answer, reply.headers)

    def _failed_by(self, fault: Fault, headers: Mapping[str, str]) -> Failed:
        self._endpoint.rate.correct(self._tokens, 0)
        key = self._endpoint.settings.key
        return Failed(replace(fault, message=key.scrub(fault.message)) if key else fault, headers)

    def _change(self, fault: Fault) -> bool:
        """Ask in other words, where the endpoint complains of a parameter; return whether there are any."""
        self._changes += 1
        other = self.dialect.without(fault, self._asked) if self._changes <= MAX_CHANGES else None
        self.dialect = other or self.dialect
        return other is not None

    def _wait(self, failed: Failed) -> bool:
        """Wait for the next attempt; return whether there is one."""
        clock, retry = self._endpoint.clock, self._endpoint.settings.retry
        self._failed += 1
        wanted_s = asked_wait_s(failed.headers, clock.unix())
        wait_s = retry.wait_s(self._failed, wanted_s, clock.chance())
        if self._failed >= retry.attempts or clock.monotonic() + wait_s >= self._ends:
            return False
        if wanted_s is not None and failed.fault.kind is ModelErrorKind.RATE_LIMIT:
            self._endpoint.rate.pause(wanted_s)
        clock.sleep(wait_s)
        return True

    def _error(self, kind: ModelErrorKind, message: str) -> ModelError:
        """Return the error; what the endpoint said last says more than that time ran out."""
        fault = self._fault
        said = fault.message if fault else message
        times = f" ({self._attempts} attempts)" if self._attempts > 1 else ""
        kind = fault.kind if fault else kind
        return ModelError(kind, f"{self._endpoint.settings.host}: {said}{times}", self._attempts)


def _cost(price: Price | None, answer: Completion | Vectors) -> float | None:
    if price is None or answer.input_tokens is None or answer.output_tokens is None:
        return None
    return price.cost_usd(answer.input_tokens, answer.output_tokens, answer.cached_input_tokens or 0)


def _tokens(answer: Completion | Vectors) -> int | None:
    return None if answer.input_tokens is None else answer.input_tokens + (answer.output_tokens or 0)
