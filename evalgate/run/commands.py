"""`evalgate run`, `evalgate compare`."""

from __future__ import annotations

import contextlib
import os
import sys
from dataclasses import replace
from pathlib import Path  # noqa: TC003 - typer reads it at run time
from typing import TYPE_CHECKING, Annotated

import typer

from evalgate.errors import BadInput
from evalgate.model.options import KEY, ModelOptions, Models, open_from_options, with_model_options
from evalgate.options import Json  # noqa: TC001 - typer reads it at run time
from evalgate.places import EVALUATORS
from evalgate.run.compare_command import compare_runs
from evalgate.run.engine import DEFAULT_CONCURRENCY, DEFAULT_RETRIES, DEFAULT_TIMEOUT_S
from evalgate.run.keep import DEFAULT_RUNS, prune_runs
from evalgate.run.options import RunOptions
from evalgate.run.show import print_run
from evalgate.run.suite import suite_of
from evalgate.terminal import Terminal, count_of
from schema.run import summarise

if TYPE_CHECKING:
    from collections.abc import Callable

    from evalgate.run.engine import Kept
    from evalgate.run.experiment import Made
    from evalgate.run.suite import Suite
    from evalgate.terminal import Step

STOPPED = 2
TARGET_KEY = "EVALGATE_TARGET_KEY"
"""The variable with the key of --base-url, where that is not the judges'."""


def register(app: typer.Typer) -> None:
    """Add the commands."""
    app.command("run")(run)
    app.command("compare")(compare_runs)


@with_model_options
def run(
    *,
    dataset: Annotated[
        str | None, typer.Option("--dataset", "-d", help="A dataset's name, or a .jsonl file of cases.")
    ] = None,
    target: Annotated[
        str | None,
        typer.Option(
            "--target",
            "-t",
            help="openai:MODEL, https://URL, python:module:function, python:file.py:function, cmd:program, "
            "file:outputs.jsonl, or recorded (what production answered).",
        ),
    ] = None,
    evaluators: Annotated[Path, typer.Option(help="Folder of evaluator files.")] = EVALUATORS,
    name: Annotated[str | None, typer.Option(help="What to call the target in reports.")] = None,
    repeats: Annotated[
        int, typer.Option("--repeats", "-k", min=1, max=100, help="Attempts of each case; most of them decide.")
    ] = 1,
    concurrency: Annotated[int, typer.Option(min=1, max=256, help="Cases at once.")] = DEFAULT_CONCURRENCY,
    keep_runs: Annotated[
        int, typer.Option("--keep-runs", min=1, help="Runs that stay on disk; older ones go, but no accepted one.")
    ] = DEFAULT_RUNS,
    timeout_s: Annotated[float, typer.Option(min=0.001, help="Longest wait for one answer.")] = DEFAULT_TIMEOUT_S,
    retries: Annotated[
        int, typer.Option(min=0, max=20, help="Further tries where something broke on the way; never after an answer.")
    ] = DEFAULT_RETRIES,
    rate: Annotated[float | None, typer.Option(min=0.01, metavar="N", help="Tries of the target a minute.")] = None,
    replay: Annotated[
        bool, typer.Option("--replay", help="Tools answer from the records of production; none is run.")
    ] = False,
    prompt: Annotated[
        Path | None, typer.Option(metavar="FILE", help="openai: messages as templates (YAML), or one template.")
    ] = None,
    system: Annotated[Path | None, typer.Option(metavar="FILE", help="openai: the text of the system message.")] = None,
    tools: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="openai: tools as JSON.  [default with --replay: as production called them]"),
    ] = None,
    temperature: Annotated[float | None, typer.Option(min=0, max=2, help="openai: [default: the model's own]")] = None,
    base_url: Annotated[
        str | None, typer.Option(metavar="URL", help="openai: the target's endpoint.  [default: --judge-url]")
    ] = None,
    target_price: Annotated[
        str | None,
        typer.Option(metavar="IN/OUT", help="openai: US dollars per million tokens.  [default: the price list]"),
    ] = None,
    header: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME=VARIABLE", help="https: a header, its value from the environment. Repeatable."),
    ] = None,
    insecure_target: Annotated[
        bool, typer.Option("--insecure-target", help="http: allow it off this machine: cases go in the clear.")
    ] = False,
    cache: Annotated[
        bool | None,
        typer.Option(
            "--cache/--no-output-cache",
            help="Take outputs of the same target for the same case from earlier runs.  [default: openai only]",
            show_default=False,
        ),
    ] = None,
    resume_run: Annotated[
        str | None,
        typer.Option("--resume", metavar="ID", help="Finish a run that was stopped: its id, or 'latest'."),
    ] = None,
    retry_errors: Annotated[
        bool, typer.Option("--retry-errors", help="With --resume: try again what ended in an error; verdicts stay.")
    ] = False,
    models: ModelOptions,
    json: Json = False,
) -> None:
    """Run a dataset against a target and judge the outputs. Writes .evalgate/runs/; the gate reads it.

    An error (a timeout, a judge that cannot be reached) is never a score. Exits 2 where every case ended in one.
    """
    # Targets, judges, their clients and pydantic: a gate that asks for a run's file needs none of them.
    from evalgate.gate.settings import project_policy  # noqa: PLC0415 - see above
    from evalgate.run.experiment import Stopped, open_experiment, resume  # noqa: PLC0415 - see above
    from evalgate.run.partial import unfinished_like  # noqa: PLC0415 - see above

    terminal = Terminal()
    if resume_run is not None:
        options, unfinished = resume(resume_run, retry_errors=retry_errors)
        for given, was in ((dataset, options.dataset), (target, options.target)):
            if given not in (None, was):
                raise BadInput(f"--resume finishes a run of {was!r}; leave out {given!r}, or start a new run")
    else:
        if retry_errors:
            raise BadInput("--retry-errors goes with --resume: evalgate run --resume ID --retry-errors")
        if dataset is None or target is None:
            missing = "--dataset NAME" if dataset is None else "--target TARGET"
            raise BadInput(f"{missing} is missing. For example: evalgate run --dataset refunds --target recorded")
        unfinished = None
        if (older := unfinished_like(dataset, target)) is not None:
            terminal.note(
                f"evalgate: a run of the same was not finished; instead of a new one: evalgate run --resume {older}"
            )
        options = RunOptions(
            dataset=dataset,
            target=target,
            evaluators=str(evaluators),
            name=name,
            concurrency=concurrency,
            timeout_s=timeout_s,
            repeats=repeats,
            retries=retries,
            replay=replay,
            prompt=_text(prompt),
            system=_text(system),
            tools=_text(tools),
            temperature=temperature,
            base_url=base_url,
            price=target_price,
            headers=tuple(header or ()),
            insecure_target=insecure_target,
            cache=False if models.no_cache and cache is None else cache,
            rate=rate,
        )
    policy = project_policy()  # what is wrong in it is said before anything is paid for
    opened = open_from_options(models)
    experiment = open_experiment(options, opened, _target_models(opened, models, options), unfinished)
    try:
        with (
            contextlib.redirect_stdout(sys.stderr),  # what a target prints is not our result
            terminal.progress(f"running {experiment.dataset.name}", experiment.attempts_left) as step,
        ):
            made = experiment.make(_telling(step))
    except Stopped as e:
        terminal.note(f"evalgate: {e}")
        raise typer.Exit(STOPPED) from None
    asked = policy.of(made.run.dataset.name)
    if gone := prune_runs(keep_runs):
        terminal.note(f"evalgate: {count_of(len(gone), 'old run')} removed: the newest {keep_runs} stay (--keep-runs)")
    _tell(terminal, made, suite_of(made.run, asked.threshold, asked.permission.policy), opened.budget.cure, json=json)


