"""Retention on two servers: what goes is decided over both, and removed where it is."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from collector.retention import log
from collector.retention.decide import Moment
from collector.retention.expire import Retention
from collector.retention.survey import survey
from exporters.clickhouse.connect import connect
from tests.collector.retained import BASELINE, FAILING, TODAY, WEEK, World, hold

if TYPE_CHECKING:
    from tests.deploy.conftest import Pair

pytestmark = pytest.mark.server


def test_what_is_due_goes_from_both_servers_and_is_counted_once(pair: Pair) -> None:
    with connect(pair.dsn()) as db, db.shards() as holders:
        world = World(db)
        world.trace(*range(1, 41), days=9)
        world.trace(*range(41, 51), days=9, of=BASELINE)
        world.trace(*range(51, 61), days=9, of=FAILING)
        world.trace(*range(1, 5), days=3)
        world.logs(0, 0, 5, days=9)
        world.said(6, days=2)
        hold(world, [7])
        world.force(WEEK)
        assert sum(s.traces for s in survey(db, TODAY)) == 60
        removed = Retention(db, "test", lambda: Moment(world.now, 0), holders).run()
        kept = {1, 2, 3, 4, 6, 7, *range(41, 61)}
        assert world.traces() == world.left("spans") == world.left("trace_parts") == kept
        assert (removed.traces, removed.rows) == (34, {"traces": 68, "logs": 3})
        assert world.ledger() == {"stored traces": 60, "expired traces": 68, "expired logs": 3}
        assert all(h.rows("SELECT 1 FROM spans LIMIT 1") for h in holders), "rows were on both"
        weights = "SELECT sample_weight AS w, count() AS n FROM spans GROUP BY w ORDER BY w"
        assert {r["w"]: int(r["n"]) for r in db.rows(weights)} == {0.0: 2, 1.0: 38, 10.0: 20}
    with connect(pair.dsn(1)) as db, db.shards() as holders:
        assert Retention(db, "other", lambda: Moment(world.now, 0), holders).run().runs == 0
        assert [e.number for e in log.read(db)] == [1, 2, 3, 4]
        assert not log.append(db, "hold", after=0, actor="too late")
