"""The form of a queue says what the command says, and checks it as the command does."""

from __future__ import annotations

import re

import pytest
from starlette.datastructures import FormData

from evalgate.errors import BadInput
from evalgate.queue.definition import AssignRule, Queue
from evalgate.web.queue_form import form_of, form_sent, read_queue

EVERYTHING = Queue(
    "all-of-it",
    where=("flagged = true", "feature = refunds"),
    signals=("asked_again", "refusal"),
    issues=(3, 8),
    clusters=(12,),
    text="money back",
    weights={"asked_again": 50.5, "pattern": 0.0},
    reviewers=2,
    adjudicators=("ann", "bob the second"),
    random_share=0.125,
    size=40,
    reserve_s=90,
    rules=(AssignRule(("feature = refunds", "environment = prod"), "carl"),),
    instructions="Look at the dates.\nThen at the sums.",
    version=4,
)


def sent(queue: Queue, **changes: str) -> FormData:
    """Return what a browser sends of the form of a queue."""
    form = form_of(queue)
    pairs = [(name, changes.pop(name, said)) for name, said in form.texts.items()]
    pairs += [("signals", ""), *(("signals", name) for name in form.signals)]
    pairs += [(f"weight-{name}", said) for name, said in form.weights.items()]
    return FormData([*pairs, *changes.items()])


def test_what_is_shown_and_sent_back_is_the_same_queue() -> None:
    found = read_queue(sent(EVERYTHING), Queue("all-of-it", version=4))
    assert set(found.signals) == set(EVERYTHING.signals)
    assert found == Queue(**{**{f: getattr(EVERYTHING, f) for f in EVERYTHING.__slots__}, "signals": found.signals})


def test_a_field_that_is_not_sent_leaves_things_as_they_are_and_an_empty_one_empties_them() -> None:
    assert read_queue(FormData([("text", "refund")]), EVERYTHING).weights == EVERYTHING.weights
    cleared = FormData([("where", ""), ("signals", ""), ("weight-asked_again", ""), ("rules", " \n")])
    found = read_queue(cleared, EVERYTHING)
    assert (found.where, found.signals, dict(found.weights), found.rules) == ((), (), {"pattern": 0.0}, ())
    assert found.issues == EVERYTHING.issues


@pytest.mark.parametrize(
    ("name", "said", "words"),
    [
        ("where", "feature ?? refunds", "feature"),
        ("rules", "refunds to carl", "is no rule"),
        ("issues", "3, many", "issues have numbers"),
        ("clusters", "0", "numbered from 1"),
        ("random", "101", "--random is 0 to 1"),
        ("random", "nan", "is a number"),
        ("reviewers", "1.5", "is a whole number"),
        ("size", "0", "--size is 1 to"),
        ("reserve", "1e9", "--reserve is"),
        ("adjudicators", "x" * 121, "no name of a reviewer"),
        ("signals", "nonesuch", "there is no signal"),
        ("weight-nonesuch", "3", "there is no signal"),
        ("weight-refusal", "-1", "points are 0 to 1000"),
        ("weight-refusal", "inf", "points are 0 to 1000"),
        ("name", "Not So", "is no name of a queue"),
    ],
)
def test_what_cannot_be_is_refused_and_stands_in_the_form_as_it_was_typed(name: str, said: str, words: str) -> None:
    form = sent(EVERYTHING, **{name: said})
    with pytest.raises(BadInput, match=re.escape(words)):
        read_queue(form, EVERYTHING)
    typed = form_sent(form, EVERYTHING)
    shown = {**typed.texts, **{f"weight-{n}": w for n, w in typed.weights.items()}}
    assert said in typed.signals or said == shown.get(name, said)
