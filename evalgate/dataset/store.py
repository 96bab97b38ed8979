"""Datasets on disk.

    evals/datasets/refunds.jsonl        one case per line
    evals/datasets/refunds.meta.json    name, criteria, and every version that was built

A version is the hash of what the cases say, so an edit by hand is a new version too; the meta file tells which
versions were built. The cases are written first: who is killed in between leaves the meta file of the version before,
and building again ends in the same bytes. A line that does not change stays as its author wrote it; new ones are put in
by case id where the file is in that order, else at the end. Nothing here needs a database.
"""

from __future__ import annotations

import re
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from evalgate.dataset.reading import read_leniently
from evalgate.errors import BadInput
from evalgate.files import alone, read_json, read_jsonl, read_text, to_json, to_json_line, write_atomic
from schema.case import case_to_json, dataset_version, parse_case
from schema.failpoints import failpoint
from schema.fields import Fields, did_you_mean

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable
    from datetime import datetime

    from schema.case import Case
    from schema.run import SetAside

DATASETS = Path("evals/datasets")
QUARANTINE = ".quarantine"
"""How the name of a file of drafts ends: refunds.quarantine.jsonl."""
META_SCHEMA = "evalgate/dataset/1"
BESIDE = (".provenance", ".quarantine")
"""Files of JSON lines that lie beside a dataset and are none."""
SHOWN_DRAFTS = 3
NAME = re.compile(r"[a-zA-Z0-9][a-zA-Z0-9._-]{0,63}")


@dataclass(frozen=True, slots=True)
class Dataset:
    """Cases of one file, in its order."""

    name: str
    path: Path
    cases: tuple[Case, ...]
    set_aside: tuple[SetAside, ...] = ()
    """Lines that are no case, where the reader was asked to go on."""

    @property
    def version(self) -> str:
        """Hash over what the cases say."""
        return dataset_version(self.cases)


@dataclass(frozen=True, slots=True)
class Version:
    """One build."""

    version: str
    at: str
    cases: int
    added: int
    changed: int
    removed: int = 0
    """Erased: they are in no file any more."""


@dataclass(frozen=True, slots=True)
class Meta:
    """What the meta file tells of a dataset; versions from the oldest."""

    name: str
    criteria: str | None
    versions: tuple[Version, ...]


@dataclass(frozen=True, slots=True)
class Change:
    """What a build did to a dataset."""

    dataset: Dataset
    added: tuple[str, ...]
    changed: tuple[str, ...]
    unchanged: int


def check_name(name: str) -> str:
    """Return a dataset name that is safe as a file name.

    Raises:
        BadInput: it is not.

    """
    if not NAME.fullmatch(name) or name.endswith((".jsonl", ".json", *BESIDE)):
        raise BadInput(f"{name!r} cannot name a dataset: letters, digits, '.', '_' and '-' only, without an extension")
    return name


def list_names(root: Path = DATASETS, *, drafts: bool = False) -> list[str]:
    """Return the names of the datasets of a project; with `drafts`, also of the files in quarantine."""
    names = (p.name.removesuffix(".jsonl") for p in root.glob("*.jsonl")) if root.is_dir() else ()
    return sorted(n for n in names if not n.endswith(BESIDE) or (drafts and n.endswith(QUARANTINE)))


def load(name_or_file: str, root: Path = DATASETS) -> Dataset:
    """Read a dataset by name, or any .jsonl file of cases.

    Raises:
        BadInput: no such dataset; a line that is no case; two cases with one id; a draft that nobody let in.

    """
    name, path = find(name_or_file, root)
    cases = read_cases(path)
    if drafts := [c.case_id for c in cases if c.provenance.is_draft]:
        some = ", ".join(drafts[:SHOWN_DRAFTS]) + (" …" if len(drafts) > SHOWN_DRAFTS else "")
        raise BadInput(
            f"{len(drafts)} of the {len(cases)} cases of {path} are drafts that nobody let in ({some}); they are not "
            f"run. Look at them, then: evalgate promote ID… --from {path} --dataset NAME --reason WHY"
        )
    return Dataset(name, path, cases)


