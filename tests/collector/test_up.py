"""`evalgate up` on a terminal: it says what it leaves behind, and leaves nothing where it never ran."""

from __future__ import annotations

import signal
import socket
import subprocess
from typing import TYPE_CHECKING

import pytest

from collector.up import made_by
from tests.collector.conftest import BIN, DEADLINE_S, running, spans_request
from tests.collector.test_service import post

if TYPE_CHECKING:
    from pathlib import Path

NOBODY = "http://127.0.0.1:9/default"
PORTS = ["--grpc-port", "0", "--clickhouse-port", "0", "--web-port", "0"]


@pytest.mark.parametrize(
    "number",
    [  # the other two end the tests of test_cli.py
        signal.SIGHUP,
        pytest.param(signal.SIGINT, marks=pytest.mark.thorough),
        pytest.param(signal.SIGTERM, marks=pytest.mark.thorough),
    ],
)
def test_it_says_that_nothing_is_left(tmp_path: Path, number: signal.Signals) -> None:
    with running([str(BIN / "evalgate"), "up", "--http-port", "0", *PORTS], tmp_path) as up:
        up.process.send_signal(number)
        out, _ = up.process.communicate(timeout=DEADLINE_S)
    assert up.process.returncode == 0
    assert out.splitlines()[-1] == "stopped: nothing is left to deliver"


def test_under_nohup_it_outlives_its_terminal(tmp_path: Path) -> None:
    with running(["nohup", str(BIN / "evalgate"), "up", "--http-port", "0", *PORTS], tmp_path) as up:
        up.process.send_signal(signal.SIGHUP)
        assert post(up.ready["http"], spans_request(1)) == 200
        up.process.send_signal(signal.SIGTERM)
        out, _ = up.process.communicate(timeout=DEADLINE_S)
    assert out.splitlines()[-1] == "stopped: nothing is left to deliver"


def test_it_says_what_stays_in_the_journal(tmp_path: Path) -> None:
    with running([str(BIN / "evalgate"), "up", "--http-port", "0", *PORTS, "--dsn", NOBODY], tmp_path) as up:
        assert post(up.ready["http"], spans_request(1)) == 200
        up.process.send_signal(signal.SIGINT)
        assert up.process.stdout is not None
        for line in up.process.stdout:
            if line.startswith("stopping"):
                break
        assert line == "stopping: 1 request to deliver; Ctrl-C again leaves it in the journal\n"
        up.process.send_signal(signal.SIGINT)
        out, _ = up.process.communicate(timeout=DEADLINE_S)
    assert out.splitlines()[-1] == "stopped: 1 request in the journal; the next `evalgate up` delivers it"


def test_a_start_that_fails_leaves_nothing_behind(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        command = [str(BIN / "evalgate"), "up", "--http-port", port, *PORTS]
        done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=DEADLINE_S, check=False)
    assert done.returncode == 2
    (line,) = done.stderr.splitlines()
    assert "--http-port" in line
    assert port in line
    assert list(tmp_path.iterdir()) == []


def test_a_start_that_fails_keeps_what_was_there(tmp_path: Path) -> None:
    kept = tmp_path / ".evalgate" / "data"
    kept.mkdir(parents=True)
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        command = [str(BIN / "evalgate"), "up", "--http-port", port, *PORTS]
        assert (
            subprocess.run(command, cwd=tmp_path, capture_output=True, timeout=DEADLINE_S, check=False).returncode == 2
        )
    assert (kept / "journal").is_dir()


def test_the_topmost_missing_folder_is_the_one_that_a_start_makes(tmp_path: Path) -> None:
    assert made_by(tmp_path / "a" / "b" / "c") == tmp_path / "a"
    assert made_by(tmp_path) is None
