"""Which datasets a project has, and which versions of each: the file as it is, its commits, and what was built.

    file  ─▶ the version as it is now
    git   ─▶ one version per commit that changed what the cases say; its cases can be read
    meta  ─▶ one version per build; where no commit has it, only its figures are known

Everything takes the folder of the project, so that a service that was started elsewhere can ask. Git is optional: a
project outside a repository has the file and the builds. Commits that are older than `MAX_COMMITS` are not looked at.
"""

from __future__ import annotations

import io
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from evalgate.dataset.diff import Diff, diff
from evalgate.dataset.quarantine import read_drafts
from evalgate.dataset.reading import cases_in
from evalgate.dataset.store import DATASETS, check_name, find, list_names, read_cases, read_meta
from evalgate.errors import BadInput
from evalgate.git import blobs_of, history_of
from schema.case import dataset_version

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from evalgate.git import Commit
    from schema.case import Case

MAX_COMMITS = 50
MAX_BLOB_BYTES = 16 << 20
MAX_READ_BYTES = 64 << 20
"""Of all commits of one dataset."""
NOW = "now"
"""How the file as it is is asked for."""
LEAST_PREFIX = 4


@dataclass(frozen=True, slots=True)
class Listed:
    """A dataset of the project. Where it is damaged, the reason and nothing else is known."""

    name: str
    path: Path
    version: str | None = None
    cases: int = 0
    drafts: int = 0
    """Quarantined beside it."""
    criteria: str | None = None
    is_built: bool = False
    """Whether a build made this very version; else it was written or edited by hand."""
    builds: int = 0
    modes: tuple[str, ...] = ()
    """Failure modes of its cases, the frequent ones first."""
    damaged: str | None = None


@dataclass(frozen=True, slots=True)
class DatasetVersion:
    """One version. What is not known is None."""

    version: str | None
    """None: the commit cannot be read, see `unread`."""
    at: str | None
    """ISO 8601: of the commit, else of the build; None: the file as it is, when nobody built or committed it."""
    cases: int | None
    added: int | None = None
    """Against the version before that can be read; of one that cannot, as its build counted."""
    changed: int | None = None
    removed: int | None = None
    commit: str | None = None
    """None: it is in no commit."""
    author: str | None = None
    subject: str | None = None
    built_at: str | None = None
    """None: no build made it."""
    is_current: bool = False
    """Whether the file says this now."""
    set_aside: int = 0
    """Lines of the commit that are no case by today's reading."""
    unread: str | None = None
    """Why its cases cannot be read."""

    @property
    def name(self) -> str:
        """How it is asked for: its hash, else its commit."""
        return self.version or (self.commit or "")[:12]

    @property
    def can_be_read(self) -> bool:
        """Whether its cases can be compared with others."""
        return self.unread is None


@dataclass(frozen=True, slots=True)
class Compared:
    """Two versions and what is different."""

    before: DatasetVersion
    after: DatasetVersion
    diff: Diff


@dataclass(frozen=True, slots=True)
class _Known:
    """A version with its cases, where they can be read."""

    told: DatasetVersion
    cases: tuple[Case, ...] | None


@dataclass(frozen=True, slots=True)
class _Said:
    """What the version of a dataset is made of."""

    case_id: str
    content_hash: str
    context_hash: str


class _Shelf:
    """Cases that were read, and their hashes: commits share most lines, and reading them again is what takes time."""

    def __init__(self) -> None:
        self.by_line: dict[bytes, Case] = {}
        self._said: dict[int, tuple[Case, _Said]] = {}  # by identity; the case is held, so that nobody else has it

    def version(self, cases: Iterable[Case]) -> str:
        """Return what `dataset_version` does."""
        return dataset_version(self._hashes(c) for c in cases)

    def _hashes(self, case: Case) -> _Said:
        if id(case) not in self._said:
            self._said[id(case)] = case, _Said(case.case_id, case.content_hash, case.context_hash)
        return self._said[id(case)][1]


def list_datasets(folder: Path) -> list[Listed]:
    """Return the datasets of a project by name; one with a line that is no case is told as damaged."""
    root = folder / DATASETS
    return [_listed(name, root) for name in list_names(root)]


def versions(folder: Path, name: str) -> list[DatasetVersion]:
    """Return the versions of a dataset, the newest first; the file as it is stands first.

    Raises:
        BadInput: there is no such dataset, a line of it is no case, or git does not answer.

    """
    return [k.told for k in _known(folder, name)]


def version_cases(folder: Path, name: str, wanted: str = NOW) -> tuple[DatasetVersion, tuple[Case, ...]]:
    """Return a version by the beginning of its hash or commit, with its cases; "now" is the file as it is.

    Raises:
        BadInput: there is none, there are several, or its cases cannot be read; and as `versions`.

    """
    found = _find(_known(folder, name), name, wanted)
    return found.told, _cases(found)


def compare(folder: Path, name: str, before: str | None = None, after: str = NOW) -> Compared:
    """Compare two versions of a dataset; `before` None: the newest one that differs from `after`.

    Raises:
        BadInput: as `version_cases`; or no version differs.

    """
    known = _known(folder, name)
    new = _find(known, name, after)
    if before is None:
        older = known[known.index(new) + 1 :]
        old = next((k for k in older if k.told.version != new.told.version and k.cases is not None), None)
        if old is None:
            file = DATASETS / f"{name}.jsonl"
            first = "" if new.told.commit else f": commit {file} now, and what changes after that is told"
            raise BadInput(
                f"{name}: nothing older than {new.told.name} can be read. Versions are read from git commits{first}"
            )
    else:
        old = _find(known, name, before)
    return Compared(old.told, new.told, diff(_cases(old), _cases(new)))


