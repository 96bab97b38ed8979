"""What somebody holds is erased only by who says so."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

import pytest
from typer.testing import CliRunner

from evalgate.app import build_app
from evalgate.erase.turn import turn
from evalgate.errors import BadInput
from exporters.clickhouse import retention_log
from exporters.clickhouse.connect import connect
from schema.errors import EvalgateError

if TYPE_CHECKING:
    from pathlib import Path

    from exporters.clickhouse.connect import Database
    from tests.evalgate.traffic import Traffic

HERS, HIS = "a" * 32, "b" * 32


@pytest.fixture
def held(traffic: Traffic) -> Traffic:
    traffic.trace(HERS, [{}])
    traffic.trace(HIS, [{}])
    traffic.database.opened.command("TRUNCATE TABLE holds")
    row = {"trace_id": HERS, "held": True, "reason": "case 4711", "actor": "counsel"}
    traffic.database.insert_rows("holds", [row])
    return traffic


def erase(dsn: str, *more: str) -> object:
    arguments = ["erase", "--dsn", dsn, "--data-dir", "nowhere", "--timeout", "0", *more]
    return CliRunner().invoke(build_app(), arguments, catch_exceptions=True)


def left(traffic: Traffic) -> set[str]:
    sql = "SELECT DISTINCT lower(hex(trace_id)) AS t FROM spans"
    return {row["t"] for row in traffic.database.rows(sql)}


@pytest.mark.parametrize("what", [("--trace", HERS), ("--trace", HIS, "--trace", HERS), ("--tenant", "default")])
def test_nothing_is_erased_where_something_is_held_and_the_hold_is_named(
    held: Traffic, dsn: str, project: Path, what: tuple[str, ...]
) -> None:
    done = erase(dsn, *what, "--yes")
    error = getattr(done, "exception", None)
    assert isinstance(error, BadInput)
    assert "case 4711" in str(error)
    assert "counsel" in str(error)
    assert HERS in str(error)
    assert left(held) == {HERS, HIS}


def test_with_the_option_it_goes_and_so_does_its_hold(held: Traffic, dsn: str, project: Path) -> None:
    erase(dsn, "--trace", HERS, "--despite-hold", "--yes")
    assert left(held) == {HIS}
    assert held.database.rows("SELECT 1 FROM holds") == []


def test_a_release_ends_it(held: Traffic, dsn: str, project: Path) -> None:
    row = {"trace_id": HERS, "held": False, "reason": "settled", "actor": "counsel"}
    held.database.insert_rows("holds", [row])
    erase(dsn, "--trace", HERS, "--yes")
    assert left(held) == {HIS}


def test_an_erasure_waits_for_what_retention_decided_and_retention_for_it(held: Traffic, dsn: str) -> None:
    with connect(dsn) as db:
        db.command("TRUNCATE TABLE retention_log")
        retention_log.append_last(db, "decided", actor="r", run="r1")
        said: list[str] = []
        waits = turn(db, 10, said.append, sleep=lambda _: done(db, "r1"), now_s=lambda: 0.0)
        with waits:
            entries = retention_log.read(db)
            assert [e.kind for e in entries] == ["decided", "erase", "done"]
            assert retention_log.is_erasing(entries, entries[-1].at)
            assert not retention_log.is_erasing(entries, entries[-1].at + timedelta(hours=2)), "its process is dead"
        assert said
        assert not retention_log.is_erasing(retention_log.read(db), entries[-1].at)


def test_an_erasure_does_not_wait_for_ever(held: Traffic, dsn: str) -> None:
    with connect(dsn) as db:
        db.command("TRUNCATE TABLE retention_log")
        retention_log.append_last(db, "decided", actor="r", run="r1")
        clock = iter(range(100))
        one = turn(db, 5, lambda _: None, sleep=lambda _: None, now_s=lambda: float(next(clock)))
        with pytest.raises(EvalgateError, match="retention is removing rows"), one:
            pytest.fail("it is not its turn")
        assert [e.kind for e in retention_log.read(db)] == ["decided", "erase", "erased"]


def done(db: Database, run: str) -> None:
    retention_log.append_last(db, "done", actor="r", run=run)
