"""Where the reports of a gate go: stdout, files that were asked for, the step summary, and `.evalgate/` always.

.evalgate/gate/<gate id>/<dataset>.json, .md     each report; the oldest gates go when there are many
.evalgate/gate/<gate id>/<dataset>.html          the same for a browser, in CI and where it did not pass
.evalgate/last-report.json                       the last one, errors included
"""

from __future__ import annotations

import os
import re
import shutil
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from evalgate.errors import BadInput
from evalgate.files import write_atomic
from evalgate.gate.decision import Status
from evalgate.gate.report import (
    Kind,
    error_payload,
    print_text,
    render,
    render_error,
    report_json,
    step_summary,
    to_text,
    workflow_commands,
)
from evalgate.places import LAST_REPORT
from evalgate.terminal import one_line
from schema.fields import did_you_mean

if TYPE_CHECKING:
    from collections.abc import Sequence

    from evalgate.gate.report import Report
    from evalgate.terminal import Terminal

STDOUT = "-"
ROOT = Path(".evalgate")
GATES = "gate"
KEPT_GATES = 50
SUITE_SCHEMA = "evalgate/gate-suite/2"
GATE_ID = re.compile(r"\d{8}T\d{6}Z-[0-9a-f]+")
ON_SCREEN = (Kind.TEXT, Kind.GITHUB)
ARTEFACTS = {Kind.JSON: ".json", Kind.MARKDOWN: ".md"}
PAGE = {Kind.HTML: ".html"}


@dataclass(frozen=True, slots=True)
class Destination:
    """A file that a report is written to."""

    kind: Kind
    path: Path


@dataclass(frozen=True, slots=True)
class Outputs:
    """What is printed, and what is written besides."""

    shown: Kind = Kind.TEXT
    destinations: tuple[Destination, ...] = ()
    root: Path = ROOT
    summary: str | None = field(default_factory=lambda: os.environ.get("GITHUB_STEP_SUMMARY"))
    """The file of the CI step's summary."""
    in_ci: bool = field(default_factory=lambda: bool(os.environ.get("CI")))
    """Whether nobody sits here, so that whatever may be wanted later has to be kept now."""

    @property
    def is_machine(self) -> bool:
        """Whether stdout holds one document and nothing else."""
        return self.shown not in ON_SCREEN


def parse_outputs(values: Sequence[str], json_output: str | None, shown: Kind) -> Outputs:
    """Return where reports go, from `--output KIND=PATH`, `--json-output PATH` and what is printed.

    Raises:
        BadInput: a kind that there is not, or no path.

    """
    found = []
    if json_output == STDOUT:
        shown = Kind.JSON
    elif json_output is not None:
        found.append(Destination(Kind.JSON, Path(json_output)))
    for value in values:
        name, equals, path = value.partition("=")
        if not equals or not path:
            raise BadInput(f"--output {value!r} must be KIND=PATH, such as --output html=report.html")
        if name not in {k.value for k in Kind}:
            raise BadInput(f"--output cannot write {name!r}.{did_you_mean(name, [k.value for k in Kind])}")
        if path == STDOUT:
            raise BadInput(f"--output {value!r}: print it instead, with --format {name}")
        found.append(Destination(Kind(name), Path(path)))
    for destination in found:
        if destination.path.is_dir():
            raise BadInput(f"cannot write the report to {destination.path}: it is a folder")
    return Outputs(shown, tuple(found))


def exit_code_of(reports: Sequence[Report]) -> int:
    """Return the worst of the exit codes; 2, nothing can be said, is worse than 1."""
    return max(r.decision.exit_code for r in reports)


def publish(reports: Sequence[Report], outputs: Outputs, terminal: Terminal, gate_id: str) -> None:
    """Print and write the reports; what cannot be kept under `.evalgate/` is told and no reason to change the verdict.

    Raises:
        BadInput: a file that was asked for cannot be written.

    """
    _show(reports, outputs, terminal)
    for destination in outputs.destinations:
        for report, path in zip(reports, _paths(destination.path, reports), strict=True):
            write_atomic(path, render(destination.kind, report))
    _append_summary("".join(step_summary(r, len(reports)) for r in reports), outputs, terminal)
    try:
        pages = _keep(reports, outputs, gate_id)
    except (BadInput, OSError) as e:
        terminal.note(f"evalgate: the report is not kept in {outputs.root}: {one_line(str(e))}")
        return
    if terminal.err.isatty():  # for the person who reads it now
        for page in pages:
            terminal.note(f"case by case, in a browser: {page}")


