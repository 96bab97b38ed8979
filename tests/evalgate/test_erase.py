"""Cases made of erased traces leave the datasets; what else names them is listed."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import pytest

from evalgate.dataset.quarantine import add_drafts, read_drafts
from evalgate.dataset.store import add_cases, load, read_meta
from evalgate.erase.commands import _erasure, _verdict
from evalgate.erase.datasets import erase, mentions
from evalgate.errors import BadInput
from schema.case import Provenance
from schema.erasure import Erased
from tests.evalgate.synthesize.cases import MADE, draft
from tests.evalgate.test_dataset_store import case

if TYPE_CHECKING:
    from pathlib import Path

NOW = datetime(2026, 11, 21, tzinfo=UTC)
HERS, HIS = "a" * 32, "b" * 32


@pytest.fixture
def datasets(tmp_path: Path) -> Path:
    cases = [replace(case(i), provenance=Provenance(trace_id=t)) for i, t in enumerate((HERS, HIS, HERS, None))]
    add_cases("mixed", cases, criteria="be kind", at=NOW, root=tmp_path)
    add_cases("his", cases[1:2], criteria=None, at=NOW, root=tmp_path)
    return tmp_path


def test_what_would_go_is_shown_and_nothing_changed(datasets: Path) -> None:
    before = {p.name: p.read_bytes() for p in datasets.iterdir()}
    (shown,) = erase([HERS], at=NOW, only_show=True, root=datasets)
    assert (shown.place, shown.count) == (str(datasets / "mixed.jsonl"), 2)
    assert {p.name: p.read_bytes() for p in datasets.iterdir()} == before


def test_cases_go_and_the_new_version_is_noted(datasets: Path) -> None:
    old = load("mixed", datasets).version
    (done,) = erase([HERS], at=NOW, only_show=False, root=datasets)
    left = load("mixed", datasets)
    assert {c.provenance.trace_id for c in left.cases} == {HIS, None}
    meta = read_meta("mixed", datasets)
    assert (meta.criteria, [v.version for v in meta.versions]) == ("be kind", [old, left.version])
    assert (meta.versions[-1].removed, left.version in done.note) == (2, True)
    assert erase([HERS], at=NOW, only_show=False, root=datasets) == []


def test_a_variant_in_which_the_words_of_another_trace_stand_goes_with_either(datasets: Path) -> None:
    mixed = replace(draft(7), provenance=replace(draft(7).provenance, synthesis=replace(MADE, also_from=(HERS,))))
    add_drafts("his", [mixed], datasets)
    assert mixed.provenance.trace_id not in (HERS, HIS)
    erase([HIS], at=NOW, only_show=False, root=datasets)
    assert read_drafts("his", datasets) == (mixed,)
    erase([HERS], at=NOW, only_show=False, root=datasets)
    assert read_drafts("his", datasets) == ()


def test_a_file_that_cannot_be_written_is_left_and_listed(datasets: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(path: Path, text: str) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr("evalgate.dataset.store.write_atomic", refuse)
    (told,) = erase([HERS], at=NOW, only_show=False, root=datasets)
    assert told.is_left
    assert all(c.case_id in told.note for c in load("mixed", datasets).cases if c.provenance.trace_id == HERS)


def test_other_files_that_name_a_trace_are_listed_and_the_database_is_not_looked_into(tmp_path: Path) -> None:
    for name in ("evals/reports/run.json", ".evalgate/runs/1.jsonl", ".evalgate/data/status.json", "evals/other.json"):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps({"trace": HIS if "other" in name else HERS.upper()}))
    found = mentions([HERS], [tmp_path / "evals", tmp_path / ".evalgate"])
    assert [e.place.removeprefix(str(tmp_path)) for e in found] == [
        "/evals/reports/run.json",
        "/.evalgate/runs/1.jsonl",
    ]
    assert all(e.is_left for e in found)


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ((None, None, None), "say what to erase"),
        ((["a" * 32], "u", None), "not both"),
        ((["short"], None, None), "32 hex digits"),
        ((None, "", None), "want a name"),
    ],
)
def test_what_is_to_go_must_be_said_clearly(
    arguments: tuple[list[str] | None, str | None, str | None], says: str
) -> None:
    with pytest.raises(BadInput, match=says):
        _erasure(*arguments)


FILES = Erased("journal", "files", 2)
FEEDBACK = Erased("feedback", "rows", 1)
LEFT = Erased("journal", "waiting", 3, is_left=True)


@pytest.mark.parametrize(
    ("traces", "found", "again", "says", "not_says"),
    [
        ((), [FILES], None, "Nothing was stored", "Erased"),
        ((), [FILES], "again", "Nothing is stored", "Erased"),
        ((), [FEEDBACK], None, "Erased: what belongs to no trace", "Nothing"),
        ((HERS,), [FILES], None, "Erased: 1 trace.", "Nothing"),
        ((HERS,), [FEEDBACK], "again", "1 trace: again", "Erased"),
        ((), [LEFT], None, "Not everything is erased: 1 place", "Nothing"),
    ],
)
def test_the_last_sentence_says_one_thing(
    traces: tuple[str, ...], found: list[Erased], again: str | None, says: str, not_says: str
) -> None:
    told = _verdict(traces, found, again=again)
    assert says in told
    assert not_says not in told
