"""Walk the whole loop on this terminal: spans in, failures labelled, a red gate, a green gate.

    make demo              or: .venv/bin/python examples/demo.py
    … --keep               leave the folder that it worked in

It starts the service in a temporary folder, lets the support agent of `support_agent/` serve simulated customers, and
then runs the commands that a person would type; every line after a `$` is such a command. It needs no network and no
key, leaves nothing running, and fails loudly (exit 1) where a step is not as promised.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import urllib.request
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.markup import escape

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from types import FrameType

EXAMPLES = Path(__file__).resolve().parent
SEED = "9"  # the seed whose trace ids evals/labels.jsonl names
READY_TIMEOUT_S = 60.0
VISIBLE_TIMEOUT_S = 30.0
STOP_TIMEOUT_S = 20.0
REMOVE_TIMEOUT_S = 5.0
SHOWN_TRACES = 12


class NotAsPromisedError(Exception):
    """A step did something else than the demo says."""


@dataclass(slots=True)
class Walk:
    """The terminal, the folder and the clock of one walk."""

    console: Console
    folder: Path
    environment: Mapping[str, str]
    times: list[tuple[str, float]] = field(default_factory=list)
    started: list[subprocess.Popen[str]] = field(default_factory=list)
    started_s: float = field(default_factory=time.monotonic)

    def step(self, title: str, text: str) -> None:
        """Begin a step."""
        self.times.append((title, time.monotonic()))
        self.console.print()
        self.console.rule(f"[bold]{len(self.times)}. {title}[/]", align="left")
        self.console.print(text)

    def run(self, command: str, *, promised: int = 0, env: Mapping[str, str] | None = None) -> None:
        """Show a command, run it on this terminal, and check its exit code."""
        code = subprocess.run(
            self._shown(command, env), cwd=self.folder, env={**self.environment, **(env or {})}, check=False
        ).returncode
        if promised:
            self.console.print(f"[dim]exit code {code}[/]")
        if code != promised:
            raise NotAsPromisedError(f"`{command}` ended with exit code {code}; {promised} was promised")

    def start(self, command: str, env: Mapping[str, str] | None = None, **options: Any) -> subprocess.Popen[str]:
        """Show a command and start it."""
        words = self._shown(command, env)
        with _undisturbed():  # between the fork and the list, a process would belong to nobody
            process = subprocess.Popen(
                words,
                cwd=self.folder,
                env={**self.environment, **(env or {})},
                stdin=subprocess.DEVNULL,
                text=True,
                **options,
            )
            self.started.append(process)
        return process

    def kill(self) -> None:
        """Leave nothing running."""
        for process in self.started:
            if process.poll() is None:
                process.kill()
                process.wait()

    def summary(self) -> None:
        """Print how long each step took."""
        ends = [began for _, began in self.times[1:]] + [time.monotonic()]
        self.console.print()
        for (title, began), end in zip(self.times, ends, strict=True):
            self.console.print(f"[dim]{end - began:6.1f} s  {title}[/]")
        self.console.print(f"[dim]{time.monotonic() - self.started_s:6.1f} s  altogether[/]")

    def _shown(self, command: str, env: Mapping[str, str] | None) -> Sequence[str]:
        self.console.print()
        for name, value in (env or {}).items():
            self.console.print(f"[bold green]$[/] [bold]export {name}={escape(value)}[/]")
        self.console.print(f"[bold green]$[/] [bold]{escape(command)}[/]", soft_wrap=True)
        sys.stdout.flush()
        return shlex.split(command)


@dataclass(slots=True)
class Service:
    """`evalgate up`, running."""

    process: subprocess.Popen[str]
    log: Path
    ready: dict[str, Any]

    def query(self, sql: str) -> list[str]:
        """Return the lines that a query yields, over ClickHouse's HTTP interface."""
        request = urllib.request.Request(self.ready["clickhouse_http"], data=sql.encode(), method="POST")  # noqa: S310 - ours, on loopback
        direct = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        with direct.open(request, timeout=10) as answer:
            return str(answer.read(), "utf-8").splitlines()

    def count(self, sql: str) -> int:
        """Return the one number that a query yields."""
        return int(self.query(sql)[0])

    def stop(self) -> int:
        """Ask it to stop, and insist when it does not."""
        self.process.terminate()
        try:
            return self.process.wait(STOP_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            self.process.kill()
            return self.process.wait()


def main() -> None:
    """Walk the loop."""
    options = argparse.ArgumentParser(prog="demo", description="Walk the whole loop on this terminal.")
    options.add_argument("--keep", action="store_true", help="leave the folder it worked in, and say where it is")
    keep = options.parse_args().keep
    signal.signal(signal.SIGTERM, _terminated)
    console = Console(highlight=False)
    folder = Path(tempfile.mkdtemp(prefix="evalgate-demo-"))
    steps = Walk(console, folder, _environment())
    try:
        _copy_app(folder)
        walk(steps)
    except NotAsPromisedError as e:
        console.print(f"\n[bold red]The demo is not as promised:[/] {escape(str(e))}", soft_wrap=True)
        raise SystemExit(1) from None
    except KeyboardInterrupt:
        raise SystemExit(130) from None
    finally:
        steps.kill()
        if keep:
            console.print(f"\nkept: {folder}", soft_wrap=True)
        else:
            _remove(folder)


def _remove(folder: Path) -> None:
    """Remove a folder, also where what was killed a moment ago still puts a file there."""
    until = time.monotonic() + REMOVE_TIMEOUT_S
    while folder.exists() and time.monotonic() < until:
        shutil.rmtree(folder, ignore_errors=True)


def walk(walk: Walk) -> None:
    """Take every step of the loop."""
    walk.step(
        "Start the service",
        "The collector with an embedded ClickHouse; everything it keeps lies under .evalgate/ of this folder.",
    )
    service = _up(walk)
    try:
        _send(walk, service)
        _review(walk, service)
    finally:
        code = service.stop()
    if code != 0:
        raise NotAsPromisedError(f"`evalgate up` stopped with exit code {code}\n{_tail(service.log)}")
    _gate(walk)
    _next(walk)


def _up(walk: Walk) -> Service:
    """Start the service and wait until everything listens and it has said where."""
    log, ready = walk.folder / "up.log", walk.folder / "ready.json"
    with log.open("w") as out:
        process = walk.start(
            "evalgate up --grpc-port 0 --http-port 0 --clickhouse-port 0 --ready-file ready.json",
            stdout=out,
            stderr=subprocess.STDOUT,
        )
    try:
        _wait_until_ready(process, ready, log)
    except BaseException:  # an interrupted demo leaves nothing running either
        process.kill()
        process.wait()
        raise
    walk.console.print(escape(log.read_text().rstrip()), soft_wrap=True)
    return Service(process, log, json.loads(ready.read_text()))


def _wait_until_ready(process: subprocess.Popen[str], ready: Path, log: Path) -> None:
    deadline_s = time.monotonic() + READY_TIMEOUT_S
    while not (ready.exists() and "OTEL_EXPORTER_OTLP_ENDPOINT" in log.read_text()):
        if process.poll() is not None or time.monotonic() > deadline_s:
            raise NotAsPromisedError(f"`evalgate up` did not come up\n{_tail(log)}")
        time.sleep(0.05)


def _send(walk: Walk, service: Service) -> None:
    """Serve the customers, one half over gRPC and one over HTTP, and wait until the rows can be queried."""
    walk.step(
        "Point the app at it",
        "A support agent with hand-made OpenTelemetry spans serves simulated customers: one half of them exports over "
        "gRPC, the other over HTTP. Nothing of ours is imported by the app.",
    )
    traffic = f"python -m support_agent.traffic --seed {SEED}"
    halves = [
        walk.start(
            f"{traffic} --part {part}/2",
            {
                "OTEL_EXPORTER_OTLP_ENDPOINT": f"http://{service.ready[protocol]}",
                "OTEL_EXPORTER_OTLP_PROTOCOL": name,
            },
            stdout=subprocess.PIPE,
        )
        for part, protocol, name in ((1, "grpc", "grpc"), (2, "http", "http/protobuf"))
    ]
    traces = thumbs = 0
    try:
        for half in halves:
            said, _ = half.communicate(timeout=VISIBLE_TIMEOUT_S)
            walk.console.print(escape(said.rstrip()))
            sent = re.search(r"(\d+) traces, (\d+) thumbs", said)
            if half.returncode != 0 or sent is None:
                raise NotAsPromisedError(f"the app ended with exit code {half.returncode}")
            traces, thumbs = traces + int(sent[1]), thumbs + int(sent[2])
    except subprocess.TimeoutExpired:
        raise NotAsPromisedError(f"the app did not end within {VISIBLE_TIMEOUT_S:.0f} s") from None
    finally:
        for half in halves:
            half.kill()
            half.wait()
    _wait_for(service, "SELECT count() FROM traces", traces)
    _wait_for(service, "SELECT count() FROM feedback", thumbs)
    spans = service.count("SELECT count() FROM spans")
    walk.console.print(f"in ClickHouse: {traces} traces of {spans} spans, {thumbs} thumbs")
    if spans != service.count("SELECT uniqExact(trace_id, span_id) FROM spans"):
        raise NotAsPromisedError("spans are stored twice")


def _wait_for(service: Service, sql: str, wanted: int) -> None:
    deadline_s = time.monotonic() + VISIBLE_TIMEOUT_S
    while (seen := service.count(sql)) != wanted:
        if seen > wanted or time.monotonic() > deadline_s or service.process.poll() is not None:
            raise NotAsPromisedError(f"`{sql}` says {seen}; {wanted} were sent\n{_tail(service.log)}")
        time.sleep(0.1)


def _review(walk: Walk, service: Service) -> None:
    """Look at what is flagged, say what was wrong, make cases and a dataset of it."""
    labels = _labels(walk.folder)
    walk.step(
        "What deserves a look",
        "Every failing trace is flagged, with the reason, and one in ten of the rest. "
        f"The first {SHOWN_TRACES} of them:",
    )
    walk.run(f"evalgate traces --flagged --limit {SHOWN_TRACES}")
    flagged = service.count("SELECT count() FROM flagged_traces")
    if flagged < len(labels):
        raise NotAsPromisedError(f"{flagged} traces are flagged; {len(labels)} were to be labelled")

    walk.step("One of them", "A customer's thumb went down. No span failed, but the agent made up a rule:")
    walk.run(f"evalgate traces show {_disliked(labels, service)}")

    walk.step(
        "Say what was wrong",
        "`evalgate label` walks through them by keyboard. The demo brings the labels of somebody who did that: "
        "good, or bad and in which way.",
    )
    walk.run("evalgate label --from evals/labels.jsonl")

    walk.step("Cases, quarantined until promoted", "Each label made a case. None of them gates anything yet:")
    walk.run("evalgate cases list")
    walk.run("evalgate cases promote --all --actor demo --reason 'seen in production'")

    walk.step("A dataset", "Promoted cases become lines of a file in your repository, versioned by content.")
    walk.run("evalgate dataset build --name support --criteria 'what customers met on release 1.4.0'")
    built = len((walk.folder / "evals/datasets/support.jsonl").read_text().splitlines())
    if built != len(labels):
        raise NotAsPromisedError(f"the dataset has {built} cases of {len(labels)} labels")


def _disliked(labels: Sequence[Mapping[str, str]], service: Service) -> str:
    """Return the prefix of the trace to show: an invented policy, told by a thumb down."""
    disliked = service.query("SELECT trace_id FROM feedback WHERE polarity = 'negative'")
    invented = [label["trace_id"] for label in labels if label.get("failure_mode") == "policy_hallucination"]
    found = [prefix for prefix in invented if any(trace.startswith(prefix) for trace in disliked)]
    if not found:
        raise NotAsPromisedError("no customer disliked an invented policy")
    return found[0]


def _gate(walk: Walk) -> None:
    """Run both releases through the gate; the service is stopped, since this needs files alone."""
    walk.step(
        "The release that is in production, at the gate",
        "The service is stopped: from here on files are enough, as in CI. The agent answers every case again, the "
        "evaluators of evals/evaluators/ judge, and the gate must stop it.",
    )
    walk.run("evalgate run --dataset support --target python:support_agent.target:broken")
    walk.run("evalgate gate --json-output broken.json", promised=1)
    report = (walk.folder / "broken.json").read_text()
    bad = [label["trace_id"] for label in _labels(walk.folder) if label["verdict"] == "bad"]
    missing = [trace for trace in bad if trace not in report]
    if missing:
        raise NotAsPromisedError(f"the gate does not name the traces {', '.join(missing)}")

    walk.step(
        "The fix, at the gate",
        "Release 1.5.0: last year's promise is out of the prompt, and it says what to do when a tool fails.",
    )
    walk.run("evalgate run --dataset support --target python:support_agent.target:fixed")
    walk.run("evalgate gate")


def _labels(folder: Path) -> list[dict[str, str]]:
    return [json.loads(line) for line in (folder / "evals/labels.jsonl").read_text().splitlines()]


def _next(walk: Walk) -> None:
    """Say what to type next."""
    walk.summary()
    walk.console.print()
    walk.console.rule("[bold]Now yours[/]", align="left")
    walk.console.print(
        "[bold green]$[/] .venv/bin/evalgate up\n"
        "and, where your app runs:\n"
        "[bold green]$[/] export OTEL_EXPORTER_OTLP_ENDPOINT=http://127.0.0.1:4318\n"
        "[bold green]$[/] export OTEL_EXPORTER_OTLP_PROTOCOL=http/protobuf\n"
        "[bold green]$[/] export OTEL_SERVICE_NAME=my-app\n"
        "then, in the folder where you said `up`:\n"
        "[bold green]$[/] .venv/bin/evalgate traces\n"
        "[bold green]$[/] .venv/bin/evalgate label\n"
        "Step by step: docs/quickstart.md. The app of this demo: examples/support_agent/.",
    )


def _copy_app(folder: Path) -> None:
    """Lay out the folder as a user's repository: the app, and its evals beside it."""
    app = EXAMPLES / "support_agent"
    shutil.copytree(app, folder / "support_agent", ignore=shutil.ignore_patterns("evals", "__pycache__"))
    shutil.copytree(app / "evals", folder / "evals")


def _environment() -> dict[str, str]:
    """Return the environment of the commands: this Python first, no setting of the user's own, no proxy to loopback."""
    kept = {k: v for k, v in os.environ.items() if not k.startswith(("OTEL_", "EVALGATE_", "GITHUB_"))}
    path = os.pathsep.join([str(Path(sys.executable).parent), kept.get("PATH", os.defpath)])
    loopback = {"NO_PROXY": "127.0.0.1,localhost", "no_proxy": "127.0.0.1,localhost"}
    return {**kept, **loopback, "PATH": path, "PYTHONDONTWRITEBYTECODE": "1"}


def _tail(log: Path, lines: int = 20) -> str:
    return "\n".join(log.read_text().splitlines()[-lines:])


@contextmanager
def _undisturbed() -> Iterator[None]:
    """Put off being told to stop until what is done here is done. Not by a mask: a child would inherit it."""
    put_off: list[int] = []
    before = {s: signal.signal(s, lambda number, _: put_off.append(number)) for s in (signal.SIGTERM, signal.SIGINT)}
    try:
        yield
    finally:
        for one, handler in before.items():
            signal.signal(one, handler)
    for number in put_off[:1]:
        signal.raise_signal(number)


def _terminated(_signal: int, _frame: FrameType | None) -> None:
    raise SystemExit(143)


if __name__ == "__main__":
    main()
