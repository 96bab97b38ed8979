"""The project's own command: no shell, its output as it comes, ended with everything it started."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from evalgate.errors import BadInput
from evalgate.gate.process import run_command

ROOT = Path(__file__).parents[2]
LONG_S = 60.0
FAMILY = """\
import pathlib, subprocess, sys, time
deaf = "import signal, time; [signal.signal(s, signal.SIG_IGN) for s in (signal.SIGINT, signal.SIGTERM)]; "
deaf += "print('ready', flush=True); time.sleep(600)"
child = subprocess.Popen([sys.executable, "-c", deaf], stdout=subprocess.PIPE)
child.stdout.readline()
pathlib.Path("pids.new").write_text(str(child.pid))
pathlib.Path("pids.new").rename("pids")
time.sleep(600)
"""
"""A parent, and a child that heeds no polite signal."""


def wait_for(path: Path) -> str:
    deadline = time.monotonic() + LONG_S
    while not path.exists():
        assert time.monotonic() < deadline, f"{path} did not come"
        time.sleep(0.01)
    return path.read_text()


def is_gone(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return True
    return state.rpartition(")")[2].split()[0] == "Z"


def wait_until_gone(pid: int) -> None:
    deadline = time.monotonic() + LONG_S
    while not is_gone(pid):
        assert time.monotonic() < deadline, f"process {pid} is still there"
        time.sleep(0.01)


def test_the_exit_code_and_the_output_are_those_of_the_command(capfd: pytest.CaptureFixture[str]) -> None:
    ended = run_command([sys.executable, "-c", "print('said'); raise SystemExit(7)"], timeout_s=LONG_S)
    assert ended.exit_code == 7
    assert capfd.readouterr().out == "said\n"


def test_nothing_is_a_shell(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    run_command(
        [sys.executable, "-c", "import sys; print(sys.argv[1])", f"$(touch {tmp_path}/x); `id`"], timeout_s=LONG_S
    )
    assert "$(touch" in capfd.readouterr().out
    assert not (tmp_path / "x").exists()


def test_output_goes_elsewhere_where_stdout_is_for_a_document(capfd: pytest.CaptureFixture[str]) -> None:
    run_command([sys.executable, "-c", "print('said')"], timeout_s=LONG_S, out=sys.__stderr__)
    out, err = capfd.readouterr()
    assert (out, err) == ("", "said\n")


@pytest.mark.parametrize(
    ("command", "words"),
    [(["no-such-command-here"], "there is no command"), (["/"], "cannot be started"), (["a\0b"], "cannot be started")],
)
def test_what_cannot_be_started_is_said(command: list[str], words: str) -> None:
    with pytest.raises(BadInput, match=words):
        run_command(command, timeout_s=LONG_S)


def test_a_command_that_takes_too_long_is_ended_with_its_children(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)

    def until_the_family_is_there(process: subprocess.Popen[bytes], timeout_s: float) -> int:
        wait_for(tmp_path / "pids")
        raise subprocess.TimeoutExpired(process.args, timeout_s)

    with pytest.raises(BadInput, match=r"did not end within 2 s and was ended. Give it longer: --timeout-s"):
        run_command([sys.executable, "-c", FAMILY], timeout_s=2, wait=until_the_family_is_there, grace_s=0.05)
    wait_until_gone(int(wait_for(tmp_path / "pids")))


def test_time_runs_out(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="did not end within"):
        run_command([sys.executable, "-c", "import time; time.sleep(600)"], timeout_s=0.01)


def _heed_interrupts() -> None:
    """Undo what a shell does to whatever it starts in the background."""
    signal.signal(signal.SIGINT, signal.default_int_handler)


def test_an_interrupt_ends_the_command_and_its_children(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "evalgate.cli", "gate", "--", sys.executable, "-c", FAMILY]
    with subprocess.Popen(
        command,
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        preexec_fn=_heed_interrupts,  # noqa: PLW1509 - no thread of the tests holds what a signal's setting needs
    ) as process:
        child = int(wait_for(tmp_path / "pids"))
        process.send_signal(signal.SIGINT)
        _, err = process.communicate(timeout=LONG_S)
    assert process.returncode == 2
    assert b"evalgate: interrupted" in err
    wait_until_gone(child)
