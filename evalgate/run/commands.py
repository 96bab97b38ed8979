"""`evalgate run`."""

from __future__ import annotations

import contextlib
import sys
from dataclasses import replace
from pathlib import Path  # noqa: TC003 - typer reads it at run time
from typing import Annotated

import typer

from evalgate.dataset.store import load
from evalgate.errors import BadInput
from evalgate.evaluators.load import EVALUATORS, load_evaluators
from evalgate.figures import percent, weighted_words
from evalgate.options import Json  # noqa: TC001 - typer reads it at run time
from evalgate.run.engine import DEFAULT_CONCURRENCY, DEFAULT_TIMEOUT_S, Kept, Settings, run_dataset
from evalgate.run.store import save_run
from evalgate.run.targets.load import load_target
from evalgate.terminal import Terminal, count_of, one_line
from schema.run import summarise
from schema.statistics import weighted_share


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("run")(run)


def run(
    *,
    dataset: Annotated[str, typer.Option("--dataset", "-d", help="A dataset's name, or a .jsonl file of cases.")],
    target: Annotated[
        str,
        typer.Option(
            "--target",
            "-t",
            help="python:module:function, python:file.py:function, cmd:program, or file:outputs.jsonl.",
        ),
    ],
    evaluators: Annotated[Path, typer.Option(help="Folder of evaluator files.")] = EVALUATORS,
    name: Annotated[str | None, typer.Option(help="What to call the target in reports.")] = None,
    concurrency: Annotated[int, typer.Option(min=1, max=256, help="Cases at once.")] = DEFAULT_CONCURRENCY,
    timeout_s: Annotated[float, typer.Option(min=0.001, help="Longest wait for one case.")] = DEFAULT_TIMEOUT_S,
    json: Json = False,
) -> None:
    """Run a dataset against a target and judge the outputs. Writes .evalgate/runs/; the gate reads it."""
    terminal = Terminal()
    cases = load(dataset)
    if not cases.cases:
        raise BadInput(f"the dataset {cases.path} has no cases. Add some: evalgate dataset build --name {cases.name}")
    judges = load_evaluators(evaluators)
    with contextlib.redirect_stdout(sys.stderr):  # what a target prints is not our result
        goal = load_target(target, cases.cases)
        with terminal.progress(f"running {cases.name}", len(cases.cases)) as step:

            def tell(_: Kept) -> None:
                step()

            done = run_dataset(
                cases,
                goal,
                judges,
                target_name=name or target,
                settings=Settings(concurrency, timeout_s),
                step=tell,
            )
    path = save_run(replace(done, target=name or target))
    summary = summarise(done)
    if json:
        terminal.emit({"run_id": done.run_id, "path": str(path), "dataset": cases.version, "summary": summary})
    else:
        counts = f"{summary['passed']} passed, {summary['failed']} failed, {count_of(summary['errors'], 'error')}"
        unscored = f", {summary['unscored']} without an evaluator" if summary["unscored"] else ""
        terminal.say(f"{cases.name} version {cases.version}: {count_of(len(cases.cases), 'case')}, {counts}{unscored}")
        judged = [(r.passed, r.provenance.sample_weight) for r in done.results if r.passed is not None]
        if words := weighted_words(weighted_share(judged)):
            terminal.say(f"weighted: {words}")
        for result in done.results:
            if result.error:
                terminal.say(f"! {result.case_id}  {result.error.kind}: {one_line(result.error.message)}")
        rows = [
            (e.id, e.failure_mode, f"{s['passed']}/{s['scored']}", percent(s["pass_rate"]))
            for e in done.evaluators
            for s in [summary["evaluators"][e.id]]
        ]
        terminal.table(("evaluator", "failure mode", "passed", "pass rate"), rows)
        terminal.say(f"written to {path}")
        terminal.say("next: evalgate gate")
    if summary["errors"] == len(cases.cases):
        first = next(r.error for r in done.results if r.error)
        raise BadInput(f"every case ended in an error, the first: {first.message}. Is the target right?")
