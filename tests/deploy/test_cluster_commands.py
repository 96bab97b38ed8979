"""Every command that reads or writes the database, through the DSN of two servers."""

from __future__ import annotations

import json
import os
import re
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest

from evalgate.app import run
from evalgate.database import TenantDatabase
from evalgate.queue.reserve import take
from evalgate.queue.store import find_queue
from exporters.clickhouse.cluster import with_views_written_out
from exporters.clickhouse.connect import connect
from exporters.clickhouse.migrate import load
from schema.policy import Policy
from tests.evalgate import traffic

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.deploy.conftest import Pair

pytestmark = pytest.mark.server

FAILING = [f"{i:032x}" for i in range(1, 9)]
OTHERS = [f"{i:032x}" for i in range(9, 13)]
GLOBEX = [f"{i:032x}" for i in range(90, 99)]


@pytest.fixture
def evalgate(
    pair: Pair, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Callable[..., Any]:
    """Return what runs a command for the tenant acme, and gives its JSON document."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("EVALGATE_DSN", pair.dsn())
    monkeypatch.setattr(traffic, "START", datetime.now(UTC) - timedelta(hours=3))
    with connect(pair.dsn()) as db:
        acme, globex = (traffic.Traffic(TenantDatabase(db, name)) for name in ("acme", "globex"))
        for id_ in (*FAILING, *OTHERS):
            acme.refund(id_, failing=id_ in FAILING)
        for id_ in GLOBEX:
            globex.refund(id_, "canary")
        policy = Policy()
        db.insert_rows("sampling_policies", [{"version": policy.version, "body": policy.body}])

    def call(*command: str, code: int = 0, whose: tuple[str, ...] = ("--tenant", "acme")) -> Any:
        ended = run([*command, *whose, "--json"])
        out, err = capsys.readouterr()
        assert ended == code, (command, out, err)
        assert "canary" not in out + err
        return json.loads(out)

    return call


@pytest.mark.thorough
def test_every_command_answers_over_both_servers(evalgate: Callable[..., Any], tmp_path: Path) -> None:
    shown = [row["trace_id"] for row in evalgate("traces", "--limit", "10")["rows"]]
    assert (sorted(shown[:8]), len(shown)) == (FAILING, 10)
    assert {row["trace_id"] for row in evalgate("traces", "--failing", "--since", "1d")["rows"]} == set(FAILING)
    found = evalgate("traces", "--where", "failing = false", "--where", "span_count > 2")
    assert (found["traces"], found["failing"], found["flagged"]) == (4, 0, 0)
    assert {row["asked"] for row in found["rows"]} == {None}
    assert len(evalgate("traces", "show", FAILING[0])["spans"]) == 3

    labels = [{"trace_id": id_, "verdict": "bad", "failure_mode": "window"} for id_ in FAILING[:4]]
    (tmp_path / "labels.jsonl").write_text("\n".join(map(json.dumps, labels)))
    assert evalgate("label", "--from", "labels.jsonl", "--annotator", "ann")["saved"] == 4
    assert evalgate("label", "--from", "labels.jsonl", "--annotator", "ann")["repeated"] == 4
    assert len(evalgate("cases", "list")) == 4
    assert len(evalgate("cases", "promote", "--all")["promoted"]) == 4
    assert evalgate("dataset", "build", "--name", "d", "--criteria", "all")["cases"] == 4
    (issue,) = evalgate("issues", "list")
    assert (issue["id"], issue["failure_mode"], issue["occurrences"], len(issue["cases"])) == (1, "window", 4, 4)
    assert issue["first_seen"] < issue["last_seen"]
    (moved,) = evalgate("issues", "acknowledge", "1", "--actor", "ann")
    assert (moved["from"], moved["to"], moved["sequence"]) == ("new", "acknowledged", 1)
    assert len(evalgate("modes", "rename", "window", "refund window", "--actor", "ann")["cases"]) == 4
    split = evalgate("issues", "split", "1", "--trace", FAILING[0], "--into", "tone", "--actor", "ann")
    assert len(split["cases"]) == 1
    assert evalgate("modes", "undo")["is_undone"]
    shown = evalgate("issues", "show", "1")
    assert (shown["failure_mode"], shown["status"], shown["occurrences"]) == ("refund window", "acknowledged", 4)
    assert [(c["action"], c["is_undone"]) for c in shown["lineage"]] == [("renamed", False), ("split", True)]
    assert evalgate("modes", "undo")["action"] == "renamed"
    evalgate(
        "queue", "create", "q", "--where", "tool_name = policy", "--issue", "1", "--assign", "feature = refunds -> ann"
    )
    assert (evalgate("queue", "fill", "q")["added"], evalgate("queue", "fill", "q")["added"]) == (4, 0)
    evalgate("queue", "remove", "q", FAILING[5], "--reason", "a test account")
    queued = evalgate("queue", "show", "q")
    assert {i["trace_id"]: (i["state"], i["assigned_to"]) for i in queued["items"]} == {
        id_: ("removed" if id_ == FAILING[5] else "waiting", "ann") for id_ in FAILING[4:]
    }
    with connect(os.environ["EVALGATE_DSN"]) as db:
        acme = TenantDatabase(db, "acme")
        queue = find_queue(acme, "q")
        held = [take(acme, queue, who) for who in ("ann", "ann", "bob")]
    assert [item and item.reserved_by for item in held] == ["ann", "ann", None]
    (group,) = evalgate("stats", "--since", "1d")["groups"]
    assert (group["traces"]["stored"], group["traces"]["failing"]) == (12, 8)
    assert evalgate("stats", "modes", "--since", "1d")["traffic"]["labelled"] == 0.5

    tried = evalgate("sample", "backtest", "--since", "1d", "--rate", "0.2")
    assert (tried["stored_traces"], tried["failing"]["now"]) == (12, 8)
    assert tried["load"]["now"]["flagged_bytes"] > 0, "what a span takes is known"
    assert evalgate("sample", "rates")["rules"][0]["rate"] == 0.1
    assert evalgate("schema", "unmapped") == []
    evalgate("ledger")
    evalgate("hold", "add", FAILING[1], "--reason", "court")
    assert [row["trace"] for row in evalgate("hold", "list")] == [FAILING[1]]
    evalgate("retention", "plan", whose=())
    evalgate("erase", "--trace", FAILING[0], "--yes", code=1)  # the journal is elsewhere
    assert evalgate("query", "SELECT tenant, count() AS n FROM traces GROUP BY tenant")["rows"] == [
        {"tenant": "acme", "n": 11}
    ]


def test_a_view_of_a_tenant_is_written_out_as_the_migrations_have_it() -> None:
    (made,) = (m for m in load() if m.name.endswith("_tenant_views"))
    for statement in made.statements:
        name, _, body = re.sub(r"\s+", " ", statement.partition("VIEW ")[2]).strip().partition(" AS ")
        assert with_views_written_out(f"{name}(tenant = {{tenant:String}})") == f"({body})"
