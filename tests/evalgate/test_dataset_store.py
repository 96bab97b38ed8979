"""Datasets on disk: no duplicates, a version per content, whole files or none."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import pytest

from evalgate.app import run as evalgate
from evalgate.dataset.build import Filters, choose
from evalgate.dataset.store import DATASETS, add_cases, list_names, load, read_meta
from evalgate.errors import BadInput
from evalgate.files import write_atomic
from evalgate.review.cases import CaseRow, CaseStatus
from schema.case import Case, Provenance, parse_case

if TYPE_CHECKING:
    from pathlib import Path

AT = datetime(2026, 11, 20, 9, 0, tzinfo=UTC)


def case(number: int, text: str = "?") -> Case:
    return parse_case({"case_id": f"case-{number}", "input": f"{number} {text}"})


def test_building_twice_changes_nothing(project: Path) -> None:
    first = add_cases("d", [case(2), case(1)], criteria="kind", at=AT)
    before = {p.name: p.read_bytes() for p in DATASETS.iterdir()}
    second = add_cases("d", [case(1), case(2)], criteria=None, at=AT + timedelta(days=1))
    assert {p.name: p.read_bytes() for p in DATASETS.iterdir()} == before
    assert first.added == ("case-1", "case-2")
    assert (second.added, second.changed, second.unchanged) == ((), (), 2)
    assert read_meta("d").criteria == "kind"


def test_a_changed_case_replaces_its_line_and_new_ones_join(project: Path) -> None:
    one = add_cases("d", [case(1), case(3)], criteria=None, at=AT)
    two = add_cases("d", [case(3, "reworded"), case(2)], criteria="c", at=AT)
    assert (two.added, two.changed) == (("case-2",), ("case-3",))
    ids = [json.loads(line)["case_id"] for line in (DATASETS / "d.jsonl").read_text().splitlines()]
    assert ids == ["case-1", "case-2", "case-3"]
    meta = read_meta("d")
    assert [v.version for v in meta.versions] == [one.dataset.version, two.dataset.version]
    assert [(v.cases, v.added, v.changed) for v in meta.versions] == [(2, 2, 0), (3, 1, 1)]
    assert load("d").version == two.dataset.version


def test_another_provenance_is_written_but_is_no_new_version(project: Path) -> None:
    add_cases("d", [case(1)], criteria=None, at=AT)
    moved = replace(case(1), provenance=Provenance(annotator="b"))
    change = add_cases("d", [moved], criteria=None, at=AT)
    assert change.changed == ("case-1",)
    assert len(read_meta("d").versions) == 1
    assert load("d").cases == (moved,)


def test_an_edit_by_hand_is_another_version(project: Path) -> None:
    built = add_cases("d", [case(1)], criteria=None, at=AT).dataset
    text = built.path.read_text()
    built.path.write_text(text.replace('"expected": {"output": null}', '"expected": {"output": "Yes."}'))
    assert load("d").version != built.version


@pytest.mark.parametrize(
    ("lines", "words"),
    [
        (["{}"], "line 1: a case lacks 'input'"),
        (['{"input": "a"}', "", "nonsense"], "line 3: this is not JSON: Expecting value at character 1"),
        (['{"input": "a"}', '{"input": "a"}'], "line 2: the case case-"),
        (['{"input": NaN}'], "line 1: NaN is not JSON"),
        (["[" * 100_000], "line 1: it is nested too deep"),
    ],
)
def test_a_wrong_line_is_named(project: Path, lines: list[str], words: str) -> None:
    DATASETS.mkdir(parents=True)
    (DATASETS / "d.jsonl").write_text("\n".join(lines))
    with pytest.raises(BadInput) as error:
        load("d")
    assert words in str(error.value)


def test_a_dataset_that_is_not_there_names_its_neighbour(project: Path) -> None:
    with pytest.raises(BadInput, match="Make one: evalgate dataset build --name refnds"):
        load("refnds")
    add_cases("refunds", [case(1)], criteria=None, at=AT)
    with pytest.raises(BadInput, match="Did you mean 'refunds'"):
        load("refnds")
    assert list_names() == ["refunds"]
    assert load("evals/datasets/refunds.jsonl").name == "refunds"


@pytest.mark.parametrize("name", ["", "../x", "a b", ".hidden", "x.json", "ü", "a" * 65])
def test_a_name_is_no_path(project: Path, name: str) -> None:
    with pytest.raises(BadInput, match="cannot name a dataset"):
        add_cases(name, [case(1)], criteria=None, at=AT)


def test_bytes_that_are_no_utf8_are_named(project: Path) -> None:
    DATASETS.mkdir(parents=True)
    (DATASETS / "d.jsonl").write_bytes(b'{"input": "\xff"}')
    with pytest.raises(BadInput, match="is not UTF-8: byte 11 is 0xff"):
        load("d")


def test_a_write_that_fails_leaves_the_old_file(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = project / "f.json"
    write_atomic(path, "old")

    def full(handle: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(BadInput, match=r"cannot write .*f\.json: No space left on device"):
        write_atomic(path, "new")
    assert path.read_text() == "old"
    assert [p.name for p in project.iterdir()] == ["f.json"]


def rows(*statuses: CaseStatus) -> list[CaseRow]:
    """Return cases with these statuses, one a day from AT on."""
    return [
        CaseRow(
            replace(
                case(n),
                feature="even" if n % 2 == 0 else "odd",
                failure_mode=f"m{n}",
                provenance=Provenance(start_time=(AT + timedelta(days=n)).isoformat(timespec="microseconds")),
            ),
            status,
            AT.isoformat(),
        )
        for n, status in enumerate(statuses)
    ]


def test_only_promoted_cases_are_chosen() -> None:
    choice = choose(rows(*CaseStatus, CaseStatus.PROMOTED), Filters())
    assert [c.case_id for c in choice.cases] == ["case-1", "case-3"]
    assert (choice.quarantined, choice.rejected) == (1, 1)


@pytest.mark.parametrize(
    ("filters", "ids"),
    [
        (Filters(feature="even"), ["case-0", "case-2"]),
        (Filters(failure_mode="m3"), ["case-3"]),
        (Filters(since=AT + timedelta(days=2)), ["case-2", "case-3"]),
    ],
)
def test_filters(filters: Filters, ids: list[str]) -> None:
    choice = choose(rows(*[CaseStatus.PROMOTED] * 4), filters)
    assert [c.case_id for c in choice.cases] == ids


def test_a_sample_is_the_same_each_time_and_grows_by_adding() -> None:
    many = rows(*[CaseStatus.PROMOTED] * 20)
    five = choose(many, Filters(sample=5))
    assert choose(list(reversed(many)), Filters(sample=5)) == five
    nine = choose(many, Filters(sample=9))
    assert {c.case_id for c in five.cases} < {c.case_id for c in nine.cases}
    assert (len(five.cases), five.unsampled) == (5, 15)


def test_a_damaged_dataset_is_told_and_hides_no_other(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    add_cases("good", [case(1)], criteria=None, at=AT)
    (DATASETS / "mine.jsonl").write_text('{"input": "a"}\n')
    (DATASETS / "bad.jsonl").write_text('{"input": "a"}\n{"inptu": "b"}\n')
    assert evalgate(["dataset", "list"]) == 0
    out, err = capsys.readouterr()
    assert next(line.split()[:2] for line in out.splitlines()[1:]) == ["bad", "damaged"]
    assert any(line.startswith("good") for line in out.splitlines())
    assert [line.split()[0] for line in out.splitlines() if "(written by hand)" in line] == ["mine"]
    assert "bad.jsonl line 2: a case lacks 'input'" in err
    assert evalgate(["dataset", "list", "--json"]) == 0
    bad, good, _ = json.loads(capsys.readouterr().out)
    assert ("line 2" in bad["damaged"], good["cases"]) == (True, 1)


def test_lines_that_a_person_wrote_stay_as_they_are_when_cases_join(project: Path) -> None:
    mine = '{"case_id": "z",   "input": "first of all"}\n\n{"input": "and this"}'
    path = DATASETS / "d.jsonl"
    path.parent.mkdir(parents=True)
    path.write_text(mine)
    change = add_cases("d", [case(1), case(2)], criteria=None, at=AT)
    lines = path.read_text().splitlines()
    assert "\n".join(lines[:3]) == mine
    assert [json.loads(line)["case_id"] for line in lines[3:]] == ["case-1", "case-2"]
    assert load("d").version == change.dataset.version == read_meta("d").versions[-1].version
    replaced = add_cases("d", [parse_case({"case_id": "z", "input": "other"})], criteria=None, at=AT)
    assert replaced.changed == ("z",)
    after = path.read_text().splitlines()
    assert json.loads(after[0])["input"]["text"] == "other"
    assert after[1:] == lines[1:]
