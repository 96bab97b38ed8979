"""A chat model behind an OpenAI-compatible endpoint: cache, budget, rate limit, retries and what endpoints differ in.

    complete ─▶ cache? ─▶ turn (rate limit) ─▶ budget ─▶ transport ─▶ read ─▶ spend, keep
                              ▲                              │ fault that may pass
                              └──────────── wait ◀───────────┘

What an endpoint does not take (structured output, `max_tokens`, `temperature`, `seed`) is left out or replaced when it
says so, and that is remembered for the model once it worked. The text is read strictly in any case, so an endpoint
without structured output costs nothing but an answer that is none now and then.
"""

from __future__ import annotations

import json
import math
import threading
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from evalgate.errors import BadInput
from evalgate.model.answer import Fault, read_answer
from evalgate.model.budget import Budget, NoBudget
from evalgate.model.chat import Completion, ModelError, ModelErrorKind
from evalgate.model.clock import REAL, Clock
from evalgate.model.price import DEFAULT_OUTPUT_TOKENS, Prices, estimate_tokens
from evalgate.model.rate import RateLimit
from evalgate.model.retry import asked_wait_s
from evalgate.model.transport import NoAnswer, SdkTransport, require_extra
from schema.hashing import content_hash

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from evalgate.model.cache import ModelCache
    from evalgate.model.price import Price
    from evalgate.model.settings import ModelSettings
    from evalgate.model.transport import Transport

SCHEMA_NAME = "answer"
TOO_LONG = ("context length", "context_length", "context window", "too long", "maximum context")
"""Words of complaints that no change of parameters can answer."""
MAX_CHANGES = 6
"""Of parameters, for one call: there are five that may change."""


@dataclass(frozen=True, slots=True)
class Dialect:
    """What an endpoint takes of a model. All is taken until it says otherwise."""

    response_format: str = "json_schema"
    """json_schema, json_object or none."""
    max_tokens: str = "max_tokens"
    """Or max_completion_tokens."""
    temperature: bool = True
    seed: bool = True

    def body(self, asked: Mapping[str, Any]) -> dict[str, Any]:
        """Return the request as this endpoint takes it."""
        body = dict(asked)
        if "response_format" in body and self.response_format != "json_schema":
            del body["response_format"]
            if self.response_format == "json_object":
                body["response_format"] = {"type": "json_object"}
        if "max_tokens" in body and self.max_tokens != "max_tokens":
            body[self.max_tokens] = body.pop("max_tokens")
        for name, taken in (("temperature", self.temperature), ("seed", self.seed)):
            if not taken:
                body.pop(name, None)
        return body

    def without(self, fault: Fault, asked: Mapping[str, Any]) -> Dialect | None:
        """Return what else to try after a complaint, None where nothing is left."""
        if fault.status not in (400, 422) or any(words in fault.message.lower() for words in TOO_LONG):
            return None
        told = f"{fault.param} {fault.message}"
        for name in ("max_tokens", "temperature", "seed"):
            if name in asked and name in told and (other := self._drop(name)):
                return other
        return self._drop("response_format") if "response_format" in asked else None

    def _drop(self, name: str) -> Dialect | None:
        match name:
            case "max_tokens" if self.max_tokens == "max_tokens":
                return replace(self, max_tokens="max_completion_tokens")
            case "temperature" if self.temperature:
                return replace(self, temperature=False)
            case "seed" if self.seed:
                return replace(self, seed=False)
            case "response_format" if self.response_format != "none":
                return replace(self, response_format="json_object" if self.response_format == "json_schema" else "none")
            case _:
                return None


