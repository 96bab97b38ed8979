"""Queues in a real database: what is stored once, who gets an item, what a fill brings and never brings back."""

from __future__ import annotations

import json
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest

from evalgate.app import run
from evalgate.errors import BadInput
from evalgate.queue.definition import AssignRule, Queue
from evalgate.queue.fill import fill
from evalgate.queue.items import HoldEvent, ItemState, find_item, list_items, server_now
from evalgate.queue.progress import progress
from evalgate.queue.reserve import extend, may_label, release, take
from evalgate.queue.store import (
    change_queue,
    close_queue,
    create_queue,
    find_queue,
    history,
    list_queues,
    remove,
    requeue,
    restore,
)
from evalgate.review.labels import draft, save
from evalgate.signals.weights import Weights
from schema.errors import Retryable
from schema.verdict import Label, Role, Verdict

if TYPE_CHECKING:
    from pathlib import Path

    from evalgate.database import TenantDatabase
    from tests.evalgate.traffic import Traffic

IDS = [f"{n:02x}" * 16 for n in range(1, 9)]


@pytest.fixture
def eight(traffic: Traffic) -> TenantDatabase:
    """Eight traces: three whose tool failed, in the feature refunds; five without anything."""
    for n, trace_id in enumerate(IDS):
        if n < 3:
            traffic.refund(trace_id)
        else:
            traffic.trace(trace_id, [{"output_text": "fine"}])
    return traffic.database


def label(database: TenantDatabase, trace_id: str, who: str, verdict: str = "good", **more: Any) -> None:
    save(database, [draft(database, Label(trace_id, "", Verdict(verdict), annotator=who, **more))])


def made(database: TenantDatabase, **fields: Any) -> Queue:
    return create_queue(database, Queue("q", **fields), actor="ann")


def test_a_queue_is_made_once_and_changed_by_who_has_read_it(database: TenantDatabase) -> None:
    rule = AssignRule(("feature = refunds",), "ann")
    queue = made(database, where=("feature = refunds",), weights={"asked_again": 50.0}, rules=(rule,), reviewers=2)
    assert find_queue(database, "q") == queue
    assert queue.version == 1
    with pytest.raises(BadInput, match="there is a queue q already"):
        made(database)
    wider = change_queue(database, Queue("q", version=queue.version, size=7), actor="bob", reason="too narrow")
    assert (wider.version, wider.where, list_queues(database)) == (2, (), [wider])
    with pytest.raises(Retryable, match="somebody else changed"):  # who read the first version
        change_queue(database, Queue("q", version=queue.version, size=9), actor="carl")
    assert find_queue(database, "q") == wider
    close_queue(database, wider, actor="bob", reason="done with it")
    assert [(c.version, c.event, c.actor, c.reason) for c in history(database, "q")] == [
        (1, "created", "ann", ""),
        (2, "changed", "bob", "too narrow"),
        (3, "closed", "bob", "done with it"),
    ]
    with pytest.raises(BadInput, match="Did you mean 'q'"):
        find_queue(database, "qq")
    with pytest.raises(BadInput, match="is closed"):
        take(database, find_queue(database, "q"), "ann")


def test_a_fill_takes_the_most_deserving_and_a_random_share_and_says_what_it_left(eight: TenantDatabase) -> None:
    rules = (AssignRule(("feature = refunds",), "ann"), AssignRule(("service_name = shop",), "bob"))
    queue = made(eight, size=6, random_share=0.34, rules=rules)
    label(eight, IDS[7], "ann")
    filled = fill(eight, queue, weights=Weights())
    assert (filled.added, filled.waiting, filled.candidates, filled.random) == (6, 6, 7, 2)
    assert filled.left_out == {
        "are labelled already": 1,
        "come after these: the queue has room for no more (--size)": 1,
    }
    items = list_items(eight, queue)
    inside = {i.trace_id for i in items}
    assert set(IDS[:3]) <= inside <= set(IDS[:7])
    best = find_item(eight, queue, IDS[0])
    assert best.parts["failure"] == 40
    assert best.words["failure"] == "tool_error"
    assert best.score == pytest.approx(sum(best.parts.values()), abs=0.05)
    assert {i.trace_id: i.assigned_to for i in items} == {i: "ann" if i in IDS[:3] else "bob" for i in inside}
    assert filled.assigned == {"ann": 3, "bob": 3}
    drawn = [i.entry for i in items if i.is_random]
    assert len(drawn) == 2
    assert all(e and e.draw < e.inclusion_probability <= 1 for e in drawn)
    # Again: it is full, and a wider one takes the rest and nothing twice.
    assert fill(eight, queue, weights=Weights()).added == 0
    wider = change_queue(eight, Queue("q", version=1, size=50, random_share=0), actor="ann")
    assert fill(eight, wider, weights=Weights()).added == 1
    assert {i.trace_id for i in list_items(eight, wider)} == set(IDS[:7])
    assert fill(eight, wider, weights=Weights()).left_out == {
        "are in the queue already": 7,
        "are labelled already": 1,
    }