def _listed(name: str, root: Path) -> Listed:
    path = root / f"{name}.jsonl"
    try:
        cases, meta = read_cases(path), read_meta(name, root)
        drafts = len(read_drafts(name, root))
    except BadInput as e:
        return Listed(name, path, damaged=str(e))
    version = dataset_version(cases)
    count: dict[str, int] = {}
    for case in cases:
        if case.failure_mode:
            count[case.failure_mode] = count.get(case.failure_mode, 0) + 1
    return Listed(
        name=name,
        path=path,
        version=version,
        cases=len(cases),
        drafts=drafts,
        criteria=meta.criteria,
        is_built=any(v.version == version for v in meta.versions),
        builds=len(meta.versions),
        modes=tuple(sorted(count, key=lambda m: (-count[m], m))),
    )


def _known(folder: Path, name: str) -> list[_Known]:
    root = folder / DATASETS
    _, path = find(check_name(name), root)
    shelf = _Shelf()
    cases = read_cases(path)
    committed = _committed(root, path.name, shelf)
    current = shelf.version(cases)
    if not committed or committed[0].told.version != current:
        committed.insert(0, _Known(DatasetVersion(current, None, len(cases)), cases))
    committed[0] = replace(committed[0], told=replace(committed[0].told, is_current=True))
    return _with_changes(_with_builds(committed, name, root))


def _committed(root: Path, file_name: str, shelf: _Shelf) -> list[_Known]:
    """Return a version for each commit that changed what the cases say, the newest first."""
    found: list[_Known] = []
    commits = history_of(root, file_name, MAX_COMMITS)
    content = blobs_of(root, _affordable(commits))
    for c in commits:
        told = DatasetVersion(None, _utc(c.at), None, commit=c.commit, author=c.author, subject=c.subject)
        if c.blob is None:
            known = _Known(replace(told, version=dataset_version(()), cases=0), ())
        elif c.blob not in content:
            known = _Known(replace(told, unread=f"git has it no more, or its {c.size_bytes} bytes are too many"), None)
        else:
            cases, aside = cases_in(io.BytesIO(content[c.blob]), known=shelf.by_line)
            version = shelf.version(cases)
            known = _Known(replace(told, version=version, cases=len(cases), set_aside=len(aside)), cases)
        if found and known.told.version is not None and found[-1].told.version == known.told.version:
            found[-1] = known  # the older commit is the one that brought it
        else:
            found.append(known)
    return found


def _affordable(commits: Iterable[Commit]) -> list[str]:
    """Return the files that may be read together, those of the newest commits first."""
    taken: list[str] = []
    room = MAX_READ_BYTES
    for c in commits:
        if c.blob is not None and c.blob not in taken and c.size_bytes <= min(MAX_BLOB_BYTES, room):
            taken.append(c.blob)
            room -= c.size_bytes
    return taken


def _with_builds(found: list[_Known], name: str, root: Path) -> list[_Known]:
    """Say which versions were built, and add those that are in no commit; by when they were first there."""
    whole = list(found)
    order: dict[str, int] = {}
    for number, build in enumerate(read_meta(name, root).versions):
        at = _utc(build.at)
        order[build.version] = number
        same = [i for i, k in enumerate(whole) if k.told.version == build.version]
        for i in same:
            told = whole[i].told
            whole[i] = replace(whole[i], told=replace(told, built_at=at, at=told.at or at))
        if not same:
            told = DatasetVersion(
                build.version,
                at,
                build.cases,
                build.added,
                build.changed,
                build.removed,
                built_at=at,
                unread="it was built and never committed: only its figures are known",
            )
            whole.append(_Known(told, None))

    def since(k: _Known) -> tuple[str, int]:  # a build comes before its commit
        return k.told.built_at or k.told.at or "", order.get(k.told.version or "", -1)

    return [whole[0], *sorted(whole[1:], key=since, reverse=True)]


def _with_changes(found: list[_Known]) -> list[_Known]:
    """Say what each version changed against the one before that can be read; the oldest one against nothing."""
    done: list[_Known] = []
    for i, k in enumerate(found):
        older = found[i + 1 :]
        base = next((o.cases for o in older if o.cases is not None), None if older else ())
        if k.cases is not None and base is not None:
            what = diff(base, k.cases)
            told = replace(k.told, added=len(what.added), changed=len(what.changed), removed=len(what.removed))
            done.append(replace(k, told=told))
        else:
            done.append(k)
    return done


def _find(known: list[_Known], name: str, wanted: str) -> _Known:
    if wanted == NOW:
        return known[0]
    if len(wanted) < LEAST_PREFIX:
        raise BadInput(f"{wanted!r} is too short for a version: give {LEAST_PREFIX} digits or more, or {NOW!r}")
    found = [k for k in known if (k.told.version or "").startswith(wanted) or (k.told.commit or "").startswith(wanted)]
    if not found:
        some = ", ".join(k.told.name for k in known[:5])
        raise BadInput(f"{name} has no version {wanted!r}. It has: {some}. All of them: evalgate dataset show {name}")
    if len({k.told.name for k in found}) > 1:
        raise BadInput(f"{wanted!r} is not unique: {', '.join(k.told.name for k in found[:4])}. Give more digits")
    return found[0]


def _cases(found: _Known) -> tuple[Case, ...]:
    if found.cases is None:
        raise BadInput(f"the cases of version {found.told.name} cannot be read: {found.told.unread}")
    return found.cases


def _utc(text: str) -> str:
    """Return a moment in UTC, so that two compare as text; what is none stays as it is."""
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        return text
    return moment.astimezone(UTC).isoformat(timespec="seconds") if moment.tzinfo else text
