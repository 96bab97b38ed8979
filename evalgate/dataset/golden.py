"""The golden dataset: every trace that people judged, and agree about.

    evals/golden/labels.jsonl        one case per line, by case id

It is what evaluators are made from and measured on (`evalgate evals align --dataset evals/golden/labels.jsonl`). No
gate runs it: a dataset of `evals/datasets` takes a case once somebody promoted it.

The file says what the database says of the cases that the database knows, and keeps the lines of others: two people
with a database each keep up one file. A label that was undone, a case that was rejected, a trace about which reviewers
differ is in it no more.
"""

from __future__ import annotations

import json
from collections import Counter
from contextlib import nullcontext
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from evalgate.dataset.store import check_name, load
from evalgate.errors import BadInput
from evalgate.files import alone, read_text, to_json_line, write_atomic
from evalgate.review.cases import CaseStatus, list_cases
from evalgate.review.decided import is_disputed
from evalgate.review.disputes import item_of, said_by_item
from evalgate.terminal import count_of
from schema.case import case_id_of, case_to_json

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping

    from evalgate.database import TenantDatabase
    from evalgate.review.cases import CaseRow
    from schema.case import Case

GOLDEN: Final = Path("evals/golden")
DEFAULT_NAME: Final = "labels"


@dataclass(frozen=True, slots=True)
class Golden:
    """What people judged."""

    cases: tuple[Case, ...]
    """By case id."""
    disputed: tuple[str, ...]
    """Traces about which reviewers differ."""
    known: frozenset[str]
    """Ids of all cases that the database knows, whatever became of them."""

    @property
    def by_verdict(self) -> Mapping[str, int]:
        """How many cases have which verdict, the most first."""
        return dict(Counter(str(c.verdict) for c in self.cases).most_common())

    @property
    def by_mode(self) -> Mapping[str, int]:
        """How many cases show which failure mode, the most first."""
        return dict(Counter(c.failure_mode for c in self.cases if c.failure_mode).most_common())

    def to_json(self) -> dict[str, Any]:
        """Return the JSON object of `evalgate golden show --json`."""
        return {"by_verdict": self.by_verdict, "by_mode": self.by_mode, "disputed": list(self.disputed)}


@dataclass(frozen=True, slots=True)
class GoldenChange:
    """What writing does to the file, or would do."""

    path: Path
    cases: int
    added: tuple[str, ...]
    changed: tuple[str, ...]
    removed: tuple[str, ...]
    is_written: bool
    is_same: bool
    """Byte by byte."""

    def to_json(self) -> dict[str, Any]:
        """Return its part of the JSON object."""
        ids = {name: list(getattr(self, name)) for name in ("added", "changed", "removed")}
        return {"path": str(self.path), "cases": self.cases, **ids, "is_up_to_date": self.is_same or self.is_written}

    @property
    def words(self) -> str:
        """What it comes to, in a sentence."""
        counts = [f"{len(ids)} {word}" for word, ids in self._named() if ids]
        if self.is_same:
            return f"{self.path} is up to date: {count_of(self.cases, 'case')}"
        came = ", ".join(counts) or "the order or the spelling of lines"
        if self.is_written:
            return f"golden dataset: {count_of(self.cases, 'case')} in {self.path} ({came})"
        return f"{self.path} is not up to date ({came}): evalgate golden export"

    def _named(self) -> Iterable[tuple[str, tuple[str, ...]]]:
        return (("new", self.added), ("changed", self.changed), ("removed", self.removed))


def golden_path(name: str, folder: Path = GOLDEN) -> Path:
    """Return the file of a golden dataset.

    Raises:
        BadInput: that is no name.

    """
    return folder / f"{check_name(name)}.jsonl"


