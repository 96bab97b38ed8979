"""The command line around the commands: plug-ins, faults, the whole loop."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from importlib.metadata import EntryPoint
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import typer

from evalgate import app as command_line
from evalgate.app import add_commands, build_app, run
from tests.evalgate.builders import WINDOW

if TYPE_CHECKING:
    from tests.evalgate.traffic import Traffic

ROOT = Path(__file__).parents[2]
A, B, C = ("0a" * 16, "0b" * 16, "0c" * 16)


def hello(app: typer.Typer) -> None:
    """Add a command, as a stranger's package does."""

    @app.command("hello")
    def say() -> None:
        raise typer.Exit(1)


def explode(app: typer.Typer) -> None:
    raise RuntimeError(f"cannot work\nwith {type(app).__name__}")


def needs_more(app: typer.Typer) -> None:
    raise ModuleNotFoundError("No module named 'grpc'", name="grpc")


def point(function: str) -> EntryPoint:
    return EntryPoint(function, f"{__name__}:{function}", command_line.COMMANDS)


@pytest.fixture
def installed(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Pretend that these command packages are installed."""
    names: list[str] = []
    monkeypatch.setitem(sys.modules, __name__, sys.modules.get(__name__) or _this_module())
    monkeypatch.setattr(
        command_line, "entry_points", lambda group: [point(n) for n in names if group == command_line.COMMANDS]
    )
    return names


def _this_module() -> Any:
    module = type(sys)(__name__)
    module.__dict__.update(globals())
    return module


def test_a_strangers_command_joins(installed: list[str]) -> None:
    installed.append("hello")
    assert run(["hello"]) == 1


def test_a_broken_command_package_is_one_line_and_no_crash(
    installed: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    installed.extend(["explode", "hello"])
    assert run(["hello"]) == 1
    err = capsys.readouterr().err
    assert err == "evalgate: the commands of 'explode' are not available: RuntimeError: cannot work with Typer\n"


def test_a_missing_extra_is_told_to_those_who_ask_for_its_command(
    installed: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    installed.append("needs_more")
    assert run(["up"]) == 2
    err = capsys.readouterr().err
    assert "pip install 'otel-evalgate[collector]'" in err
    assert "No such command 'up'" in err
    assert run(["--help"]) == 0
    assert "grpc" not in capsys.readouterr().err


def test_our_own_commands_load_no_plug_in(
    installed: list[str], project: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    installed.append("explode")
    assert run(["gate"]) == 2
    assert "explode" not in capsys.readouterr().err


def test_loading_reports_what_is_broken() -> None:
    sys.modules.setdefault(__name__, _this_module())
    broken = add_commands(build_app(), [point("needs_more"), point("explode"), point("absent")])
    assert [(b.name, b.is_missing_extra) for b in broken] == [
        ("absent", False),
        ("explode", False),
        ("needs_more", True),
    ]


def test_a_fault_of_ours_exits_2_and_never_1(
    project: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def fault(*_: Any) -> Any:
        raise ZeroDivisionError("oops\x1b[2J")

    monkeypatch.setattr("evalgate.gate.local.load_run", fault)
    assert run(["gate"]) == 2
    assert "evalgate: internal error: ZeroDivisionError: oops\\x1b[2J. Set EVALGATE_DEBUG=1" in capsys.readouterr().err
    monkeypatch.setenv("EVALGATE_DEBUG", "1")
    assert run(["gate"]) == 2
    assert "Traceback" in capsys.readouterr().err


def test_interrupted_is_exit_2(
    project: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupt(*_: Any) -> Any:
        raise KeyboardInterrupt

    monkeypatch.setattr("evalgate.gate.local.load_run", interrupt)
    assert run(["gate"]) == 2
    assert "evalgate: interrupted" in capsys.readouterr().err


def test_version_and_help(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["--version"]) == 0
    assert capsys.readouterr().out.startswith("evalgate 0.")
    assert run(["gate", "--help"]) == 0
    assert "Exit 0 yes, 1 no, 2 cannot" in " ".join(capsys.readouterr().out.split())


@pytest.mark.parametrize("group", [[], ["cases"], ["dataset"], ["schema"]])
def test_a_group_alone_shows_its_help(group: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert run(group) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith("Usage: evalgate")
    assert "\nCommands:\n  " in err


def test_the_help_lists_commands_as_one_needs_them(installed: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    installed.append("hello")
    assert run(["--help"]) == 0
    listed = [line.split()[0] for line in capsys.readouterr().out.split("Commands:\n")[1].splitlines()]
    loop = ["traces", "stats", "label", "cases", "dataset", "evals", "run", "compare", "gate", "query"]
    assert [name for name in listed if name in loop] == loop
    assert "hello" in listed


def test_an_error_is_one_line_whatever_the_driver_logs(project: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "evalgate.cli", "traces", "--dsn", "http://127.0.0.1:1"],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith("evalgate: http://127.0.0.1:1/default cannot be reached")
    assert done.stderr.count("\n") == 1


def test_a_reader_that_goes_away_is_no_green_gate(project: Path) -> None:
    program = "from evalgate.cli import main; main()"
    with subprocess.Popen(
        [sys.executable, "-c", program, "gate", "--help"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        cwd=project,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    ) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.close()
        assert process.stderr.read() == b""
        assert process.wait(30) == 2


@pytest.mark.parametrize("command", [["traces"], ["traces", "show", "ab"], ["label", "--from", "x"], ["cases", "list"]])
def test_without_a_database_it_says_how_to_get_one(
    project: Path, command: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(command) == 2
    err = capsys.readouterr().err
    assert "there is no database at" in err
    assert "evalgate up" in err
    assert not Path(".evalgate").exists()


@pytest.mark.parametrize(
    ("dsn", "words"),
    [
        ("postgres://x", "the DSN's scheme is 'postgres'"),
        ("chdb://relative", "does not hold an absolute path"),
        (
            "http://user:secret@127.0.0.1:1/x",
            "127.0.0.1:1/x cannot be reached or gave no answer: Connection refused. Is it",
        ),
    ],
)
def test_a_database_that_is_not_there_is_one_line(
    project: Path, dsn: str, words: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["traces", "--dsn", dsn]) == 2
    err = capsys.readouterr().err
    assert words in err
    assert err.count("\n") == 1
    assert "secret" not in err


def command(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str, str]:
    code = run(arguments)
    out, err = capsys.readouterr()
    return code, out, err


def test_an_empty_database_says_what_to_do_next(
    traffic: Traffic, dsn: str, project: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("EVALGATE_DSN", dsn)
    code, out, _ = command(capsys, "traces")
    assert (code, "OTEL_EXPORTER_OTLP_ENDPOINT" in out) == (0, True)
    assert command(capsys, "traces", "--json")[1].startswith('{"traces": 0')
    assert "evalgate label" in command(capsys, "cases", "list")[1]
    code, _, err = command(capsys, "dataset", "build", "--name", "d")
    assert (code, "no promoted case fits" in err) == (2, True)
    code, _, err = command(capsys, "label")
    assert (code, "needs a terminal; import labels with --from" in err) == (2, True)


def test_the_whole_loop(
    traffic: Traffic, dsn: str, project: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Flagged traces to labels to cases to a dataset to a red and a green gate, by the commands alone."""
    monkeypatch.setenv("EVALGATE_DSN", dsn)
    for trace_id in (A, B, C):
        traffic.refund(trace_id)
    code, out, _ = command(capsys, "traces", "--flagged", "--where", "service_name = shop", "--since", "2026-11-01")
    assert (code, "3 traces, 3 flagged, 3 failing" in out) == (0, True)
    assert json.loads(command(capsys, "traces", "show", "0a", "--json")[1])["trace"]["trace_id"] == A
    assert "You have 90 days." in command(capsys, "traces", "show", "0a")[1]

    labels = [
        {"trace_id": A, "verdict": "bad", "failure_mode": "policy_hallucination", "corrected_output": "30 days"},
        {"trace_id": "0b0b", "verdict": "bad", "failure_mode": "policy_hallucination"},
        {"trace_id": "0c0c", "verdict": "bad", "failure_mode": "tone"},
    ]
    wrong = [{"trace_id": "ffff", "verdict": "bad"}, {"trace_id": A, "verdict": "bda"}, labels[0]]
    Path("labels.jsonl").write_text("\n".join(map(json.dumps, labels + wrong)))
    code, out, err = command(capsys, "label", "--from", "labels.jsonl")
    assert (code, out) == (2, "")
    for words in (
        "labels.jsonl line 4: no trace begins with ffff",
        "labels.jsonl line 5: the verdict must be good, bad or partial",
        "labels.jsonl line 6: labels the trace of line 1 again",
        "nothing was saved: 3 of 6 lines are wrong",
    ):
        assert words in err
    assert command(capsys, "cases", "list", "--json")[1] == "[]\n"
    code, out, _ = command(capsys, "label", "--from", "labels.jsonl", "--partial", "--annotator", "ann")
    assert (code, "3 labels saved" in out) == (0, True)
    golden = "golden dataset: 2 cases in evals/golden/labels.jsonl (1 removed)\n"
    undone = command(capsys, "label", "--undo", "1", "--annotator", "ann")[1]
    assert undone == f"undone: bad, tone of trace {C}\n{golden}"

    code, _, err = command(capsys, "dataset", "build", "--name", "refunds")
    assert (code, "left out: 2 quarantined, 1 rejected" in err) == (2, True)
    code, out, _ = command(
        capsys, "cases", "promote", "--all", "--failure-mode", "policy_hallucination", "--actor", "lead"
    )
    assert (code, out.startswith("promoted: 2\n")) == (0, True)
    cases = {c["provenance"]["trace_id"]: c for c in json.loads(command(capsys, "cases", "list", "--json")[1])}
    assert {t: c["status"] for t, c in cases.items()} == {A: "promoted", B: "promoted", C: "rejected"}
    assert "promoted by lead" in command(capsys, "cases", "show", cases[A]["case_id"][5:12])[1]
    assert command(capsys, "cases", "promote")[0] == 2
    assert "already" in command(capsys, "cases", "promote", cases[A]["case_id"])[1]

    code, out, _ = command(capsys, "dataset", "build", "--name", "refunds", "--criteria", "30 days, always")
    assert (code, "2 cases (2 added, 0 changed, 0 unchanged)" in out) == (0, True)
    assert "left out: 0 quarantined, 1 rejected" in out
    assert "30 days, always" in command(capsys, "dataset", "show", "refunds")[1]
    monkeypatch.delenv("EVALGATE_DSN")  # from here on files are enough

    Path("evals/evaluators").mkdir()
    Path("evals/evaluators/window.yaml").write_text(WINDOW)
    for name, text in (("bad", "90 days"), ("good", "30 days")):
        outputs = [{"case_id": cases[t]["case_id"], "output": text} for t in (A, B)]
        Path(f"{name}.jsonl").write_text("\n".join(map(json.dumps, outputs)))
    assert command(capsys, "run", "--dataset", "refunds", "--target", "file:bad.jsonl")[0] == 0
    code, out, _ = command(capsys, "gate")
    assert (code, f"traces show {A[:16]}" in out, f"traces show {B[:16]}" in out) == (1, True, True)
    assert command(capsys, "run", "--dataset", "refunds", "--target", "file:good.jsonl")[0] == 0
    assert command(capsys, "gate")[0] == 0
    assert command(capsys, "cases", "reject", cases[A]["case_id"], "--dsn", dsn, "--reason", "twice")[0] == 0


@pytest.mark.parametrize(
    ("foreign", "words"),
    [
        ({"schema/__init__.py": ""}, "its package 'schema' is another's, found at"),
        ({"collector/__init__.py": ""}, "collector: found at"),
    ],
)
def test_another_owner_of_a_package_name_is_named_and_exit_2(
    project: Path, foreign: dict[str, str], words: str
) -> None:
    for name, text in foreign.items():
        path = project / name
        path.parent.mkdir()
        path.write_text(text)
    program = "import sys; from evalgate.cli import main; main()"
    environment = {**os.environ, "PYTHONPATH": f"{project}{os.pathsep}{ROOT}"}
    done = subprocess.run(
        [sys.executable, "-c", program, "gate"],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert done.returncode == 2
    assert words in done.stderr
    assert str(project) in done.stderr
    assert "Traceback" not in done.stderr


def test_a_terminal_that_cannot_show_a_character_gets_its_code(project: Path) -> None:
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "PYTHONIOENCODING": "ascii"}
    program = "from evalgate.cli import main; main()"
    done = subprocess.run(
        [sys.executable, "-c", program, "gate", "--run", "é"],
        env=environment,
        capture_output=True,
        check=False,
        timeout=60,
    )
    assert done.returncode == 2
    assert b"there is no run '\\xe9'" in done.stderr
