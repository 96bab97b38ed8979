"""The golden dataset: what people judged and agree about, in a file of which every byte is certain."""

from __future__ import annotations

import asyncio
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, datetime
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest

from evalgate.align.sources import known_of, read_known
from evalgate.dataset.golden import Golden, golden_of, golden_path, read_golden, write_golden
from evalgate.dataset.store import load
from evalgate.erase.datasets import erase
from evalgate.errors import BadInput
from evalgate.files import to_json_line
from evalgate.issues.read import Recorded
from evalgate.review.cases import CaseRow, CaseStatus
from evalgate.web.golden import keeping
from schema.case import Case, CaseInput, Observed, Provenance, case_id_of, case_to_json
from schema.verdict import Verdict

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

A, B, C = ("0a" * 16, "0b" * 16, "0c" * 16)


def case(trace_id: str, verdict: Verdict | None = Verdict.BAD, mode: str | None = "tone") -> Case:
    return Case(
        case_id=f"case-{trace_id[:4]}",
        input=CaseInput((), "Can I return my shoes?"),
        observed=Observed("You have 90 days."),
        verdict=verdict,
        failure_mode=mode,
        provenance=Provenance(trace_id=trace_id, annotator="ann", labelled_at="2026-11-20T09:00:00.000000+00:00"),
    )


def row(made: Case, status: CaseStatus = CaseStatus.QUARANTINED) -> CaseRow:
    return CaseRow(made, status, "2026-11-20T09:00:00.000000+00:00")


def said(annotator: str, verdict: str, mode: str = "", *, role: str = "label", at: int = 1) -> dict[str, Any]:
    words = {"annotator": annotator, "verdict": verdict, "failure_mode": mode, "role": role}
    return {**words, "span_id": "", "annotation_id": annotator, "created_unix_us": at}


def golden(*cases: Case) -> Golden:
    return golden_of([row(c) for c in cases], {(c.provenance.trace_id or "", ""): [said("ann", "bad")] for c in cases})


def test_what_people_agree_about_is_in_it() -> None:
    drafted = replace(case("0d" * 16), case_id="case-draft")
    rows = [
        row(case(A)),
        row(case(B)),
        row(case(C), CaseStatus.REJECTED),
        row(drafted),
        row(case("0e" * 16, None, None)),
    ]
    found = golden_of(
        rows,
        {
            (A, ""): [said("ann", "bad", "tone"), said("bob", "bad")],
            (B, ""): [said("ann", "bad", "tone"), said("bob", "good", at=2)],
            (C, ""): [said("ann", "bad")],
            ("0e" * 16, ""): [said("ann", "bad")],
        },
    )
    assert [c.case_id for c in found.cases] == ["case-0a0a"]
    assert found.disputed == (B,)
    assert (found.by_verdict, found.by_mode) == ({"bad": 1}, {"tone": 1})
    decided = golden_of(
        rows, {(B, ""): [said("ann", "bad"), said("bob", "good"), said("eve", "bad", role="adjudication")]}
    )
    assert [c.case_id for c in decided.cases] == ["case-0b0b"]


def test_the_file_is_the_same_byte_for_byte_whoever_writes_it(tmp_path: Path) -> None:
    path = tmp_path / "labels.jsonl"
    first = write_golden(golden(case(B), case(A)), path)
    text = path.read_bytes()
    assert (first.added, first.is_written, first.cases) == (("case-0a0a", "case-0b0b"), True, 2)
    assert "2 cases" in first.words
    again = write_golden(golden(case(A), case(B)), path)
    assert (again.is_same, again.is_written, path.read_bytes()) == (True, False, text)
    assert "up to date" in again.words
    assert [c.case_id for c in load(str(path)).cases] == ["case-0a0a", "case-0b0b"]


def test_undone_and_disputed_ones_go_and_those_of_another_database_stay(tmp_path: Path) -> None:
    path = tmp_path / "labels.jsonl"
    write_golden(golden(case(A), case(C)), path)
    rows = [row(case(A), CaseStatus.REJECTED), row(case(B))]
    mine = golden_of(rows, {(B, ""): [said("ann", "bad")]})
    check = write_golden(mine, path, dry_run=True)
    assert (check.added, check.removed, check.is_written, check.is_same) == (
        ("case-0b0b",),
        ("case-0a0a",),
        False,
        False,
    )
    assert "1 new, 1 removed" in check.words
    assert "evalgate golden export" in check.words
    change = write_golden(mine, path)
    assert [c.case_id for c in load(str(path)).cases] == ["case-0b0b", "case-0c0c"]
    assert change.to_json()["is_up_to_date"] is True
    relabelled = golden_of([row(case(B, Verdict.GOOD, None))], {(B, ""): [said("ann", "good")]})
    assert write_golden(relabelled, path).changed == ("case-0b0b",)


