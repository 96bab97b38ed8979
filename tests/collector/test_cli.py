"""The commands: exit codes, one clear line, and `evalgate up` from the first line to the last."""

from __future__ import annotations

import json
import os
import signal
import subprocess
from pathlib import Path

import pytest

from collector import app
from exporters.clickhouse.connect import connect
from tests.collector.conftest import BIN, DEADLINE_S, running, spans_request
from tests.collector.test_service import post

WEB = ("--web-port", "0")


def run(*arguments: str, capsys: pytest.CaptureFixture[str]) -> tuple[int, str, str]:
    code = app.run(arguments)
    out, err = capsys.readouterr()
    return code, out, err


def test_a_valid_configuration(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "c.yaml"
    path.write_text(
        "receivers: {otlp: {protocols: {http: }}}\nexporters: {debug: , debug/2: }\n"
        "service: {pipelines: {traces: {receivers: [otlp], exporters: [debug]}}}\n"
    )
    code, out, err = run("validate", "--config", str(path), capsys=capsys)
    assert code == 0
    assert "valid; pipelines: traces; components: otlp, debug" in out
    assert "exporters.debug/2 is configured but no pipeline uses it" in err


@pytest.mark.parametrize("command", ["run", "validate"])
def test_a_wrong_configuration_is_exit_code_2_and_lines_that_help(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], command: str
) -> None:
    path = tmp_path / "c.yaml"
    path.write_text("recievers: {}\nservice: {pipelines: {}}\n")
    code, out, err = run(command, "--config", str(path), capsys=capsys)
    assert (code, out) == (2, "")
    assert err == f"evalgate-collector: {path}:1: recievers: unknown key; did you mean 'receivers'?\n"


@pytest.mark.parametrize(
    ("sample", "expected"),
    [
        ("baseline_rate: 12", "4: processors.sample.baseline_rate: a rate is a part of all traces, from 0 to 1"),
        ("rules: [{name: a, when: 'servise_name = 1', rate: 1}]", "rules[0].when: there is no column 'servise_name'"),
        (
            "rules: [{name: a, when: 'name =', rate: 1}]",
            "4: processors.sample.rules[0].when: the condition does not parse",
        ),
    ],
)
def test_a_sampling_policy_that_cannot_be_is_told_before_anything_starts(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], sample: str, expected: str
) -> None:
    path = tmp_path / "c.yaml"
    pipelines = "{traces: {receivers: [otlp], processors: [sample], exporters: [debug]}}"
    text = f"receivers: {{otlp: }}\nprocessors:\n  sample:\n    {sample}\nexporters: {{debug: }}\n"
    path.write_text(f"{text}service: {{pipelines: {pipelines}}}\n")
    code, _, err = run("validate", "--config", str(path), capsys=capsys)
    assert code == 2
    assert expected in err


@pytest.mark.parametrize("arguments", [["run"], ["nonsense"], ["validate", "--config", "/none.yaml"], ["run", "--x"]])
def test_wrong_usage_is_exit_code_2_and_one_line(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    code, out, err = run(*arguments, capsys=capsys)
    assert (code, out) == (2, "")
    assert err.startswith("evalgate-collector: ")
    assert len(err.splitlines()) == 1


def test_components_are_listed(capsys: pytest.CaptureFixture[str]) -> None:
    code, out, _ = run("components", "--json", capsys=capsys)
    assert code == 0
    listed = {(row["kind"], row["type"]) for row in json.loads(out)}
    assert {("receiver", "otlp"), ("exporter", "clickhouse"), ("extension", "health_check")} <= listed
    _, out, _ = run("components", capsys=capsys)
    assert "processor  sample" in out


def test_a_journal_that_is_not_there_is_a_clear_error(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, _, err = run("journal", "status", "--directory", str(tmp_path / "none"), capsys=capsys)
    assert code == 2
    assert "there is no journal" in err


def test_help_names_every_command(capsys: pytest.CaptureFixture[str]) -> None:
    code, out, _ = run("--help", capsys=capsys)
    assert code == 0
    assert all(word in out for word in ("run", "validate", "components", "journal"))


def up(*options: str) -> list[str]:
    return [
        str(BIN / "evalgate"),
        "up",
        "--grpc-port",
        "0",
        "--http-port",
        "0",
        "--clickhouse-port",
        "0",
        *WEB,
        *options,
    ]


def environment() -> dict[str, str]:
    """Return an environment without settings of whoever runs the tests."""
    return {k: v for k, v in os.environ.items() if not k.startswith(("EVALGATE_", "OTEL_"))}


def test_up_says_where_to_point_an_app_stores_what_it_sends_and_ends_cleanly(tmp_path: Path) -> None:
    with running(up("--baseline-rate", "1"), tmp_path, environment=environment()) as service:
        assert post(service.ready["http"], spans_request(1, 2, service="shop\x1b[31m")) == 200
        assert service.process.stdout is not None
        said = [service.process.stdout.readline()]
        while not said[-1].startswith("first spans"):
            said.append(service.process.stdout.readline())
        with connect(service.ready["dsn"]) as db:
            rows = db.rows("SELECT count() AS n FROM flagged_traces")
        assert rows == [{"n": 2}]
        assert (tmp_path / ".evalgate" / "data" / "db").is_dir()
        service.process.send_signal(signal.SIGTERM)
        assert service.wait() == 0
    text = "".join(said)
    assert f"export OTEL_EXPORTER_OTLP_ENDPOINT=http://{service.ready['http']}\n" in text
    assert "waiting for spans" in text
    assert said[-1] == "first spans of shop\N{REPLACEMENT CHARACTER}[31m: 2 spans stored. See them: evalgate traces\n"
    assert "\x1b" not in text
    assert service.err.read_text() == ""


def test_up_with_another_folder_says_how_other_terminals_find_it(tmp_path: Path) -> None:
    with running(up("--data-dir", str(tmp_path / "elsewhere")), tmp_path, environment=environment()) as service:
        assert service.ready["dsn"] == f"chdb://{tmp_path}/elsewhere/db"
        service.process.send_signal(signal.SIGINT)
        out, _ = service.process.communicate(timeout=DEADLINE_S)
        assert service.process.returncode == 0
    assert f"export EVALGATE_DSN=chdb://{tmp_path}/elsewhere/db" in out
    assert out.splitlines()[-1] == "stopped: nothing is left to deliver"


def test_up_prints_its_configuration(tmp_path: Path) -> None:
    command = [str(BIN / "evalgate"), "up", "--print-config"]
    result = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=DEADLINE_S, check=True)
    assert result.stdout == Path("collector/default.yaml").read_text()
    assert list(tmp_path.iterdir()) == []
