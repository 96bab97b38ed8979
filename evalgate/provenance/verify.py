"""Verify what a report of the gate rests on, from files alone: each link holds, is broken, or need not be there.

report ── checksum
   ├── run file ── bytes, id, dataset version, evaluator versions
   ├── dataset ── bytes, version recomputed from its cases, each case's content hash
   ├── evaluators ── versions recomputed from their files
   ├── alignment ── the measurement that lets an evaluator block stands in the project's files
   ├── baseline ── bytes, its own checksum
   ├── base ── what was compared with, in a file, a commit or a run, has the hash that it had
   ├── decision ── run, baseline and policy come to the same verdict again, check by check
   └── chains ── bytes, each chain's hash recomputed, its case's hash, promoted, its annotation that of the case
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING, Any

from evalgate.dataset.chains import read_chains
from evalgate.dataset.reading import read_leniently
from evalgate.dataset.store import Dataset
from evalgate.errors import BadInput
from evalgate.evaluators.files import evaluator_paths, read_evaluators
from evalgate.files import read_text
from evalgate.gate.baseline import read_baselines
from evalgate.gate.report.model import is_file, source
from evalgate.gate.report.payload import SCHEMA, checksum
from evalgate.provenance.chains import chain_links
from evalgate.provenance.decided import Reference, decision, measurements
from evalgate.provenance.link import Link, Standing
from evalgate.run_files import load_run
from evalgate.terminal import count_of, one_line
from schema.fields import Fields, Malformed
from schema.provenance import head_hash

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from schema.case import Case
    from schema.provenance import Chain
    from schema.run import Run

LARGEST_BYTES = 256 << 20
CASES = ".jsonl"
SUITE_SCHEMA = "evalgate/gate-suite/2"
SUMMED_UP = ("status", "exit_code", "deployment_blocked", "blocking_reason")


@dataclass(frozen=True, slots=True)
class Verified:
    """Every link of one report."""

    links: tuple[Link, ...]
    chains: Mapping[str, Chain]
    """Of the failing cases, for who wants to ask the database, too."""

    @property
    def broken(self) -> tuple[Link, ...]:
        """The links that do not hold."""
        return tuple(x for x in self.links if x.standing is Standing.BROKEN)


def read_reports(path: Path) -> list[dict[str, Any]]:
    """Read a report of the gate, or those of several datasets in one file; strictly: no name twice in an object.

    Raises:
        BadInput: it cannot be read, or is something else.

    """
    if is_file(path) and path.stat().st_size > LARGEST_BYTES:
        raise BadInput(f"{path} is larger than {LARGEST_BYTES} bytes: that is no report")
    try:
        value = json.loads(read_text(path), object_pairs_hook=_once, parse_constant=_refuse)
    except RecursionError:
        raise BadInput(f"{path} is nested too deep") from None
    except ValueError as e:
        raise BadInput(f"{path} is not JSON: {e}") from None
    spoken = value.get("schema") if isinstance(value, dict) else None
    if spoken == SCHEMA:
        return [value]
    if spoken != SUITE_SCHEMA:
        raise BadInput(f"{path} is no report of the gate: its schema is {spoken!r}, not {SCHEMA!r}")
    gates: list[dict[str, Any]] = [g for g in value.get("gates") or () if isinstance(g, dict)]
    if not gates or any(g.get("schema") != SCHEMA or not isinstance(g.get("exit_code"), int) for g in gates):
        raise BadInput(f"{path} holds no reports of the gate")
    worst = max(gates, key=lambda g: g["exit_code"])
    if wrong := [name for name in SUMMED_UP if value.get(name) != worst.get(name)]:
        raise BadInput(f"{path} sums up its reports wrongly, it was changed: {', '.join(wrong)}")
    return gates


def is_error(payload: Mapping[str, Any]) -> bool:
    """Return whether a report says that nothing was decided, and so names no source."""
    return "sources" not in payload


def verify(payload: Mapping[str, Any], *, root: Path = Path(), evaluators: Path) -> Verified:
    """Return every link; paths of the report are taken from `root`.

    Raises:
        BadInput: the report lacks what every report has.

    """
    _refuse_other_shapes(payload)
    links = [_report(payload)]
    if is_error(payload):
        told = "there was nothing to decide on, so there is nothing behind it"
        return Verified((*links, Link("sources", Standing.ABSENT, told)), {})
    try:
        sources, failing = _sources(payload)
    except Malformed as e:
        raise BadInput(f"the report is not what a gate writes: {e}") from None
    run_links, run = _run(payload, sources, root)
    links += run_links
    dataset_links, cases = _dataset(payload, sources, run, root)
    links += [*dataset_links, *_evaluators(payload, run, root / evaluators), *measurements(run, root)]
    links += [*_baseline(sources, root), *decision(payload, run, sources.base, root)]
    chain_links, chains = _chains(sources, failing, cases, root)
    return Verified((*links, *chain_links), chains)


@dataclass(frozen=True, slots=True)
class Named:
    """A file that the report names, and its hash then."""

    path: str
    sha256: str


@dataclass(frozen=True, slots=True)
class Stated:
    """What the report says that it rests on."""

    files: Mapping[str, Named | None]
    base: Reference | None
    head: str | None
    evaluators: Mapping[str, str]


def _sources(payload: Mapping[str, Any]) -> tuple[Stated, list[Mapping[str, Any]]]:
    fields = Fields(payload["sources"], "'sources'")
    files = {name: _named(fields.any(name)) for name in ("run", "dataset", "baseline", "chains")}
    base = _reference(fields.any("base"))
    stated = Stated(files, base, fields.optional_text("chains_head"), fields.mapping("evaluators"))
    lists = Fields(dict(payload), "the report")
    failing = [*lists.objects("failing_cases"), *lists.objects("watched_cases")]
    for name in ("run", "dataset"):
        Fields(lists.any(name), f"'{name}'")
    for case in failing:
        Fields(case, "a failing case").text("case_id")
    return stated, list(failing)


def _named(value: Any) -> Named | None:
    if value is None:
        return None
    fields = Fields(value, "a source")
    return Named(fields.text("path"), fields.text("sha256"))


def _reference(value: Any) -> Reference | None:
    if value is None:
        return None
    fields = Fields(value, "'base'")
    return Reference(fields.text("reference"), fields.text("sha256"))


def _report(payload: Mapping[str, Any]) -> Link:
    stated, actual = payload.get("checksum"), checksum(payload)
    if stated == actual:
        return Link("report", Standing.HOLDS, f"its checksum is {actual}")
    return Link("report", Standing.BROKEN, f"it was changed: its checksum is {actual}, it says {stated}")


def _file(name: str, named: Named, root: Path) -> Link:
    """Return whether a file has the bytes that it had."""
    found = source(root / named.path)
    if found is None:
        return Link(name, Standing.BROKEN, f"{named.path} is not here, or cannot be read: bring it, or name its --root")
    if found.sha256 != named.sha256:
        return Link(name, Standing.BROKEN, f"{named.path} was changed since: its SHA-256 is {found.sha256} now")
    return Link(name, Standing.HOLDS, f"{named.path} has the bytes that it had")


def _run(payload: Mapping[str, Any], sources: Stated, root: Path) -> tuple[list[Link], Run | None]:
    named = sources.files["run"]
    if named is None:
        return [Link("run", Standing.BROKEN, "the report names no run file: it could not be read then")], None
    links = [_file("run", named, root)]
    if not is_file(root / named.path):
        return links, None
    try:
        _, run = load_run(str(root / named.path))
    except BadInput as e:
        if links[0].standing is Standing.HOLDS:
            links.append(Link("run", Standing.BROKEN, str(e)))
        return links, None
    stated = payload["run"].get("run_id")
    if run.run_id != stated:
        links.append(Link("run", Standing.BROKEN, f"the file holds run {run.run_id}, the report is of {stated}"))
    dataset = payload["dataset"]
    if (run.dataset.name, run.dataset.version) != (dataset.get("name"), dataset.get("version")):
        told = f"it was of {run.dataset.name} {run.dataset.version}, the report says {dataset.get('version')}"
        links.append(Link("run", Standing.BROKEN, told))
    return links, run


def _dataset(
    payload: Mapping[str, Any], sources: Stated, run: Run | None, root: Path
) -> tuple[list[Link], dict[str, Case]]:
    named = sources.files["dataset"]
    if named is None:
        told = f"{payload['dataset'].get('path')} was not read: tests of a project, or a run from another machine"
        return [Link("dataset", Standing.ABSENT, told)], {}
    links = [_file("dataset", named, root)]
    path = root / named.path
    if not is_file(path):
        return links, {}
    if path.suffix != CASES:
        return [*links, Link("dataset", Standing.ABSENT, "tests of a project: there are no cases in a file")], {}
    try:
        cases_read, _ = read_leniently(path)
    except BadInput as e:
        return [*links, Link("dataset", Standing.BROKEN, str(e))], {}
    dataset = Dataset(path.name, path, cases_read)
    stated = payload["dataset"].get("version")
    if dataset.version != stated:
        told = f"its cases make version {dataset.version}, the report is of {stated}"
        links.append(Link("dataset", Standing.BROKEN, told))
    else:
        links.append(Link("dataset", Standing.HOLDS, f"its cases make version {stated} again"))
    cases = {c.case_id: c for c in dataset.cases}
    links += [
        Link(f"case:{r.case_id}", Standing.BROKEN, "what was run is not what the dataset says")
        for r in (run.results if run else ())
        if r.case_id in cases and cases[r.case_id].content_hash != r.content_hash
    ]
    return links, cases


def _evaluators(payload: Mapping[str, Any], run: Run | None, folder: Path) -> Iterator[Link]:
    stated = payload["sources"]["evaluators"]
    if run is not None and (used := {e.id: e.version for e in run.evaluators}) != stated:
        wrong = sorted(i for i in used.keys() | stated.keys() if used.get(i) != stated.get(i))
        yield Link("evaluators", Standing.BROKEN, f"the run was judged by other versions: {', '.join(wrong)}")
    if Path(str(payload["dataset"].get("path"))).suffix != CASES:
        yield Link("evaluators", Standing.ABSENT, "tests of a project judge themselves")
        return
    try:
        now = {f.spec.id: f.spec.version for f in read_evaluators(folder)} if evaluator_paths(folder) else {}
    except BadInput as e:
        yield Link("evaluators", Standing.BROKEN, str(e))
        return
    for name, version in sorted(stated.items()):
        actual = now.get(name)
        if actual is None:
            told = f"there is no evaluator {name} in {folder}: name their folder, --evaluators"
            yield Link(f"evaluator:{name}", Standing.BROKEN, told)
        elif actual != version:
            told = f"its file makes version {actual}, it judged as {version}"
            yield Link(f"evaluator:{name}", Standing.BROKEN, told)
        else:
            yield Link(f"evaluator:{name}", Standing.HOLDS, f"its file makes version {version} again")


def _baseline(sources: Stated, root: Path) -> Iterator[Link]:
    named = sources.files["baseline"]
    if named is None:
        yield Link("baseline", Standing.ABSENT, "the run was compared with no baseline file")
        return
    yield _file("baseline", named, root)
    if not is_file(root / named.path):
        return
    try:
        read_baselines(root / named.path)
    except BadInput as e:
        yield Link("baseline", Standing.BROKEN, str(e))
    else:
        yield Link("baseline", Standing.HOLDS, "its own checksum holds")


def _chains(
    sources: Stated, failing: list[Mapping[str, Any]], cases: Mapping[str, Case], root: Path
) -> tuple[list[Link], dict[str, Chain]]:
    named = sources.files["chains"]
    if named is None:
        traced = sum(bool(c.get("trace_id")) for c in failing)
        told = "none were recorded, and no failing case came from a trace"
        if traced:
            told = f"none were recorded; {count_of(traced, 'failing case')} came from a trace: evalgate dataset build"
        return [Link("chains", Standing.ABSENT, told)], {}
    links = [_file("chains", named, root)]
    if not is_file(root / named.path):  # a pipe or a device would never end
        return links, {}
    try:
        found = read_chains(root / named.path)
    except BadInput as e:
        return [*links, Link("chains", Standing.BROKEN, str(e))], {}
    links += chain_links(found, failing, cases)
    told_of = {c["case_id"]: found[c["case_id"]][0] for c in failing if c["case_id"] in found}
    named_in_report = {c["case_id"] for c in failing if c.get("chain")}
    head = head_hash(told_of[i] for i in sorted(named_in_report & told_of.keys())) if named_in_report else None
    if sources.head != head:
        links.append(Link("chains", Standing.BROKEN, f"their head is {head}, the report says {sources.head}"))
    return links, told_of


def _refuse_other_shapes(payload: Mapping[str, Any]) -> None:
    """Raise BadInput where a report is not as schema/gate.schema.json has it: what follows may rely on that."""
    from jsonschema import Draft202012Validator  # noqa: PLC0415 - slow to import
    from jsonschema.exceptions import best_match  # noqa: PLC0415 - as above

    described = json.loads(files("schema").joinpath("gate.schema.json").read_text("utf-8"))
    wrong = best_match(Draft202012Validator(described).iter_errors(payload))
    if wrong is not None:
        place = "/".join(map(str, wrong.absolute_path)) or "the report"
        raise BadInput(f"this is not what a gate writes: {place}: {one_line(wrong.message, 300)}")


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    value = dict(pairs)
    if len(value) != len(pairs):
        raise ValueError("an object has one name twice")
    return value


def _refuse(word: str) -> Any:
    raise ValueError(f"{word} is not JSON")
