"""Whatever reviewers do, at once and in any order: nobody gets what somebody else has, and what is out stays out."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from evalgate.errors import BadInput
from evalgate.queue.blind import role_of
from evalgate.queue.definition import Queue
from evalgate.queue.items import ItemState, find_item, list_items, refusal
from evalgate.queue.reserve import extend, may_label, release, take
from evalgate.queue.store import assign, remove, requeue, restore
from schema.errors import Retryable
from schema.verdict import Role
from tests.evalgate.queue.fake import Tables

if TYPE_CHECKING:
    from collections.abc import Mapping

START = datetime(2026, 11, 20, 9, 0, tzinfo=UTC)
TRACES = ("aa" * 16, "bb" * 16, "cc" * 16)
PEOPLE = ("ann", "bob", "carl", "dora")


class Reviewing(RuleBasedStateMachine):
    """A queue, four people, and what they were given."""

    @initialize(reviewers=st.integers(1, 3))
    def start(self, reviewers: int) -> None:
        self.tables = Tables(START)
        self.database = self.tables.tenant()
        self.queue = Queue("q", reviewers=reviewers, reserve_s=100, version=1)
        self.given: dict[str, tuple[str, datetime]] = {}
        self.removed: set[str] = set()
        self.fill()

    @rule()
    def fill(self) -> None:
        """Add everything again, as two fills at once might, and one that has forgotten what was removed."""
        before = {i.trace_id: i for i in list_items(self.database, self.queue)}
        self.database.insert_rows("queue_items", [{"queue": "q", "trace_id": t, "event": "added"} for t in TRACES])
        after = {i.trace_id: i for i in list_items(self.database, self.queue)}
        assert not before or after == before

    @rule(
        who=st.sampled_from(PEOPLE),
        rival=st.sampled_from(PEOPLE) | st.none(),
        trace=st.none() | st.sampled_from(TRACES),
    )
    def take(self, who: str, rival: str | None, trace: str | None) -> None:
        """Take an item; a rival comes between what is read and what is written."""
        if rival is not None and rival != who:
            self.tables.before_insert = lambda: self._take(rival, trace)
        self._take(who, trace)
        self.tables.before_insert = None

    def _take(self, who: str, trace: str | None) -> None:
        now = self.tables.now
        states = {i.trace_id: i for i in list_items(self.database, self.queue)}
        try:
            item = take(self.database, self.queue, who, trace_id=trace)
        except BadInput:
            assert trace is not None
            return
        if item is None:
            return
        holder, until = self.given.get(item.trace_id, (who, now))
        assert holder == who or until <= now, f"{who} gets what {holder} has"
        assert states[item.trace_id].state not in {ItemState.REMOVED, ItemState.DONE}
        assert item.reserved_by == who
        assert item.reserved_until is not None
        assert item.reserved_until > now
        self.given = {t: g for t, g in self.given.items() if g[0] != who}
        self.given[item.trace_id] = (who, item.reserved_until)

    @rule(who=st.sampled_from(PEOPLE), trace=st.sampled_from(TRACES))
    def extend(self, who: str, trace: str) -> None:
        holder, until = self.given.get(trace, (who, START))
        try:
            kept = extend(self.database, self.queue, trace, who)
        except BadInput:
            return
        assert holder == who or until <= self.tables.now
        self.given = {t: g for t, g in self.given.items() if g[0] != who}
        self.given[trace] = (who, kept)

    @rule(who=st.sampled_from(PEOPLE), trace=st.sampled_from(TRACES))
    def release(self, who: str, trace: str) -> None:
        if release(self.database, self.queue, trace, who) or self.given.get(trace, ("",))[0] == who:
            self.given.pop(trace, None)

    @rule(who=st.sampled_from(PEOPLE), trace=st.sampled_from(TRACES), verdict=st.sampled_from(("good", "bad")))
    def label(self, who: str, trace: str, verdict: str) -> None:
        """Label what one has, or had, if nobody else has it."""
        item = find_item(self.database, self.queue, trace)
        holder, until = self.given.get(trace, (who, START))
        try:
            may_label(self.database, self.queue, trace, who)
        except BadInput:
            return
        if holder != who and until > self.tables.now:
            assert who in item.labelled_by, f"{who} may label what {holder} has"
            return
        assert trace not in self.removed
        self.tables.now += timedelta(microseconds=1)
        self.tables.label(trace, who, verdict, str(role_of(item)) if who not in item.labelled_by else "label")
        self.given.pop(trace, None)

    @rule(trace=st.sampled_from(TRACES))
    def remove(self, trace: str) -> None:
        if trace not in self.removed:
            if find_item(self.database, self.queue, trace).reserved_by not in {"", "ann"}:
                with pytest.raises(BadInput, match="remove it when it is free"):
                    remove(self.database, self.queue, trace, actor="ann", reason="a test")
                return
            remove(self.database, self.queue, trace, actor="ann", reason="a test")
            self.removed.add(trace)
            self.given.pop(trace, None)

    @precondition(lambda self: self.removed)
    @rule(trace=st.sampled_from(TRACES))
    def restore(self, trace: str) -> None:
        if trace in self.removed:
            # Whose reservation had time left has it again.
            self.tables.now += timedelta(seconds=self.queue.reserve_s)
            restore(self.database, self.queue, trace, actor="ann")
            self.removed.discard(trace)

    @rule(trace=st.sampled_from(TRACES))
    def requeue(self, trace: str) -> None:
        if find_item(self.database, self.queue, trace).state is ItemState.DONE:
            requeue(self.database, self.queue, trace, actor="ann", reason="the policy changed")
            self.tables.now += timedelta(microseconds=1)
            self.given.pop(trace, None)

    @rule(seconds=st.integers(1, 150))
    def wait(self, seconds: int) -> None:
        self.tables.now += timedelta(seconds=seconds)

    @invariant()
    def every_trace_is_in_one_state_and_has_one_holder_at_most(self) -> None:
        items = list_items(self.database, self.queue)
        assert sorted(i.trace_id for i in items) == sorted(TRACES)
        for item in items:
            assert (item.state is ItemState.REMOVED) == (item.trace_id in self.removed)
            assert (item.state is ItemState.RESERVED) == bool(item.reserved_by)
            holder, until = self.given.get(item.trace_id, ("", START))
            if item.reserved_by:
                assert (item.reserved_by, item.reserved_until) == (holder, until)
            assert item.state is not ItemState.DONE or item.verdict
            free = [who for who in PEOPLE if not refusal(self.queue, item, who)]
            assert item.is_open or not free
            assert set(free) <= {item.reserved_by} or not item.reserved_by


TestReviewing = Reviewing.TestCase
TestReviewing.settings = settings(max_examples=20, stateful_step_count=15, deadline=None)


def test_who_loses_every_time_is_told_to_try_again() -> None:
    tables = Tables(START)
    database, queue = tables.tenant(), Queue("q", version=1)
    database.insert_rows("queue_items", [{"queue": "q", "trace_id": TRACES[0], "event": "added"}])

    def in_between() -> None:
        take(database, queue, "bob")
        release(database, queue, TRACES[0], "bob")
        tables.before_insert = in_between

    tables.before_insert = in_between
    with pytest.raises(Retryable, match="others take items all the time"):
        take(database, queue, "ann")


def test_who_names_another_item_gives_the_first_one_back() -> None:
    tables = Tables(START)
    database, queue = tables.tenant(), Queue("q", version=1)
    database.insert_rows("queue_items", [{"queue": "q", "trace_id": t, "event": "added"} for t in TRACES])
    first = take(database, queue, "ann")
    assert first
    other = next(t for t in TRACES if t != first.trace_id)
    assert take(database, queue, "ann", trace_id=other)
    assert find_item(database, queue, first.trace_id).state is ItemState.WAITING
    taken = take(database, queue, "bob", trace_id=first.trace_id)
    assert taken
    assert role_of(taken) is Role.LABEL


def test_only_who_is_named_decides_where_reviewers_differ() -> None:
    tables = Tables(START)
    database = tables.tenant()
    queue = Queue("q", version=1, reviewers=2, adjudicators=("ann",))
    database.insert_rows("queue_items", [{"queue": "q", "trace_id": TRACES[0], "event": "added"}])
    tables.label(TRACES[0], "ann", "good")
    tables.label(TRACES[0], "bob", "bad")
    assert take(database, queue, "carl") is None
    mine = take(database, queue, "ann")
    assert mine
    assert role_of(mine) is Role.ADJUDICATION


def test_what_retention_has_removed_is_given_to_nobody() -> None:
    tables = Tables(START, expired={TRACES[0], TRACES[2]})
    database, queue = tables.tenant(), Queue("q", version=1)
    database.insert_rows("queue_items", [{"queue": "q", "trace_id": t, "event": "added"} for t in TRACES])
    taken = take(database, queue, "ann")
    assert taken
    assert taken.trace_id == TRACES[1]
    assert {i.trace_id for i in list_items(database, queue, state=ItemState.REMOVED)} == tables.expired
    with pytest.raises(BadInput, match="was removed from the queue"):
        take(database, queue, "bob", trace_id=TRACES[0])


def test_of_a_closed_queue_only_who_holds_an_item_removes_it() -> None:
    tables = Tables(START)
    database, queue = tables.tenant(), Queue("q", version=1)
    database.insert_rows("queue_items", [{"queue": "q", "trace_id": t, "event": "added"} for t in TRACES])
    take(database, queue, "ann", trace_id=TRACES[0])
    closed = replace(queue, is_open=False)
    for trace_id, why in ((TRACES[0], "is with ann"), (TRACES[1], "the queue q is closed")):
        with pytest.raises(BadInput, match=why):
            remove(database, closed, trace_id, actor="bob", reason="a test")
    remove(database, closed, TRACES[0], actor="ann", reason="a test")
    assert find_item(database, closed, TRACES[0]).state is ItemState.REMOVED


def test_many_are_assigned_with_one_look_at_them(monkeypatch: pytest.MonkeyPatch) -> None:
    tables = Tables(START)
    database, queue = tables.tenant(), Queue("q", version=1)
    many = [f"{n:032x}" for n in range(100)]
    database.insert_rows("queue_items", [{"queue": "q", "trace_id": t, "event": "added"} for t in many])
    asked: list[str] = []
    rows = tables.rows

    def counted(text: str, bound: Mapping[str, Any] | None = None) -> list[dict[str, Any]]:
        asked.append(text)
        return rows(text, bound)

    monkeypatch.setattr(tables, "rows", counted)
    with pytest.raises(BadInput, match="not in the queue"):
        assign(database, queue, [*many, "f" * 32], "bob", actor="ann")
    assert len(asked) <= 4, "each kind of row is read once, however many are assigned"
    assign(database, queue, [*many, *many], "bob", actor="ann")
    assert {i.assigned_to for i in list_items(database, queue)} == {"bob"}
    assert sum(r["event"] == "assigned" for r in tables.items) == len(many)