def read_golden(database: TenantDatabase, items: Collection[tuple[str, str]] | None = None) -> Golden:
    """Read what people judged; with `items`, of these traces and spans ("": the whole trace) alone."""
    if items is None:
        return golden_of(list_cases(database), said_by_item(database))
    ids = sorted(case_id_of(trace, span) for trace, span in items)
    said = said_by_item(database, sorted({trace for trace, _ in items}))
    found = golden_of(list_cases(database, ids=ids), {item: said[item] for item in items if item in said})
    return replace(found, known=frozenset(ids))


def keep_golden(database: TenantDatabase, items: Collection[tuple[str, str]], path: Path) -> GoldenChange:
    """Bring the lines of some traces and spans up to date: after a label, after an undo.

    Raises:
        BadInput: the file holds what is no case, or cannot be written.

    """
    return write_golden(read_golden(database, items), path)


def golden_of(rows: Iterable[CaseRow], said: Mapping[tuple[str, str], list[Mapping[str, Any]]]) -> Golden:
    """Return the same of the cases and of the labels that stand, by trace and span. Pure."""
    every = list(rows)
    disputed = {item for item, labels in said.items() if is_disputed(labels)}
    kept = [
        r.case
        for r in every
        if r.status is not CaseStatus.REJECTED
        and r.case.verdict is not None
        and item_of(r.case) in said
        and item_of(r.case) not in disputed
    ]
    return Golden(
        tuple(sorted(kept, key=lambda c: c.case_id)),
        tuple(sorted({trace for trace, _ in disputed})),
        frozenset(r.case.case_id for r in every),
    )


def write_golden(golden: Golden, path: Path, *, dry_run: bool = False) -> GoldenChange:
    """Bring a file up to date, in one step or not at all. Of two at once the second reads what the first wrote.

    Raises:
        BadInput: the file holds what is no case, or cannot be written.

    """
    is_nothing = not golden.cases and not path.is_file()
    with nullcontext() if dry_run or is_nothing else alone(path.parent):
        return _write(golden, path, dry_run=dry_run)


def _write(golden: Golden, path: Path, *, dry_run: bool) -> GoldenChange:
    there = _lines(path)
    wanted = {i: line for i, line in there.items() if i not in golden.known}
    wanted |= {c.case_id: to_json_line(case_to_json(c)) for c in golden.cases}
    before = read_text(path) if path.is_file() else ""
    text = _text(wanted)
    change = GoldenChange(
        path=path,
        cases=len(wanted),
        added=tuple(sorted(wanted.keys() - there.keys())),
        changed=tuple(sorted(i for i in wanted.keys() & there.keys() if wanted[i] != there[i])),
        removed=tuple(sorted(there.keys() - wanted.keys())),
        is_written=not dry_run and text != before,
        is_same=text == before,
    )
    if change.is_written:
        write_atomic(path, text)
    return change


def forget(path: Path, case_ids: Collection[str]) -> None:
    """Take cases out of a file, as erasing their traces demands: the database knows them no more.

    Raises:
        BadInput: the file holds what is no case, or cannot be written.

    """
    with alone(path.parent):
        write_atomic(path, _text({i: line for i, line in _lines(path).items() if i not in case_ids}))


def _lines(path: Path) -> dict[str, str]:
    """Return the lines of a file by case id, as they are written: what is not ours to change is not read further.

    Raises:
        BadInput: a line is no case.

    """
    if not path.is_file():
        return {}
    found: dict[str, str] = {}
    for line in read_text(path).split("\n"):
        if not line.strip():
            continue
        try:
            case_id = json.loads(line)["case_id"]
        except (ValueError, TypeError, KeyError, RecursionError):
            case_id = None
        if not isinstance(case_id, str) or case_id in found:
            load(str(path))  # says which line is wrong, and why
            raise BadInput(f"{path}: a line has no case_id of its own. Remove it, or give it one")
        found[case_id] = line
    return found


def _text(lines: Mapping[str, str]) -> str:
    return "".join(lines[i] + "\n" for i in sorted(lines))
