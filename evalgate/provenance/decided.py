"""Decide again: the run, the baseline and the policy that a report names must come to what it says."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from evalgate.align.store import ALIGNMENT, read_measurements
from evalgate.errors import BadInput
from evalgate.gate.base import base_of
from evalgate.gate.baseline import MAX_BASELINE_BYTES, parse_baselines, read_baselines
from evalgate.gate.decide import decide
from evalgate.gate.decision import Check, CheckStatus
from evalgate.gate.facts import AROUND, look
from evalgate.gate.policy import GatePolicy
from evalgate.gate.report.model import is_file
from evalgate.gate.report.payload import base_hash
from evalgate.git import file_at
from evalgate.issues.store import ISSUES, read_issues
from evalgate.provenance.link import Link, Standing
from evalgate.run_files import load_run
from schema.evaluator import Evidence

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from evalgate.gate.base import Base
    from evalgate.gate.evidence import Facts
    from schema.run import Run


@dataclass(frozen=True, slots=True)
class Reference:
    """What a report says it was compared with."""

    reference: str
    sha256: str


def decision(payload: Mapping[str, Any], run: Run | None, compared: Reference | None, root: Path) -> Iterator[Link]:
    """Yield whether the base is the one that it was, and verdict, exit code and every check come out again.

    What was looked at in files then (integrity) is verified link by link; its checks are not compared.
    """
    base: Base | None = None
    if compared is not None:
        found = _base_link(compared, str(payload["dataset"].get("name")), payload.get("policy"), root)
        yield found.link
        base = found.base
    if run is None:
        yield Link("decision", Standing.BROKEN, "without its run nothing can be decided again")
    elif payload.get("policy") is None:
        yield Link("decision", Standing.ABSENT, "the report does not say what was asked of the run")
    elif payload.get("comparison") is not None and base is None:
        yield Link("decision", Standing.ABSENT, "what it was compared with is not here")
    else:
        yield _again(payload, run, base, compared, root)


@dataclass(frozen=True, slots=True)
class Found:
    """A base that was looked for."""

    base: Base | None
    link: Link


def _base_link(compared: Reference, dataset: str, asked: Any, root: Path) -> Found:
    kind, _, rest = compared.reference.partition(":")
    try:
        match kind:
            case "file" | "run" if not is_file(root / rest):
                return Found(None, Link("base", Standing.BROKEN, f"{rest} is not here, or is no file"))
            case "file":
                base = read_baselines(root / rest)[dataset].base
            case "git":
                commit, _, path = rest.partition(":")
                _, content = file_at(root, commit, Path(path), MAX_BASELINE_BYTES)
                base = parse_baselines(content.decode("utf-8"), f"{path} of {commit[:12]}")[dataset].base
            case "run":
                policy = GatePolicy() if asked is None else GatePolicy.model_validate(asked)
                base = base_of(load_run(str(root / rest))[1], policy=policy)
            case _:
                return Found(None, Link("base", Standing.BROKEN, f"{compared.reference!r} is no place of a base"))
    except (BadInput, KeyError, ValueError) as e:
        is_told = kind == "git" and isinstance(e, BadInput)  # a clone that is not deep has no old commits
        said = f"{compared.reference} has nothing for {dataset!r}" if isinstance(e, KeyError) else str(e)
        return Found(None, Link("base", Standing.ABSENT if is_told else Standing.BROKEN, said))
    if (now := base_hash(base)) != compared.sha256:
        told = f"{compared.reference} is another base now: its hash is {now}"
        return Found(None, Link("base", Standing.BROKEN, told))
    return Found(base, Link("base", Standing.HOLDS, f"{compared.reference} is what was compared with"))


def _again(payload: Mapping[str, Any], run: Run, base: Base | None, compared: Reference | None, root: Path) -> Link:
    try:
        policy = GatePolicy.model_validate(payload["policy"])
        issues = read_issues(root / ISSUES)
        again = decide(run, base, policy, issues, _facts(payload, run, compared, root))
    except (BadInput, ValueError, OSError) as e:
        return Link("decision", Standing.BROKEN, f"it cannot be decided again: {e}")
    stated = (payload.get("status"), payload.get("exit_code"))
    if stated != (again.status, again.exit_code):
        told = f"decided again it is {again.status} (exit {again.exit_code}), the report says {stated[0]} ({stated[1]})"
        return Link("decision", Standing.BROKEN, told)
    then = {str(c.get("id")): c.get("status") for c in payload.get("checks", ()) if c.get("evidence") != "integrity"}
    now = {c.id: str(c.status) for c in again.checks if c.evidence is not Evidence.INTEGRITY}
    if wrong := sorted(i for i in then.keys() | now.keys() if then.get(i) != now.get(i)):
        return Link("decision", Standing.BROKEN, f"decided again other checks come out: {', '.join(wrong[:8])}")
    return Link("decision", Standing.HOLDS, f"decided again it is {again.status}, check by check")


def _facts(payload: Mapping[str, Any], run: Run, compared: Reference | None, root: Path) -> Facts:
    """Return what is known of the files now, and what only the gate itself could know, from its report."""
    folder = run.settings.evaluators
    moved = replace(
        run,
        dataset=replace(run.dataset, path=str(root / run.dataset.path)),
        settings=replace(run.settings, evaluators=None if folder is None else str(root / folder)),
    )
    around = tuple(
        Check(str(c["id"]), Evidence.INTEGRITY, CheckStatus.ERROR, blocking=True, sentence=str(c.get("sentence")))
        for c in payload.get("checks", ())
        if str(c.get("id")).startswith(AROUND)
    )
    typed = tuple(str(t) for t in payload.get("terms", {}).get("typed", ()))
    return look(moved, compared.reference if compared else None, typed=typed, around=around)


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
