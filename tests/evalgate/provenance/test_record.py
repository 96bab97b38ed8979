"""Chains are recorded from the database by dataset build, and the database is asked whether they are still true."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from evalgate.app import run as evalgate
from evalgate.dataset.chains import read_chains
from evalgate.dataset.store import load
from evalgate.erase.datasets import erase, mentions
from evalgate.provenance.stored import ask
from evalgate.review.cases import CaseEvent, list_cases, record
from evalgate.review.labels import draft, save, undo, utc_now
from schema.provenance import case_hash
from schema.verdict import Label, Verdict
from tests.evalgate.builders import WINDOW

if TYPE_CHECKING:
    from evalgate.database import TenantDatabase
    from schema.provenance import Chain
    from tests.evalgate.traffic import Traffic

A, B = "0a" * 16, "0b" * 16
CHAINS = Path("evals/datasets/support.provenance.jsonl")


@pytest.fixture
def built(project: Path, traffic: Traffic, dsn: str, capsys: pytest.CaptureFixture[str]) -> dict[str, Chain]:
    """Label two traces, promote their cases and build a dataset; return its chains."""
    database = traffic.database
    for trace in (A, B):
        traffic.refund(trace)
        label = Label(trace, "", Verdict.BAD, "policy_hallucination", "You have 30 days.", "wrong window", "ann")
        save(database, [draft(database, label)])
    cases = [r.case for r in list_cases(database)]
    record(database, cases, CaseEvent.PROMOTED, actor="bea", reason="reviewed")
    assert evalgate(["dataset", "build", "--name", "support", "--dsn", dsn, "--tenant", "default"]) == 0
    capsys.readouterr()
    return {i: chain for i, (chain, _) in read_chains(CHAINS).items()}


def standings(database: TenantDatabase, chains: dict[str, Chain]) -> dict[str, str]:
    return {x.name: str(x.standing) for x in ask(database, chains)}


def test_a_chain_names_case_issue_annotation_and_spans(
    built: dict[str, Chain], traffic: Traffic, dsn: str, capsys: pytest.CaptureFixture[str]
) -> None:
    dataset = load("support")
    assert built.keys() == {c.case_id for c in dataset.cases}
    for case in dataset.cases:
        chain = built[case.case_id]
        assert chain.case == case_hash(case)
        assert (chain.status, chain.promoted.by if chain.promoted else None) == ("promoted", "bea")
        assert (chain.issue.id, chain.issue.failure_mode) == (1, "policy_hallucination") if chain.issue else False
        (said,) = chain.annotations
        assert (said.annotation_id, said.annotator, said.verdict) == (case.provenance.annotation_id, "ann", "bad")
        assert [s.span_id for s in chain.spans] == ["0000000000000001", "0000000000000002", "0000000000000003"]
        assert {s.trace_id for s in chain.spans} == {case.provenance.trace_id}
    text = CHAINS.read_text()
    assert "wrong window" not in text
    assert "90 days" not in text
    links = standings(traffic.database, built)
    assert set(links.values()) == {"holds"}
    assert len(links) == 6
    before = CHAINS.read_bytes()
    assert evalgate(["dataset", "build", "--name", "support", "--dsn", dsn, "--tenant", "default"]) == 0
    assert CHAINS.read_bytes() == before
    capsys.readouterr()
    assert evalgate(["dataset", "list", "--json"]) == 0
    assert [d["name"] for d in json.loads(capsys.readouterr().out)] == ["support"]


def test_what_changed_in_the_database_is_told(
    built: dict[str, Chain], traffic: Traffic, dsn: str, capsys: pytest.CaptureFixture[str]
) -> None:
    database = traffic.database
    Path("evals/evaluators").mkdir()
    Path("evals/evaluators/window.yaml").write_text(WINDOW)
    assert evalgate(["run", "--dataset", "support", "--target", "recorded"]) == 0
    assert evalgate(["gate"]) == 1
    assert evalgate(["provenance", "verify"]) == 0
    verify = ["provenance", "verify", "--dsn", dsn, "--tenant", "default"]
    capsys.readouterr()
    assert evalgate(verify) == 0, capsys.readouterr().out
    database.opened.command(
        "ALTER TABLE spans UPDATE output_text_kept = 'You have 30 days.' "
        f"WHERE trace_id = unhex('{A}') AND span_kind = 'llm' SETTINGS mutations_sync = 2"
    )
    undo(database, 1, "ann")
    capsys.readouterr()
    assert evalgate(verify) == 1
    assert f"✗ span:{A}/0000000000000003: it says something else now" in capsys.readouterr().out
    assert evalgate(["provenance", "verify"]) == 0
    links = standings(database, built)
    assert links[f"span:{A}/0000000000000003"] == "broken"
    case_a, case_b = (i for t in (A, B) for i, c in built.items() if c.spans[0].trace_id == t)
    assert links[f"annotation:{built[case_b].annotations[0].annotation_id}"] == "broken"
    assert links[f"case:{case_b}"] == "broken"
    assert links[f"case:{case_a}"] == "holds"
    assert links[f"annotation:{built[case_a].annotations[0].annotation_id}"] == "holds"


def test_what_retention_took_is_not_forgotten_and_what_is_erased_is(
    built: dict[str, Chain], traffic: Traffic, dsn: str
) -> None:
    traffic.database.opened.command("TRUNCATE TABLE spans")
    links = standings(traffic.database, built)
    assert {k: v for k, v in links.items() if k.startswith("spans:")} == {f"spans:{i}": "absent" for i in built}
    assert "broken" not in links.values()
    assert evalgate(["dataset", "build", "--name", "support", "--dsn", dsn, "--tenant", "default"]) == 0
    assert {i: c.spans for i, (c, _) in read_chains(CHAINS).items()} == {i: c.spans for i, c in built.items()}
    erase([A], at=utc_now(), only_show=False)
    left = read_chains(CHAINS)
    assert [c.spans[0].trace_id for c, _ in left.values()] == [B]
    assert A not in CHAINS.read_text()
    for name in ("report.html", "gate.xml", "gate.sarif"):
        report = Path(".evalgate") / name
        report.parent.mkdir(exist_ok=True)
        report.write_text(f"see {A}")
    assert {Path(x.place).name for x in mentions([A])} == {"report.html", "gate.xml", "gate.sarif"}
