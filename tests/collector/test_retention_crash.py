"""A run that is cut off at any place, and several at once: what is there in the end is the same, and counted once."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, cast

import pytest

from collector.retention import log
from collector.retention.decide import Moment
from collector.retention.expire import Retention
from collector.retention.mutate import PATIENCE_S, Mutations, Stopped, alter
from schema.errors import Retryable
from tests.collector.retained import BASELINE, FAILING, TODAY, World, emptied, hold

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from exporters.clickhouse.connect import Database

PLACES = (
    "retention.before_decide",
    "retention.after_decide",
    "retention.after_delete",
    "retention.after_ledger",
)
"""All of them, with real kills and on both engines: tests/faults/test_retention.py."""


class Killed(BaseException):
    """The process ends here."""


@pytest.fixture
def embedded(kept_dsn: str) -> Iterator[World]:
    with emptied(kept_dsn) as world:
        yield world


def at(monkeypatch: pytest.MonkeyPatch, place: str, action: Callable[[], None], *, hit: int = 1) -> None:
    """Do something at the pass of this number of a place."""
    passed = 0

    def failpoint(name: str) -> None:
        nonlocal passed
        passed += name == place
        if name == place and passed == hit:
            action()

    for module in ("decide", "expire"):
        monkeypatch.setattr(f"collector.retention.{module}.failpoint", failpoint)


def kill() -> None:
    raise Killed


def fill(world: World) -> None:
    world.trace(1, 2, days=9)
    world.trace(3, days=9, of=BASELINE)
    world.trace(4, days=9, of=FAILING)
    world.logs(1, 0, days=9)
    world.said(2, days=9, polarity="positive")
    world.trace(5, days=2)


LEFT = {
    "traces": {3, 4, 5},
    "ledger": {"stored traces": 6, "expired traces": 4, "expired logs": 2},
    "kinds": ["settings", "decided", "done"],
}


def check(world: World) -> None:
    assert world.traces() == world.left("spans") == LEFT["traces"]
    assert world.left("events") == world.left("feedback") == set()
    assert world.ledger() == LEFT["ledger"]
    assert [e.kind for e in log.read(world.db)] == LEFT["kinds"]
    weights = "SELECT lower(hex(trace_id)) AS t, any(sample_weight) AS w FROM spans GROUP BY t ORDER BY t"
    assert [r["w"] for r in world.db.rows(weights)] == [10, 1, 1]


@pytest.mark.parametrize("place", [PLACES[0], *(pytest.param(p, marks=pytest.mark.thorough) for p in PLACES[1:])])
def test_killed_anywhere_and_begun_again_it_ends_the_same(
    embedded: World, place: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    fill(embedded)
    embedded.force()
    at(monkeypatch, place, kill)
    with pytest.raises(Killed):
        embedded.expire()
    is_decided = place != "retention.before_decide"
    assert [e.kind for e in log.read(embedded.db)][1:2] == (["decided"] if is_decided else [])
    assert (1 in embedded.left("spans")) or is_decided, "nothing goes before it is decided"
    again = embedded.expire()
    assert (again.finished, again.runs) == (int(is_decided), 1)
    check(embedded)
    assert embedded.expire().runs == 0
    check(embedded)


def test_what_the_ledger_was_told_and_the_window_forgot_is_not_told_again(
    embedded_db: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The token of the move is known for some INSERTs only; what the ledger has is compared with what it must have."""
    embedded = World(embedded_db)
    fill(embedded)
    embedded.force()
    at(monkeypatch, "retention.after_ledger", kill)
    with pytest.raises(Killed):
        embedded.expire()
    assert len(log.unfinished(log.read(embedded.db))) == 1
    embedded.db.command("ALTER TABLE ledger MODIFY SETTING non_replicated_deduplication_window = 0")
    embedded.expire()
    check(embedded)


def test_two_at_once_remove_and_count_once(db: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    """The other comes where it hurts most: the first is about to write down what it decided."""
    world = World(db)
    fill(world)
    world.force()
    done = []
    at(monkeypatch, "retention.before_decide", lambda: done.append(world.retention().run()))
    mine = world.expire()
    assert (done[0].traces, mine.runs) == (2, 0)
    check(world)


@pytest.mark.thorough
def test_the_other_helps_to_the_end(embedded: World, monkeypatch: pytest.MonkeyPatch) -> None:
    fill(embedded)
    embedded.force()
    done = []
    at(monkeypatch, "retention.after_delete", lambda: done.append(embedded.retention().run()), hit=2)
    embedded.expire()
    assert (done[0].finished, done[0].runs) == (1, 1)
    check(embedded)


@pytest.mark.thorough
def test_a_hold_that_comes_while_it_decides_holds(embedded: World, monkeypatch: pytest.MonkeyPatch) -> None:
    fill(embedded)
    embedded.force()
    at(monkeypatch, "retention.before_decide", lambda: hold(embedded, [1]))
    assert embedded.expire().traces == 1
    assert embedded.traces() == {1, 3, 4, 5}


@dataclass
class Between:
    """A database in which something happens right before a statement."""

    db: Database
    before: str
    action: Callable[[], None]
    times: int = 1

    def command(self, sql: str, parameters: Any = None) -> None:
        if self.before in sql and self.times:
            self.times -= 1
            self.action()
        self.db.command(sql, parameters)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.db, name)


