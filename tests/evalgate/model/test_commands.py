"""What a person types first, and sees: an endpoint works, is not there, or is not what it should be."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from evalgate.app import run
from evalgate.errors import BadInput
from evalgate.model.options import ModelOptions, open_from_options
from evalgate.model.price import Price
from evalgate.model.settings import OPENAI_URL, check_url, read_key
from tests.evalgate.judge.judges import BAD, CRITERIA, careful, gullible
from tests.tools.fake_openai import Answer, Asked, FakeOpenAI, Status, verdict

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture(autouse=True)
def no_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("OPENAI_API_KEY", "OPENAI_BASE_URL", "EVALGATE_JUDGE_MODEL", "EVALGATE_JUDGE_KEY_FILE"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def fake() -> Iterator[FakeOpenAI]:
    with FakeOpenAI(knows_capitals) as server:
        yield server


def knows_capitals(asked: Asked) -> str:
    return verdict(1.0 if "is Paris" in asked.text else 0.0, "it names a city")


def check(fake: FakeOpenAI, *more: str) -> int:
    return run(["model", "check", "--judge-url", fake.base_url, "--judge-model", "m", *more])


def test_an_endpoint_that_can_judge_says_what_works(fake: FakeOpenAI, capsys: pytest.CaptureFixture[str]) -> None:
    assert check(fake, "--judge-price", "1/2") == 0
    out = capsys.readouterr().out
    for words in (fake.base_url, "by JSON Schema", "100 in, 20 out", "$0.000140", "it can judge"):
        assert words in out
    assert fake.calls == 2


def test_it_is_said_to_programs_too(fake: FakeOpenAI, capsys: pytest.CaptureFixture[str]) -> None:
    assert check(fake, "--json") == 0
    found = json.loads(capsys.readouterr().out)
    assert (found["is_usable"], found["structured_output"], found["wrong"]["score"]) == (True, "json_schema", 0.0)


def test_what_an_endpoint_does_not_take_is_told(fake: FakeOpenAI, capsys: pytest.CaptureFixture[str]) -> None:
    def old(asked: Asked) -> str | Status:
        if "response_format" in asked.body:
            return Status(400, message="response_format is not supported")
        return f"```json\n{knows_capitals(asked)}\n```"

    fake.answers = old
    assert check(fake) == 0
    out = capsys.readouterr().out
    assert "not supported; the form is asked for in words" in out
    assert "something stands around it" in out


def test_a_context_that_is_too_short_is_found(fake: FakeOpenAI, capsys: pytest.CaptureFixture[str]) -> None:
    assert check(fake, "--long") == 0
    assert "long answers       read whole" in capsys.readouterr().out

    def forgetful(asked: Asked) -> str:  # as servers that keep the end of what their context cannot hold
        kept = asked.text[-8000:]
        return verdict(1.0 if "is Berlin" not in kept else 0.0, "as far as I saw") if "capital" in kept else "{}"

    fake.answers = forgetful
    assert check(fake) == 0
    assert check(fake, "--long") == 1
    assert "one from a wrong one where it is long" in capsys.readouterr().out.replace("a right answer", "one")


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        ("It is good.", "it cannot judge: the judge's answer is no verdict, twice"),
        (verdict(1.0), "it does not tell a right answer from a wrong one"),
        (Answer(None, refusal="I would rather not"), "the judge refused: I would rather not"),
    ],
)
def test_an_endpoint_that_cannot_judge_is_exit_1(
    fake: FakeOpenAI, capsys: pytest.CaptureFixture[str], answer: str | Answer, words: str
) -> None:
    fake.answers = [answer]
    assert check(fake) == 1
    assert words in capsys.readouterr().out


def test_an_endpoint_that_does_not_answer_is_exit_2_and_says_what_to_do(
    fake: FakeOpenAI, capsys: pytest.CaptureFixture[str]
) -> None:
    fake.answers = [Status(404, message="no model m")]
    assert check(fake) == 2
    err = capsys.readouterr().err
    assert "no model m" in err
    assert err.endswith("? The endpoint has: scripted\n")
    assert err.count("\n") == 1
    assert run(["model", "check", "--judge-url", fake.base_url]) == 2
    assert "--judge-model or EVALGATE_JUDGE_MODEL. The endpoint has: scripted" in capsys.readouterr().err
    assert run(["model", "check", "--judge-model", "m"]) == 2
    assert "set OPENAI_API_KEY" in capsys.readouterr().err


def test_the_environment_says_what_is_not_said(
    fake: FakeOpenAI, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OPENAI_BASE_URL", fake.base_url)
    monkeypatch.setenv("OPENAI_API_KEY", "sk-of-the-environment")
    monkeypatch.setenv("EVALGATE_JUDGE_MODEL", "m")
    assert run(["model", "check"]) == 0
    assert "sk-of" not in "".join(capsys.readouterr())
    assert fake.requests[0].headers["authorization"] == "Bearer sk-of-the-environment"


@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("http://example.com/v1", "in the clear"),
        ("http://10.0.0.1/v1", "in the clear"),
        ("https://user:pass@example.com/v1", "no user, password"),
        ("https://example.com/v1?key=1", "no user, password"),
        ("ftp://example.com", "is not a URL"),
        ("example.com/v1", "is not a URL"),
        ("https://", "is not a URL"),
        ("http://[::1", "is not a URL"),
        ("http://127.0.0.1:99999/v1", "is not a URL"),
    ],
)
def test_a_url_that_would_leak_or_is_none_is_refused(url: str, words: str) -> None:
    with pytest.raises(BadInput, match=words):
        check_url(url)


def test_urls_of_this_machine_need_no_tls() -> None:
    for url in ("http://localhost:1/v1/", "http://127.0.0.1:1/v1", "http://[::1]:1/v1", "https://example.com/v1"):
        assert check_url(url) == url.rstrip("/")
    assert check_url("http://10.0.0.1/v1", allow_insecure=True) == "http://10.0.0.1/v1"


def test_a_key_file_holds_a_key(tmp_path: Path) -> None:
    file = tmp_path / "key"
    file.write_text("sk-in-a-file\n")
    assert read_key(file).reveal() == "sk-in-a-file"
    models = open_from_options(ModelOptions(judge_key_file=file), {"OPENAI_API_KEY": "sk-other"})
    assert models.settings.key is not None
    assert models.settings.key.reveal() == "sk-in-a-file"
    for wrong in ("", "two keys", "KEY=1\nOTHER=2"):
        file.write_text(wrong)
        with pytest.raises(BadInput, match="nothing else"):
            read_key(file)


def test_opening_asks_for_nothing_until_a_model_is_wanted() -> None:
    models = open_from_options(ModelOptions(judge_price="1/2", max_calls=3), {})
    assert models.settings.base_url == OPENAI_URL
    assert models.settings.prices == {"*": Price(1, 2)}
    assert not models.were_asked
    with pytest.raises(BadInput, match="OPENAI_API_KEY"):
        models.chat("m")
    with pytest.raises(BadInput, match="--judge-price"):
        open_from_options(ModelOptions(judge_price="cheap"), {})


JUDGE = f"""\
id: window
failure_mode: policy
judge: {{criteria: '{CRITERIA}', model: m}}
"""


@pytest.fixture
def project() -> None:
    Path("evals/evaluators").mkdir(parents=True)
    Path("evals/evaluators/window.yaml").write_text(JUDGE)
    Path("evals/evaluators/short.yaml").write_text(
        "{id: short, failure_mode: policy, rule: {type: max_chars, limit: 9}}"
    )
    case = {"input": "How long?", "observed": {"output": BAD}, "verdict": "bad", "failure_mode": "policy"}
    Path("cases.jsonl").write_text(json.dumps(case) + "\n")


def attack(fake: FakeOpenAI, name: str = "window", *more: str) -> int:
    return run(["evals", "attack", name, "--dataset", "cases.jsonl", "--judge-url", fake.base_url, *more])


@pytest.mark.usefixtures("project")
def test_a_judge_that_stands_is_exit_0(fake: FakeOpenAI, capsys: pytest.CaptureFixture[str]) -> None:
    fake.answers = lambda asked: careful(asked.messages)
    assert attack(fake) == 0
    out, err = capsys.readouterr()
    assert out.startswith(
        "0 of 52 attempts brought a bad answer through: 1 answer, 52 attacks\n1 attempt ended without"
    )
    assert "asked models: 53 calls" in err
    assert attack(fake, "window", "--json") == 0
    assert "asked models" not in capsys.readouterr().err, "answers were kept"


@pytest.mark.usefixtures("project")
def test_a_judge_that_falls_is_exit_1_and_says_by_what(fake: FakeOpenAI, capsys: pytest.CaptureFixture[str]) -> None:
    fake.answers = lambda asked: gullible(asked.messages)
    assert attack(fake, "window", "--json") == 1
    found = json.loads(capsys.readouterr().out)
    assert (found["attempts"], found["cases"]) == (52, 1)
    assert 20 < found["flips"] < 52
    assert attack(fake) == 1
    assert "ignore-instructions" in capsys.readouterr().out


@pytest.mark.usefixtures("project")
def test_a_budget_that_ends_midway_is_no_resistance(fake: FakeOpenAI, capsys: pytest.CaptureFixture[str]) -> None:
    fake.answers = lambda asked: careful(asked.messages)
    assert attack(fake, "window", "--max-calls", "20") == 2
    err = capsys.readouterr().err
    assert "the budget was spent before 33 attempts could be made" in err
    assert attack(fake) == 0
    assert "asked models: 33 calls" in capsys.readouterr().err


@pytest.mark.usefixtures("project")
def test_what_cannot_be_attacked_says_why(fake: FakeOpenAI, capsys: pytest.CaptureFixture[str]) -> None:
    assert attack(fake, "short") == 2
    assert "asks no model" in capsys.readouterr().err
    assert attack(fake, "windo") == 2
    assert "Did you mean 'window'?" in capsys.readouterr().err
    fake.answers = [verdict(1.0)]
    assert attack(fake) == 2
    assert "it passes 1 bad answer without any attack" in capsys.readouterr().err
    Path("cases.jsonl").write_text('{"input": "How?", "verdict": "good", "observed": {"output": "30"}}\n')
    assert attack(fake) == 2
    assert "no bad answer of 'policy'" in capsys.readouterr().err