def publish_error(message: str, outputs: Outputs, terminal: Terminal) -> None:
    """Leave a report of an error too: a missing artefact explains nothing. On a screen the error stands alone."""
    if outputs.is_machine:
        terminal.out.write(render_error(outputs.shown, message))
    elif outputs.shown is Kind.GITHUB:
        from evalgate.gate.report.safe import data  # noqa: PLC0415 - one line of one format

        terminal.say(f"::error title=evalgate gate::GATE ERROR: {data(message)}")
    for destination in outputs.destinations:
        write_atomic(destination.path, render_error(destination.kind, message))
    _append_summary(render_error(Kind.MARKDOWN, message), outputs, terminal)
    try:
        write_atomic(outputs.root / LAST_REPORT.name, to_text(error_payload(message)))
    except BadInput as e:
        terminal.note(f"evalgate: {one_line(str(e))}")


def suite_json(reports: Sequence[Report]) -> dict[str, Any]:
    """Return one document of several reports; one report is itself."""
    if len(reports) == 1:
        return report_json(reports[0])
    worst = max(reports, key=lambda r: r.decision.exit_code)
    return {
        "schema": SUITE_SCHEMA,
        "status": worst.decision.status,
        "exit_code": exit_code_of(reports),
        "deployment_blocked": exit_code_of(reports) != 0,
        "blocking_reason": worst.decision.sentence if exit_code_of(reports) else None,
        "gates": [report_json(r) for r in reports],
    }


def _show(reports: Sequence[Report], outputs: Outputs, terminal: Terminal) -> None:
    if outputs.shown is Kind.JSON:
        terminal.emit(suite_json(reports))
        return
    if outputs.is_machine and len(reports) > 1:
        raise BadInput(
            f"{len(reports)} datasets were judged, and {outputs.shown} holds one: write files with "
            f"--output {outputs.shown}=PATH, which become one for each dataset"
        )
    for number, report in enumerate(reports):
        if outputs.is_machine:
            terminal.out.write(render(outputs.shown, report))
            continue
        if number:
            terminal.say()
        print_text(terminal, report, workflow_commands(report) if outputs.shown is Kind.GITHUB else ())


def _paths(path: Path, reports: Sequence[Report]) -> list[Path]:
    """Return a path for each report: the one that was asked for, or one per dataset beside it."""
    if len(reports) == 1:
        return [path]
    return [path.with_name(f"{path.stem}-{_file_name(r.run.dataset.name)}{path.suffix}") for r in reports]


def _file_name(dataset: str) -> str:
    """Return a dataset's name as part of a file name; what could leave the folder is replaced."""
    return re.sub(r"[^A-Za-z0-9._-]", "_", dataset)[:80].lstrip(".") or "dataset"


def _append_summary(markdown: str, outputs: Outputs, terminal: Terminal) -> None:
    """Append to the step summary of a CI job, where there is one."""
    if not outputs.summary:
        return
    try:
        with Path(outputs.summary).open("a", encoding="utf-8") as file:
            file.write(markdown)
    except OSError as e:
        terminal.note(f"evalgate: the step summary was not written: {e.strerror or e}")


def _keep(reports: Sequence[Report], outputs: Outputs, gate_id: str) -> list[Path]:
    """Write the artefacts, and return the pages for a browser."""
    folder = outputs.root / GATES / gate_id
    pages = []
    for report in reports:
        name = _file_name(report.run.dataset.name)
        is_green = report.decision.status is Status.PASS
        for kind, suffix in (ARTEFACTS if is_green and not outputs.in_ci else {**ARTEFACTS, **PAGE}).items():
            write_atomic(folder / f"{name}{suffix}", render(kind, report))
            if kind is Kind.HTML:
                pages.append(folder / f"{name}{suffix}")
    write_atomic(outputs.root / LAST_REPORT.name, to_text(suite_json(reports)))
    gates = sorted(p for p in folder.parent.iterdir() if GATE_ID.fullmatch(p.name))
    for old in gates[:-KEPT_GATES]:
        shutil.rmtree(old, ignore_errors=True)
    return pages
