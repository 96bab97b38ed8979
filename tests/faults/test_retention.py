"""RETENTION: it is killed while it removes what is due.

Injected: kill -9 of `evalgate retention apply`, before and after what it decided is written down, between two
deletions, before and after the ledger is told; and once more while it finishes that. Embedded and on a server.
Holds: run again it ends as if nothing had been: what was due is gone, whole traces, all else is there with its weight;
the ledger has as `expired` what went and as `stored` what the tables hold, to the row.
Figure: 6 places, 12 kills for each engine; 0 spans unaccounted for.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from collector.retention import log
from exporters.clickhouse.connect import connect
from exporters.clickhouse.migrate import migrate
from tests.collector.retained import BASELINE, FAILING, WEEK, World

if TYPE_CHECKING:
    from collections.abc import Callable

PLACES = ("before_decide", "after_decide", "after_freeze", "after_delete", "before_ledger", "after_ledger")
ROOT = Path(__file__).resolve().parents[2]
STATES = "SELECT state, sum(count) AS n FROM ledger GROUP BY state HAVING n != 0"


def apply(dsn: str, failpoints: str = "") -> int:
    """Run the command in a process of its own; return how it ended."""
    command = [sys.executable, "-m", "evalgate.cli", "retention", "apply", "--yes", "--quiet-s", "0", "--dsn", dsn]
    environment = {**os.environ, "EVALGATE_FAILPOINTS": failpoints, "PYTHONPATH": str(ROOT)}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False, timeout=100)
    assert done.returncode in (0, -signal.SIGKILL), done.stderr
    return done.returncode


def fill(dsn: str) -> None:
    """Store traces of two weeks ago, long ago enough for the clock of everybody."""
    with connect(dsn, create_database=True) as db:
        migrate(db)
        world = World(db, began=datetime.now(UTC).replace(hour=12) - timedelta(days=20))
        world.trace(*range(1, 101), days=0)
        world.trace(*range(101, 111), days=0, of=BASELINE)
        world.trace(*range(111, 121), days=0, of=FAILING)
        world.trace(*range(1, 11), days=-1)
        # As if they had been stored then.
        db.command("ALTER TABLE trace_parts UPDATE touched_at = toDateTime64(0, 3) WHERE 1 SETTINGS mutations_sync = 1")
        world.force(WEEK)


@pytest.mark.timeout(600)
@pytest.mark.parametrize("place", PLACES)
def test_it_ends_as_if_it_had_not_been_killed(
    dsn: str, place: str, record_property: Callable[[str, object], None]
) -> None:
    fill(dsn)
    kills = 0
    for hit in (1, 1):
        kills += apply(dsn, f"retention.{place}=exit@{hit}") == -signal.SIGKILL
    assert kills, "nothing was killed"
    assert apply(dsn) == 0
    with connect(dsn) as db:
        assert {int(r["t"], 16) for r in db.rows("SELECT trace_id AS t FROM traces")} == set(range(101, 121))
        (row,) = db.rows("SELECT count() AS spans, sum(sample_weight) AS stand_for FROM spans")
        assert row == {"spans": 40, "stand_for": 10 * 2 * 10 + 10 * 2}
        assert {r["state"]: int(r["n"]) for r in db.rows(STATES)} == {"stored": 40, "expired": 220}
        assert [e.kind for e in log.read(db)] == ["settings", "decided", "done"]
    record_property("kills", kills)
    record_property("figure", f"{place}: {kills} kills, 220 spans expired once")