def test_nothing_labelled_writes_nothing(tmp_path: Path) -> None:
    path = tmp_path / "golden/labels.jsonl"
    assert write_golden(golden(), path).is_same
    assert not path.parent.exists()


def test_labels_given_at_once_all_land_in_it(tmp_path: Path) -> None:
    path = tmp_path / "labels.jsonl"
    each = [golden(case(f"{n:02x}" * 16)) for n in range(16)]
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda one: write_golden(one, path), each))
    assert len(load(str(path)).cases) == 16


def test_a_damaged_file_is_not_overwritten(tmp_path: Path) -> None:
    path = tmp_path / "labels.jsonl"
    path.write_text("{nonsense\n")
    with pytest.raises(BadInput, match=r"labels\.jsonl"):
        write_golden(golden(case(A)), path)
    assert path.read_text() == "{nonsense\n"


def test_a_name_is_no_path() -> None:
    with pytest.raises(BadInput, match="cannot name a dataset"):
        golden_path("../labels")


def test_evaluators_are_aligned_on_it(tmp_path: Path) -> None:
    path = tmp_path / "labels.jsonl"
    write_golden(golden(case(A)), path)
    known = read_known([str(path)], None, None, snapshot=tmp_path / "issues.jsonl")
    assert [(i.failure_mode) for i in known.issues] == ["tone"]
    assert [c.verdict for c in known.cases] == [Verdict.BAD]


def test_what_is_erased_goes_from_it_too(tmp_path: Path) -> None:
    path = tmp_path / "golden/labels.jsonl"
    write_golden(golden(case(A), case(B)), path)
    for only_show in (True, False):
        (told,) = erase([A], at=datetime.now(UTC), only_show=only_show, root=tmp_path / "datasets", golden=path.parent)
        assert (told.count, told.is_left) == (1, False)
    assert [c.case_id for c in load(str(path)).cases] == ["case-0b0b"]


def test_labels_of_the_database_are_read_with_who_differs() -> None:
    class Answers:
        """A database that answers from a list."""

        def rows(self, sql: str, parameters: object = None) -> list[dict[str, Any]]:  # noqa: ARG002 - the seam
            if "tenant_annotations" in sql:
                return [{**said("ann", "bad"), "trace_id": A}, {**said("bob", "good"), "trace_id": A}]
            return []

    assert read_golden(Answers()).disputed == (A,)  # type: ignore[arg-type]  # answers what is asked of it here


def test_no_evaluator_is_measured_on_what_reviewers_differ_about() -> None:
    class Answers:
        """A database that answers from a list."""

        def rows(self, sql: str, parameters: object = None) -> list[dict[str, Any]]:  # noqa: ARG002 - the seam
            if "groupArray" in sql:  # how far people agree, by failure mode
                return []
            differing = [said("ann", "bad", "tone"), said("bob", "good")]
            return [{**x, "trace_id": A} for x in differing] + [{**said("ann", "bad"), "trace_id": B}]

    recorded = Recorded((), {}, (row(case(A)), row(case(B)), row(case(C))))
    known = known_of(Answers(), recorded)  # type: ignore[arg-type]  # as above
    assert [c.case_id for c in known.cases] == ["case-0b0b", "case-0c0c"]
    (remark,) = known.remarks
    assert "1 case is left out, for reviewers differ" in remark


@pytest.mark.parametrize("asks_for_keys", [False, True])
def test_pages_write_the_file_of_one_person_only(tmp_path: Path, *, asks_for_keys: bool) -> None:
    async def write(_request: object, work: Callable[[Any], None]) -> None:
        work(Answers())

    class Answers:
        """A database that answers from a list."""

        def rows(self, sql: str, parameters: object = None) -> list[dict[str, Any]]:  # noqa: ARG002 - the seam
            body = to_json_line(case_to_json(replace(case(A), case_id=case_id_of(A, ""))))
            if "tenant_annotations" in sql:
                return [{**said("ann", "bad"), "trace_id": A}]
            return [{"body": body, "status": "quarantined", "created_unix_us": 0}]

    site: Any = SimpleNamespace(
        gate=SimpleNamespace(asks_for_keys=asks_for_keys), folder=lambda _: tmp_path, write=write
    )
    request: Any = None
    task = keeping(site, request, A)
    assert (task is None) == asks_for_keys
    if task is not None:
        asyncio.run(task())
        (kept,) = load(str(tmp_path / golden_path("labels"))).cases
        assert kept.provenance.trace_id == A
