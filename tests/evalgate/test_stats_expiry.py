"""Rates before and after retention: the real job removes what nobody flagged, and the figures stay what they were."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest

from evalgate.database import TenantDatabase
from evalgate.select.where import parse_where
from evalgate.stats.figure import figure_of
from evalgate.stats.measures import FAILING, Least
from evalgate.stats.read import Group, read_groups
from evalgate.stats.report import population
from tests.collector.retained import BASELINE, PLAIN, World, hold
from tests.collector.retained import FAILING as FAILS

if TYPE_CHECKING:
    from exporters.clickhouse.connect import Database

OLD, NEW = 10, 1
"""Days ago: the holding time is a week."""


def all_traces(db: Database) -> Group:
    (group,) = read_groups(TenantDatabase(db, "default"), parse_where([]), None)
    return group


def rate(db: Database) -> tuple[float, float, float]:
    figure = figure_of("failing", all_traces(db).of(FAILING), Least())
    assert figure.rate is not None
    return figure.low, figure.rate, figure.high


@pytest.fixture
def world(embedded_db: Database) -> World:
    """Four hundred old traces, of which 20 fail and 38 are sampled; a hundred new ones, of which 5 fail."""
    world = World(embedded_db)
    old, new = np.arange(1, 401), np.arange(1001, 1101)
    world.trace(*map(int, old[:20]), days=OLD, spans=1, of=FAILS)
    world.trace(*map(int, old[20:58]), days=OLD, spans=1, of=BASELINE)
    world.trace(*map(int, old[58:]), days=OLD, spans=1, of=PLAIN)
    world.trace(*map(int, new[:5]), days=NEW, spans=1, of=FAILS)
    world.trace(*map(int, new[5:]), days=NEW, spans=1, of=PLAIN)
    return world


def test_rates_are_the_same_before_and_after_what_nobody_flagged_goes(world: World) -> None:
    """One world for all of it: a pass of retention takes seconds."""
    before, told = population(all_traces(world.db)), rate(world.db)
    assert before.exact
    assert told[1] == 0.05
    world.said(200, days=5)  # in time: it is kept, and counts once
    hold(world, [300, 301])
    world.expire()
    after, weighted = population(all_traces(world.db)), rate(world.db)
    assert (after.stored, after.thinned, after.thinned_for) == (159, 58, 400)
    assert (after.failing, after.late) == (26, 0)
    assert after.apart == 2  # held for a person, not by chance: they stand for nothing
    assert after.low < 500 < after.high
    assert weighted[1] == pytest.approx(26 / 501)  # 38 sampled of 379 stand for 380
    assert weighted[0] < 0.05 < weighted[2]
    assert weighted[2] - weighted[0] > told[2] - told[0]  # less is known

    world.said(21, days=0)  # too late: what was like it and not sampled is gone, so it stands for those, too
    late = population(all_traces(world.db))
    assert (late.late, late.thinned_for) == (1, 400)
    assert rate(world.db)[1] == pytest.approx((26 + 10) / 501)