class OpenAIModel:
    """One model. See `ChatModel`."""

    def __init__(
        self,
        name: str,
        settings: ModelSettings,
        *,
        transport: Transport,
        budget: Budget,
        cache: ModelCache | None,
        rate: RateLimit,
        prices: Prices,
        clock: Clock,
    ) -> None:
        self._name = name
        self._settings = settings
        self._transport = transport
        self._budget = budget
        self._cache = cache
        self._rate = rate
        self._prices = prices
        self._clock = clock
        self._dialect = Dialect()
        self._lock = threading.Lock()

    @property
    def name(self) -> str:
        """The model's name as the endpoint knows it."""
        return self._name

    @property
    def dialect(self) -> Dialect:
        """What the endpoint is known to take by now."""
        with self._lock:
            return self._dialect

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
        """Ask for one answer; see `ChatModel`."""
        asked: dict[str, Any] = {"model": self._name, "messages": [dict(m) for m in messages]}
        optional = {"temperature": temperature, "max_tokens": max_tokens, "seed": seed}
        asked |= {name: value for name, value in optional.items() if value is not None}
        if json_schema is not None:
            named = {"name": SCHEMA_NAME, "schema": dict(json_schema), "strict": True}
            asked["response_format"] = {"type": "json_schema", "json_schema": named}
        if tools:
            asked["tools"] = [{"type": "function", "function": dict(t)} for t in tools]
        asked = _whole(asked)
        key = content_hash({"base_url": self._settings.base_url, "request": asked})
        if self._cache is not None and not fresh and (known := self._cached(key)) is not None:
            return known
        answer = self._ask(asked, timeout_s)
        if self._cache is not None and isinstance(answer, Completion):
            self._cache.put(key, _to_json(answer))
        return answer

    def _cached(self, key: str) -> Completion | None:
        entry = self._cache.get(key) if self._cache is not None else None
        try:
            return None if entry is None else _from_json(entry)
        except (KeyError, TypeError):
            return None

    def _ask(self, asked: Mapping[str, Any], timeout_s: float | None) -> Completion | ModelError:
        """Try until there is an answer, a fault that stays, or no time is left."""
        price = self._prices.of(self._name)
        tokens = estimate_tokens(len(json.dumps(asked, ensure_ascii=False).encode("utf-8")))
        most_out = int(asked.get("max_tokens") or DEFAULT_OUTPUT_TOKENS)
        estimate_usd = price.cost_usd(tokens, most_out) if price else None
        ends = math.inf if timeout_s is None else self._clock.monotonic() + timeout_s
        dialect, changes, attempts, failed = self.dialect, 0, 0, 0
        fault: Fault | None = None
        while True:
            if not self._rate.wait(tokens + most_out, ends):
                return self._gone(
                    fault, ModelErrorKind.RATE_LIMIT, "no turn came within the time that was given", attempts
                )
            if attempts == 0:  # waiting for one's own limit is no fault of the endpoint
                ends = min(ends, self._clock.monotonic() + self._settings.deadline_s)
            left_s = ends - self._clock.monotonic()
            if left_s <= 0:
                return self._gone(fault, ModelErrorKind.TIMEOUT, "no time is left", attempts)
            reservation = self._budget.reserve(estimate_usd, self._name)
            if isinstance(reservation, NoBudget):
                return ModelError(ModelErrorKind.BUDGET, reservation.message, attempts)
            attempts += 1
            try:
                reply = self._transport(dialect.body(asked), min(left_s, self._settings.attempt_timeout_s))
                if isinstance(reply, NoAnswer):
                    fault = Fault(reply.kind, self._scrubbed(reply.message), may_retry=True)
                    reservation.lose() if reply.was_sent else reservation.release()
                else:
                    answer = read_answer(reply)
                    if isinstance(answer, Completion):
                        done = replace(answer, cost_usd=_cost(price, answer), latency_ms=reply.latency_ms)
                        reservation.spend(done.cost_usd)
                        self._rate.correct(tokens + most_out, _tokens(done))
                        self._learn(dialect)
                        return done
                    fault = replace(answer, message=self._scrubbed(answer.message))
                    reservation.lose() if fault.kind in (
                        ModelErrorKind.MALFORMED,
                        ModelErrorKind.TIMEOUT,
                    ) else reservation.release()
            finally:
                reservation.release()  # does nothing where it was settled
            self._rate.correct(tokens + most_out, 0)
            if not fault.may_retry:
                changes += 1
                other = dialect.without(fault, asked) if changes <= MAX_CHANGES else None
                if other is None:
                    return self._gone(fault, fault.kind, "", attempts)
                dialect = other
                continue
            failed += 1
            headers = {} if isinstance(reply, NoAnswer) else reply.headers
            wanted_s = asked_wait_s(headers, self._clock.unix())
            wait_s = self._settings.retry.wait_s(failed, wanted_s, self._clock.chance())
            if failed >= self._settings.retry.attempts or self._clock.monotonic() + wait_s >= ends:
                return self._gone(fault, fault.kind, "", attempts)
            if wanted_s is not None and fault.kind is ModelErrorKind.RATE_LIMIT:
                self._rate.pause(wanted_s)
            self._clock.sleep(wait_s)

    def _gone(self, fault: Fault | None, kind: ModelErrorKind, message: str, attempts: int) -> ModelError:
        """Return the error; what the endpoint said last says more than that time ran out."""
        said = fault.message if fault else message
        times = f" ({attempts} attempts)" if attempts > 1 else ""
        return ModelError(fault.kind if fault else kind, f"{self._settings.host}: {said}{times}", attempts)

    def _scrubbed(self, message: str) -> str:
        return self._settings.key.scrub(message) if self._settings.key else message

    def _learn(self, dialect: Dialect) -> None:
        with self._lock:
            self._dialect = dialect