def load_leniently(name_or_file: str, root: Path = DATASETS) -> Dataset:
    """Read a dataset as `load` does; lines that cannot be run are set aside, drafts too.

    Raises:
        BadInput: no such dataset; a file of which no line can be run.

    """
    name, path = find(name_or_file, root)
    cases, aside = read_leniently(path, drafts=False)
    if aside and not cases:
        raise BadInput(f"{path}: no line is a case that can be run; line {aside[0].line}: {aside[0].reason}")
    return Dataset(name, path, cases, aside)


def find(name_or_file: str, root: Path = DATASETS) -> tuple[str, Path]:
    """Return the name and the file of a dataset.

    Raises:
        BadInput: there is none.

    """
    if name_or_file.removesuffix(".jsonl").endswith(QUARANTINE):
        raise BadInput(
            f"{name_or_file} holds drafts that nobody has looked at; they are not run. Promote them: "
            "evalgate promote ID… --reason WHY"
        )
    if name_or_file.endswith(".jsonl") or "/" in name_or_file:
        path = Path(name_or_file)
        if not path.is_file():
            raise BadInput(f"there is no file {path}")
        return path.name.removesuffix(".jsonl"), path
    path = root / f"{check_name(name_or_file)}.jsonl"
    if not path.is_file():
        names = list_names(root)
        hint = (
            did_you_mean(name_or_file, names) if names else f" Make one: evalgate dataset build --name {name_or_file}"
        )
        raise BadInput(f"there is no dataset {name_or_file!r} in {root}.{hint}")
    return name_or_file, path


def read_cases(path: Path) -> tuple[Case, ...]:
    """Read every case of a file, or none.

    Raises:
        BadInput: naming file and line.

    """
    cases: dict[str, Case] = {}
    lines: dict[str, int] = {}
    for number, value in read_jsonl(path):
        try:
            if isinstance(value, ValueError):
                raise value
            case = parse_case(value)
        except ValueError as e:
            raise BadInput(f"{path} line {number}: {e}") from None
        if case.case_id in cases:
            raise BadInput(
                f"{path} line {number}: the case {case.case_id} stands in line {lines[case.case_id]} already"
            )
        cases[case.case_id] = case
        lines[case.case_id] = number
    return tuple(cases.values())


def read_meta(name: str, root: Path = DATASETS) -> Meta:
    """Read the meta file; a dataset without one (written by hand) has no criteria and no versions.

    Raises:
        BadInput: the file is not what it should be.

    """
    path = root / f"{name}.meta.json"
    if not path.exists():
        return Meta(name, None, ())
    try:
        fields = Fields(read_json(path), "a dataset's meta file")
        versions = tuple(_version(v) for v in fields.objects("versions"))
        return Meta(fields.text("name"), fields.optional_text("criteria"), versions)
    except ValueError as e:
        raise BadInput(f"{path}: {e}") from None


def add_cases(name: str, cases: Iterable[Case], *, criteria: str | None, at: datetime, root: Path = DATASETS) -> Change:
    """Add cases to a dataset, making it if need be; a case whose id is there replaces its line.

    Building twice from the same cases changes nothing, versions included. Of two at once the second reads what the
    first wrote.

    Raises:
        BadInput: the existing file cannot be read or written.

    """
    check_name(name)
    with alone(root):
        return merge_cases(name, cases, criteria=criteria, at=at, root=root)


