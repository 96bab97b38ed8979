"""A run on its way: every attempt is on disk as it ends, so that a run that is killed is finished, not made again.

    .evalgate/runs/<run_id>.partial.jsonl
    {"schema": "evalgate/partial-run/1", "run_id", "started_at", "plan": {...}, "options": {...}}
    {"case_id", "content_hash", "attempt": {...}}                  one line per attempt, in the order they ended

Each line is written at once (a killed process loses none) and synced in groups (a power cut loses the last half
second). A last line without its end is a line that was being written: it is dropped, and that attempt made again. The
`plan` is what must not change in between: dataset, evaluators, target. Attempts for which there was no budget are not
kept: a later run with more of it tries them. The file stays while the run has errors, which can be tried again; of two
lines on one attempt the later one holds.
"""

from __future__ import annotations

import fcntl
import os
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Self

from evalgate.errors import BadInput
from evalgate.files import strict_json, to_json_line
from evalgate.run_files import LATEST, RUNS
from schema.fields import Fields
from schema.run import ErrorKind, attempt_to_json, parse_attempt

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path
    from types import TracebackType

    from evalgate.run.engine import Kept
    from schema.run import Attempt

SCHEMA = "evalgate/partial-run/1"
SUFFIX = ".partial.jsonl"
SYNC_EVERY_S = 0.5
"""What a power cut may cost; a sync takes some 4 ms."""


@dataclass(frozen=True, slots=True)
class Unfinished:
    """A run that was stopped."""

    path: Path
    run_id: str
    started_at: str
    plan: Mapping[str, Any]
    options: Mapping[str, Any]
    attempts: Mapping[tuple[str, int], Attempt]
    """By case and number."""
    hashes: Mapping[str, str]
    """Content hash of each case that was attempted."""
    whole_bytes: int
    """Length of the file without a torn last line."""