def _tell(terminal: Terminal, made: Made, suite: Suite, cure: str | None, *, json: bool) -> None:
    summary = summarise(made.run)
    again = f"evalgate run --resume {made.run.run_id}"
    if json:
        terminal.emit(
            {
                "run_id": made.run.run_id,
                "path": str(made.path),
                "dataset": made.run.dataset.version,
                "summary": summary,
                "suite": suite.to_json(),
                "cost_usd": made.run.cost_usd,
                "judge_cost_usd": made.run.judge_cost_usd,
                "unpaid_attempts": made.unpaid,
                "broken_attempts": made.broken,
                "resume": again if made.unpaid else f"{again} --retry-errors" if made.broken else None,
            }
        )
    else:
        print_run(terminal, made.run, suite)
        terminal.say(f"written to {made.path}")
    if made.unpaid:
        left = count_of(made.unpaid, "attempt")
        more = f"Give more and go on: {again} {cure}" if cure else f"Go on: {again}"
        terminal.note(f"evalgate: the budget was spent, {left} not made. {more}")
    elif made.broken:
        broke = count_of(made.broken, "attempt")
        terminal.note(f"evalgate: {broke} ended in an error. Try those again: {again} --retry-errors")
    if summary["errors"] < len(made.run.results):
        if not json:
            terminal.say("next: evalgate gate")
    else:
        first = next(r.error for r in made.run.results if r.error)
        raise BadInput(f"every case ended in an error, the first: {first.message}. Is the target right?")


def _telling(step: Step) -> Callable[[Kept], None]:
    """Return what tells the bar how the run goes, and what it has cost so far."""
    seen = {"passed": 0, "failed": 0, "errors": 0}
    cost: list[float] = []

    def tell(kept: Kept) -> None:
        attempt = kept.attempt
        if attempt.error is not None:
            seen["errors"] += 1
        elif attempt.passed is not None:
            seen["passed" if attempt.passed else "failed"] += 1
        made = attempt.output.cost_usd if attempt.output and not attempt.cached else None
        cost.extend(c for c in (made, attempt.judge_cost_usd) if c is not None)
        money = f", ${sum(cost):.4f}" if cost else ""
        words = [f"{seen[what]} {what}" for what in ("passed", "failed") if seen[what]]
        words += [count_of(seen["errors"], "error")] if seen["errors"] else []
        step(", ".join(words) + money)

    return tell


def _target_models(judges: Models, options: ModelOptions, run_options: RunOptions) -> Models:
    """Return the models of the target: those of the judges, or with an endpoint, a key and a price of its own.

    The budget is one.
    """
    if run_options.base_url is None and options.judge_price is None and run_options.price is None:
        return judges
    said = replace(options, judge_model=None, judge_price=run_options.price)  # a price is that of the model it names
    environ = dict(os.environ)
    if run_options.base_url is not None:
        said = replace(said, judge_url=run_options.base_url, judge_key_file=None)
        environ[KEY] = environ.get(TARGET_KEY) or environ.get(KEY, "")
    own = open_from_options(said, environ)
    own.budget = judges.budget
    return own


def _text(path: Path | None) -> str | None:
    return str(path) if path is not None else None
