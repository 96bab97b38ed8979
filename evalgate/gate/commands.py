"""`evalgate gate`."""

from __future__ import annotations

import os
import sys
from datetime import UTC, datetime
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from evalgate.dataset.store import load
from evalgate.errors import BadInput
from evalgate.files import to_json, write_atomic
from evalgate.gate.baseline import BASELINE, read_baselines, write_baseline
from evalgate.gate.decide import DEFAULT_THRESHOLD, Policy, Status, accept, decide
from evalgate.gate.report import print_report, report_json, summary_markdown, workflow_commands
from evalgate.options import Json  # noqa: TC001 - typer reads it at run time
from evalgate.run.store import LATEST, load_run
from evalgate.terminal import Terminal, one_line, safe_json

if TYPE_CHECKING:
    from evalgate.gate.baseline import Baseline
    from evalgate.gate.decide import Decision
    from schema.run import Run


class Format(StrEnum):
    """How the report is printed."""

    HUMAN = "human"
    JSON = "json"
    GITHUB = "github"


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("gate")(gate)


def gate(
    *,
    run: Annotated[str, typer.Option("--run", help="A run: 'latest', its id, or a .json file.")] = LATEST,
    baseline: Annotated[
        Path | None,
        typer.Option(
            help=f"The accepted state to compare with.  [default: {BASELINE}, if it is there]", show_default=False
        ),
    ] = None,
    threshold: Annotated[
        float, typer.Option(min=0, max=1, help="Least pass rate of an evaluator that names none.")
    ] = DEFAULT_THRESHOLD,
    allow_errors: Annotated[int, typer.Option(min=0, help="How many cases may break without a verdict.")] = 0,
    accept_run: Annotated[
        bool, typer.Option("--write-baseline", help="Make this run the accepted state. The verdict stays what it is.")
    ] = False,
    report_format: Annotated[Format, typer.Option("--format", help="How to print.")] = Format.HUMAN,
    json_output: Annotated[
        str | None, typer.Option(help="Also write the report as JSON to this file; '-' is stdout.")
    ] = None,
    json: Json = False,
) -> None:
    """May a run ship? Exit 0 yes, 1 no, 2 cannot tell. Needs files only, no database and no network."""
    terminal = Terminal()
    machine = json or report_format is Format.JSON or json_output == "-"
    try:
        path, done = load_run(run)
        accepted, notes = _baseline(baseline, done.dataset.name, writing=accept_run)
    except BadInput as e:
        _report_error(terminal, str(e), json_output, machine=machine)
        raise
    notes += _staleness(done)
    decision = decide(done, accepted, Policy(threshold, allow_errors))
    if accept_run:
        notes.append(_accept(done, decision, baseline or BASELINE))
    payload = report_json(done, str(path), decision, notes)
    if machine:
        terminal.emit(payload)
    else:
        commands = workflow_commands(done, decision) if report_format is Format.GITHUB else ()
        print_report(terminal, done, decision, notes, commands)
    _append_summary(summary_markdown(done, decision))
    if json_output not in (None, "-"):
        write_atomic(Path(str(json_output)), to_json(payload))
    if decision.status is Status.ERROR:
        terminal.note(f"evalgate: {one_line(decision.sentence)}")
    raise typer.Exit(decision.exit_code)


def _baseline(path: Path | None, dataset: str, *, writing: bool) -> tuple[Baseline | None, list[str]]:
    """Return the baseline of the dataset, if there is one, and what to say of it."""
    if path is None and not BASELINE.exists():
        return None, []
    path = path or BASELINE
    if not path.exists():
        if writing:
            return None, []
        raise BadInput(f"there is no baseline {path}. Accept the present run as one: evalgate gate --write-baseline")
    found = read_baselines(path).get(dataset)
    return found, [] if found else [f"{path} has nothing for the dataset {dataset!r}"]


def _staleness(run: Run) -> list[str]:
    """Return a note where the dataset says something else now than when it was run."""
    try:
        now = load(run.dataset.path)
    except BadInput:
        return []  # the run may come from another machine; it stands for itself
    if now.version == run.dataset.version:
        return []
    return [f"{run.dataset.path} is at version {now.version} now, the run is of {run.dataset.version}: run it again"]


def _accept(run: Run, decision: Decision, path: Path) -> str:
    """Write the baseline, unless nothing is known; return what to say."""
    if decision.status is Status.ERROR:
        return "the baseline was not written: a run with this verdict proves nothing"
    write_baseline(path, run.dataset.name, accept(run, datetime.now(UTC).isoformat(timespec="seconds")))
    return f"this run is the accepted state now ({path}); commit it"


def _append_summary(markdown: str) -> None:
    """Append to the step summary of a CI job, where there is one."""
    target = os.environ.get("GITHUB_STEP_SUMMARY")
    if not target:
        return
    try:
        with Path(target).open("a", encoding="utf-8") as file:
            file.write(markdown)
    except OSError as e:
        sys.stderr.write(f"evalgate: the step summary was not written: {e.strerror or e}\n")


def _report_error(terminal: Terminal, message: str, json_output: str | None, *, machine: bool) -> None:
    """Leave a report of an error too: a missing artefact explains nothing."""
    payload: dict[str, Any] = {
        "schema": "evalgate/gate/1",
        "status": Status.ERROR,
        "exit_code": 2,
        "deployment_blocked": True,
        "blocking_reason": message,
    }
    if machine:
        terminal.out.write(safe_json(payload) + "\n")
    else:
        terminal.say(f"GATE ERROR: {one_line(message)}", style="bold yellow")
    if json_output not in (None, "-"):
        write_atomic(Path(str(json_output)), to_json(payload))
    _append_summary(f"## ⚠️ GATE ERROR\n\n```text\n{one_line(message).replace('`', chr(39))}\n```\n")