class PartialFile:
    """Appends the attempts of one run. One process writes a file; another is refused."""

    def __init__(self, path: Path, *, create: bool, clock: Callable[[], float] = time.monotonic) -> None:
        self.path = path
        self._clock = clock
        self._synced_at = clock()
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            flags = os.O_RDWR | os.O_APPEND | os.O_CLOEXEC | (os.O_CREAT if create else 0)
            self._handle = os.open(path, flags, 0o600)
        except OSError as e:
            raise BadInput(f"cannot write {path}: {e.strerror or e}") from None
        try:
            fcntl.flock(self._handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            os.close(self._handle)
            raise BadInput(f"another process is writing {path}: that run is on its way") from None

    @classmethod
    def begin(
        cls, run_id: str, started_at: str, plan: Mapping[str, Any], options: Mapping[str, Any], root: Path = RUNS
    ) -> Self:
        """Start the file of a new run."""
        file = cls(root / f"{run_id}{SUFFIX}", create=True)
        file._write(
            {"schema": SCHEMA, "run_id": run_id, "started_at": started_at, "plan": dict(plan), "options": dict(options)}
        )
        return file

    @classmethod
    def go_on(cls, unfinished: Unfinished) -> Self:
        """Open the file of a run that was stopped; what was torn is cut off.

        Raises:
            BadInput: another process has gone on with it since it was read.

        """
        file = cls(unfinished.path, create=False)
        size, whole = os.fstat(file._handle).st_size, unfinished.whole_bytes
        if size < whole or b"\n" in os.pread(file._handle, size - whole, whole):
            os.close(file._handle)
            raise BadInput(f"another process went on with {unfinished.path} meanwhile: look for what it has written")
        os.ftruncate(file._handle, whole)
        return file

    def keep(self, kept: Kept) -> None:
        """Append one attempt. One for which there was no budget is left out."""
        if kept.attempt.error is not None and kept.attempt.error.kind is ErrorKind.BUDGET:
            return
        self._write(
            {
                "case_id": kept.case.case_id,
                "content_hash": kept.case.content_hash,
                "attempt": attempt_to_json(kept.attempt),
            }
        )

    def _write(self, value: Mapping[str, Any]) -> None:
        data = (to_json_line(value) + "\n").encode("utf-8", "backslashreplace")
        try:
            while data:
                data = data[os.write(self._handle, data) :]
            if self._clock() - self._synced_at >= SYNC_EVERY_S:
                os.fsync(self._handle)
                self._synced_at = self._clock()
        except OSError as e:
            raise BadInput(f"cannot write {self.path}: {e.strerror or e}") from None

    def remove(self) -> None:
        """Delete the file: the run is written elsewhere now."""
        self.path.unlink(missing_ok=True)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        os.close(self._handle)


def find_partial(reference: str, root: Path = RUNS) -> Path:
    """Return the file of a run that is not finished, because it was stopped or had errors: by id, or the latest run.

    Raises:
        BadInput: there is none, or the latest run is whole: to finish an older one is for its id to say.

    """
    found = sorted(root.glob(f"*{SUFFIX}"), key=_age) if root.is_dir() else []
    if not found:
        raise BadInput(f"there is no unfinished run in {root}. Start one: evalgate run --dataset NAME --target TARGET")
    names = [p.name.removesuffix(SUFFIX) for p in found]
    if reference == LATEST:
        whole = [p for p in root.glob("*.json") if p.stem not in (LATEST, *names)]
        newest = max(whole, key=_age, default=found[-1])
        if _age(newest) > _age(found[-1]):
            raise BadInput(
                f"the latest run, {newest.stem}, is whole. Name the one to finish: --resume ID. "
                f"Unfinished: {', '.join(names[-5:])}"
            )
        return found[-1]
    if reference not in names:
        raise BadInput(f"there is no unfinished run {reference!r}. Unfinished: {', '.join(names[-5:])}")
    return found[names.index(reference)]


def unfinished_like(dataset: str, target: str, root: Path = RUNS) -> str | None:
    """Return the id of the newest run of the same dataset and target that was stopped, None where there is none.

    One that has a run file had errors; it was not stopped.
    """
    for path in sorted(root.glob(f"*{SUFFIX}"), reverse=True) if root.is_dir() else []:
        if _run_file(path).exists():
            continue
        try:
            with path.open("rb") as file:
                header = strict_json(file.readline().decode("utf-8"))
            options = header["options"]
        except (OSError, ValueError, TypeError, KeyError):
            continue
        if isinstance(options, dict) and (options.get("dataset"), options.get("target")) == (dataset, target):
            return path.name.removesuffix(SUFFIX)
    return None


def read_partial(path: Path) -> Unfinished:
    """Read a run that was stopped.

    Raises:
        BadInput: a line is damaged; the last one may be torn.

    """
    try:
        data = path.read_bytes()
    except OSError as e:
        raise BadInput(f"cannot read {path}: {e.strerror or e}") from None
    whole = data[: data.rfind(b"\n") + 1]
    attempts: dict[tuple[str, int], Attempt] = {}
    hashes: dict[str, str] = {}
    found: Unfinished | None = None
    for number, line in enumerate(whole.splitlines(), 1):
        try:
            fields = Fields(strict_json(line.decode("utf-8")), "a line")
            if found is None:
                found = _begun(fields, path, attempts, hashes, len(whole))
                continue
            attempt = parse_attempt(fields.any("attempt"))
            case_id = fields.text("case_id")
            hashes[case_id] = fields.text("content_hash")
            attempts[case_id, attempt.number] = attempt
        except ValueError as e:
            raise BadInput(f"{path} line {number} is damaged: {e}. Delete the file and run again") from None
    if found is None:
        raise BadInput(f"{path} was stopped before anything was kept. Delete the file and run again")
    return found


def _begun(
    header: Fields,
    path: Path,
    attempts: Mapping[tuple[str, int], Attempt],
    hashes: Mapping[str, str],
    whole_bytes: int,
) -> Unfinished:
    """Return the run whose first line this is.

    Raises:
        ValueError: it is no such line, or of another run than the file's name says.

    """
    if (spoken := header.any("schema")) != SCHEMA:
        raise ValueError(f"its schema is {spoken!r}, not {SCHEMA!r}")
    run_id = header.text("run_id")
    if f"{run_id}{SUFFIX}" != path.name:
        raise ValueError(f"it is of the run {run_id!r}")
    return Unfinished(
        path=path,
        run_id=run_id,
        started_at=header.text("started_at"),
        plan=header.mapping("plan"),
        options=header.mapping("options"),
        attempts=attempts,
        hashes=hashes,
        whole_bytes=whole_bytes,
    )


def _age(path: Path) -> tuple[str, int]:
    """Return what sorts files of runs by when they began: the second is in the name."""
    return path.name.split("-")[0].split(".")[0], path.stat().st_mtime_ns


def _run_file(path: Path) -> Path:
    return path.with_name(f"{path.name.removesuffix(SUFFIX)}.json")


def check_plan(unfinished: Unfinished, plan: Mapping[str, Any]) -> None:
    """Refuse to mix two experiments in one run.

    Raises:
        BadInput: naming what has changed since the run was stopped.

    """
    changed = [name for name in plan if plan[name] != unfinished.plan.get(name)]
    if changed:
        raise BadInput(
            f"the run {unfinished.run_id} cannot be finished: {', '.join(changed)} changed since it was stopped. "
            f"Start a new one, or put it back as it was ({unfinished.path})"
        )