def test_filters_are_conditions_signals_words_and_issues(eight: TenantDatabase) -> None:
    def found(**fields: Any) -> set[str]:
        queue = Queue(f"q{len(list_queues(eight))}", **fields)
        create_queue(eight, queue, actor="ann")
        fill(eight, queue, weights=Weights())
        return {i.trace_id for i in list_items(eight, queue)}

    assert found(where=("tool_name = policy",)) == set(IDS[:3])
    assert found(signals=("failure",)) == set(IDS[:3])
    assert found(text="90 DAYS") == set(IDS[:3])
    label(eight, IDS[0], "ann", "bad", failure_mode="wrong policy")
    assert found(issues=(1,)) == set(IDS[1:3])  # failed in the same way as what was labelled
    for wrong in ({"issues": (9,)}, {"clusters": (9,)}):
        with pytest.raises(BadInput, match="9"):
            found(**wrong)


def test_two_never_have_one_item_and_time_gives_it_back(eight: TenantDatabase) -> None:
    queue = made(eight, size=2, random_share=0, reserve_s=60)
    fill(eight, queue, weights=Weights())
    now = server_now(eight)
    a, b = take(eight, queue, "ann", now), take(eight, queue, "bob", now)
    assert a
    assert b
    assert a.trace_id != b.trace_id
    assert (a.state, a.reserved_by, a.reserved_until) == (ItemState.RESERVED, "ann", now + timedelta(seconds=60))
    assert take(eight, queue, "carl", now) is None
    again = take(eight, queue, "ann", now + timedelta(seconds=59))
    assert again
    assert again.trace_id == a.trace_id
    with pytest.raises(BadInput, match="is with ann until"):
        take(eight, queue, "bob", now, trace_id=a.trace_id)
    may_label(eight, queue, a.trace_id, "ann", now + timedelta(hours=1))  # over, and nobody has taken it
    extend(eight, queue, a.trace_id, "ann", now + timedelta(seconds=50))
    assert take(eight, queue, "carl", now + timedelta(seconds=61), trace_id=b.trace_id)
    with pytest.raises(BadInput, match=r"your reservation of trace .* is over: it is with carl until"):
        may_label(eight, queue, b.trace_id, "bob", now + timedelta(seconds=62))
    assert not release(eight, queue, a.trace_id, "bob", now)
    assert release(eight, queue, a.trace_id, "ann", now + timedelta(seconds=63))
    taken = take(eight, queue, "dora", now + timedelta(seconds=64))
    assert taken
    assert taken.trace_id == a.trace_id


def test_of_two_who_read_the_same_one_gets_it(eight: TenantDatabase, monkeypatch: pytest.MonkeyPatch) -> None:
    queue = made(eight, size=2, random_share=0)
    fill(eight, queue, weights=Weights())
    now = server_now(eight)
    stale = list_items(eight, queue, reviewer="bob", now=now)
    first = take(eight, queue, "ann", now)
    seen = iter([stale])

    def once_stale(*arguments: Any, **options: Any) -> Any:
        return next(seen, None) or list_items(*arguments, **options)

    monkeypatch.setattr("evalgate.queue.reserve.list_items", once_stale)
    other = take(eight, queue, "bob", now)
    assert first
    assert other
    assert stale[0].trace_id == first.trace_id != other.trace_id
    held = find_item(eight, queue, first.trace_id, now=now)
    assert held.hold
    assert (held.reserved_by, held.hold.number, held.hold.event) == ("ann", 1, HoldEvent.TAKEN)