def merge_cases(name: str, cases: Iterable[Case], *, criteria: str | None, at: datetime, root: Path) -> Change:
    """Add cases as `add_cases` does, for whoever has the folder alone. Raises as that."""
    path = root / f"{check_name(name)}.jsonl"
    before = {c.case_id: c for c in read_cases(path)} if path.exists() else {}
    is_sorted = list(before) == sorted(before)
    given = {c.case_id: c for c in cases}
    added = tuple(sorted(given.keys() - before.keys()))
    changed = tuple(sorted(i for i in given.keys() & before.keys() if given[i] != before[i]))
    merged = before | {i: given[i] for i in sorted(given)}
    dataset = Dataset(name, path, tuple(merged[i] for i in (sorted(merged) if is_sorted else merged)))
    meta = read_meta(name, root)
    versions = meta.versions
    if not versions or versions[-1].version != dataset.version:
        stamp = at.isoformat(timespec="seconds")
        versions = (*versions, Version(dataset.version, stamp, len(dataset.cases), len(added), len(changed)))
    if added or changed or not path.exists():
        _write(path, dataset.cases, [i for i in before if i not in changed])
    failpoint("dataset.before_meta")
    after = Meta(name, meta.criteria if criteria is None else criteria, versions)
    if after != meta:
        write_atomic(root / f"{name}.meta.json", to_json(_meta_json(after)))
    return Change(dataset, added, changed, len(given) - len(added) - len(changed))


def remove_cases(name: str, case_ids: Collection[str], *, at: datetime, root: Path = DATASETS) -> str:
    """Remove cases from a dataset for good, and return its new version, which the meta file notes.

    Raises:
        BadInput: the existing file cannot be read.
        OSError: it cannot be written.

    """
    check_name(name.removesuffix(QUARANTINE))
    with alone(root):
        return _remove(name, case_ids, at, root)


def _remove(name: str, case_ids: Collection[str], at: datetime, root: Path) -> str:
    path = root / f"{name}.jsonl"
    before = read_cases(path)
    left = tuple(c for c in before if c.case_id not in case_ids)
    dataset = Dataset(name, path, left)
    if name.endswith(QUARANTINE):  # drafts have no versions
        _write(path, left, [c.case_id for c in left])
        return dataset.version
    meta = read_meta(name, root)
    stamp = at.isoformat(timespec="seconds")
    version = Version(dataset.version, stamp, len(left), added=0, changed=0, removed=len(before) - len(left))
    _write(path, left, [c.case_id for c in left])
    after = Meta(name, meta.criteria, (*meta.versions, version))
    write_atomic(root / f"{name}.meta.json", to_json(_meta_json(after)))
    return dataset.version


def _write(path: Path, cases: Iterable[Case], unchanged: Collection[str]) -> None:
    """Write cases in their order; lines of those that are `unchanged` stay as they are, with what is blank above them.

    Raises:
        BadInput: the file cannot be read or written.

    """
    as_written: dict[str, str] = {}
    if unchanged:
        blocks = _blocks(read_text(path))
        as_written = {c.case_id: block for c, block in zip(read_cases(path), blocks, strict=True)}
    kept = frozenset(unchanged)
    lines = (as_written[c.case_id] if c.case_id in kept else to_json_line(case_to_json(c)) + "\n" for c in cases)
    write_atomic(path, "".join(lines))


def _blocks(text: str) -> list[str]:
    """Return each line that is not blank, with the blank ones above it."""
    blocks, begun = [], ""
    for line in text.split("\n"):
        begun += line + "\n"
        if line.strip():
            blocks.append(begun)
            begun = ""
    return blocks


def _meta_json(meta: Meta) -> dict[str, Any]:
    return {
        "schema": META_SCHEMA,
        "name": meta.name,
        "criteria": meta.criteria,
        "version": meta.versions[-1].version,
        "versions": [_version_json(v) for v in meta.versions],
    }


def _version_json(version: Version) -> dict[str, Any]:
    values = asdict(version)
    if not version.removed:
        del values["removed"]
    return values


def _version(value: dict[str, Any]) -> Version:
    fields = Fields(value, "a version")
    return Version(
        version=fields.text("version"),
        at=fields.text("at"),
        cases=fields.optional_int("cases") or 0,
        added=fields.optional_int("added") or 0,
        changed=fields.optional_int("changed") or 0,
        removed=fields.optional_int("removed") or 0,
    )
