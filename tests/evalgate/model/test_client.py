"""Every call ends in a completion or in an error that says what to do; it is tried again where that can help."""

from __future__ import annotations

import json

import pytest

from evalgate.errors import BadInput
from evalgate.model import Completion, ModelError, ModelErrorKind
from evalgate.model.client import open_models
from evalgate.model.retry import RetryPolicy, asked_wait_s
from evalgate.model.settings import ModelSettings, Secret
from evalgate.model.transport import HttpAnswer, NoAnswer
from tests.evalgate.model.moving import ASKED, MovingTime, Script, model_of, ok, refuse

K = ModelErrorKind


def test_an_answer_has_its_figures() -> None:
    answer = model_of(Script([ok("hi")])).complete(ASKED)
    assert isinstance(answer, Completion)
    assert (answer.text, answer.finish_reason, answer.input_tokens, answer.output_tokens) == ("hi", "stop", 100, 20)
    assert (answer.model, answer.cached, answer.cost_usd) == ("m-1", False, None)


def test_what_is_asked_is_what_is_sent_and_nothing_else() -> None:
    script = Script([ok()])
    model_of(script).complete(ASKED, temperature=None)
    assert script.bodies == [{"model": "m", "messages": [{"role": "user", "content": "Hello?"}]}]
    tool = {"name": "look_up", "parameters": {"type": "object"}}
    model_of(script).complete(ASKED, max_tokens=5, seed=7, tools=[tool], json_schema={"type": "object"})
    sent = script.bodies[1]
    assert (sent["temperature"], sent["max_tokens"], sent["seed"]) == (0.0, 5, 7)
    assert sent["tools"] == [{"type": "function", "function": tool}]
    assert sent["response_format"]["json_schema"]["schema"] == {"type": "object"}


def test_tool_calls_are_read_also_where_their_arguments_are_no_json() -> None:
    calls = [
        {"id": "1", "function": {"name": "a", "arguments": '{"x": 1}'}},
        {"id": "2", "function": {"name": "b", "arguments": "{broken"}},
        {"id": "3", "function": {"name": "c", "arguments": ""}},
    ]
    choice = {"message": {"content": None, "tool_calls": calls}, "finish_reason": "tool_calls"}
    answer = model_of(Script([ok(choices=[choice])])).complete(ASKED)
    assert isinstance(answer, Completion)
    assert [(c["name"], c["arguments"]) for c in answer.tool_calls] == [("a", {"x": 1}), ("b", "{broken"), ("c", {})]


@pytest.mark.parametrize(
    "fault",
    [
        refuse(408),
        refuse(409),
        refuse(429),
        refuse(500),
        refuse(503),
        NoAnswer(K.TIMEOUT, "late"),
        NoAnswer(K.CONNECTION, "reset"),
        HttpAnswer(200, {}, b"{"),
        HttpAnswer(200, {}, b'{"choices": []}'),
        HttpAnswer(200, {}, b'{"choices": [{"message": {"content": 5}}]}'),
        HttpAnswer(200, {}, b"\xff"),
        HttpAnswer(200, {}, b'{"error": {"code": 429, "message": "slow down"}}'),
        HttpAnswer(200, {}, b"[" * 100_000),
        ok(choices=[{"message": {"content": "half"}, "finish_reason": "error"}]),
        ok(choices=[{"message": {"content": ""}, "error": {"code": 502, "message": "upstream"}}]),
    ],
    ids=lambda f: str(getattr(f, "kind", f"{getattr(f, 'status', '')} {getattr(f, 'body', b'')[:20]!r}")),
)
def test_what_may_pass_is_tried_again(fault: HttpAnswer | NoAnswer) -> None:
    time, script = MovingTime(), Script([fault, fault, ok("at last")])
    answer = model_of(script, time=time).complete(ASKED)
    assert isinstance(answer, Completion)
    assert answer.text == "at last"
    assert time.slept == [0.5, 1.0]


