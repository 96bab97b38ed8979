"""The whole client, with the real SDK, against a server that is as bad as servers are."""

from __future__ import annotations

import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import pytest

from evalgate.errors import BadInput
from evalgate.model import Budget, Completion, ModelError, ModelErrorKind
from evalgate.model.client import OpenAIModel, open_models
from evalgate.model.clock import Clock
from evalgate.model.retry import RetryPolicy
from evalgate.model.settings import ModelSettings, Secret
from evalgate.model.transport import SdkTransport
from tests.evalgate.model.moving import ASKED
from tests.tools.fake_openai import Answer, Cut, Drip, FakeOpenAI, Raw, Reply, Slow, Status

if TYPE_CHECKING:
    from collections.abc import Iterator

K = ModelErrorKind


@pytest.fixture
def fake() -> Iterator[FakeOpenAI]:
    with FakeOpenAI() as server:
        yield server


def model_at(fake: FakeOpenAI, *, timeout_s: float = 10.0, attempts: int = 3, key: str | None = None) -> OpenAIModel:
    settings = ModelSettings(
        fake.base_url,
        model="scripted",
        key=Secret(key) if key else None,
        attempt_timeout_s=timeout_s,
        retry=RetryPolicy(attempts=attempts),
    )
    return open_models(settings, budget=Budget(), clock=Clock(sleep=lambda _: None))(None)


def test_a_call_goes_there_and_back(fake: FakeOpenAI) -> None:
    fake.answers = [Answer("hello", input_tokens=7, output_tokens=3, tool_calls=[{"name": "t", "arguments": {"a": 1}}])]
    answer = model_at(fake, key="sk-a-key").complete(ASKED, max_tokens=9, json_schema={"type": "object"})
    assert isinstance(answer, Completion)
    assert (answer.text, answer.input_tokens, answer.output_tokens, answer.model) == ("hello", 7, 3, "scripted")
    assert answer.tool_calls == ({"id": "call_0", "name": "t", "arguments": {"a": 1}},)
    assert answer.latency_ms > 0
    (asked,) = fake.requests
    assert asked.path == "/v1/chat/completions"
    assert asked.headers["authorization"] == "Bearer sk-a-key"
    assert asked.body["max_tokens"] == 9
    assert asked.messages == list(ASKED)


@pytest.mark.parametrize(
    "bad",
    [
        Status(429, {"Retry-After": "0"}),
        Status(503),
        Raw(b'{"choices": [{"mess'),
        Raw(b"<html>busy</html>", content_type="text/html"),
        Raw(b"", content_type="text/plain"),
        Cut(0),
        Cut(40),
    ],
)
def test_a_server_that_stumbles_is_asked_again(fake: FakeOpenAI, bad: Reply) -> None:
    fake.answers = [bad, bad, "at last"]
    answer = model_at(fake).complete(ASKED)
    assert isinstance(answer, Completion), answer
    assert answer.text == "at last"
    assert fake.calls == 3


@pytest.mark.parametrize(
    ("bad", "kind"),
    [
        (Status(429), K.RATE_LIMIT),
        (Status(500), K.SERVER),
        (Status(401), K.REQUEST),
        (Raw(b"no json"), K.MALFORMED),
        (Cut(5), K.CONNECTION),
    ],
    ids=["429", "500", "401", "no JSON", "cut"],
)
def test_a_server_that_stays_down_is_an_error_in_one_line(fake: FakeOpenAI, bad: Reply, kind: K) -> None:
    fake.answers = [bad]
    answer = model_at(fake, attempts=2).complete(ASKED)
    assert isinstance(answer, ModelError)
    assert answer.kind is kind
    assert "\n" not in answer.message


def test_an_answer_without_end_is_not_read_to_its_end(fake: FakeOpenAI) -> None:
    fake.answers = [Answer("x" * (9 << 20))]
    answer = model_at(fake, attempts=1).complete(ASKED)
    assert isinstance(answer, ModelError)
    assert answer.kind is K.MALFORMED
    assert "larger than 8 MiB" in answer.message


def test_a_slow_answer_is_not_waited_for(fake: FakeOpenAI) -> None:
    never = threading.Event()
    fake.answers = [Slow(never), "in time"]
    model = model_at(fake, timeout_s=0.5, attempts=6)
    answer = model.complete(ASKED)
    assert isinstance(answer, Completion)
    assert answer.text == "in time"
    fake.answers = [Slow(never)]
    late = model_at(fake, timeout_s=0.1, attempts=1).complete(ASKED)
    assert isinstance(late, ModelError)
    assert late.kind is K.TIMEOUT


def test_an_answer_that_comes_drop_by_drop_is_not_waited_for_either(fake: FakeOpenAI) -> None:
    """Each byte comes in time; the whole does not."""
    fake.answers = [Drip(0.02)]
    answer = model_at(fake, timeout_s=0.15, attempts=1).complete(ASKED)
    assert isinstance(answer, ModelError)
    assert answer.kind is K.TIMEOUT


def test_without_the_extra_one_is_told_how_to_install_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "openai", None)
    with pytest.raises(BadInput, match=r"pip install 'otel-evalgate\[judge\]'"):
        open_models(ModelSettings("http://127.0.0.1:9/v1", model="m"))


def test_nobody_there_is_told_with_what_to_look_at() -> None:
    with FakeOpenAI() as fake:
        model = model_at(fake, attempts=1)
    answer = model.complete(ASKED)
    assert isinstance(answer, ModelError)
    assert answer.kind is K.CONNECTION
    assert "Does a server run there?" in answer.message


def test_a_redirect_takes_the_key_nowhere(fake: FakeOpenAI) -> None:
    with FakeOpenAI() as elsewhere:
        fake.answers = [Status(307, {"Location": f"{elsewhere.base_url}/chat/completions"})]
        answer = model_at(fake, key="sk-a-key").complete(ASKED)
        assert isinstance(answer, ModelError)
        assert "Redirects are not followed" in answer.message
        assert elsewhere.calls == 0


def test_loopback_is_not_asked_through_a_proxy(fake: FakeOpenAI, monkeypatch: pytest.MonkeyPatch) -> None:
    with FakeOpenAI() as proxy:
        for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY"):
            monkeypatch.setenv(name, proxy.base_url)
        monkeypatch.delenv("NO_PROXY", raising=False)
        monkeypatch.delenv("no_proxy", raising=False)
        assert isinstance(model_at(fake).complete(ASKED), Completion)
        assert (fake.calls, proxy.connections) == (1, 0)


def test_calls_run_beside_each_other_over_kept_connections(fake: FakeOpenAI) -> None:
    """Each answer waits until eight are asked for at once."""
    together = threading.Barrier(8, timeout=20)

    def answer(_: object) -> str:
        together.wait()
        return "hi"

    fake.answers = answer
    model = model_at(fake, timeout_s=30)
    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda n: model.complete([{"role": "user", "content": str(n)}]), range(24)))
    assert all(isinstance(a, Completion) for a in answers)
    assert fake.most_at_once == 8
    assert fake.connections <= 16, "24 calls do not open 24 connections"


def test_an_endpoint_says_which_models_it_has(fake: FakeOpenAI) -> None:
    assert SdkTransport(ModelSettings(fake.base_url)).list_models() == ("scripted",)
    assert SdkTransport(ModelSettings("http://127.0.0.1:9/v1")).list_models(timeout_s=0.2) == ()
