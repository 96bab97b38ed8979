"""K15: a job that writes a dataset is killed between the cases and their manifest.

Injected: SIGKILL of `dataset build`, of `promote` and of `synthesize --out` after the file of cases was written and
before the manifest was; run again with the same arguments.
Holds: the manifest is that of the version before, whole and readable, and so is the file of cases; the same command
then ends, and the file of cases has the bytes of one that nothing interrupted.
Figure: 2 cases before, 4 behind the kill, 4 in the end; of drafts 5, 15 and 15.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import pytest

from evalgate.dataset.store import read_cases, read_meta
from schema.case import dataset_version

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

QUESTIONS = (
    "Can I return my sofa within 90 days?",
    "Where is order ORD-8812?",
    "Do you ship to Norway?",
    "Who are you?",
)
SEED = """
import json, sys
from evalgate.database import TenantDatabase
from evalgate.review.cases import CaseEvent, record
from exporters.clickhouse.connect import connect
from exporters.clickhouse.migrate import migrate
from schema.case import parse_case
with connect(sys.argv[1], create_database=True) as opened:
    migrate(opened)
    cases = [parse_case(c) for c in json.loads(sys.argv[2])]
    for event in (CaseEvent.CREATED, CaseEvent.PROMOTED):
        record(TenantDatabase(opened, "default"), cases, event, actor="ann", reason="met")
"""


def case(number: int) -> dict[str, Any]:
    return {
        "case_id": f"case-{number}",
        "input": QUESTIONS[number],
        "verdict": "bad",
        "failure_mode": "policy_hallucination",
    }


def draft(number: int) -> dict[str, Any]:
    return case(number) | {"provenance": {"drafted_by": "ann", "run_id": "r1"}, "verdict": None}


def lines(*cases: dict[str, Any]) -> str:
    return "".join(json.dumps(c) + "\n" for c in cases)


def evalgate(folder: Path, *arguments: str, failpoint: str = "") -> int:
    """Run one command in a folder; return its exit code, negative when a signal ended it."""
    environment = {k: v for k, v in os.environ.items() if not k.startswith("EVALGATE_")}
    if failpoint:
        environment["EVALGATE_FAILPOINTS"] = failpoint
    command = [sys.executable, "-m", "evalgate.cli", *arguments]
    return subprocess.run(command, cwd=folder, env=environment, check=False, stdout=subprocess.DEVNULL).returncode


def check(
    folder: Path, other: Path, file: str, command: tuple[str, ...], failpoint: str, *, manifest: str
) -> tuple[int, int, int]:
    """Kill the command in one folder and not in the other; return the numbers of cases before, between and after."""
    place = folder / file
    before = place.read_bytes() if place.exists() else b""
    old = (folder / manifest).read_bytes()
    assert evalgate(folder, *command, failpoint=f"{failpoint}=exit") == -signal.SIGKILL
    assert (folder / manifest).read_bytes() == old, "the manifest is that of the version before"
    json.loads(old)
    between = read_cases(place)
    assert between, "the cases were written whole"
    assert place.read_bytes() != before, "the kill came behind them"
    assert evalgate(folder, *command) == 0
    assert evalgate(other, *command) == 0
    assert place.read_bytes() == (other / file).read_bytes()
    told = json.loads((folder / manifest).read_bytes())
    assert told["version"] == dataset_version(read_cases(place))
    assert evalgate(folder, *command) == 0, "once more changes nothing"
    assert place.read_bytes() == (other / file).read_bytes()
    return len(before.splitlines()), len(between), len(read_cases(place))


@pytest.fixture
def folders(tmp_path: Path) -> tuple[Path, Path]:
    """Return two projects with the same dataset, built."""
    first, second = tmp_path / "killed", tmp_path / "whole"
    (first / "evals/datasets").mkdir(parents=True)
    (first / "evals/datasets/d.quarantine.jsonl").write_text(lines(draft(0), draft(1)))
    assert evalgate(first, "promote", "--all", "--reason", "met", "--actor", "ann") == 0
    shutil.copytree(first, second)
    return first, second


def test_drafts_in_a_file(folders: tuple[Path, Path], record_property: Callable[[str, object], None]) -> None:
    for folder in folders:
        (folder / "evals/datasets/s.jsonl").write_text(lines(*map(case, range(3))))
    command = ("synthesize", "--dataset", "s", "--out", "drafts.jsonl", "--actor", "ann", "--count")
    assert [evalgate(f, *command, "5") for f in folders] == [0, 0]
    counts = check(
        *folders, "drafts.jsonl", (*command, "15"), "synthesize.before_manifest", manifest="drafts.meta.json"
    )
    assert (folders[0] / "drafts.meta.json").read_bytes() == (folders[1] / "drafts.meta.json").read_bytes()
    record_property("figure", f"synthesize: {counts}")


@pytest.mark.quick
def test_drafts_that_are_promoted(folders: tuple[Path, Path], record_property: Callable[[str, object], None]) -> None:
    killed, _ = folders
    quarantine = killed / "evals/datasets/d.quarantine.jsonl"
    quarantine.write_text(lines(draft(2), draft(3)))
    dataset, meta = killed / "evals/datasets/d.jsonl", killed / "evals/datasets/d.meta.json"
    old = meta.read_bytes()
    command = ("promote", "--all", "--reason", "met", "--actor", "ann")
    assert evalgate(killed, *command, failpoint="dataset.before_meta=exit") == -signal.SIGKILL
    assert (meta.read_bytes(), len(read_cases(dataset))) == (old, 4)
    written = dataset.read_bytes()
    assert evalgate(killed, *command) == 0
    assert dataset.read_bytes() == written, "nothing is promoted twice"
    assert not quarantine.exists()
    assert read_meta("d", dataset.parent).versions[-1].version == dataset_version(read_cases(dataset))
    record_property("figure", "promote: 2, 4, 4 cases")


@pytest.mark.timeout(240)
def test_a_dataset_that_is_built_from_the_database(
    tmp_path: Path, folders: tuple[Path, Path], record_property: Callable[[str, object], None]
) -> None:
    dsn = f"chdb://{tmp_path}/db"
    build = ("dataset", "build", "--name", "b", "--dsn", dsn)
    for numbers in (range(2), range(2, 4)):
        if numbers.start:
            assert [evalgate(f, *build) for f in folders] == [0, 0]
        seeding = [sys.executable, "-c", SEED, dsn, json.dumps([case(n) for n in numbers])]
        subprocess.run(seeding, check=True)
    counts = check(
        *folders, "evals/datasets/b.jsonl", build, "dataset.before_meta", manifest="evals/datasets/b.meta.json"
    )
    assert counts == (2, 4, 4)
    record_property("figure", f"dataset build: {counts}")
