"""`evalgate normalize` on bodies as users have them."""

from __future__ import annotations

import gzip
import json
from typing import TYPE_CHECKING, Any

import pytest
import typer
from typer.testing import CliRunner

from collector.normalize import normalize_command
from tests.normalise.payload import CORPUS, log, span

if TYPE_CHECKING:
    from pathlib import Path

    from typer.testing import Result

CHAT = span("chat", {"gen_ai.operation.name": "chat", "gen_ai.request.model": "m"})
LOGS = log("gen_ai.user.message", {}, {"content": "hi"})
JSON_BODY = CORPUS / "vercel-ai-v5" / "tool_agent_json.otlp.json"


def run(*arguments: str, stdin: bytes | None = None) -> Result:
    app = typer.Typer()
    app.command()(normalize_command)
    return CliRunner().invoke(app, list(arguments), input=stdin)


def spans(result: Result) -> list[dict[str, Any]]:
    assert result.exit_code == 0, result.output
    found = json.loads(result.stdout)["spans"]
    assert isinstance(found, list)
    return found


@pytest.mark.parametrize(
    "body", [CHAT, gzip.compress(CHAT, mtime=0), JSON_BODY.read_bytes(), gzip.compress(JSON_BODY.read_bytes(), mtime=0)]
)
def test_the_content_tells_what_a_body_is(tmp_path: Path, body: bytes) -> None:
    dump = tmp_path / "dump.bin"
    dump.write_bytes(body)
    assert any(s["kind"] == "llm" for s in spans(run(str(dump))))
    assert spans(run("-", stdin=body)) == spans(run(str(dump)))


def test_logs_are_told_from_traces_and_joined_in_either_order(tmp_path: Path) -> None:
    (tmp_path / "first.bin").write_bytes(LOGS)
    (tmp_path / "second.bin").write_bytes(CHAT)
    [found] = spans(run(str(tmp_path / "first.bin"), str(tmp_path / "second.bin")))
    assert found["input_text"] == "hi"


def test_a_manifest_answers_each_capture_on_a_line(tmp_path: Path) -> None:
    (tmp_path / "good.otlp.pb").write_bytes(CHAT)
    (tmp_path / "bad.otlp.pb").write_bytes(b"\xff\xff not protobuf")
    jobs = [{"id": i, "files": [str(tmp_path / f"{i}.otlp.pb")]} for i in ("good", "bad", "missing")]
    (tmp_path / "m.json").write_text(json.dumps(jobs))
    result = run("--manifest", str(tmp_path / "m.json"))
    assert result.exit_code == 0
    lines = [json.loads(line) for line in result.stdout.splitlines()]
    assert [line["id"] for line in lines] == ["good", "bad", "missing"]
    assert lines[0]["document"]["schema"] == "normalized/1"
    assert "bad.otlp.pb" in lines[1]["error"]
    assert "missing.otlp.pb" in lines[2]["error"]


@pytest.mark.parametrize("body", [b"", b"\x1f\x8bbroken", b"\xff\xff", b"[1, 2]", b'{"resourceSpans": 5}', b"hello"])
def test_what_is_no_request_is_one_line_and_exit_2(tmp_path: Path, body: bytes) -> None:
    dump = tmp_path / "dump.bin"
    dump.write_bytes(body)
    result = run(str(dump))
    if body:
        assert result.exit_code == 2
        assert "dump.bin" in result.stderr
        assert "Traceback" not in result.output
        assert len(result.stderr.splitlines()) == 1
    else:
        assert spans(result) == []  # an empty body is a request without spans


def test_spans_with_bad_ids_are_listed_as_rejected(tmp_path: Path) -> None:
    dump = tmp_path / "dump.otlp.json"
    bad = {"traceId": "00" * 16, "spanId": "aa" * 8, "name": "zero"}
    dump.write_text(json.dumps({"resourceSpans": [{"scopeSpans": [{"spans": [bad]}]}]}))
    result = run(str(dump))
    document = json.loads(result.stdout)
    assert document["spans"] == []
    assert [(r["reason"], r["name"]) for r in document["rejected"]] == [("bad_id", "zero")]


def test_a_span_without_ids_is_a_span_still(tmp_path: Path) -> None:
    dump = tmp_path / "dump.bin"
    dump.write_bytes(span("lost", at=None, trace=None) + CHAT)
    document = json.loads(run(str(dump)).stdout)
    assert [s["name"] for s in document["spans"]] == ["chat"]
    assert [(r["reason"], r["name"]) for r in document["rejected"]] == [("bad_id", "lost")]


@pytest.mark.parametrize(
    "arguments", [[], ["x.pb", "--manifest", "m.json"], ["/no/such/file.pb"], ["--manifest", "/no/such.json"]]
)
def test_wrong_use_says_what_is_wrong(arguments: list[str]) -> None:
    result = run(*arguments)
    assert result.exit_code == 2
    assert result.stderr.startswith("normalize: ")


def test_a_policy_says_what_is_failing(tmp_path: Path) -> None:
    body, policy = tmp_path / "body.bin", tmp_path / "policy.yaml"
    body.write_bytes(CHAT)
    policy.write_text("failure: {rules: [{name: that_model, when: \"request_model = 'm'\"}]}\n")
    [found] = spans(run("--policy", str(policy), str(body)))
    assert (found["failing"], found["failure_reasons"]) == (True, ["rule:that_model"])
    policy.write_text("failure:\n  rules:\n    - {name: that_model, when: \"modell = 'm'\"}\n")
    result = run("--policy", str(policy), str(body))
    assert result.exit_code == 2
    assert f"{policy}:3: failure.rules[0].when: there is no column 'modell'" in result.stderr