@pytest.mark.thorough
def test_a_thumbs_down_that_comes_while_it_decides_keeps_the_trace(embedded: World) -> None:
    fill(embedded)
    embedded.force()
    # Counting is what comes after the decision on each trace.
    late = Between(embedded.db, "INSERT INTO retention_counts", lambda: embedded.said(1, days=0))
    Retention(cast("Database", late), "test", lambda: Moment(embedded.now, quiet_s=0)).run()
    assert late.times == 0
    assert embedded.traces() == {1, 3, 4, 5}


class FakeMutations:
    """A database of one mutation that does as it is told."""

    def __init__(self, *states: dict[str, Any] | None) -> None:
        self.states = list(states)
        self.commands: list[str] = []

    def rows(self, sql: str, _parameters: Any = None) -> list[dict[str, Any]]:
        if "system.mutations" not in sql:
            return [{"is_left": 1}]
        state = self.states.pop(0) if len(self.states) > 1 else self.states[0]
        return [] if state is None else [state]

    def command(self, sql: str, _parameters: Any = None) -> None:
        self.commands.append(sql)


STUCK = {
    "is_done": 0,
    "fails": "Code: 243. Cannot reserve 1.00 MiB, not enough space",
    "parts_to_do": 3,
    "mutation": "m",
}
UNDER_WAY = {**STUCK, "fails": ""}


def mutations(db: FakeMutations, *, is_stopping: bool = False) -> tuple[Mutations, list[float]]:
    clock = [0.0]

    def sleep(s: float) -> None:
        clock[0] += s

    return Mutations(cast("Database", db), lambda: is_stopping, sleep, lambda: 1 + clock[0]), clock


RUN = {"run": "r", "until": TODAY}


def test_a_deletion_that_fails_for_a_minute_is_told_with_what_clickhouse_says() -> None:
    db = FakeMutations(None, UNDER_WAY, STUCK)
    one, clock = mutations(db)
    with pytest.raises(Retryable, match=r"3 parts are left: .* not enough space.*KILL MUTATION"):
        one.carry_out("spans", TODAY, RUN)
    assert len(db.commands) == 1
    assert PATIENCE_S <= clock[0] < PATIENCE_S + 5


def test_a_deletion_that_is_under_way_is_not_begun_again() -> None:
    db = FakeMutations(UNDER_WAY, UNDER_WAY, {**UNDER_WAY, "is_done": 1})
    assert mutations(db)[0].carry_out("spans", TODAY, RUN)
    assert db.commands == []


def test_a_deletion_that_somebody_killed_is_told() -> None:
    db = FakeMutations(UNDER_WAY, None)
    with pytest.raises(Retryable, match="was killed"):
        mutations(db)[0].carry_out("spans", TODAY, RUN)


def test_it_is_not_waited_for_by_a_service_that_ends() -> None:
    with pytest.raises(Stopped):
        mutations(FakeMutations(UNDER_WAY), is_stopping=True)[0].carry_out("spans", TODAY, RUN)


def test_statements_name_tables_of_ours_alone() -> None:
    with pytest.raises(ValueError, match="no table of ours"):
        alter("users; DROP", TODAY)
    with pytest.raises(ValueError, match="no weights"):
        alter("events", TODAY, [10.0])
    assert re.match(
        r"ALTER TABLE `spans` UPDATE .* DELETE IN PARTITION '\d{4}-\d\d-\d\d' WHERE", alter("spans", TODAY, [2.0])
    )


def test_numbers_of_the_log_are_given_once(db: Database) -> None:
    assert log.append(db, "hold", after=0, actor="a")
    assert not log.append(db, "release", after=0, actor="b")
    assert log.append_last(db, "release", actor="b") == 2
    assert [(e.number, e.kind, e.actor) for e in log.read(db)] == [(1, "hold", "a"), (2, "release", "b")]


def test_nothing_is_decided_while_somebody_erases(embedded: World) -> None:
    fill(embedded)
    embedded.force()
    row = {"actor": "a", "reason": "", "body": "{}", "run": "e", "at": embedded.now}
    embedded.db.insert_rows("retention_log", [{"number": 2, "kind": "erase", "entry": "x", **row}])
    assert embedded.expire(None).runs == 0
    embedded.db.insert_rows("retention_log", [{"number": 3, "kind": "erased", "entry": "y", **row}])
    assert embedded.expire(None).traces == 2
