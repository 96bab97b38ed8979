"""What a run failed becomes drafts; a person lets them in."""

from __future__ import annotations

import json
from contextlib import nullcontext
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from evalgate.app import run as evalgate
from evalgate.dataset.drafts import drafts_of
from evalgate.dataset.provenance import with_approvals
from evalgate.dataset.store import list_names, load
from evalgate.erase.database import OF_CASE
from evalgate.erase.datasets import erase
from evalgate.errors import BadInput
from evalgate.review.cases import CaseEvent, CaseStatus, case_history, list_cases, record
from evalgate.review.promotion import is_own
from evalgate.run_files import save_run
from schema.case import parse_case
from schema.evaluator import Score
from schema.run import ErrorKind, EvaluatorUsed
from tests.evalgate.builders import TRACE, attempt, refund_cases, result, run_of, write_project
from tests.evalgate.synthesize.cases import MADE, SOFA, TABLE, draft, failure

if TYPE_CHECKING:
    from schema.run import Run
    from tests.evalgate.traffic import Traffic

QUARANTINE = Path("evals/datasets/d.quarantine.jsonl")
USED = [EvaluatorUsed("e", "v", "m"), EvaluatorUsed("tone", "v", "rude")]


def scores(*, e: bool = True, tone: bool = True) -> tuple[Score, ...]:
    return (Score("e", float(e), e, "because"), Score("tone", float(tone), tone, "because"))


def failing(**verdicts: bool) -> Run:
    """Return a run of one case of mode m."""
    one = result(
        "case-0",
        trace_id=TRACE,
        attempts=[
            attempt(1, scores=scores(**verdicts), output="Go away.", tool_calls=[{"name": "t", "arguments": {}}])
        ],
    )
    return run_of([one], USED)


def test_a_failure_of_another_mode_is_a_draft_without_a_verdict() -> None:
    source = parse_case({"case_id": "case-0", "input": "asked", "failure_mode": "m"})
    run = failing(tone=False)
    run = replace(run, results=(replace(run.results[0], content_hash=source.content_hash),))
    (draft,) = drafts_of(run, [source], "ann").cases
    assert (draft.verdict, draft.failure_mode, draft.input) == (None, "rude", source.input)
    assert (draft.observed.output, draft.observed.tool_calls) == ("Go away.", ({"name": "t", "arguments": {}},))
    assert (draft.provenance.run_id, draft.provenance.trace_id) == (run.run_id, TRACE)
    assert (draft.tags, draft.cluster) == (("from:case-0",), "case-0")
    assert drafts_of(replace(run, run_id="r9"), [source], "ann").cases[0].case_id == draft.case_id, (
        "the same failure again"
    )


def test_a_failure_that_the_case_is_there_for_is_no_news() -> None:
    found = drafts_of(failing(e=False), [], "ann")
    assert (found.cases, found.known) == ((), 1)


def test_errors_passes_and_a_lone_failure_of_several_attempts_make_no_draft() -> None:
    broke = run_of([result("a", error=ErrorKind.TIMEOUT), result("b")])
    assert drafts_of(broke, [], "ann").cases == ()
    lone = result("c", attempts=[attempt(n, scores=scores(tone=n != 1)) for n in (1, 2, 3)])
    assert drafts_of(run_of([lone], USED), [], "ann").cases == ()


def test_without_the_dataset_the_text_of_the_question_is_taken() -> None:
    (draft,) = drafts_of(failing(tone=False), [], "ann").cases
    assert draft.input.text == "asked"
    run = failing(tone=False)
    blind = replace(run, results=(replace(run.results[0], input_text=None),))
    found = drafts_of(blind, [], "ann")
    assert (found.cases, found.without_input) == ((), 1)


def test_what_a_run_failed_of_a_variant_is_nobodys_own_and_is_erased_with_it() -> None:
    run = failing(tone=False)
    variant = replace(run.results[0].provenance, synthesis=replace(MADE, also_from=(TRACE,)), drafted_by="ann")
    run = replace(run, results=(replace(run.results[0], provenance=variant),))
    (made,) = drafts_of(run, [], "ann").cases
    assert made.provenance.is_draft
    assert not is_own(made, "ann")
    assert TRACE in made.provenance.traces


