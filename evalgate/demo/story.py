"""The story of the demo: spans in, failures labelled, a red gate, a green gate.

It starts the service in a folder of its own, lets a support agent serve simulated customers, and runs the commands
that a person would type. It needs no network and no key, and says loudly where a step is not as promised.
"""

from __future__ import annotations

import json
import re
import subprocess
from typing import TYPE_CHECKING, Final

from rich.markup import escape

from evalgate.demo.walk import VISIBLE_TIMEOUT_S, NotAsPromisedError, start_service, tail, wait_for

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from evalgate.demo.walk import Service, Walk

SEED: Final = "9"
"""The seed whose trace ids evals/labels.jsonl names."""
SHOWN_TRACES: Final = 12
GENERATED: Final = "policy_hallucination"
"""The failure mode whose evaluator is generated."""


def tell(walk: Walk) -> None:
    """Take every step of the loop."""
    walk.step(
        "Start the service",
        "The collector with an embedded ClickHouse; everything it keeps lies under .evalgate/ of this folder.",
    )
    service = start_service(walk)
    try:
        _send(walk, service)
        _review(walk, service)
    finally:
        code = service.stop()
    if code != 0:
        raise NotAsPromisedError(f"`evalgate up` stopped with exit code {code}\n{tail(service.log)}")
    _gate(walk)
    _next(walk)


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
    wait_for(service, "SELECT count() FROM traces", traces)
    wait_for(service, "SELECT count() FROM feedback", thumbs)
    spans = service.count("SELECT count() FROM spans")
    walk.console.print(f"in ClickHouse: {traces} traces of {spans} spans, {thumbs} thumbs")
    if spans != service.count("SELECT uniqExact(trace_id, span_id) FROM spans"):
        raise NotAsPromisedError("spans are stored twice")


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

    walk.step(
        "What goes wrong, and who watches for it",
        "Each failure mode that somebody named is an issue. Rules for two of them were written by hand; nobody has "
        "written one for the third yet:",
    )
    walk.run("evalgate issues list")
    walk.run("evalgate evals coverage")
    walk.step(
        "An evaluator from what people said",
        "It is searched in the labelled conversations: the simplest rule that tells bad from good, tried on "
        "conversations that the search did not see. How well it agrees with people decides whether it may block.",
    )
    walk.run(f"evalgate evals generate --failure-mode {GENERATED}")
    walk.run(f"evalgate evals show {GENERATED.replace('_', '-')}")


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
        "evaluators of evals/evaluators/ judge, the generated one among them, and the gate must stop it.",
    )
    walk.run("evalgate run --dataset support --target python:support_agent.target:broken")
    walk.run("evalgate gate --json-output broken.json", promised=1)
    report = (walk.folder / "broken.json").read_text()
    bad = [label["trace_id"] for label in _labels(walk.folder) if label["verdict"] == "bad"]
    missing = [trace for trace in bad if trace not in report]
    if missing:
        raise NotAsPromisedError(f"the gate does not name the traces {', '.join(missing)}")
    results = json.loads(report)["eval_results"]
    blocking = [e["evaluator"] for e in results if e["passed"] is False and e["role"] == "block"]
    if GENERATED.replace("_", "-") not in blocking:
        raise NotAsPromisedError(f"the generated evaluator does not block; {', '.join(blocking)} do")

    walk.step(
        "The fix, at the gate",
        "Release 1.5.0: last year's promise is out of the prompt, and it says what to do when a tool fails.",
    )
    walk.run("evalgate run --dataset support --target python:support_agent.target:fixed")
    walk.run("evalgate gate --output html=report.html")
    walk.run("evalgate compare")


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
