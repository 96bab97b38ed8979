"""The demo, as `make demo` runs it: the loop from a span to a red and a green gate."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import psutil  # type: ignore[import-untyped]  # ships no types
import pytest

ROOT = Path(__file__).resolve().parents[2]
DEMO = ("-c", "from evalgate.cli import main; main()", "demo")


def processes_in(folder: Path) -> list[psutil.Process]:
    return [p for p in psutil.process_iter(["cwd", "cmdline"]) if str(folder) in str(p.info)]


@pytest.fixture(scope="module")
def walked(tmp_path_factory: pytest.TempPathFactory) -> tuple[subprocess.CompletedProcess[str], Path]:
    """Run the demo with its temporary folders in a folder of ours."""
    folder = tmp_path_factory.mktemp("demo")
    result = subprocess.run(
        [sys.executable, *DEMO],
        env={**os.environ, "TMPDIR": str(folder), "COLUMNS": "120"},
        cwd=folder,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=110,
        check=False,
    )
    return result, folder


@pytest.mark.timeout(120)
def test_the_demo_keeps_its_promises(walked: tuple[subprocess.CompletedProcess[str], Path]) -> None:
    result, _ = walked
    assert result.returncode == 0, result.stdout[-4000:] + result.stderr[-2000:]
    assert result.stdout.index("GATE FAILED") < result.stdout.index("GATE PASSED")
    assert "exit code 1" in result.stdout
    assert "OTEL_EXPORTER_OTLP_ENDPOINT" in result.stdout.split("Now yours")[1]


@pytest.mark.timeout(120)
def test_the_red_gate_names_the_failure_and_its_trace(walked: tuple[subprocess.CompletedProcess[str], Path]) -> None:
    result, _ = walked
    red = result.stdout.split("GATE FAILED", 1)[1].split("The fix, at the gate", 1)[0]
    for mode in ("policy_hallucination", "tool_loop", "unhandled_tool_error"):
        assert mode in red
    assert re.search(r"evalgate traces show [0-9a-f]{8,32}", red)


@pytest.mark.timeout(120)
def test_the_demo_leaves_nothing_behind(walked: tuple[subprocess.CompletedProcess[str], Path]) -> None:
    _, folder = walked
    assert list(folder.iterdir()) == []
    assert processes_in(folder) == []


@pytest.mark.timeout(60)
@pytest.mark.thorough
@pytest.mark.parametrize("reached", ["evalgate up --grpc-port", "evalgate traces --flagged"])
def test_a_demo_that_is_told_to_stop_leaves_nothing_behind(tmp_path: Path, reached: str) -> None:
    process = subprocess.Popen(
        [sys.executable, *DEMO],
        env={**os.environ, "TMPDIR": str(tmp_path), "PYTHONUNBUFFERED": "1"},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    with process:
        assert process.stdout is not None
        assert any(reached in line for line in process.stdout)
        process.terminate()
        process.stdout.read()
        assert process.wait() == 2
    assert list(tmp_path.iterdir()) == []
    assert processes_in(tmp_path) == []


@pytest.mark.timeout(60)
def test_a_broken_promise_is_loud(tmp_path: Path) -> None:
    """Without the commands on hand nothing can be promised: the demo says which one failed, and exits 2."""
    broken = tmp_path / "bin"
    broken.mkdir()
    (broken / "evalgate").write_text("#!/bin/sh\necho no database for you\nexit 2\n")
    (broken / "evalgate").chmod(0o755)
    (broken / "python").symlink_to(sys.executable)
    script = (
        f"import sys; sys.path.insert(0, {str(ROOT)!r}); sys.executable = {str(broken / 'python')!r}\n"
        "from evalgate.app import run; sys.exit(run(['demo']))"
    )
    result = subprocess.run(
        [sys.executable, "-c", script],
        env={**os.environ, "TMPDIR": str(tmp_path)},
        capture_output=True,
        text=True,
        timeout=50,
        check=False,
    )
    assert result.returncode == 2
    assert "no database for you" in result.stderr
    assert [p.name for p in tmp_path.iterdir()] == ["bin"]
