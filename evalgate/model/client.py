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
import threading
from typing import TYPE_CHECKING, Any

from evalgate.errors import BadInput
from evalgate.model.answer import read_answer
from evalgate.model.budget import Budget
from evalgate.model.call import Call, Endpoint
from evalgate.model.chat import Completion, ModelError
from evalgate.model.clock import REAL, Clock
from evalgate.model.dialect import Dialect
from evalgate.model.embed import EmbeddingModel
from evalgate.model.price import Prices, price_of_embeddings
from evalgate.model.rate import RateLimit
from evalgate.model.transport import SdkEmbeddings, SdkTransport, require_extra
from schema.hashing import content_hash

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from evalgate.model.cache import ModelCache
    from evalgate.model.price import Price
    from evalgate.model.settings import ModelSettings
    from evalgate.model.transport import Transport

    LookUp = Callable[[str, str], Price | None]

SCHEMA_NAME = "answer"


class OpenAIModel:
    """One model. See `ChatModel`."""

    def __init__(self, name: str, endpoint: Endpoint, cache: ModelCache | None) -> None:
        self._name = name
        self._endpoint = endpoint
        self._cache = cache
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
        key = content_hash({"base_url": self._endpoint.settings.base_url, "request": asked})
        if self._cache is not None and not fresh and (known := self._cached(key)) is not None:
            return known
        call = Call(self._endpoint, self._name, asked, self.dialect, read=read_answer, timeout_s=timeout_s)
        answer = call.run()
        if isinstance(answer, Completion):
            with self._lock:
                self._dialect = call.dialect
        if self._cache is not None and isinstance(answer, Completion):
            self._cache.put(key, _to_json(answer))
        return answer

    def _cached(self, key: str) -> Completion | None:
        entry = self._cache.get(key) if self._cache is not None else None
        try:
            return None if entry is None else _from_json(entry)
        except (KeyError, TypeError):
            return None


def open_models(
    settings: ModelSettings,
    *,
    budget: Budget | None = None,
    cache: ModelCache | None = None,
    rate: RateLimit | None = None,
    clock: Clock = REAL,
    transport: Transport | None = None,
    look_up: LookUp | None = None,
) -> Callable[[str | None], OpenAIModel]:
    """Return what gives a model by its name, the same object for the same name; None is the model of the settings.

    All of them share the budget, the rate limit and one pool of connections. Nothing is sent before the first call.

    Raises:
        BadInput: the extra is not installed, or (by what is returned) no model is named anywhere.

    """
    if transport is None:
        require_extra()
    asked = transport or SdkTransport(settings)
    endpoint = _endpoint(settings, asked, look_up, budget=budget, rate=rate, clock=clock)
    opened: dict[str, OpenAIModel] = {}
    lock = threading.Lock()

    def model(name: str | None) -> OpenAIModel:
        wanted = name or settings.model
        if not wanted:
            raise BadInput("no model is named. Name one with --judge-model or EVALGATE_JUDGE_MODEL")
        with lock:
            if wanted not in opened:
                opened[wanted] = OpenAIModel(wanted, endpoint, cache)
            return opened[wanted]

    return model


def open_embeddings(
    name: str,
    settings: ModelSettings,
    *,
    budget: Budget | None = None,
    cache: ModelCache | None = None,
    rate: RateLimit | None = None,
    transport: Transport | None = None,
) -> EmbeddingModel:
    """Return a model that gives vectors of texts. Nothing is sent before the first call.

    Raises:
        BadInput: the extra is not installed.

    """
    if transport is None:
        require_extra()
    look_up = None if settings.is_loopback else price_of_embeddings
    asked = transport or SdkEmbeddings(settings)
    return EmbeddingModel(name, _endpoint(settings, asked, look_up, budget=budget, rate=rate), cache)


def _endpoint(
    settings: ModelSettings,
    transport: Transport,
    look_up: LookUp | None,
    *,
    budget: Budget | None,
    rate: RateLimit | None,
    clock: Clock = REAL,
) -> Endpoint:
    if look_up is None and settings.is_loopback:
        look_up = _of_nobody  # no price list knows this machine, and reading one takes half a second
    prices = Prices(settings.base_url, settings.prices, look_up=look_up)
    return Endpoint(settings, transport, budget or Budget(), rate or RateLimit(clock=clock), prices, clock)


def _of_nobody(_model: str, _url: str) -> None:
    return None


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
