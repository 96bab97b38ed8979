"""`evalgate cluster` on a database: what is grouped, known again, covered and planned."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from evalgate.app import run
from evalgate.cluster.behaviour import Scope, read_corpus
from evalgate.cluster.find import Settings, find
from evalgate.cluster.run_command import DEFAULT_TRACES
from evalgate.cluster.store import cluster_of, list_clusters, list_runs, read_known, save
from evalgate.review.labels import draft
from evalgate.review.labels import save as save_labels
from evalgate.select.where import Where
from schema.errors import Retryable
from schema.verdict import Label, Verdict
from tests.evalgate.traffic import message
from tests.tools.fake_openai import FakeOpenAI

if TYPE_CHECKING:
    from pathlib import Path

    from evalgate.database import TenantDatabase
    from tests.evalgate.traffic import Traffic

WINDOW = ("--since", "2026-11-20")


def call(capsys: pytest.CaptureFixture[str], *arguments: str) -> Any:
    assert run(["cluster", *arguments, "--json"]) == 0, capsys.readouterr().err
    return json.loads(capsys.readouterr().out)


def timeouts(traffic: Traffic, first: int, last: int) -> list[str]:
    """Store traces of which the tool does not answer in time."""
    return [
        traffic.trace(
            f"{i:032x}",
            [
                {
                    "name": "invoke_agent support", "span_kind": "agent", "counted": False,
                    "input_text": f"where is my order {i}", "output_text": "I could not reach the shop.",
                    "failing": True, "failure_reasons": ["tool_error"],
                },
                {
                    "name": "execute_tool lookup", "span_kind": "tool", "counted": False, "tool_name": "lookup",
                    "error": True, "error_type": "Timeout", "error_message": f"no answer in {i} ms",
                },
            ],
        )
        for i in range(first, last)
    ]  # fmt: skip


def refusals(traffic: Traffic, first: int, last: int) -> list[str]:
    """Store traces that refuse; their one tool call is in the messages of the model alone."""
    asked = {"role": "assistant", "parts": [{"type": "tool_call", "id": "1", "name": "policy", "arguments": {}}]}
    return [
        traffic.trace(
            f"{i:032x}",
            [
                {
                    "name": "invoke_agent support", "span_kind": "agent", "counted": False,
                    "input_text": f"please change my address to number {i}",
                    "output_text": "I'm sorry, I cannot help.", "failing": True, "failure_reasons": ["refused"],
                },
                {"output_messages": json.dumps([asked])},
                {"output_messages": json.dumps([message("assistant", "I'm sorry.")]), "output_text": "I'm sorry."},
            ],
        )
        for i in range(first, last)
    ]  # fmt: skip


@pytest.fixture
def here(project: Path, dsn: str, traffic: Traffic, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Enter a project whose database has the traffic."""
    monkeypatch.setenv("EVALGATE_DSN", dsn)
    traffic.count = 0
    return project


def test_nothing_is_grouped_where_nothing_failed(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["cluster", "run", *WINDOW]) == 0
    assert "nothing to group" in capsys.readouterr().out
    for command in (["list"], ["gaps"], ["show", "novel"]):
        assert run(["cluster", *command]) == 0
        assert "evalgate cluster run" in capsys.readouterr().out, command
    assert run(["cluster", "show", "7"]) == 2
    assert "no cluster 7" in capsys.readouterr().err
    assert run(["cluster", "show", "../x"]) == 2