@pytest.mark.parametrize(
    ("fault", "kind", "words"),
    [
        (refuse(400, "bad"), K.REQUEST, "bad"),
        (refuse(401, "who?"), K.REQUEST, "OPENAI_API_KEY"),
        (refuse(403), K.REQUEST, "may this key"),
        (refuse(404, "no such model"), K.REQUEST, "--judge-model"),
        (refuse(307), K.REQUEST, "redirects are not followed"),
        (refuse(501), K.REQUEST, "501"),
        (refuse(429, "pay", code="insufficient_quota"), K.RATE_LIMIT, "quota"),
        (refuse(400, "unsafe", code="content_filter"), K.REFUSED, "refuses this content"),
        (HttpAnswer(404, {}, b"<html>nginx</html>"), K.REQUEST, "nginx"),
        (HttpAnswer(422, {}, b'{"detail": [{"loc": "x"}]}'), K.REQUEST, "loc"),
        (HttpAnswer(400, {}, b"null"), K.REQUEST, "400"),
        (HttpAnswer(400, {}, b'[{"error": {"code": 400, "message": "in a list"}}]'), K.REQUEST, "400: in a list"),
    ],
)
def test_what_will_not_pass_is_told_at_once(fault: HttpAnswer, kind: K, words: str) -> None:
    time, script = MovingTime(), Script([fault, ok()])
    answer = model_of(script, time=time).complete(ASKED)
    assert isinstance(answer, ModelError)
    assert (answer.kind, answer.attempts, time.slept) == (kind, 1, [])
    assert words.lower() in answer.message.lower()
    assert "\n" not in answer.message


def test_the_endpoint_says_when_to_come_back() -> None:
    for headers, wait_s in (
        ({"retry-after": "7"}, 7.0),
        ({"retry-after-ms": "250", "retry-after": "9"}, 0.25),
        ({"retry-after": "Fri, 15 Jan 2027 08:00:30 GMT"}, 30.0),
        ({"retry-after": "Fri, 15 Jan 2027 07:00:00 GMT"}, 0.0),
        ({"retry-after": "soon"}, 0.5),
        ({"retry-after": "nan"}, 0.5),
        ({"retry-after": "-3"}, 0.5),
    ):
        time = MovingTime()
        assert isinstance(model_of(Script([refuse(429, headers=headers), ok()]), time=time).complete(ASKED), Completion)
        assert sum(time.slept) == wait_s, headers


def test_a_wait_that_is_too_long_is_not_waited() -> None:
    time, script = MovingTime(), Script([refuse(429, "later", {"retry-after": "3600"})])
    answer = model_of(script, time=time).complete(ASKED)
    assert isinstance(answer, ModelError)
    assert (answer.kind, len(script.bodies), time.slept) == (K.RATE_LIMIT, 1, [])


def test_attempts_and_time_have_an_end() -> None:
    time, script = MovingTime(), Script([refuse(503, "ill")])
    answer = model_of(script, time=time).complete(ASKED)
    assert answer == ModelError(K.SERVER, "127.0.0.1:1: status 503: ill (5 attempts)", 5)
    assert time.slept == [0.5, 1.0, 2.0, 4.0]

    slow = MovingTime()
    script = Script([NoAnswer(K.TIMEOUT, "late")], on_call=lambda: slow.sleep(50))
    answer = model_of(script, time=slow).complete(ASKED)
    assert isinstance(answer, ModelError)
    assert answer.kind is K.TIMEOUT
    assert script.timeouts_s == [60.0, 60.0, 60.0, pytest.approx(180 - 150 - 3.5)]
    assert slow.now - 1000 < 180 + 50

    script = Script([NoAnswer(K.TIMEOUT, "late")])
    model_of(script, time=MovingTime()).complete(ASKED, timeout_s=0.7)
    assert script.timeouts_s == pytest.approx([0.7, 0.2])


def test_threads_that_failed_together_do_not_come_back_together() -> None:
    policy = RetryPolicy()
    assert [policy.wait_s(3, None, chance) for chance in (0.0, 0.5, 1.0)] == [2.0, 1.5, 1.0]
    assert policy.wait_s(99, None, 0.0) == policy.cap_s
    assert asked_wait_s({}, 0.0) is None


