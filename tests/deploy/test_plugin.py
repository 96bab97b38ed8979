"""The example package as a stranger would use it: built, installed beside ours, listed, configured, run."""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Final

import pytest

from tests.clickhouse.otlp import span, spans_record
from tests.fixtures_clickhouse import free_port

if TYPE_CHECKING:
    from collections.abc import Mapping

EXAMPLE: Final = Path(__file__).resolve().parents[2] / "examples" / "plugin"
DEADLINE_S: Final = 60.0


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Mapping[str, str]:
    """Return the environment of a Python that has the example package, as a wheel in a folder of its own."""
    folder = tmp_path_factory.mktemp("plugin")
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check", "--quiet"]
    offline = ["--no-deps", "--no-index"]
    built = folder / "source"
    _copy(EXAMPLE, built)
    subprocess.run(
        [*pip, "wheel", *offline, "--no-build-isolation", "--wheel-dir", str(folder), str(built)], check=True
    )
    (wheel,) = folder.glob("evalgate_acme-*.whl")
    subprocess.run([*pip, "install", *offline, "--target", str(folder / "site"), str(wheel)], check=True)
    return {**os.environ, "PYTHONPATH": str(folder / "site")}


def _copy(source: Path, target: Path) -> None:
    for path in source.rglob("*"):
        if path.is_file() and "__pycache__" not in path.parts:
            (target / path.relative_to(source)).parent.mkdir(parents=True, exist_ok=True)
            (target / path.relative_to(source)).write_bytes(path.read_bytes())


def collector(installed: Mapping[str, str], *words: str) -> subprocess.CompletedProcess[str]:
    command = [str(Path(sys.executable).with_name("evalgate-collector")), *words]
    return subprocess.run(command, env=installed, capture_output=True, text=True, check=False, timeout=60)


def test_its_components_are_listed_beside_ours(installed: Mapping[str, str]) -> None:
    found = json.loads(collector(installed, "components", "--json").stdout)
    theirs = {f"{c['kind']}/{c['type']}" for c in found if c["package"] == "evalgate-acme"}
    assert theirs == {"processor/team", "processor/plain_environment", "exporter/jsonl"}
    assert any(c["package"] == "otel-evalgate" for c in found)


def test_without_it_the_configuration_says_what_is_missing() -> None:
    done = collector(os.environ, "validate", "--config", str(EXAMPLE / "collector.yaml"))
    assert done.returncode == 2
    assert "there is no processor 'plain_environment'" in done.stderr


def test_mistakes_in_its_settings_are_told_with_their_line(installed: Mapping[str, str], tmp_path: Path) -> None:
    text = (EXAMPLE / "collector.yaml").read_text()
    wrong = text.replace("    features:", "    feature:").replace(
        "  plain_environment:\n", "  plain_environment: {loud: 1}\n"
    )
    config = tmp_path / "collector.yaml"
    config.write_text(wrong)
    done = collector(installed, "validate", "--config", str(config))
    assert done.returncode == 2
    assert ":10: processors.plain_environment.loud: unknown key" in done.stderr
    assert ":12: processors.team.feature: unknown key; did you mean 'features'?" in done.stderr


def test_spans_pass_its_processors_and_end_in_its_exporter(installed: Mapping[str, str], tmp_path: Path) -> None:
    port, spool = free_port(), tmp_path / "spool"
    environment = {
        **installed,
        "EVALGATE_HTTP_ENDPOINT": f"127.0.0.1:{port}",
        "ACME_SPOOL": str(spool),
        "EVALGATE_DATA_DIR": str(tmp_path / "data"),
    }
    command = [str(Path(sys.executable).with_name("evalgate-collector")), "run"]
    with (tmp_path / "log").open("wb") as log, subprocess.Popen(
        [*command, "--config", str(EXAMPLE / "collector.yaml"), "--ready-file", str(tmp_path / "ready")],
        env=environment, stdout=log, stderr=log,
    ) as process:  # fmt: skip
        try:
            wait_for(tmp_path / "ready", tmp_path)
            spans = [span(1, 1, attributes={"error.type": "timeout"}), span(1, 2)]
            body = spans_record(spans, resource={"service.name": "support-bot"}).body
            assert post(port, body) == 200
            lines = wait_for(spool, tmp_path)
        finally:
            process.send_signal(signal.SIGTERM)
        assert process.wait(30) == 0
    (line,) = (json.loads(text) for text in lines)
    assert (line["name"], line["feature"]) == ("span 1", "support")
    assert line["failure_reasons"]


def post(port: int, body: bytes) -> int:
    """Return the status that a request is answered with."""
    with contextlib.closing(http.client.HTTPConnection("127.0.0.1", port, timeout=30)) as connection:
        connection.request("POST", "/v1/traces", body, {"Content-Type": "application/x-protobuf"})
        return connection.getresponse().status


def wait_for(path: Path, tmp_path: Path) -> list[str]:
    """Return the lines of a file, or of the first whole one in a folder, once it is there."""
    deadline_s = time.monotonic() + DEADLINE_S
    while time.monotonic() < deadline_s:
        for found in [*path.glob("*.jsonl"), path]:
            if found.is_file():
                return found.read_text().splitlines()
        time.sleep(0.05)
    pytest.fail((tmp_path / "log").read_text())


def test_its_evaluator_is_found_by_name_and_judges(installed: Mapping[str, str], tmp_path: Path) -> None:
    folder = tmp_path / "evals" / "evaluators"
    folder.mkdir(parents=True)
    text = "id: words\nfailure_mode: wrong_word\napplies_to: all\nuse: glossary\nwith: {say: {client: customer}}\n"
    (folder / "words.yaml").write_text(text)
    (tmp_path / "cases.jsonl").write_text('{"input": "?", "observed": {"output": "Dear client"}}\n')
    command = [str(Path(sys.executable).with_name("evalgate")), "evals", "check", "--dataset", "cases.jsonl", "--json"]

    def check() -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            command, cwd=tmp_path, env=installed, capture_output=True, text=True, check=False, timeout=60
        )

    (found,) = json.loads(check().stdout)["evaluators"]
    assert (found["tried"]["passed"], found["tried"]["failed"]) == (0, 1)
    (folder / "words.yaml").write_text(text.replace("say:", "tell:"))
    assert "glossary' of evalgate-acme 0.1.0: 'say' must be an object" in check().stdout


def test_its_own_tests_pass(installed: Mapping[str, str]) -> None:
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "--rootdir", str(EXAMPLE), "tests"]
    done = subprocess.run(command, cwd=EXAMPLE, env=installed, capture_output=True, text=True, check=False, timeout=100)
    assert done.returncode == 0, done.stdout
    assert "7 passed" in done.stdout
