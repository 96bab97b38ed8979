"""Where an item stands, who gets it next, and whose labels he sees. No database."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from evalgate.errors import BadInput
from evalgate.queue.blind import Blind, Standing, blind_of, role_of
from evalgate.queue.definition import (
    AssignRule,
    Queue,
    check,
    from_body,
    parse_rule,
    parse_weights,
    rule_words,
    to_body,
)
from evalgate.queue.items import Entry, Hold, HoldEvent, Item, ItemState, Said, item_of, refusal, review_order
from evalgate.queue.progress import progress_of
from evalgate.queue.reserve import check_label
from schema.verdict import Role

NOW = datetime(2026, 11, 20, 9, 0, tzinfo=UTC)
QUEUE = Queue("q", reviewers=2, version=1)
TRACE = "aa" * 16


def entry(trace_id: str = TRACE, **fields: Any) -> Entry:
    return Entry(trace_id, NOW - timedelta(days=1), **fields)


def said(who: str, verdict: str = "good", mode: str = "", *, minutes: int = 0, **fields: Any) -> Said:
    return Said(TRACE, who, verdict, mode, NOW + timedelta(minutes=minutes), **fields)


@pytest.mark.parametrize(
    ("labels", "state", "verdict"),
    [
        ([], ItemState.WAITING, ""),
        ([said("ann")], ItemState.IN_REVIEW, ""),
        ([said("ann"), said("ann", minutes=1)], ItemState.IN_REVIEW, ""),
        ([said("ann"), said("bob")], ItemState.DONE, "good"),
        ([said("ann", "bad", "tone"), said("bob", "bad")], ItemState.DONE, "bad"),
        ([said("ann", "bad", "tone"), said("bob", "bad", "policy")], ItemState.DISPUTED, ""),
        ([said("ann"), said("bob", "partial")], ItemState.DISPUTED, ""),
        ([said("bob", "bad"), said("bob", minutes=1), said("ann", minutes=2)], ItemState.DONE, "good"),
        # Who says it anew when people differ decides nothing.
        ([said("ann"), said("bob", "bad"), said("bob", minutes=1)], ItemState.DISPUTED, ""),
        ([said("ann"), said("bob", "bad"), said("ann", "bad", minutes=1)], ItemState.DISPUTED, ""),
        ([said("ann"), said("bob", "bad"), said("carl", is_adjudication=True)], ItemState.DONE, "good"),
        # A label of a span counts where there is none of the whole trace.
        ([said("ann"), said("bob", "bad", minutes=1, is_whole=False), said("bob")], ItemState.DONE, "good"),
        ([said("ann"), said("bob", "bad", is_whole=False)], ItemState.DISPUTED, ""),
    ],
)
def test_labels_say_where_an_item_stands(labels: list[Said], state: ItemState, verdict: str) -> None:
    item = item_of(QUEUE, entry(), None, labels, NOW)
    assert (item.state, item.verdict) == (state, verdict)


def test_one_reviewer_is_never_disputed_and_what_is_removed_is_removed() -> None:
    labels = [said("ann"), said("bob", "bad", minutes=1)]
    alone = item_of(replace(QUEUE, reviewers=1), entry(), None, labels, NOW)
    assert (alone.state, alone.verdict) == (ItemState.DONE, "bad")
    assert item_of(QUEUE, entry(is_removed=True), None, labels, NOW).state is ItemState.REMOVED


def test_an_undone_label_gives_the_reservation_back_while_its_time_lasts() -> None:
    hold = Hold(TRACE, 1, HoldEvent.TAKEN, "ann", NOW, NOW + timedelta(minutes=15))
    late = NOW + timedelta(minutes=5)
    assert item_of(QUEUE, entry(), hold, [said("ann", minutes=2)], late).state is ItemState.IN_REVIEW
    assert item_of(QUEUE, entry(), hold, [], late).reserved_by == "ann"
    assert item_of(QUEUE, entry(), hold, [said("bob", minutes=2)], late).reserved_by == "ann"
    assert item_of(QUEUE, entry(), hold, [], NOW + timedelta(minutes=15)).state is ItemState.WAITING


def standing(queue: Queue, *labels: Said, holder: str = "", requeued_at: datetime | None = None) -> Standing:
    hold = Hold(TRACE, 1, HoldEvent.TAKEN, holder, NOW, NOW + timedelta(minutes=15)) if holder else None
    return Standing(queue, item_of(queue, entry(requeued_at=requeued_at), hold, labels, NOW), labels)


def seen(viewer: str | None, *standings: Standing) -> bool:
    return not blind_of(standings, viewer).hides(TRACE)


ANN, BOB, DIFFERS = said("ann", minutes=-9), said("bob", minutes=-9), said("bob", "bad", minutes=-9)
CLOSED = replace(QUEUE, is_open=False)


@pytest.mark.parametrize(
    ("standings", "who_sees"),
    [
        ([standing(QUEUE, ANN)], {"ann"}),
        ([standing(QUEUE, ANN, BOB)], {"ann", "bob", "carl", None}),
        ([standing(QUEUE, ANN, DIFFERS)], set()),
        ([standing(QUEUE, ANN, DIFFERS, holder="carl")], {"carl"}),
        ([standing(QUEUE, ANN, DIFFERS, said("carl", is_adjudication=True))], {"ann", "bob", "carl", None}),
        # Two queues have it: the one that is not through hides it, also from who decides in the other.
        ([standing(QUEUE, ANN, BOB), standing(replace(QUEUE, reviewers=3), ANN, BOB)], set()),
        ([standing(QUEUE, ANN, DIFFERS, holder="carl"), standing(replace(QUEUE, reviewers=3), ANN, DIFFERS)], set()),
        # What was said before a requeue stays hidden until it is done again.
        ([standing(QUEUE, ANN, BOB, requeued_at=NOW)], set()),
        ([standing(CLOSED, ANN)], {"ann"}),
        ([standing(replace(CLOSED, reviewers=3), ANN, BOB)], {"ann", "bob"}),
        ([standing(CLOSED, ANN, DIFFERS)], {"ann", "bob", "carl", None}),
    ],
)  # fmt: skip
def test_nobody_knows_what_others_said_before_all_are_through(
    standings: list[Standing], who_sees: set[str | None]
) -> None:
    assert {who for who in ("ann", "bob", "carl", None) if seen(who, *standings)} == who_sees


def test_of_what_is_hidden_one_sees_his_own_and_items_say_no_verdict() -> None:
    rows = [{"annotator": "ann"}, {"annotator": "bob"}]
    blind = blind_of([standing(replace(QUEUE, reviewers=3), ANN, BOB)], "bob")
    assert blind.labels(TRACE, rows) == rows[1:]
    assert blind.labels("ff" * 16, rows) == rows
    done = item_of(replace(QUEUE, reviewers=1), entry(), None, [said("ann", "bad", "tone")], NOW)
    told = blind.item(done)
    assert (done.verdict, done.failure_mode) == ("bad", "tone")
    assert (told.state, told.verdict, told.failure_mode) == (ItemState.DONE, "", "")
    assert Blind("bob").item(done) == done


def test_a_dispute_is_hidden_and_finished() -> None:
    assert blind_of([standing(QUEUE, ANN, DIFFERS)], None).unfinished == frozenset()
    assert blind_of([standing(replace(QUEUE, reviewers=3), ANN, DIFFERS)], None).unfinished == {TRACE}
    disputed = item_of(QUEUE, entry(), None, [ANN, DIFFERS], NOW)
    assert role_of(disputed) is Role.ADJUDICATION


def test_counts_of_what_is_not_done_tell_no_word() -> None:
    three = replace(QUEUE, reviewers=3)
    begun = item_of(three, entry(), None, [said("ann", "bad", "tone")], NOW)
    found = progress_of([begun], [said("ann", "bad", "tone")], NOW)
    assert (found.labels, found.by_reviewer) == (1, {"ann": 1})
    assert (found.labels_per_mode, found.verdicts) == ({}, {})
    done = item_of(replace(QUEUE, reviewers=1), entry(), None, [said("ann", "bad", "tone")], NOW)
    of_done = [said("ann", "bad", "tone")]
    assert progress_of([done], of_done, NOW).labels_per_mode == {"tone": 1}
    assert progress_of([done], of_done, NOW).verdicts == {"bad": 1}
    # Done in this queue, and not in another one.
    assert progress_of([done], of_done, NOW, {TRACE}).labels_per_mode == {}
    assert progress_of([done], of_done, NOW, {TRACE}).verdicts == {}


@pytest.mark.parametrize("labels", [[], [said("ann", minutes=-9)]])
def test_a_closed_queue_takes_what_its_holder_says_and_nothing_else(labels: list[Said]) -> None:
    hold = Hold(TRACE, 1, HoldEvent.TAKEN, "bob", NOW, NOW + timedelta(minutes=15))
    held = item_of(CLOSED, entry(), hold, labels, NOW)
    check_label(CLOSED, held, "bob")
    for item, who in ((held, "ann"), (item_of(CLOSED, entry(), None, labels, NOW), "bob")):
        with pytest.raises(BadInput, match="the queue q is closed"):
            check_label(CLOSED, item, who)


def test_what_is_assigned_is_first_its_reviewers() -> None:
    item = item_of(QUEUE, entry(assigned_to="ann"), None, [], NOW)
    assert refusal(QUEUE, item, "bob") == "is assigned to ann"
    assert not refusal(QUEUE, item, "ann")
    assert not refusal(QUEUE, item_of(QUEUE, entry(assigned_to="ann"), None, [said("ann")], NOW), "bob")


def waiting(number: int, **fields: Any) -> Item:
    return item_of(QUEUE, entry(f"{number:032x}", **fields), None, [], NOW)


def test_random_items_are_their_share_at_any_moment_and_come_by_their_draw() -> None:
    queue = replace(QUEUE, random_share=0.2)
    scored = [waiting(n, score=float(n)) for n in range(1, 41)]
    drawn = [waiting(100 + n, is_random=True, score=99.0, draw=n / 100) for n in range(1, 11)]
    order = review_order(queue, [*drawn[::-1], *scored])
    for length in range(1, 51):
        share = sum(i.is_random for i in order[:length]) / length
        assert abs(share - 0.2) <= 0.5 / length
    assert [i for i in order if i.is_random] == drawn
    assert [i.score for i in order if not i.is_random] == sorted((i.score for i in scored), reverse=True)
    # What was handled counts: after five that were not random, a random one is due.
    handled = [replace(i, state=ItemState.DONE, labelled_by=("ann",)) for i in scored[:5]]
    assert review_order(queue, [*handled, *scored[5:], *drawn])[0] == drawn[0]


def test_the_order_begins_with_what_only_this_reviewer_can_do() -> None:
    mine = replace(waiting(1), assigned_to="ann")
    begun = replace(waiting(2, score=5.0), state=ItemState.IN_REVIEW, labelled_by=("bob",))
    disputed = replace(waiting(3), state=ItemState.DISPUTED, labelled_by=("bob", "carl"), is_disputed=True)
    own = replace(waiting(4), state=ItemState.IN_REVIEW, labelled_by=("ann",))
    best = waiting(5, score=90.0)
    order = review_order(QUEUE, [best, own, begun, disputed, mine], "ann")
    assert order == [mine, disputed, begun, best, own]


def test_a_definition_is_kept_whole() -> None:
    queue = Queue(
        "q", ("feature = refunds",), ("hedging",), (1, 2), (3,), "money", {"hedging": 3.5}, 2, ("ann",), 0.3, 7, 60,
        (AssignRule(("failing = true", "release = 2"), "bob"),), "read it twice", is_open=False, version=4,
    )  # fmt: skip
    assert from_body("q", 4, to_body(queue)) == queue


def test_a_rule_is_read_as_it_is_written() -> None:
    rule = parse_rule("feature = refunds and failing = true -> ann lee")
    assert rule == AssignRule(("feature = refunds", "failing = true"), "ann lee")
    assert parse_rule(rule_words(rule)) == rule
    assert parse_weights(["hedging=3", "cost = 0"]) == {"hedging": 3.0, "cost": 0.0}


@pytest.mark.parametrize(
    "text", ["", "ann", "feature = refunds ->", "-> ann", "feature refunds -> ann", "nothing = 1 -> a"]
)
def test_what_is_no_rule_is_refused(text: str) -> None:
    with pytest.raises(BadInput):
        parse_rule(text)


@pytest.mark.parametrize(
    ("queue", "words"),
    [
        (Queue("Q"), "no name of a queue"),
        (Queue("q" * 64), "no name of a queue"),
        (Queue("q", signals=("hegding",)), "Did you mean 'hedging'"),
        (Queue("q", weights={"hedging": float("nan")}), "points are 0 to 1000"),
        (Queue("q", reviewers=0), "--reviewers is 1 to 20"),
        (Queue("q", random_share=1.5), "--random is 0 to 1"),
        (Queue("q", size=0), "--size is 1 to"),
        (Queue("q", reserve_s=1), "--reserve is"),
        (Queue("q", where=("nothing = 1",)), "no field 'nothing'"),
        (Queue("q", issues=(0,)), "numbered from 1"),
        (Queue("q", adjudicators=("a\nb",)), "no name of a reviewer"),
        (Queue("q", rules=(AssignRule(("feature = refunds",), "ada\u200b"),)), "nobody sees"),
    ],
)
def test_a_queue_that_cannot_be_says_why(queue: Queue, words: str) -> None:
    with pytest.raises(BadInput, match=words):
        check(queue)
