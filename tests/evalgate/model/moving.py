"""A clock that moves when somebody sleeps, a transport that answers from a list, and models made of both."""

from __future__ import annotations

import json
import threading
from typing import TYPE_CHECKING, Any

from evalgate.model.client import open_models
from evalgate.model.clock import Clock
from evalgate.model.settings import ModelSettings
from evalgate.model.transport import HttpAnswer, NoAnswer

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from evalgate.model.budget import Budget
    from evalgate.model.cache import ModelCache
    from evalgate.model.client import OpenAIModel
    from evalgate.model.price import Price
    from evalgate.model.rate import RateLimit

ASKED = ({"role": "user", "content": "Hello?"},)


class MovingTime:
    """Seconds that pass only by sleeping."""

    def __init__(self, chance: float = 0.0) -> None:
        self.now = 1000.0
        self.slept: list[float] = []
        self.on_sleep: Callable[[], None] = lambda: None
        self._lock = threading.Lock()
        self.clock = Clock(lambda: self.now, lambda: 1_800_000_000.0, self.sleep, lambda: chance)

    def sleep(self, seconds: float) -> None:
        self.on_sleep()
        with self._lock:
            self.slept.append(seconds)
            self.now += seconds


def ok(text: str = "hi", **changes: Any) -> HttpAnswer:
    """Return the answer of a well-behaved endpoint; `changes` are of the whole body."""
    body = {
        "model": "m-1",
        "choices": [{"message": {"role": "assistant", "content": text}, "finish_reason": "stop"}],
        "usage": {"prompt_tokens": 100, "completion_tokens": 20},
    }
    return HttpAnswer(200, {}, json.dumps(body | changes).encode())


def refuse(status: int, message: str = "no", headers: Mapping[str, str] | None = None, **error: Any) -> HttpAnswer:
    return HttpAnswer(status, headers or {}, json.dumps({"error": {"message": message, **error}}).encode())


class Script:
    """A transport. Answers are one each, the last again and again; bodies are kept."""

    def __init__(self, answers: Sequence[HttpAnswer | NoAnswer], on_call: Callable[[], None] = lambda: None) -> None:
        self.answers = answers
        self.bodies: list[dict[str, Any]] = []
        self.timeouts_s: list[float] = []
        self._on_call = on_call
        self._lock = threading.Lock()

    def __call__(self, body: Mapping[str, Any], timeout_s: float) -> HttpAnswer | NoAnswer:
        self._on_call()
        with self._lock:
            self.bodies.append(dict(body))
            self.timeouts_s.append(timeout_s)
            return self.answers[min(len(self.bodies), len(self.answers)) - 1]


def model_of(
    script: Script,
    *,
    time: MovingTime | None = None,
    budget: Budget | None = None,
    cache: ModelCache | None = None,
    rate: RateLimit | None = None,
    settings: ModelSettings | None = None,
    price: Price | None = None,
) -> OpenAIModel:
    models = open_models(
        settings or ModelSettings("http://127.0.0.1:1/v1", model="m"),
        budget=budget,
        cache=cache,
        rate=rate,
        clock=(time or MovingTime()).clock,
        transport=script,
        look_up=lambda _model, _url: price,
    )
    return models(None)
