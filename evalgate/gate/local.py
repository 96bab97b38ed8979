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
from typing import TYPE_CHECKING, Any

from evalgate.errors import BadInput
from evalgate.gate.base import base_of
from evalgate.gate.baseline import BASELINE, MAX_BASELINE_BYTES, parse_baselines, read_baselines
from evalgate.gate.decide import decide
from evalgate.gate.decision import Status, names_of
from evalgate.gate.facts import look, newer_run, unjudged
from evalgate.gate.first import GATE_FILE
from evalgate.gate.junit_in import read_junit
from evalgate.gate.looser import looser
from evalgate.gate.outputs import exit_code_of, parse_outputs, publish, publish_error
from evalgate.gate.policy import GatePolicy, Inconclusive
from evalgate.gate.process import run_command
from evalgate.gate.report import Kind, Terms, gather, lasting
from evalgate.gate.settings import parse_settings, read_settings
from evalgate.gate.terms import FROM_FILE, FROM_GIT, FROM_RUN
from evalgate.gate.tests_run import refuse_stale, results_of, run_from_exit_code, run_from_tests, state_of
from evalgate.git import file_at
from evalgate.issues.store import read_issues
from evalgate.run.engine import new_run_id
from evalgate.run_files import LATEST, load_run, save_run
from evalgate.terminal import one_line
from schema.errors import EvalgateError

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from evalgate.gate.base import Base
    from evalgate.gate.decision import Check
    from evalgate.gate.outputs import Outputs
    from evalgate.gate.process import Ended
    from evalgate.gate.report import Report
    from evalgate.gate.settings import DatasetRun, GateSettings
    from evalgate.terminal import Terminal
    from schema.run import Run

GIT = "git:"
MAX_SETTINGS_BYTES = 1024 * 1024


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
    others: tuple[str, ...] = ()
    """Datasets that the baseline knows besides."""
    source: str = FROM_FILE
    then: tuple[str, GatePolicy] | None = None
    """The policy of the commit that the base comes from, and what the commit is called; None: it has no such file."""


def gate_project(call: Call, terminal: Terminal) -> int:
    """Judge what the call names; print and write the reports, and return the exit code.

    Raises:
        EvalgateError: nothing can be said. A report says so too, wherever one was asked for.

    """
    outputs = parse_outputs(call.outputs, call.json_output, Kind(call.shown))
    try:
        settings, file = read_settings(call.config, os.environ)
        policy = _policy(settings.policy, call)
        is_suite = not (call.command or call.run or call.results) and bool(settings.command or settings.runs)
        runs = list(_runs(call, settings, file, outputs))
        reports = [
            _judged(path, run, call, policy, _around(call, runs, is_suite=is_suite) if i == len(runs) - 1 else ())
            for i, (path, run) in enumerate(runs)
        ]
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
    return policy.but(**_typed(call))


def _typed(call: Call) -> dict[str, Any]:
    """Return the settings of the policy that the command line names."""
    said = {
        "threshold": call.threshold,
        "allow_errors": call.allow_errors,
        "inconclusive": None if call.inconclusive is None else Inconclusive(call.inconclusive),
    }
    return {k: v for k, v in said.items() if v is not None}


def _around(call: Call, runs: Sequence[tuple[Path, Run]], *, is_suite: bool) -> tuple[Check, ...]:
    """Return what the gate as a whole finds; it stands in the last report, whose verdict is read last.

    Who gates one run by hand leaves the other datasets for later; what evals/gate.yaml names is all there is.
    """
    if not is_suite:
        return newer_run(runs[-1][1]) if call.run in (None, LATEST) and not (call.command or call.results) else ()
    compared = compare_with(runs[-1][1].dataset.name, call.base, call.baseline)
    judged = {run.dataset.name for _, run in runs}
    return unjudged(tuple(n for n in compared.others if n not in judged), compared.where or str(BASELINE))


def _judged(path: Path, run: Run, call: Call, policy: GatePolicy, around: tuple[Check, ...]) -> Report:
    name, typed = run.dataset.name, tuple(sorted(_typed(call)))
    compared = compare_with(name, call.base, call.baseline, policy)
    facts = look(run, compared.where, base_from=compared.source, typed=typed, around=around)
    decision = decide(run, compared.base, policy, read_issues(), facts)
    then = compared.then
    return gather(
        run,
        path,
        decision,
        notes=compared.notes,
        terms=Terms(
            looser=tuple(x.words for x in looser(GatePolicy(), policy.of(name))),
            looser_than_base=() if then is None else tuple(x.words for x in looser(then[1].of(name), policy.of(name))),
            base=None if then is None else then[0],
            typed=typed,
            unaccepted=compared.notes[0] if compared.base is None and compared.notes else None,
        ),
        base=compared.base,
        base_reference=compared.reference,
        baseline_path=compared.path,
        policy=policy,
    )


def compare_with(dataset: str, base: str | None, baseline: Path | None, policy: GatePolicy | None = None) -> Compared:
    """Return what a run of this dataset is compared with: `--base`, else the baseline file, else nothing.

    `policy` says who might block in a run that is the base; a baseline knows.

    Raises:
        BadInput: what was named is not there, or is not what it should be.

    """
    path, source, then = baseline or BASELINE, FROM_FILE, None
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
        source, then = FROM_GIT, _policy_at(commit)
    else:
        run_path, run = load_run(base)
        if run.dataset.name != dataset:
            raise BadInput(
                f"--base {base} is a run of {run.dataset.name!r}, and {dataset!r} is judged: they do not compare"
            )
        found = base_of(run, policy=policy)
        return Compared(found, reference=f"run:{lasting(run_path, run)}", source=FROM_RUN)
    kept = path if base is None else None
    others = tuple(sorted(accepted.keys() - {dataset}))
    if dataset not in accepted:
        has = f"; it has {names_of(others)}" if others else ""
        nothing = f"{where} has nothing for the dataset {dataset!r}{has}"
        return Compared(None, kept, where, (nothing,), others=others, source=source, then=then)
    notes = (f"{where} knows {names_of(others)} besides, of which this says nothing",) if others else ()
    return Compared(
        accepted[dataset].base, kept, where, notes, reference=reference, others=others, source=source, then=then
    )


def _policy_at(commit: str) -> tuple[str, GatePolicy] | None:
    """Return the policy of a commit's evals/gate.yaml, None where it has none that can be read."""
    try:
        _, data = file_at(Path.cwd(), commit, GATE_FILE, MAX_SETTINGS_BYTES)
        return commit[:12], parse_settings(data.decode("utf-8"), f"{GATE_FILE} of {commit[:12]}", os.environ).policy
    except (EvalgateError, UnicodeDecodeError):
        return None


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
            tests = "evalgate gate -- pytest --junitxml=.evalgate/tests.xml"
            raise BadInput(f"{e}. Or judge your tests: {tests}") from None


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
