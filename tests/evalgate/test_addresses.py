"""The commands at each address a database can have: a running `evalgate up` over HTTP, and a ClickHouse server."""

from __future__ import annotations

import json
import os
import re
import time
import urllib.request
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import pytest

from evalgate.app import run
from exporters.clickhouse.connect import connect
from exporters.clickhouse.lock import read_owner
from tests.collector.conftest import BIN, running

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.collector.conftest import Running
    from tests.evalgate.traffic import Traffic

DEADLINE_S = 30.0
TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"
READING = (
    ["traces"],
    ["traces", "--json", "--since", "2020-01-01", "--where", "span_count > 0"],
    ["traces", "show", "4bf9"],
    ["cases", "list"],
    ["schema", "unmapped"],
    ["query", "SELECT count() FROM traces"],
    ["query", "SHOW TABLES", "--format", "csv", "--limit", "2"],
    ["query", "\n-- a comment\nSELECT trace_id FROM flagged_traces", "--json"],
)
WRITING = (
    ["label", "--from", "labels.jsonl"],
    ["label", "--undo", "1"],
    ["cases", "promote", "--all"],
    ["cases", "reject", "case-1"],
    ["promote", "--all", "--reason", "r"],
    ["synthesize"],
)


def request_body() -> bytes:
    """Return one failed model call as OTLP JSON."""
    attributes = {"gen_ai.operation.name": "chat", "gen_ai.input.messages": json.dumps([message()])}
    span = {
        "traceId": TRACE,
        "spanId": "00f067aa0ba902b7",
        "name": "chat",
        "startTimeUnixNano": "1795000000000000000",
        "endTimeUnixNano": "1795000001000000000",
        "attributes": [{"key": k, "value": {"stringValue": v}} for k, v in attributes.items()],
        "status": {"code": 2, "message": "overloaded"},
    }
    return json.dumps({"resourceSpans": [{"scopeSpans": [{"spans": [span]}]}]}).encode()


def message() -> dict[str, Any]:
    return {"role": "user", "parts": [{"type": "text", "content": "Can I return my shoes?"}]}


@pytest.fixture(scope="module")
def up(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    """Run `evalgate up` with one trace stored."""
    folder = tmp_path_factory.mktemp("up")
    ports = ["--grpc-port", "0", "--http-port", "0", "--clickhouse-port", "0", "--web-port", "0"]
    environment = {k: v for k, v in os.environ.items() if not k.startswith("EVALGATE_")}
    with running([str(BIN / "evalgate"), "up", *ports], folder, environment=environment) as service:
        post = urllib.request.Request(
            f"http://{service.ready['http']}/v1/traces", request_body(), {"Content-Type": "application/json"}
        )
        urllib.request.urlopen(post, timeout=DEADLINE_S).close()  # noqa: S310 - as above
        deadline_s = time.monotonic() + DEADLINE_S
        with connect(service.ready["clickhouse_http"]) as db:
            while not db.rows("SELECT 1 FROM traces"):
                assert time.monotonic() < deadline_s, "the trace never came"
                time.sleep(0.02)
        yield service


def test_a_running_service_has_pages(up: Running) -> None:
    def page(path: str) -> str:
        with urllib.request.urlopen(up.ready["web"] + path, timeout=DEADLINE_S) as answer:  # noqa: S310 - as above
            return str(answer.read(), "utf-8")

    assert re.search(r'href="/traces/[0-9a-f]{32}"', page("/traces"))
    assert f"OTEL_EXPORTER_OTLP_ENDPOINT=http://{up.ready['http']}" in page("/waiting")


@pytest.mark.parametrize("arguments", READING, ids=" ".join)
def test_a_running_service_can_be_read_at_its_address(
    up: Running,
    project: Path,
    arguments: list[str],
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("EVALGATE_DSN", up.ready["clickhouse_http"])
    assert run(arguments) == 0, capsys.readouterr().err
    out, err = capsys.readouterr()
    assert out.strip()
    assert "evalgate: http" not in err


def test_building_a_dataset_reads_only(up: Running, project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["dataset", "build", "--name", "d", "--dsn", up.ready["clickhouse_http"]]) == 2
    assert "no promoted case fits" in capsys.readouterr().err


@pytest.mark.parametrize("arguments", WRITING, ids=" ".join)
def test_writing_without_the_token_is_one_line_that_says_how(
    up: Running, project: Path, arguments: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    (project / "labels.jsonl").write_text(json.dumps({"trace_id": TRACE, "verdict": "good"}))
    assert run([*arguments, "--dsn", up.ready["clickhouse_http"]]) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert err.count("\n") == 1
    for words in ("may be read by you, not written", "without EVALGATE_DSN", "chdb:///", "http://evalgate:TOKEN@"):
        assert words in err


def test_the_token_opens_writing_and_the_folder_does_too(
    up: Running, project: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    owner = read_owner(Path(up.ready["data_dir"]) / "db")
    assert owner is not None
    with_token = f"http://evalgate:{owner.token}@{urlsplit(up.ready['clickhouse_http']).netloc}"
    (project / "labels.jsonl").write_text(json.dumps({"trace_id": TRACE, "verdict": "good"}))
    assert run(["label", "--from", "labels.jsonl", "--annotator", "me", "--dsn", with_token]) == 0
    assert run(["label", "--undo", "1", "--annotator", "me", "--dsn", up.ready["dsn"]]) == 0
    assert owner.token not in "".join(capsys.readouterr())


def test_through_the_owner_too_pasted_sql_reaches_no_file(
    up: Running, project: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["query", "SELECT * FROM file('/etc/passwd', 'LineAsString')", "--dsn", up.ready["dsn"]]) == 2
    assert "the table function file()" in capsys.readouterr().err


@pytest.mark.server
def test_a_server_without_our_tables_says_how_to_get_them(
    clickhouse_server: str, project: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for command in (["traces"], ["query", "SELECT 1"], ["label", "--from", "x"]):
        assert run([*command, "--dsn", f"{clickhouse_server}/default"]) == 2
        err = capsys.readouterr().err
        assert "lacks tables of ours" in err
        assert "Start the collector of this version against it once" in err
        assert err.count("\n") == 1


def test_a_server_takes_every_command_under_the_name_of_a_user(
    traffic: Traffic, dsn: str, project: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    where = dsn.replace("http://", "http://default@")
    trace_id = traffic.refund(TRACE)
    (project / "labels.jsonl").write_text(json.dumps({"trace_id": trace_id, "verdict": "bad"}))
    commands = (["label", "--from", "labels.jsonl"], ["cases", "promote", "--all"], *READING)
    for command in (*commands, ["dataset", "build", "--name", "d"]):
        assert run([*command, "--dsn", where]) == 0, capsys.readouterr().err