def test_drafts_lie_beside_the_dataset_until_they_are_promoted(
    project: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_project(project, refund_cases(1))
    save_run(failing(tone=False))
    assert evalgate(["dataset", "build", "--name", "d", "--from-run", "latest", "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    (draft,) = told["quarantined"]
    assert told["place"] == str(QUARANTINE)
    assert len(load("d").cases) == 1
    assert list_names() == ["d"], "a quarantine is no dataset"
    assert evalgate(["dataset", "build", "--name", "d", "--from-run", "latest"]) == 0
    assert (
        "0 drafts quarantined in evals/datasets/d.quarantine.jsonl; left out: 1 drafted earlier"
        in capsys.readouterr().out
    )
    assert evalgate(["promote", "--dataset", "d", "--list"]) == 0
    assert draft in capsys.readouterr().out
    assert evalgate(["promote", "--dataset", "d", "--reason", "x"]) == 2
    assert evalgate(["promote", "--dataset", "d", "case-ffff", "--reason", "x"]) == 2
    assert evalgate(["promote", draft[:12], "--reason", "seen twice"]) == 0
    assert [c.case_id for c in load("d").cases] == sorted(["case-0", draft])
    assert {c.cluster for c in load("d").cases} == {"case-0"}, "the same question is no independent evidence"
    assert not QUARANTINE.exists()
    capsys.readouterr()
    assert evalgate(["dataset", "build", "--name", "d", "--from-run", "latest"]) == 0
    assert "; left out: 1 drafted earlier" in capsys.readouterr().out


def test_a_run_without_news_says_so(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_project(project, refund_cases(1))
    save_run(failing(e=False))
    assert evalgate(["dataset", "build", "--name", "d", "--from-run", "latest"]) == 2
    assert "1 failed what the case is there for, which is no news" in capsys.readouterr().err


def test_where_there_is_a_database_drafts_are_cases_there(
    traffic: Traffic, project: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    write_project(project, refund_cases(1))
    save_run(failing(tone=False))
    monkeypatch.setattr("evalgate.dataset.from_run.open_tenant", lambda *_, **__: _Opened(traffic))
    assert evalgate(["dataset", "build", "--name", "d", "--from-run", "latest", "--dsn", "x", "--by", "ann"]) == 0
    assert "1 draft quarantined in the database" in capsys.readouterr().out
    (row,) = list_cases(traffic.database)
    assert (row.status, row.case.failure_mode, row.case.provenance.run_id) == (CaseStatus.QUARANTINED, "rude", "r1")
    (event,) = case_history(traffic.database, row.case.case_id)
    assert (event["actor"], event["reason"]) == ("ann", "failed in run r1")
    assert not QUARANTINE.exists()


def test_in_the_database_drafts_are_quarantined_cases(
    traffic: Traffic, project: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    database = traffic.database
    source = failure(1)
    record(database, [source, failure(2, TABLE)], CaseEvent.CREATED, actor="ann", reason="labelled")
    record(database, [failure(2, TABLE)], CaseEvent.REJECTED, actor="ann", reason="private")
    for module in ("synthesize.sources", "synthesize.write"):
        monkeypatch.setattr(f"evalgate.{module}.open_tenant", lambda *_, **__: nullcontext(database))
    command = ["synthesize", "--dsn", "x", "--count", "9", "--actor", "ann"]
    assert evalgate([*command, "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    rows = [r for r in list_cases(database) if r.case.provenance.synthesis]
    assert len(rows) == told["made"] == 9
    assert {r.status for r in rows} == {CaseStatus.QUARANTINED}
    assert {r.case.cluster for r in rows} == {source.case_id}, "a rejected case is no source"
    (event,) = case_history(database, rows[0].case.case_id)
    assert (event["actor"], event["reason"]) == ("ann", "synthesized from case-1")
    record(database, [rows[0].case], CaseEvent.REJECTED, actor="bea", reason="no")
    assert evalgate(command) == 0
    assert "0 new drafts, 9 there already" in capsys.readouterr().out
    assert SOFA not in {r.case.input.text for r in rows if not r.case.input.messages[1:]}


def test_the_database_keeps_the_rule_for_whoever_writes_to_it(traffic: Traffic) -> None:
    database = traffic.database
    record(database, [draft(2)], CaseEvent.CREATED, actor="ann", reason="made")
    with pytest.raises(BadInput, match="nobody lets in his own drafts"):
        record(database, [draft(2)], CaseEvent.PROMOTED, actor="ann", reason="good")
    record(database, [draft(2)], CaseEvent.PROMOTED, actor="bea", reason="good")
    assert [e["event"] for e in case_history(database, "case-2")] == ["created", "promoted"]
    (row,) = list_cases(database)
    (built,) = with_approvals([row.case], database)
    assert built.provenance.promoted is not None
    assert (built.provenance.promoted.by, built.provenance.promoted.reason) == ("bea", "good")
    assert not built.provenance.is_draft


def test_a_variant_is_erased_with_each_trace_whose_words_stand_in_it(traffic: Traffic) -> None:
    database = traffic.database
    both = replace(draft(2), provenance=replace(draft(2).provenance, synthesis=replace(MADE, also_from=(TRACE,))))
    record(database, [both, draft(3)], CaseEvent.CREATED, actor="ann", reason="made")
    statement = f"SELECT DISTINCT case_id FROM case_events WHERE {OF_CASE} ORDER BY case_id"
    for trace, ids in ((TRACE, ["case-2"]), ("ab" * 16, ["case-2", "case-3"]), ("cd" * 16, [])):
        assert [r["case_id"] for r in database.opened.rows(statement, {"ids": [trace]})] == ids


class _Opened:
    """The database of the test in place of one that a DSN names."""

    def __init__(self, traffic: Traffic) -> None:
        self.traffic = traffic

    def __enter__(self) -> object:
        return self.traffic.database

    def __exit__(self, *_: object) -> None:
        pass


def test_erasing_a_trace_takes_its_drafts_along(project: Path) -> None:
    write_project(project, [])
    save_run(failing(tone=False))
    assert evalgate(["dataset", "build", "--name", "d", "--from-run", "latest"]) == 0
    erase([TRACE], at=datetime(2026, 11, 21, tzinfo=UTC), only_show=False)
    assert QUARANTINE.read_text() == ""
