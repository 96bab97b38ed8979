"""What every rendering is made of: the run, the decision, and where each of them can be found again."""

from __future__ import annotations

import hashlib
import json
import shlex
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from evalgate.dataset.chains import chains_path, read_chains
from evalgate.errors import BadInput
from evalgate.gate.report.safe import line
from schema.case import parse_case

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping, Sequence

    from evalgate.gate.base import Base
    from evalgate.gate.decision import Decision, Failing
    from evalgate.gate.policy import GatePolicy
    from schema.evaluator import Score
    from schema.provenance import Chain
    from schema.run import Attempt, Result, Run

LARGEST_BYTES: Final = 256 << 20
"""A dataset that is larger is not read again for the lines of its cases."""


@dataclass(frozen=True, slots=True)
class Source:
    """A file that the decision rests on."""

    path: str
    sha256: str


@dataclass(frozen=True, slots=True)
class Sources:
    """The files behind a report; None: there is none, or it cannot be read."""

    run: Source | None = None
    dataset: Source | None = None
    baseline: Source | None = None
    chains: Source | None = None


@dataclass(frozen=True, slots=True)
class Terms:
    """How strictly it was judged, beside how it might be, in words for people."""

    looser: tuple[str, ...] = ()
    """Settings of the policy that ask less than the default."""
    looser_than_base: tuple[str, ...] = ()
    """Those that ask less than evals/gate.yaml of the base's commit."""
    base: str | None = None
    """That commit; None: the base is of no commit, or has no such file."""
    typed: tuple[str, ...] = ()
    """Settings that the command line named."""
    unaccepted: str | None = None
    """Why there is no base though there is a baseline."""


@dataclass(frozen=True, slots=True)
class Report:
    """A decision with what is known of its parts. Values only; `gather` reads the files."""

    run: Run
    run_path: str
    decision: Decision
    notes: tuple[str, ...] = ()
    """Our own sentences, beside the decision's."""
    base: Base | None = None
    base_reference: str | None = None
    """Where the base can be found again: file:PATH, git:COMMIT:PATH, run:PATH."""
    lines: Mapping[str, int] = field(default_factory=dict)
    """Case to its line in the dataset's file, where it can be told."""
    chains: Mapping[str, Chain] = field(default_factory=dict)
    """Case to what it rests on, where that was recorded."""
    sources: Sources = Sources()
    policy: Mapping[str, Any] | None = None
    """What was asked of the run, as JSON has it."""
    terms: Terms = Terms()

    @property
    def groups(self) -> list[tuple[int | None, str | None, list[Failing]]]:
        """Failing cases by issue and failure mode: the largest group first, new regressions first in each."""
        found: dict[tuple[int | None, str | None], list[Failing]] = {}
        for f in self.decision.failing:
            found.setdefault((f.issue, f.result.failure_mode), []).append(f)
        ordered = sorted(found.items(), key=lambda kv: (-len(kv[1]), kv[0][0] or 0, kv[0][1] or ""))
        return [(i, mode, sorted(rows, key=lambda f: not f.regression)) for (i, mode), rows in ordered]


NO_TERMS: Final = Terms()


def gather(
    run: Run,
    run_path: Path | str,
    decision: Decision,
    *,
    notes: Iterable[str] = (),
    base: Base | None = None,
    base_reference: str | None = None,
    baseline_path: Path | None = None,
    policy: GatePolicy | None = None,
    terms: Terms = NO_TERMS,
) -> Report:
    """Read what stands beside a decision: lines of the dataset, chains, hashes of the files. What is missing is left.

    A chain that does not hold what it says is still given: `evalgate provenance verify` is what judges it.
    """
    named = {f.result.case_id for f in (*decision.failing, *decision.watched)} | {r.case_id for r in decision.errors}
    dataset = Path(run.dataset.path)
    chains = chains_path(dataset)
    kept = lasting(Path(run_path), run)
    return Report(
        run=run,
        run_path=str(kept),
        decision=decision,
        notes=tuple(notes),
        base=base,
        base_reference=base_reference,
        lines=case_lines(dataset, named),
        chains=_chains(chains, named),
        sources=Sources(
            run=source(kept),
            dataset=source(dataset),
            baseline=source(baseline_path) if baseline_path else None,
            chains=source(chains),
        ),
        policy=policy.model_dump(mode="json") if policy else None,
        terms=terms,
    )


