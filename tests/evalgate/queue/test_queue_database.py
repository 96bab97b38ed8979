"""Queues in a real database: what is stored once, who gets an item, what a fill brings and never brings back."""

from __future__ import annotations

import json
import re
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest

from evalgate.app import run
from evalgate.database import TenantDatabase
from evalgate.errors import BadInput
from evalgate.queue.definition import AssignRule, Queue
from evalgate.queue.fill import admitted_of, conditions_of, fill
from evalgate.queue.items import HoldEvent, ItemState, find_item, list_items, server_now
from evalgate.queue.progress import progress
from evalgate.queue.reserve import extend, may_label, release, take
from evalgate.queue.store import (
    assign,
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
from evalgate.review.numbers import open_issues
from evalgate.select.traces import list_traces
from evalgate.select.where import Where
from evalgate.signals.measure import signals as read_signals
from evalgate.signals.weights import Weights
from exporters.clickhouse.connect import connect
from schema.errors import Retryable
from tests.evalgate.traffic import START

if TYPE_CHECKING:
    from pathlib import Path

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


def label(database: TenantDatabase, trace_id: str, who: str, verdict: str = "good", **more: str) -> None:
    """Store a label as `evalgate.review.labels.save` does, without its case."""
    row = {"annotation_id": f"{trace_id} {who}", "trace_id": trace_id, "annotator": who, "verdict": verdict, **more}
    database.insert_rows("annotations", [{"created_at": server_now(database), **row}])


def holding(database: TenantDatabase, *trace_ids: str, **fields: Any) -> Queue:
    """Make a queue that holds these already; of the traces there is no more than that they are there."""
    queue = made(database, random_share=0, **fields)
    parts = [{"received_hour": START, "trace_id": bytes.fromhex(t), "span_count": 1} for t in trace_ids]
    database.insert_rows("trace_parts", parts)
    database.insert_rows("queue_items", [{"queue": "q", "trace_id": t, "event": "added"} for t in trace_ids])
    return queue


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
    assert {e.population for e in drawn if e} == {7}
    # Again: it is full, and a wider one takes the rest, nothing twice, and not what was removed.
    assert fill(eight, queue, weights=Weights()).added == 0
    remove(eight, queue, IDS[0], actor="ann", reason="a test account")
    wider = change_queue(eight, Queue("q", version=1, size=50, random_share=0), actor="ann")
    again = fill(eight, wider, weights=Weights())
    assert (again.added, again.waiting) == (1, 6)
    assert {i.entry.population for i in list_items(eight, wider) if i.entry} == {7}
    assert again.left_out == {
        "were removed from the queue, and stay out": 1,
        "are in the queue already": 5,
        "are labelled already": 1,
    }
    assert {i.trace_id for i in list_items(eight, wider)} == set(IDS[:7])


def test_filters_are_conditions_signals_words_and_issues(eight: TenantDatabase) -> None:
    label(eight, IDS[0], "ann", "bad", failure_mode="wrong policy")
    open_issues(eight, ["wrong policy"], actor="ann")
    signals = read_signals(eight, Where())
    trace = signals.population.trace

    def found(**fields: Any) -> set[str]:
        queue = Queue("q", **fields)
        asked = list_traces(eight, conditions_of(eight, queue), 10)
        admitted, _ = admitted_of(eight, queue, signals)
        return {r.trace_id for r in asked} & set(trace[admitted])

    assert found(where=("tool_name = policy",), text="90 DAYS") == set(IDS[:3])
    assert found(signals=("failure", "asked_again")) == set(IDS[:3])
    assert found(issues=(1,)) == set(IDS[:3])  # labelled with it, or failed in the same way
    assert found(text="nobody said this") == set()
    for wrong in ({"issues": (9,)}, {"clusters": (9,)}):
        with pytest.raises(BadInput, match=r"there is no (issue|cluster) 9"):
            found(**wrong)


def test_two_never_have_one_item_and_time_gives_it_back(database: TenantDatabase) -> None:
    queue = holding(database, *IDS[:2], reserve_s=60)
    now = server_now(database)
    stale = list_items(database, queue, reviewer="bob", now=now)
    a = take(database, queue, "ann", now)
    assert a
    assert (a.state, a.reserved_by, a.reserved_until) == (ItemState.RESERVED, "ann", now + timedelta(seconds=60))
    seen = iter([stale])

    def once_stale(*arguments: Any, **options: Any) -> Any:
        return next(seen, None) or list_items(*arguments, **options)

    with pytest.MonkeyPatch.context() as patched:  # bob decides by what he read before ann came
        patched.setattr("evalgate.queue.reserve.list_items", once_stale)
        b = take(database, queue, "bob", now)
    assert b
    assert stale[0].trace_id == a.trace_id != b.trace_id
    held = find_item(database, queue, a.trace_id, now=now)
    assert held.hold
    assert (held.reserved_by, held.hold.number, held.hold.event) == ("ann", 1, HoldEvent.TAKEN)
    assert take(database, queue, "carl", now) is None
    may_label(database, queue, a.trace_id, "ann", now + timedelta(hours=1))  # over, and nobody has taken it
    extend(database, queue, a.trace_id, "ann", now + timedelta(seconds=50))
    assert take(database, queue, "carl", now + timedelta(seconds=61), trace_id=b.trace_id)
    with pytest.raises(BadInput, match=r"your reservation of trace .* is over: it is with carl until"):
        may_label(database, queue, b.trace_id, "bob", now + timedelta(seconds=62))
    assert release(database, queue, a.trace_id, "ann", now + timedelta(seconds=63))
    taken = take(database, queue, "dora", now + timedelta(seconds=64))
    assert taken
    assert taken.trace_id == a.trace_id


@pytest.mark.thorough
def test_reviewers_who_come_at_once_get_different_items(database: TenantDatabase, dsn: str) -> None:
    people = [f"reviewer {n}" for n in range(6)]
    queue = holding(database, *IDS)

    def sitting(who: str) -> list[str]:
        with connect(dsn) as opened:
            own = TenantDatabase(opened, database.tenant)
            item = take(own, queue, who)
            return [item.trace_id] if item else []

    with ThreadPoolExecutor(len(people)) as pool:
        got = [trace for traces in pool.map(sitting, people) for trace in traces]
    assert len(got) == len(set(got)) == len(people)
    assert {i.reserved_by for i in list_items(database, queue)} == {"", *people}


def test_states_as_rows_tell_them(database: TenantDatabase) -> None:
    queue = holding(database, IDS[0], reviewers=2)
    with pytest.raises(BadInput, match="say why"):
        remove(database, queue, IDS[0], actor="ann", reason=" ")
    remove(database, queue, IDS[0], actor="ann", reason="a test account")
    with pytest.raises(BadInput, match="was removed from the queue; put it back"):
        take(database, queue, "ann", trace_id=IDS[0])
    restore(database, queue, IDS[0], actor="ann")
    assign(database, queue, [IDS[0]], "ann", actor="ann")
    assert take(database, queue, "bob") is None
    assert take(database, queue, "ann")
    label(database, IDS[0], "ann", "bad", failure_mode="wrong policy")
    assert find_item(database, queue, IDS[0]).state is ItemState.IN_REVIEW  # the label ended the reservation
    label(database, IDS[0], "bob", "good")
    assert find_item(database, queue, IDS[0]).state is ItemState.DISPUTED
    label(database, IDS[0], "carl", "good", role="adjudication")
    done = find_item(database, queue, IDS[0])
    assert (done.state, done.verdict, done.labelled_by) == (ItemState.DONE, "good", ("ann", "bob", "carl"))
    told = progress(database, queue)
    assert (told.done, told.open, told.labels, told.this_week) == (1, 0, 3, 3)
    assert (told.by_reviewer, told.labels_per_mode) == ({"ann": 1, "bob": 1, "carl": 1}, {"wrong policy": 1})
    requeue(database, queue, IDS[0], actor="ann", reason="the policy changed")
    assert find_item(database, queue, IDS[0]).state is ItemState.WAITING


def test_the_commands(eight: TenantDatabase, dsn: str, project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    def ask(*words: str, code: int = 0) -> str:
        assert run(["queue", *words, "--dsn", dsn]) == code
        said = capsys.readouterr()
        return said.out if code == 0 else said.err

    assert "No queue yet" in ask("list")
    rule = "feature = refunds and failing = true -> ann"
    assert "queue first created" in ask("create", "first", "--where", "service_name = shop", "--assign", rule)
    assert "8 traces added to first, 1 of them drawn at random; 8 wait" in ask("fill", "first")
    listed = ask("show", "first", "--items")
    assert "failure +40 (tool_error)" in listed
    assert "for ann" in listed
    shown = json.loads(ask("show", "first", "--trace", IDS[0], "--json"))
    assert (shown["state"], shown["assigned_to"], shown["parts"][0]["signal"]) == ("waiting", "ann", "failure")
    assert "say why it goes" in ask("remove", "first", IDS[0][:6], code=2)
    assert "1 trace removed" in ask("remove", "first", IDS[0][:6], "--reason", "a test account")
    assert "queue first changed" in ask("edit", "first", "--size", "7", "--clear", "where")
    assert "the queue is full: 7 wait" in ask("fill", "first")
    assert re.search(r"^first +open +7 ", ask("list"), re.MULTILINE)
    told = json.loads(ask("list", "--json"))["queues"][0]
    assert (told["progress"]["waiting"], told["progress"]["removed"], told["where"]) == (7, 1, [])
    assert "there is no signal 'looops'" in ask("edit", "first", "--signal", "looops", code=2)
    assert "Nothing is reviewed yet" in ask("yield", "first")
    for n, trace_id in enumerate(IDS[1:]):
        label(eight, trace_id, "ann", "bad" if n < 2 else "good")
    assert "reviewed  7 traces: 2 bad; 28.6 %" in ask("yield")
    assert "No points are proposed: 7 reviewed items" in ask("yield", "first", "--reweight")
    assert "queue first closed" in ask("close", "first")
    assert "is closed" in ask("fill", "first", code=2)
