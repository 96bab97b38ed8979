"""Promotion: with a reason, by somebody else, from the database and from files; drafts are run nowhere before."""

from __future__ import annotations

import json
import threading
from dataclasses import replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import pytest

from evalgate.app import run as evalgate
from evalgate.dataset.build import Filters, choose
from evalgate.dataset.quarantine import add_drafts, promote_drafts, quarantine_path, read_drafts
from evalgate.dataset.store import DATASETS, add_cases, load, load_leniently
from evalgate.errors import BadInput
from evalgate.review.cases import CaseRow, CaseStatus
from evalgate.review.promotion import check_promotion, is_own
from evalgate.work import map_in_threads
from schema.case import case_to_json, parse_case
from schema.draft import Approval
from tests.evalgate.synthesize.cases import draft
from tests.evalgate.synthesize.cases import plain as case

if TYPE_CHECKING:
    from pathlib import Path

    from schema.case import Case


DEADLINE_S = 30.0
AT = datetime(2026, 11, 20, 9, 0, tzinfo=UTC)


def test_a_draft_says_all_of_it_on_its_line() -> None:
    let_in = replace(draft(2), provenance=replace(draft(2).provenance, promoted=Approval("bea", AT.isoformat(), "ok")))
    for one in (draft(2), let_in, case(1)):
        assert parse_case(json.loads(json.dumps(case_to_json(one)))) == one
    assert (draft(2).provenance.is_draft, let_in.provenance.is_draft, case(1).provenance.is_draft) == (1, 0, 0)
    assert "synthesis" not in case_to_json(case(1))["provenance"]
    wrong = case_to_json(draft(2))
    wrong["provenance"]["synthesis"]["method"] = "magic"
    with pytest.raises(ValueError, match="'method' must be one of template, model"):
        parse_case(wrong)


@pytest.mark.parametrize("name", ["ann", " Ann ", "ANN", "\uff21nn", "ann\u200b", "\u00e4nn"])
def test_nobody_lets_in_his_own_variant_however_he_writes_his_name(name: str) -> None:
    assert is_own(draft(2), name)
    with pytest.raises(BadInput, match="nobody lets in his own drafts"):
        check_promotion([draft(2)], actor=name, reason="good")


def test_a_draft_wants_a_reason_and_a_labelled_case_none() -> None:
    check_promotion([draft(2)], actor="bea", reason="good")
    check_promotion([case(1)], actor="ann", reason="")
    with pytest.raises(BadInput, match="say why"):
        check_promotion([draft(2)], actor="bea", reason=" ")


def test_what_a_run_failed_is_nobodys_own() -> None:
    check_promotion([case(3, drafted_by="ann", run_id="r1")], actor="ann", reason="seen twice")


def test_a_draft_is_run_nowhere_wherever_its_line_lies(project: Path) -> None:
    add_cases("d", [case(1), draft(2)], criteria=None, at=AT)
    with pytest.raises(BadInput, match="1 of the 2 cases"):
        load("d")
    lenient = load_leniently("d")
    assert [c.case_id for c in lenient.cases] == ["case-1"]
    (aside,) = lenient.set_aside
    assert (aside.case_id, aside.line) == ("case-2", 2)
    add_cases("only", [draft(2)], criteria=None, at=AT)
    with pytest.raises(BadInput, match="a draft that nobody let in"):
        load_leniently("only")


def test_files_are_promoted_by_another_and_keep_who_and_why(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    add_cases("d", [case(1)], criteria=None, at=AT)
    add_drafts("d", [draft(2), draft(3, by="bea")])
    for arguments, words in (
        (["case-2", "--actor", "bea"], "say why"),
        (["case-2", "--reason", "r", "--actor", "Ann"], "nobody lets in his own drafts"),
        (["case-2", "case-3", "--reason", "r", "--actor", "bea"], "nothing was promoted"),
        (["--all", "--reason", "r", "--actor", "bea"], "only 2 synthesized drafts wait"),
        (["case-9", "--reason", "r"], "no case or draft begins with 'case-9'"),
        (["case-", "--reason", "r"], "not unique: case-2 (evals/datasets/d.quarantine.jsonl)"),
        (["--reason", "r"], "name cases"),
        (["--from", "x.jsonl", "--all", "--reason", "r"], "--dataset NAME"),
    ):
        assert evalgate(["promote", *arguments]) == 2
        assert words in capsys.readouterr().err
        assert len(read_drafts("d")) == 2
    assert evalgate(["promote", "--all", "--synthetic", "--reason", "heard so", "--actor", "bea"]) == 0
    told = capsys.readouterr().out
    assert "promoted: 1\nleft out: 1 draft that bea had made" in told
    one, two = load("d").cases
    assert two.provenance.promoted is not None
    assert (two.provenance.promoted.by, two.provenance.promoted.reason) == ("bea", "heard so")
    assert {one.cluster, two.cluster} == {"case-1"}, "a variant is no independent evidence"
    assert [c.case_id for c in read_drafts("d")] == ["case-3"]


def test_a_promotion_that_was_cut_short_is_finished(project: Path) -> None:
    add_drafts("d", [draft(2)])
    before = (DATASETS / "d.quarantine.jsonl").read_bytes()
    assert evalgate(["promote", "2", "--reason", "r", "--actor", "bea"]) == 0
    after = (DATASETS / "d.jsonl").read_bytes()
    (DATASETS / "d.quarantine.jsonl").write_bytes(before)
    assert evalgate(["promote", "2", "--reason", "again", "--actor", "cy"]) == 0
    assert (DATASETS / "d.jsonl").read_bytes() == after
    assert not (DATASETS / "d.quarantine.jsonl").exists()


def test_of_two_who_promote_at_once_none_loses_a_case(project: Path) -> None:
    drafts = [draft(n, by="ann") for n in range(2, 26)]
    add_drafts("d", drafts)
    start = threading.Barrier(len(drafts))

    def let_in(one: Case) -> None:
        start.wait(DEADLINE_S)
        promote_drafts("d", [one], Approval("bea", AT.isoformat(), "r"), quarantine_path("d"))

    assert len(map_in_threads(let_in, drafts, len(drafts))) == len(drafts)
    assert {c.case_id for c in load("d").cases} == {d.case_id for d in drafts}
    assert read_drafts("d") == ()
    with pytest.raises(BadInput, match="somebody else promoted them meanwhile"):
        promote_drafts("d", drafts[:1], Approval("cy", AT.isoformat(), "r"), quarantine_path("d"))


def test_files_keep_the_rule_for_whoever_moves_drafts(project: Path) -> None:
    add_drafts("d", [draft(2)])
    with pytest.raises(BadInput, match="nobody lets in his own drafts"):
        promote_drafts("d", [draft(2)], Approval("ann", AT.isoformat(), "r"), quarantine_path("d"))


def test_a_source_joins_the_cluster_of_its_variants_also_where_they_are_not_built() -> None:
    rows = [CaseRow(c, CaseStatus.PROMOTED, AT.isoformat()) for c in (case(1), draft(2))]
    assert {c.cluster for c in choose(rows, Filters()).cases} == {"case-1"}
    assert {c.cluster for c in choose(rows, Filters(sample=1)).cases} == {"case-1"}
    waiting = [rows[0], replace(rows[1], status=CaseStatus.QUARANTINED)]
    assert [c.cluster for c in choose(waiting, Filters()).cases] == [None]
