"""Decide again: the run, the baseline and the policy that a report names must come to what it says."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from evalgate.align.store import ALIGNMENT, read_measurements
from evalgate.errors import BadInput
from evalgate.gate.baseline import read_baselines
from evalgate.gate.decide import decide
from evalgate.gate.facts import look
from evalgate.gate.policy import GatePolicy
from evalgate.issues.store import ISSUES, read_issues
from evalgate.provenance.link import Link, Standing
from schema.evaluator import Evidence

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from evalgate.gate.base import Base
    from schema.run import Run


def decision(payload: Mapping[str, Any], run: Run | None, baseline: str | None, root: Path) -> Iterator[Link]:
    """Yield whether the verdict, the exit code and every check come out again.

    What was looked at in files then (integrity) is verified link by link; its checks are not compared.
    """
    if run is None:
        yield Link("decision", Standing.BROKEN, "without its run nothing can be decided again")
        return
    if payload.get("policy") is None:
        yield Link("decision", Standing.ABSENT, "the report does not say what was asked of the run")
        return
    if payload.get("comparison") is not None and baseline is None:
        yield Link(
            "decision", Standing.ABSENT, "it was compared with a run or a commit, which is no file of this report"
        )
        return
    try:
        policy = GatePolicy.model_validate(payload["policy"])
        base = _base(run, root / baseline) if baseline else None
        issues = read_issues(root / ISSUES)
        moved = replace(run, dataset=replace(run.dataset, path=str(root / run.dataset.path)))
        again = decide(run, base, policy, issues, look(moved, baseline))
    except (BadInput, ValueError) as e:
        yield Link("decision", Standing.BROKEN, f"it cannot be decided again: {e}")
        return
    stated = (payload.get("status"), payload.get("exit_code"))
    if stated != (again.status, again.exit_code):
        told = f"decided again it is {again.status} (exit {again.exit_code}), the report says {stated[0]} ({stated[1]})"
        yield Link("decision", Standing.BROKEN, told)
        return
    then = {str(c.get("id")): c.get("status") for c in payload.get("checks", ()) if c.get("evidence") != "integrity"}
    now = {c.id: str(c.status) for c in again.checks if c.evidence is not Evidence.INTEGRITY}
    if wrong := sorted(i for i in then.keys() | now.keys() if then.get(i) != now.get(i)):
        told = f"decided again other checks come out: {', '.join(wrong[:8])}"
        yield Link("decision", Standing.BROKEN, told)
        return
    yield Link("decision", Standing.HOLDS, f"decided again it is {again.status}, check by check")


def measurements(run: Run | None, root: Path) -> Iterator[Link]:
    """Yield whether the agreement that lets evaluators block stands in the project's files."""
    for used in run.evaluators if run else ():
        if used.measurement is None:
            continue
        name = f"alignment:{used.id}"
        try:
            kept = read_measurements(used.id, root / ALIGNMENT)
        except BadInput as e:
            yield Link(name, Standing.BROKEN, str(e))
            continue
        if used.measurement in kept:
            matrix = used.measurement.confusion
            yield Link(name, Standing.HOLDS, f"measured on {matrix.n} labels, {used.measurement.at[:10]}")
        else:
            yield Link(name, Standing.BROKEN, f"no measurement in {ALIGNMENT} is the one that the run was judged by")


def _base(run: Run, path: Path) -> Base | None:
    accepted = read_baselines(path)
    return accepted[run.dataset.name].base if run.dataset.name in accepted else None