def lasting(path: Path, run: Run) -> Path:
    """Return the file of a run that the next run leaves alone: not the copy that is called the latest."""
    own = path.with_name(f"{run.run_id}.json")
    if own == path:
        return path
    same, now = source(own), source(path)
    return own if same and now and same.sha256 == now.sha256 else path


def is_file(path: Path) -> bool:
    """Return whether a path is a file, also where it is no path at all; a pipe and a device never end, and are none."""
    try:
        return path.is_file()
    except (OSError, ValueError):  # too long; a null byte
        return False


def source(path: Path) -> Source | None:
    """Return a file with the hash of its bytes, None where it cannot be read, or is a device or a pipe."""
    try:
        if not is_file(path):
            return None
        with path.open("rb") as file:
            return Source(str(path), hashlib.file_digest(file, "sha256").hexdigest())
    except OSError:
        return None


def case_lines(path: Path, wanted: Collection[str]) -> dict[str, int]:
    """Return the line of each wanted case in a dataset's file; none where the file is not what it was."""
    found: dict[str, int] = {}
    try:
        if not wanted or path.suffix != ".jsonl" or not is_file(path) or path.stat().st_size > LARGEST_BYTES:
            return found
        with path.open(encoding="utf-8") as file:
            for number, text in enumerate(file, 1):
                case_id = _case_id(text)
                if case_id is not None and case_id in wanted:
                    found.setdefault(case_id, number)
                    if len(found) == len(wanted):
                        break
    except (OSError, ValueError):
        return {}
    return found


def _case_id(text: str) -> str | None:
    try:
        value = json.loads(text)
        given = value.get("case_id") if isinstance(value, dict) else None
        return given if isinstance(given, str) else parse_case(value).case_id
    except (ValueError, RecursionError):
        return None


def _chains(path: Path, wanted: Collection[str]) -> dict[str, Chain]:
    try:
        return {i: chain for i, (chain, _) in read_chains(path).items() if i in wanted} if is_file(path) else {}
    except (BadInput, OSError):
        return {}


def shown_attempt(result: Result, scores: Sequence[Score]) -> Attempt:
    """Return the attempt to read: the first that these scores are of, since another one may have passed."""
    return next((a for a in result.attempts if any(s in a.scores for s in scores)), result.first)


def contents(result: Result, scores: Sequence[Score]) -> list[tuple[str, str]]:
    """Return what was asked, what production answered and what is answered now, as far as there is something."""
    output = shown_attempt(result, scores).output
    now = output.text if output else None
    told = (("asked", result.input_text), ("production", result.observed_output), ("now", now))
    return [(name, content) for name, content in told if content]


def show_command(result: Result) -> str | None:
    """Return the command that shows where a case came from, None for a case without a trace.

    What is not hexadecimal is no trace id, and would be a shell's word.
    """
    trace = (result.provenance.trace_id or "")[:16]
    return f"evalgate traces show {trace}" if trace and set(trace) <= set("0123456789abcdefABCDEF") else None


def back_commands(report: Report, failing: Failing, *, with_issue: bool = True) -> list[str]:
    """Return the commands that lead back from a failing case: to its trace, its issue, its chain."""
    commands = [c] if (c := show_command(failing.result)) else []
    if with_issue and failing.issue is not None:
        commands.append(f"evalgate issues show {failing.issue}")
    if failing.result.case_id in report.chains:
        commands.append(f"evalgate provenance show {shlex.quote(line(failing.result.case_id))}")
    return commands


def place(report: Report, case_id: str) -> str:
    """Return the file and line of a case, the file alone where the line is not known."""
    number = report.lines.get(case_id)
    return f"{report.run.dataset.path}:{number}" if number else report.run.dataset.path
