"""Erase from the datasets of a project: cases know the trace that they were made of."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Final

from evalgate.dataset.chains import chains_path, write_chains
from evalgate.dataset.golden import GOLDEN, forget
from evalgate.dataset.store import DATASETS, list_names, read_cases, remove_cases
from evalgate.errors import BadInput
from schema.erasure import Erased

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator
    from datetime import datetime

ELSEWHERE: Final = (Path("evals"), Path(".evalgate"))
"""Folders in which runs, reports and exports keep what they were made of."""
READ: Final = (".json", ".jsonl", ".md", ".csv", ".yaml", ".html", ".xml", ".sarif", ".txt")
LARGEST_BYTES: Final = 256 << 20


def erase(
    trace_ids: Collection[str],
    *,
    at: datetime,
    only_show: bool,
    root: Path = DATASETS,
    golden: Path = GOLDEN,
    step: Callable[[], None] = lambda: None,
) -> list[Erased]:
    """Remove the cases that were made of these traces, of golden datasets too; what cannot be written is listed."""
    wanted = frozenset(trace_ids)
    found = list(_of_golden(golden, wanted, only_show=only_show))
    for name in list_names(root, drafts=True):
        path = root / f"{name}.jsonl"
        ids = {c.case_id for c in read_cases(path) if c.provenance.traces & wanted}
        step()
        if not ids:
            continue
        if only_show:
            found.append(Erased(str(path), "cases", len(ids)))
            continue
        try:
            after = remove_cases(name, ids, at=at, root=root)
        except OSError as e:
            note = f"cannot be written ({e.strerror or e}): remove the cases {', '.join(sorted(ids))} by hand"
            found.append(Erased(str(path), "cases", len(ids), note, is_left=True))
        else:
            found.append(Erased(str(path), "cases", len(ids), f"its version is {after} now"))
            if chains_path(path).is_file():
                write_chains(path, (), case_ids=[c.case_id for c in read_cases(path)])
                found.append(Erased(str(chains_path(path)), "chains", len(ids)))
    return found


def _of_golden(folder: Path, wanted: frozenset[str], *, only_show: bool) -> Iterator[Erased]:
    for path in sorted(folder.glob("*.jsonl")) if folder.is_dir() else ():
        ids = {c.case_id for c in read_cases(path) if c.provenance.traces & wanted}
        if not ids:
            continue
        try:
            if not only_show:
                forget(path, ids)
        except BadInput as e:
            note = f"{e}: remove the cases {', '.join(sorted(ids))} by hand"
            yield Erased(str(path), "cases", len(ids), note, is_left=True)
        else:
            yield Erased(str(path), "cases", len(ids))


def mentions(trace_ids: Collection[str], folders: Collection[Path] = ELSEWHERE) -> list[Erased]:
    """List other files of the project that name one of the traces: reports, runs, exports. They are left alone."""
    wanted = [t.encode() for t in trace_ids]
    found = []
    for path in _files(folders):
        content = path.read_bytes().lower()
        n = sum(content.count(t) for t in wanted)
        if n:
            note = "names traces that are erased; it is yours: remove it, or make it again"
            found.append(Erased(str(path), "mentions", n, note, is_left=True))
    return found


def _files(folders: Collection[Path]) -> Iterator[Path]:
    for folder in folders:
        for path in sorted(folder.rglob("*")) if folder.is_dir() else ():
            in_data = ".evalgate" in path.parts and "data" in path.parts[path.parts.index(".evalgate") :]
            if path.suffix in READ and not in_data and path.is_file() and path.stat().st_size <= LARGEST_BYTES:
                yield path
