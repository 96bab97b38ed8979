"""Versions of a dataset: the file, its commits, its builds; and what is different between two."""

from __future__ import annotations

import json
import subprocess
from dataclasses import replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import pytest

from evalgate.app import run as evalgate
from evalgate.dataset.diff import diff
from evalgate.dataset.store import DATASETS, add_cases
from evalgate.dataset.versions import compare, list_datasets, version_cases, versions
from evalgate.errors import BadInput
from schema.case import Case, Provenance, parse_case

if TYPE_CHECKING:
    from pathlib import Path

AT = datetime(2026, 11, 20, 9, 0, tzinfo=UTC)


def case(number: int, text: str = "?", **fields: object) -> Case:
    return parse_case({"case_id": f"case-{number}", "input": f"{number} {text}", **fields})


def git(folder: Path, *arguments: str) -> None:
    identity = ("-c", "user.name=Ada", "-c", "user.email=ada@example.com", "-c", "commit.gpgsign=false")
    subprocess.run(["git", "-C", str(folder), *identity, *arguments], check=True, capture_output=True)


def commit(folder: Path, message: str) -> None:
    git(folder, "add", "evals")
    git(folder, "commit", "-q", "-m", message)


@pytest.fixture
def repository(project: Path) -> Path:
    git(project, "init", "-q")
    return project


def test_a_diff_names_cases_and_fields() -> None:
    old = [case(1), case(2), case(3)]
    new = [replace(case(2), expected_output="Yes.", tags=("a",)), replace(case(3), provenance=Provenance()), case(4)]
    found = diff(old, new)
    assert [c.case_id for c in found.added] == ["case-4"]
    assert [c.case_id for c in found.removed] == ["case-1"]
    (change,) = found.changed
    assert [(f.name, f.before, f.after) for f in change.fields] == [
        ("expected.output", None, "Yes."),
        ("tags", None, '["a"]'),
    ]
    assert (change.is_judged_anew, found.unchanged, found.is_empty) == (True, 1, False)
    assert diff(old, reversed(old)).is_empty, "the order of lines is no difference"


def test_where_a_case_came_from_is_a_change_that_nothing_is_judged_by() -> None:
    (change,) = diff([case(1)], [replace(case(1), provenance=Provenance(annotator="b"))]).changed
    assert [f.name for f in change.fields] == ["provenance.annotator"]
    assert not change.is_judged_anew


def test_versions_are_the_file_its_commits_and_its_builds(repository: Path) -> None:
    first = add_cases("d", [case(1)], criteria=None, at=AT).dataset
    commit(repository, "one")
    lost = add_cases("d", [case(2)], criteria=None, at=AT).dataset
    last = add_cases("d", [case(3)], criteria=None, at=AT).dataset
    commit(repository, "three; | %x00")
    (DATASETS / "d.jsonl").write_text((DATASETS / "d.jsonl").read_text() + "\n")
    commit(repository, "a blank line says nothing new")
    known = versions(repository, "d")
    assert {v.version for v in known} == {first.version, lost.version, last.version}
    assert (known[0].version, known[0].subject, known[0].author) == (last.version, "three; | %x00", "Ada")
    assert known[0].is_current
    assert known[0].built_at == AT.isoformat()
    by_version = {v.version: v for v in known}
    assert by_version[first.version].added == 1
    assert not by_version[lost.version].can_be_read
    (DATASETS / "d.jsonl").write_text('{"case_id": "case-9", "input": "by hand"}\n')
    now, *rest = versions(repository, "d")
    assert (now.commit, now.built_at, now.is_current, now.cases) == (None, None, True, 1)
    assert (now.added, now.removed) == (1, 3)
    assert not rest[0].is_current


def test_a_version_is_asked_for_by_hash_or_commit(repository: Path) -> None:
    first = add_cases("d", [case(1)], criteria=None, at=AT).dataset
    commit(repository, "one")
    add_cases("d", [case(2)], criteria=None, at=AT)
    commit(repository, "two")
    assert version_cases(repository, "d", first.version[:6])[1] == (case(1),)
    compared = compare(repository, "d")
    assert (compared.before.version, [c.case_id for c in compared.diff.added]) == (first.version, ["case-2"])
    hexes = compared.after.commit or ""
    assert compare(repository, "d", hexes[:10], first.version).diff.removed == (case(2),)
    for wanted, words in (("ffffffff", "has no version"), ("ab", "too short"), ("--all", "has no version")):
        with pytest.raises(BadInput, match=words):
            compare(repository, "d", wanted)


def test_without_git_there_is_the_file_and_its_builds(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    add_cases("d", [case(1)], criteria="kind", at=AT)
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(project.parent))
    (one,) = versions(project, "d")
    assert (one.commit, one.built_at, one.cases) == (None, AT.isoformat(), 1)
    with pytest.raises(BadInput, match=r"nothing older .* git commits: commit evals/datasets/d\.jsonl now"):
        compare(project, "d")
    monkeypatch.setenv("PATH", "")
    assert len(versions(project, "d")) == 1


def test_datasets_are_listed_with_what_waits_beside_them(project: Path) -> None:
    assert list_datasets(project) == []
    add_cases("d", [case(1, failure_mode="rude"), case(2)], criteria="kind", at=AT)
    (DATASETS / "d.quarantine.jsonl").write_text('{"input": "draft"}\n')
    (DATASETS / "broken.jsonl").write_text("{\n")
    broken, good = list_datasets(project)
    assert "broken.jsonl line 1" in (broken.damaged or "")
    assert (good.name, good.cases, good.drafts, good.criteria, good.is_built) == ("d", 2, 1, "kind", True)
    assert good.modes == ("rude",)


def test_the_commands_tell_versions_and_differences(repository: Path, capsys: pytest.CaptureFixture[str]) -> None:
    add_cases("d", [case(1)], criteria=None, at=AT)
    commit(repository, "one\u202e")
    add_cases("d", [replace(case(1), expected_output="No\x1b[2J"), case(2)], criteria=None, at=AT)
    assert evalgate(["dataset", "diff", "d"]) == 0
    told = capsys.readouterr().out
    assert "1 added, 0 removed, 1 changed, 0 unchanged" in told
    assert "expected.output: (nothing) → No\\x1b[2J" in told
    assert evalgate(["dataset", "diff", "d", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["changed"][0]["fields"] == [{"name": "expected.output", "before": None, "after": "No\x1b[2J"}]
    assert evalgate(["dataset", "show", "d"]) == 0
    assert "built, not committed" in capsys.readouterr().out
    assert evalgate(["dataset", "diff", "e"]) == 2
    assert "there is no dataset 'e'" in capsys.readouterr().err