def open_models(
    settings: ModelSettings,
    *,
    budget: Budget | None = None,
    cache: ModelCache | None = None,
    rate: RateLimit | None = None,
    clock: Clock = REAL,
    transport: Transport | None = None,
    look_up: Callable[[str, str], Price | None] | None = None,
) -> Callable[[str | None], OpenAIModel]:
    """Return what gives a model by its name, the same object for the same name; None is the model of the settings.

    All of them share the budget, the rate limit and one pool of connections. Nothing is sent before the first call.

    Raises:
        BadInput: the extra is not installed, or (by what is returned) no model is named anywhere.

    """
    if transport is None:
        require_extra()
    send = transport or SdkTransport(settings)
    shared_budget, shared_rate = budget or Budget(), rate or RateLimit(clock=clock)
    if look_up is None and settings.is_loopback:
        look_up = _of_nobody  # no price list knows this machine, and reading one takes half a second
    prices = Prices(settings.base_url, settings.prices, look_up=look_up)
    opened: dict[str, OpenAIModel] = {}
    lock = threading.Lock()

    def model(name: str | None) -> OpenAIModel:
        wanted = name or settings.model
        if not wanted:
            raise BadInput("no model is named. Name one with --judge-model or EVALGATE_JUDGE_MODEL")
        with lock:
            if wanted not in opened:
                opened[wanted] = OpenAIModel(
                    wanted,
                    settings,
                    transport=send,
                    budget=shared_budget,
                    cache=cache,
                    rate=shared_rate,
                    prices=prices,
                    clock=clock,
                )
            return opened[wanted]

    return model


def _of_nobody(_model: str, _url: str) -> None:
    return None


def _cost(price: Price | None, answer: Completion) -> float | None:
    if price is None or answer.input_tokens is None or answer.output_tokens is None:
        return None
    return price.cost_usd(answer.input_tokens, answer.output_tokens, answer.cached_input_tokens or 0)


def _tokens(answer: Completion) -> int | None:
    return None if answer.input_tokens is None else answer.input_tokens + (answer.output_tokens or 0)


def _whole(asked: dict[str, Any]) -> dict[str, Any]:
    """Return the request without lone surrogates, which no endpoint can be sent."""
    text = json.dumps(asked, ensure_ascii=False)
    try:
        text.encode("utf-8")
    except UnicodeEncodeError:
        whole: dict[str, Any] = json.loads(text.encode("utf-16", "surrogatepass").decode("utf-16", "replace"))
        return whole
    return asked


def _to_json(answer: Completion) -> dict[str, Any]:
    return {
        "text": answer.text,
        "finish_reason": answer.finish_reason,
        "tool_calls": [dict(c) for c in answer.tool_calls],
        "input_tokens": answer.input_tokens,
        "output_tokens": answer.output_tokens,
        "cached_input_tokens": answer.cached_input_tokens,
        "latency_ms": answer.latency_ms,
        "model": answer.model,
        "refusal": answer.refusal,
    }


def _from_json(entry: Mapping[str, Any]) -> Completion:
    return Completion(
        text=entry["text"],
        finish_reason=entry["finish_reason"],
        tool_calls=tuple(entry["tool_calls"]),
        input_tokens=entry["input_tokens"],
        output_tokens=entry["output_tokens"],
        cached_input_tokens=entry["cached_input_tokens"],
        cost_usd=0.0,
        latency_ms=entry["latency_ms"],
        model=entry["model"],
        cached=True,
        refusal=entry["refusal"],
    )
