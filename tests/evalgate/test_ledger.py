"""`evalgate ledger` and `evalgate ledger reconcile` over a database of the real schema."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest

from evalgate.app import run
from evalgate.ledger import commands
from evalgate.top.status import NoAnswer

if TYPE_CHECKING:
    from pathlib import Path

    from evalgate.top.status import Status
    from exporters.clickhouse.connect import Database
    from tests.evalgate.traffic import Traffic

NOW = datetime.now(UTC).replace(second=0, microsecond=0)


def nobody(url: str) -> Status:
    raise NoAnswer(f"no collector answers on {url}")


@pytest.fixture
def book(opened: Database, dsn: str, project: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Return what books counts; the commands read the same database."""
    opened.command("TRUNCATE TABLE ledger")
    monkeypatch.setenv("EVALGATE_DSN", dsn)
    monkeypatch.setattr(commands, "fetch", nobody)

    def add(state: str, count: int, **rest: Any) -> None:
        row = {"tenant": "acme", "minute": NOW - timedelta(minutes=10), "signal": "traces", "reason": ""}
        opened.insert_rows("ledger", [{**row, "state": state, "count": count, "uncounted_requests": 0, **rest}])

    return add


def answer(capsys: pytest.CaptureFixture[str], *words: str, code: int = 0) -> Any:
    assert run(["ledger", *words, "--json"]) == code
    return json.loads(capsys.readouterr().out)


def test_states_are_summed_and_what_left_a_state_is_gone(book: Any, capsys: pytest.CaptureFixture[str]) -> None:
    book("stored", 100)
    book("stored", 7, minute=NOW - timedelta(minutes=90))
    book("quarantined", 5, reason="unreadable")
    book("quarantined", -5, reason="unreadable")
    book("purged", 5)
    book("refused", 0, reason="bad_data", uncounted_requests=2)
    book("stored", 9, minute=NOW - timedelta(days=3))
    found = answer(capsys)
    assert [(r["state"], r["reason"], r["count"], r["uncounted_requests"]) for r in found["rows"]] == [
        ("purged", "", 5, 0),
        ("refused", "bad_data", 0, 2),
        ("stored", "", 107, 0),
    ]
    assert {state: sum(counts) for state, counts in found["courses"].items()} == {"purged": 5, "stored": 107}
    assert found["step_minutes"] == 60
    assert found["in_journal_known"] is False
    assert answer(capsys, "--since", "30m")["step_minutes"] == 1


def test_a_person_reads_a_table_and_bars(book: Any, capsys: pytest.CaptureFixture[str]) -> None:
    book("stored", 100)
    book("refused", 3, reason="unavailable", tenant="")
    assert run(["ledger"]) == 0
    out = capsys.readouterr()
    assert "TENANT  SIGNAL  STATE    REASON       COUNT  UNCOUNTED REQUESTS" in out.out
    assert "acme    traces  stored   -            100" in out.out
    assert "█" in out.out
    assert "no collector answers" in out.err


def test_an_empty_ledger_says_so(book: Any, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["ledger", "--since", "1h"]) == 0
    assert "Nothing was received since" in capsys.readouterr().out


def test_one_tenant_alone(book: Any, capsys: pytest.CaptureFixture[str]) -> None:
    book("stored", 1)
    book("stored", 2, tenant="other")
    assert [r["count"] for r in answer(capsys, "--tenant", "other")["rows"]] == [2]


def test_what_waits_in_the_journal_is_asked_of_the_collector(
    book: Any, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def running(_url: str) -> Status:
        return {"journal": {}, "ledger": {"in_journal": {"acme": {"traces": 40, "logs": 0}, "b": {"traces": 1}}}}

    monkeypatch.setattr(commands, "fetch", running)
    book("stored", 60)
    found = answer(capsys, "--tenant", "acme")
    assert [(r["state"], r["count"]) for r in found["rows"]] == [("in_journal", 40), ("stored", 60)]
    assert answer(capsys, "reconcile", "--tenant", "acme", "--sent", '{"sent": 100}')["missing"] == 0
    assert answer(capsys, "reconcile", "--tenant", "acme", "--sent", '{"sent": 101}', code=1)["missing"] == 1


def test_missing_spans_fail_and_are_told(book: Any, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    book("stored", 95)
    book("quarantined", 4, reason="rejected")
    file = tmp_path / "sent.csv"
    minute = (NOW - timedelta(minutes=10)).isoformat()
    file.write_text(f"tenant,minute,sent\nacme,{minute},60\nacme,{minute},40\n")
    assert run(["ledger", "reconcile", "--sent", str(file)]) == 1
    out = capsys.readouterr()
    assert "1 item missing" in out.out
    assert "95 stored, 4 quarantined" in out.out
    file.write_text(f"tenant,minute,sent\nacme,{minute},99\n")
    assert run(["ledger", "reconcile", "--sent", str(file)]) == 0
    assert "nothing acknowledged is missing" in capsys.readouterr().out


def test_a_range_is_that_of_the_senders_minutes(book: Any, capsys: pytest.CaptureFixture[str]) -> None:
    book("stored", 10)
    book("stored", 5, minute=NOW - timedelta(hours=5))
    early = (NOW - timedelta(hours=5)).isoformat()
    found = answer(capsys, "reconcile", "--sent", json.dumps([{"sent": 6, "minute": early}]), code=1)
    assert (found["missing"], found["rows"][0]["found"]) == (1, 5)
    assert answer(capsys, "reconcile", "--sent", '[{"sent": 15}]')["missing"] == 0


def test_services_are_compared_with_distinct_spans(
    book: Any, traffic: Traffic, capsys: pytest.CaptureFixture[str]
) -> None:
    traffic.trace(f"{1:032x}", [{}])
    traffic.trace(f"{2:032x}", [{}])
    book("stored", 2, tenant="default")
    sent = [{"tenant": "default", "service": "shop", "sent": 2}, {"tenant": "default", "service": "till", "sent": 1}]
    found = answer(capsys, "reconcile", "--since", "2026-11-01", "--sent", json.dumps(sent), code=1)
    assert [(r["service"], r["found"], r["missing"]) for r in found["rows"]] == [("shop", 2, 0), ("till", 0, 1)]
