"""The gate of a project: what is judged comes from a command, a run, or evals/gate.yaml; then each run is decided on.

COMMAND, else --run, else --results, else command: and runs: of evals/gate.yaml, else the latest run
    ──▶ runs ──▶ decide(run, base, policy, issues) ──▶ reports
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from evalgate.errors import BadInput
from evalgate.gate.base import base_of
from evalgate.gate.baseline import BASELINE, MAX_BASELINE_BYTES, parse_baselines, read_baselines
from evalgate.gate.decide import decide
from evalgate.gate.decision import Status
from evalgate.gate.facts import look
from evalgate.gate.git import file_at
from evalgate.gate.junit_in import read_junit
from evalgate.gate.outputs import exit_code_of, parse_outputs, publish, publish_error
from evalgate.gate.policy import Inconclusive
from evalgate.gate.process import run_command
from evalgate.gate.report import Kind, gather, lasting
from evalgate.gate.settings import read_settings
from evalgate.gate.tests_run import refuse_stale, results_of, run_from_exit_code, run_from_tests, state_of
from evalgate.issues.store import read_issues
from evalgate.run.engine import new_run_id
from evalgate.run.store import LATEST, load_run, save_run
from evalgate.terminal import one_line
from schema.errors import EvalgateError

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from evalgate.gate.base import Base
    from evalgate.gate.outputs import Outputs
    from evalgate.gate.policy import GatePolicy
    from evalgate.gate.process import Ended
    from evalgate.gate.report import Report
    from evalgate.gate.settings import DatasetRun, GateSettings
    from evalgate.terminal import Terminal
    from schema.run import Run

GIT = "git:"


@dataclass(frozen=True, slots=True)
class Call:
    """The options of one call, as they were typed."""

    command: tuple[str, ...] = ()
    run: str | None = None
    results: Path | None = None
    timeout_s: float | None = None
    config: Path | None = None
    base: str | None = None
    baseline: Path | None = None
    threshold: float | None = None
    allow_errors: int | None = None
    inconclusive: str | None = None
    shown: str = Kind.TEXT
    outputs: tuple[str, ...] = ()
    json_output: str | None = None


@dataclass(frozen=True, slots=True)
class Compared:
    """What a run is compared with, and what is to be said of it."""

    base: Base | None
    path: Path | None = None
    """The baseline file, where there is one in the working tree."""
    where: str | None = None
    """What was read, in words, where it has a checksum."""
    notes: tuple[str, ...] = ()
    reference: str | None = None
    """Where the base can be found again: file:PATH, git:COMMIT:PATH, run:PATH."""


def gate_project(call: Call, terminal: Terminal) -> int:
    """Judge what the call names; print and write the reports, and return the exit code.

    Raises:
        EvalgateError: nothing can be said. A report says so too, wherever one was asked for.

    """
    outputs = parse_outputs(call.outputs, call.json_output, Kind(call.shown))
    try:
        settings, file = read_settings(call.config, os.environ)
        policy = _policy(settings.policy, call)
        reports = [_judged(path, run, call, policy) for path, run in _runs(call, settings, file, outputs)]
    except EvalgateError as e:
        publish_error(str(e), outputs, terminal)
        raise
    publish(reports, outputs, terminal, new_run_id(datetime.now(UTC)))
    if outputs.is_machine:  # on a screen the report itself says it
        for report in reports:
            if report.decision.status is Status.ERROR:
                terminal.note(f"evalgate: {one_line(report.decision.sentence)}")
    return exit_code_of(reports)


def _policy(policy: GatePolicy, call: Call) -> GatePolicy:
    """Return the policy with what the command line says instead."""
    if call.threshold is not None and not 0 <= call.threshold <= 1:
        raise BadInput(f"--threshold {call.threshold:g} is no share from 0 to 1: that is for --report alone")
    said = {
        "threshold": call.threshold,
        "allow_errors": call.allow_errors,
        "inconclusive": None if call.inconclusive is None else Inconclusive(call.inconclusive),
    }
    return policy.but(**{k: v for k, v in said.items() if v is not None})


def _judged(path: Path, run: Run, call: Call, policy: GatePolicy) -> Report:
    compared = compare_with(run.dataset.name, call.base, call.baseline)
    decision = decide(run, compared.base, policy, read_issues(), look(run, compared.where))
    return gather(
        run,
        path,
        decision,
        notes=compared.notes,
        base=compared.base,
        base_reference=compared.reference,
        baseline_path=compared.path,
        policy=policy,
    )


def compare_with(dataset: str, base: str | None, baseline: Path | None) -> Compared:
    """Return what a run of this dataset is compared with: `--base`, else the baseline file, else nothing.

    Raises:
        BadInput: what was named is not there, or is not what it should be.

    """
    path = baseline or BASELINE
    if base is None:
        if baseline is None and not path.exists():
            return Compared(None)
        if not path.exists():
            raise BadInput(f"there is no baseline {path}. Accept a run as one: evalgate baseline accept")
        accepted = read_baselines(path)
        where = str(path)
        reference = f"file:{path}"
    elif base.startswith(GIT):
        commit, data = file_at(Path.cwd(), base.removeprefix(GIT), path, MAX_BASELINE_BYTES)
        where = f"{path} of commit {commit[:12]}"
        reference = f"{GIT}{commit}:{path.as_posix()}"
        try:
            accepted = parse_baselines(data.decode("utf-8"), where)
        except UnicodeDecodeError:
            raise BadInput(f"{where} is not UTF-8, so it is no baseline") from None
    else:
        run_path, run = load_run(base)
        if run.dataset.name != dataset:
            raise BadInput(
                f"--base {base} is a run of {run.dataset.name!r}, and {dataset!r} is judged: they do not compare"
            )
        return Compared(base_of(run), reference=f"run:{lasting(run_path, run)}")
    kept = path if base is None else None
    if dataset not in accepted:
        return Compared(None, kept, where, (f"{where} has nothing for the dataset {dataset!r}",))
    return Compared(accepted[dataset].base, kept, where, reference=reference)


def _runs(call: Call, settings: GateSettings, file: Path | None, outputs: Outputs) -> Iterator[tuple[Path, Run]]:
    """Yield what is judged: a run and its file."""
    if call.command and call.run is not None:
        raise BadInput("give COMMAND or --run, not both: one says what to run, the other what has been run")
    if call.command:
        results = call.results or results_of(call.command)
        yield _command_run(call.command, results, call=call, settings=settings, file=file, outputs=outputs)
    elif call.run is not None:
        yield _loaded(call.run)
    elif call.results is not None:
        yield _results_run(call.results, None, (), call=call, settings=settings, began=datetime.now(UTC))
    elif settings.command or settings.runs:
        if settings.command:
            results = settings.results_path
            yield _command_run(settings.command, results, call=call, settings=settings, file=file, outputs=outputs)
        for wanted in settings.runs:
            yield _dataset_run(wanted, file)
    else:
        try:
            yield _loaded(LATEST)
        except BadInput as e:
            raise BadInput(f"{e}. Or judge your tests: evalgate gate -- pytest --junitxml=.evalgate/tests.xml") from None


def _loaded(reference: str) -> tuple[Path, Run]:
    """Return a run and the file that will go on being it: the latest is a copy that the next run writes over."""
    path, run = load_run(reference)
    own = path.with_name(f"{run.run_id}.json")
    return (own, run) if path.stem == LATEST and own.is_file() else (path, run)


def _command_run(
    command: Sequence[str],
    results: Path | None,
    *,
    call: Call,
    settings: GateSettings,
    file: Path | None,
    outputs: Outputs,
) -> tuple[Path, Run]:
    began = datetime.now(UTC)
    before = None if results is None else state_of(results)
    ended = run_command(
        command,
        timeout_s=settings.timeout_s if call.timeout_s is None else call.timeout_s,
        out=sys.stderr if outputs.is_machine else None,
    )
    if results is None:
        times = (began.isoformat(), datetime.now(UTC).isoformat())
        place = command[0] if call.command or file is None else str(file)
        run = run_from_exit_code(
            ended, command=command, name=settings.name, path=place, run_id=new_run_id(began), times=times
        )
        return save_run(run), run
    refuse_stale(results, before, ended)
    if results.suffix == ".json":
        path, run = load_run(str(results))
        if ended.exit_code != 0 and all(r.passed is not False and r.error is None for r in run.results):
            raise BadInput(f"the command ended with {ended.exit_code}, and {results} shows nothing that failed")
        return path, run
    return _results_run(results, ended, command, call=call, settings=settings, began=began)


def _results_run(
    results: Path, ended: Ended | None, command: Sequence[str], *, call: Call, settings: GateSettings, began: datetime
) -> tuple[Path, Run]:
    run = run_from_tests(
        read_junit(results),
        ended,
        command=command,
        results=results,
        name=settings.name,
        threshold=None if call.threshold is not None else settings.threshold,
        run_id=new_run_id(began),
        times=(began.isoformat(), datetime.now(UTC).isoformat()),
    )
    return save_run(run), run


def _dataset_run(wanted: DatasetRun, file: Path | None) -> tuple[Path, Run]:
    """Run a dataset in a process of its own, so that no target meets the modules of another."""
    words = ["run", "--dataset", wanted.dataset, "--target", wanted.target, *wanted.options, "--json"]
    command = [sys.executable, "-P", "-m", "evalgate.cli", *words]
    with subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True) as process:
        try:
            out, _ = process.communicate()
        except KeyboardInterrupt:
            process.wait()  # it was interrupted as well, and says how to go on
            raise
    try:
        path = json.loads(out)["path"]
    except (ValueError, KeyError, TypeError):
        raise BadInput(
            f"{file}: the run of {wanted.dataset!r} was not made (exit code {process.returncode}). "
            f"Try it: evalgate {' '.join(words[:-1])}"
        ) from None
    return load_run(str(path))