def test_a_key_is_nowhere_to_be_seen() -> None:
    settings = ModelSettings("http://127.0.0.1:1/v1", model="m", key=Secret("sk-very-secret"))
    script = Script([refuse(401, "the key sk-very-secret is wrong")])
    answer = model_of(script, settings=settings).complete(ASKED)
    assert isinstance(answer, ModelError)
    assert "the key *** is wrong" in answer.message
    assert "secret" not in repr(settings)
    assert "secret" not in f"{settings.key} {settings.key!r}"
    script = Script([NoAnswer(K.CONNECTION, "sk-very-secret")])
    assert "secret" not in str(model_of(script, settings=settings).complete(ASKED))


def unsupported(param: str) -> HttpAnswer:
    return refuse(400, f"Unsupported parameter: '{param}' is not supported with this model.", param=param)


def test_what_an_endpoint_does_not_take_is_left_out_from_then_on() -> None:
    script = Script([unsupported("max_tokens"), unsupported("temperature"), unsupported("seed"), ok(), ok()])
    model = model_of(script)
    for _ in range(2):
        assert isinstance(model.complete(ASKED, max_tokens=9, seed=1), Completion)
    assert [sorted(b.keys() - {"model", "messages"}) for b in script.bodies] == [
        ["max_tokens", "seed", "temperature"],
        ["max_completion_tokens", "seed", "temperature"],
        ["max_completion_tokens", "seed"],
        ["max_completion_tokens"],
        ["max_completion_tokens"],
    ]


@pytest.mark.parametrize("complaint", [unsupported("response_format"), refuse(400, "guided decoding is not built in")])
def test_structured_output_is_given_up_where_the_endpoint_has_none(complaint: HttpAnswer) -> None:
    script = Script([complaint, complaint, ok(), ok()])
    model = model_of(script)
    for _ in range(2):
        assert isinstance(model.complete(ASKED, json_schema={"type": "object"}), Completion)
    kinds = [b.get("response_format", {}).get("type") for b in script.bodies]
    assert kinds == ["json_schema", "json_object", None, None]


def test_a_change_that_did_not_help_is_not_remembered() -> None:
    script = Script([refuse(400, "max_tokens: 9 is too large")])
    model = model_of(script)
    assert isinstance(model.complete(ASKED, max_tokens=9), ModelError)
    assert model.dialect.max_tokens == "max_tokens"
    assert len(script.bodies) == 2


def test_a_request_that_is_too_long_is_not_tried_in_other_words() -> None:
    script = Script([refuse(400, "This model's maximum context length is 4096 tokens")])
    answer = model_of(script).complete(ASKED, json_schema={"type": "object"}, max_tokens=5)
    assert isinstance(answer, ModelError)
    assert len(script.bodies) == 1


def test_an_answer_that_was_refused_or_withheld_says_so() -> None:
    for message, finish in (({"content": None, "refusal": "I cannot"}, "stop"), ({"content": ""}, "content_filter")):
        answer = model_of(Script([ok(choices=[{"message": message, "finish_reason": finish}])])).complete(ASKED)
        assert isinstance(answer, Completion)
        assert answer.refusal


def test_half_characters_do_not_get_in_or_out() -> None:
    body = {"choices": [{"message": {"content": "a\ud800b"}}]}
    script = Script([HttpAnswer(200, {}, json.dumps(body).encode())])
    answer = model_of(script).complete([{"role": "user", "content": "x\udfffy"}])
    assert isinstance(answer, Completion)
    assert answer.text == "a�b"
    assert script.bodies[0]["messages"][0]["content"] == "x�y"


def test_a_model_must_be_named_somewhere() -> None:
    models = open_models(ModelSettings("http://127.0.0.1:1/v1"), transport=Script([ok()]))
    with pytest.raises(BadInput, match="--judge-model"):
        models(None)
    assert models("a") is models("a")
    assert models("a").name == "a"