def test_what_was_removed_stays_out_until_it_is_put_back(eight: TenantDatabase) -> None:
    queue = made(eight, size=8)
    fill(eight, queue, weights=Weights())
    with pytest.raises(BadInput, match="say why"):
        remove(eight, queue, IDS[0], actor="ann", reason=" ")
    remove(eight, queue, IDS[0], actor="ann", reason="a test account")
    assert find_item(eight, queue, IDS[0]).state is ItemState.REMOVED
    filled = fill(eight, queue, weights=Weights())
    assert (filled.added, filled.left_out["were removed from the queue, and stay out"]) == (0, 1)
    with pytest.raises(BadInput, match="was removed from the queue; put it back"):
        take(eight, queue, "ann", trace_id=IDS[0])
    restore(eight, queue, IDS[0], actor="ann")
    assert find_item(eight, queue, IDS[0]).state is ItemState.WAITING
    with pytest.raises(BadInput, match="was not removed"):
        restore(eight, queue, IDS[0], actor="ann")


def test_two_reviewers_who_differ_need_a_third(eight: TenantDatabase) -> None:
    queue = made(eight, size=1, random_share=0, reviewers=2)
    fill(eight, queue, weights=Weights())
    item = take(eight, queue, "ann")
    assert item
    label(eight, item.trace_id, "ann", "bad", failure_mode="wrong policy")
    assert find_item(eight, queue, item.trace_id).state is ItemState.IN_REVIEW  # the label ended the reservation
    assert take(eight, queue, "ann") is None
    assert take(eight, queue, "bob")
    label(eight, item.trace_id, "bob", "good")
    assert find_item(eight, queue, item.trace_id).state is ItemState.DISPUTED
    assert take(eight, queue, "bob") is None
    third = take(eight, queue, "carl")
    assert third
    assert third.is_disputed
    label(eight, item.trace_id, "carl", "good", role=Role.ADJUDICATION)
    done = find_item(eight, queue, item.trace_id)
    assert (done.state, done.verdict, done.labelled_by) == (ItemState.DONE, "good", ("ann", "bob", "carl"))
    told = progress(eight, queue)
    assert (told.done, told.open, told.labels, told.this_week) == (1, 0, 3, 3)
    assert (told.by_reviewer, told.labels_per_mode) == ({"ann": 1, "bob": 1, "carl": 1}, {"wrong policy": 1})
    requeue(eight, queue, item.trace_id, actor="ann", reason="the policy changed")
    assert find_item(eight, queue, item.trace_id).state is ItemState.WAITING


def test_the_commands(eight: TenantDatabase, dsn: str, project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    def ask(*words: str, code: int = 0) -> str:
        assert run(["queue", *words, "--dsn", dsn]) == code
        said = capsys.readouterr()
        return said.out if code == 0 else said.err

    assert "No queue yet" in ask("list")
    rule = "feature = refunds and failing = true -> ann"
    assert "queue first created" in ask("create", "first", "--where", "service_name = shop", "--assign", rule)
    assert "8 traces added to first, 1 of them drawn at random; 8 wait" in ask("fill", "first")
    assert "the queue is full" in (ask("edit", "first", "--size", "8") and ask("fill", "first"))
    listed = ask("show", "first", "--items")
    assert "failure +40 (tool_error)" in listed
    assert "for ann" in listed
    shown = json.loads(ask("show", "first", "--trace", IDS[0], "--json"))
    assert (shown["state"], shown["assigned_to"], shown["parts"][0]["signal"]) == ("waiting", "ann", "failure")
    assert "1 trace assigned to bob" in ask("assign", "first", IDS[0][:6], "--to", "bob")
    assert "say why it goes" in ask("remove", "first", IDS[0][:6], code=2)
    ask("remove", "first", IDS[0][:6], "--reason", "a test account")
    assert "removed" in ask("show", "first", "--trace", IDS[0])
    assert json.loads(ask("progress", "first", "--json"))["removed"] == 1
    assert json.loads(ask("list", "--json"))["queues"][0]["progress"]["waiting"] == 7
    assert "nothing changes" in ask("edit", "first", code=2)
    assert "there is no signal 'looops'" in ask("edit", "first", "--signal", "looops", code=2)
    assert "queue first closed" in ask("close", "first")
    assert "is closed" in ask("fill", "first", code=2)