def test_a_pattern_keeps_its_id_and_what_it_lacks_is_told(
    here: Path, traffic: Traffic, database: TenantDatabase, capsys: pytest.CaptureFixture[str]
) -> None:
    late = timeouts(traffic, 1, 7)
    refusals(traffic, 101, 106)
    dry = call(capsys, "run", *WINDOW, "--dry-run")
    assert dry["run"]["dry_run"]
    assert list_runs(database) == []
    first = call(capsys, "run", *WINDOW)
    assert [(c["id"], c["traces"], c["failure_reasons"], c["tool_paths"]) for c in first["clusters"]] == [
        (1, 6, ["tool_error"], ["lookup"]),
        (2, 5, ["refused"], ["policy"]),
    ]
    assert {e["event"] for e in first["events"]} == {"born"}
    assert first["clusters"][0]["share"] == pytest.approx(6 / 11)

    refusals(traffic, 106, 109)  # the larger one from here on
    again = call(capsys, "run", *WINDOW, "--where", "failure_reasons = refused")
    (seen,) = again["clusters"]
    assert (seen["id"], seen["traces"], again["events"]) == (2, 8, []), "timeouts are grouped along, and not counted"
    assert again["run"]["along"] == 6
    assert call(capsys, "list")["run"]["number"] == 2
    assert run(["cluster", "list"]) == 0
    assert "seen no more: 1" in capsys.readouterr().out

    call(capsys, "run", *WINDOW)
    (both,) = [call(capsys, "gaps", "--failing")["gaps"]]
    assert [(g["id"], g["lacks"]) for g in both] == [(2, ["case", "evaluator"]), (1, ["case", "evaluator"])]
    label = Label(late[0], "", Verdict.BAD, "shop_unreachable", annotator="ann")
    save_labels(database, [draft(database, label)])
    (_, named) = call(capsys, "gaps", "--failing")["gaps"]
    assert (named["lacks"], named["failure_modes"], len(named["cases"])) == (["evaluator"], {"shop_unreachable": 1}, 1)

    shown = call(capsys, "show", "1")
    assert [m["representative"] for m in shown["traces_shown"][:1]] == [1]
    assert shown["history"] == [{"number": 1, "event": "born", "cluster_id": 1, "other_id": 0, "share": 0.0}]
    assert run(["cluster", "show", "1"]) == 0
    assert run(["cluster", "plan", "1"]) == 0
    told = capsys.readouterr().out
    assert "# Draft: cluster 1" in told
    assert "hand its error to the model" in told
    (plan,) = call(capsys, "plan", "1")
    assert plan["cases"] == named["cases"]
    assert plan["traces"] == [m["trace_id"] for m in shown["traces_shown"] if m["representative"]]
    assert run(["cluster", "plan", "--failing", "--out", "drafts/next.md"]) == 0
    assert (here / "drafts/next.md").read_text().count("# Draft: cluster") == 2
    assert run(["cluster", "plan", "1", "--out", "drafts/next.md"]) == 2, "a draft that a person edited is left alone"


def test_of_two_runs_that_end_at_once_one_counts(traffic: Traffic, database: TenantDatabase) -> None:
    timeouts(traffic, 1, 6)
    corpus = read_corpus(database, Where(), DEFAULT_TRACES)
    known, number = read_known(database, Scope.FAILING)
    found = find(corpus.behaviours, Settings(), known)
    save(database, found, number, Scope.FAILING, {}, actor="a")
    strangers = tuple(
        replace(m, cluster_id=11, behaviour=replace(m.behaviour, trace_id=f"ff{m.behaviour.trace_id[2:]}"))
        for m in found.members
    )
    other = replace(found, clusters=tuple(replace(c, id=11) for c in found.clusters), members=strangers)
    with pytest.raises(Retryable, match="run it again"):
        save(database, other, number, Scope.FAILING, {}, actor="b")
    (one,) = list_runs(database)
    assert one.number == number
    after, following = read_known(database, Scope.FAILING)
    assert (following, after.next_id) == (2, 2), "rows of the other do not count"
    assert after.cluster_of == {b.trace_id: 1 for b in corpus.behaviours} == cluster_of(database, Scope.FAILING)
    assert [s.cluster.id for s in list_clusters(database, Scope.FAILING)] == [1]


def test_a_run_by_meaning_keeps_ids_and_says_that_it_compared_otherwise(
    here: Path, traffic: Traffic, database: TenantDatabase, capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    monkeypatch.delenv("OPENAI_BASE_URL", raising=False)
    timeouts(traffic, 1, 7)
    refusals(traffic, 101, 106)
    assert run(["cluster", "run", *WINDOW]) == 0
    before = {s.cluster.id: s.cluster.traces for s in list_clusters(database, Scope.FAILING)}
    capsys.readouterr()
    with FakeOpenAI(embeds=lambda text: [1.0, float("sorry" in text), float("shop" in text)]) as fake:
        command = ["cluster", "run", *WINDOW, "--judge-url", fake.base_url, "--embeddings", "e"]
        assert run(command) == 0
        told = capsys.readouterr()
        assert "run 1 compared texts by their words, this one by e at 127.0.0.1" in told.err
        assert "asked models: 1 call" in told.err
        assert not any("number 101" in text for asked in fake.requests for text in asked.body["input"])
        fake.embeds = lambda _: [1.0]
        (here / ".evalgate/cache/embeddings").rename(here / "elsewhere")
        assert run([*command, "--max-calls", "0"]) == 2
        assert "--max-calls" in capsys.readouterr().err
    assert {s.cluster.id: s.cluster.traces for s in list_clusters(database, Scope.FAILING)} == before
    (latest, _) = list_runs(database)
    assert latest.body["texts"] == {"model": "e", "dimensions": 3, "endpoint": fake.base_url[7:-3]}
