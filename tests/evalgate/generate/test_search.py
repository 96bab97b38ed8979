"""Rules are found where they were planted, the simple before the clever, and nothing is found in noise."""

# ruff: noqa: FBT001 - what is answered is a function of the label

from __future__ import annotations

import json
import random
import re
from collections import Counter
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from evalgate.align.measure import confusion_of, judge_all
from evalgate.evaluators.rules import RuleEvaluator
from evalgate.generate.chance import chance
from evalgate.generate.examples import choose_examples
from evalgate.generate.features import gather
from evalgate.generate.features.text import common_phrases, pattern, phrases
from evalgate.generate.rule import considered, find_rule
from evalgate.generate.search import LARGEST, Labels, best_of_each_size, bits_of, fires_of, mcc_of_tables, search
from schema.alignment import Confusion
from schema.case import CaseInput
from schema.evaluator import AppliesTo, EvalType, EvaluatorSpec
from tests.evalgate.generate.planted import MODE, noise, planted, sentence

if TYPE_CHECKING:
    from collections.abc import Callable

    from schema.case import Case
    from schema.evaluator import Rule

SHUFFLES = 39


def examples_of(*args: Any, **kwargs: Any) -> Any:
    return choose_examples(planted(*args, **kwargs), MODE).items


def said(is_bad: bool, rng: random.Random, bad: str, good: str) -> str:
    return f"{sentence(rng, 12)}. {bad if is_bad else good} {sentence(rng, 6)}."


def promise(is_bad: bool, rng: random.Random) -> str:
    return said(is_bad, rng, f"You have {rng.choice((60, 90))} days.", f"You have {rng.choice((14, 28, 30))} weeks.")


def silent(is_bad: bool, rng: random.Random) -> str:
    return said(is_bad, rng, "", "Our terms are on the invoice.")


def broken_json(is_bad: bool, rng: random.Random) -> str:
    value: dict[str, Any] = {"status": "done", "amount": rng.randrange(5, 90), "note": sentence(rng, 5)}
    return json.dumps(value)[:-1] if is_bad else json.dumps(value)


def lacking_field(is_bad: bool, rng: random.Random) -> str:
    value: dict[str, Any] = {"refund": {"amount": rng.randrange(5, 90)}, "note": sentence(rng, 5)}
    if not is_bad:
        value["refund"]["currency"] = rng.choice(("EUR", "USD"))
    return json.dumps(value)


def wrong_type(is_bad: bool, rng: random.Random) -> str:
    amount = rng.randrange(5, 90)
    return json.dumps({"amount": str(amount) if is_bad else amount, "note": sentence(rng, 5)})


def call(name: str, **arguments: Any) -> dict[str, Any]:
    return {"name": name, "arguments": arguments}


def unasked_refund(is_bad: bool, rng: random.Random) -> tuple[str, tuple[dict[str, Any], ...]]:
    look = call("look_up", order=rng.randrange(999))
    refund = call("refund", order=rng.randrange(999))
    return noise(is_bad, rng), ((refund, look) if is_bad else (look, refund))


def loop(is_bad: bool, rng: random.Random) -> tuple[str, tuple[dict[str, Any], ...]]:
    first = call("look_up", order=rng.randrange(999))
    others = tuple(call("look_up", order=rng.randrange(1000, 9999)) for _ in range(rng.randrange(1, 4)))
    return noise(is_bad, rng), ((first, *others, first, first) if is_bad else (first, *others))


def wrong_argument(is_bad: bool, rng: random.Random) -> tuple[str, tuple[dict[str, Any], ...]]:
    speed = "express" if is_bad else rng.choice(("standard", "economy"))
    return noise(is_bad, rng), (call("ship", speed=speed, order=rng.randrange(999)),)


def long_winded(is_bad: bool, rng: random.Random) -> str:
    return sentence(rng, rng.randrange(60, 90) if is_bad else rng.randrange(10, 40)) + "."


def refusing(is_bad: bool, rng: random.Random) -> str:
    opening = rng.choice(("I'm sorry, but I can't help with that", "I cannot assist with that request"))
    return f"{opening}. {sentence(rng, 8)}." if is_bad else noise(is_bad, rng)


def cut_off(is_bad: bool, rng: random.Random) -> str:
    return sentence(rng, 20) + ("" if is_bad else ".")


def either_word(is_bad: bool, rng: random.Random) -> str:
    return said(is_bad, rng, rng.choice(("Guaranteed!", "Certainly!")), rng.choice(("Perhaps!", "Maybe!")))


def both_words(is_bad: bool, rng: random.Random) -> str:
    return said(is_bad, rng, "Guaranteed forever!", rng.choice(("Guaranteed now!", "Rarely forever!", "Possibly!")))


PLANTED: dict[str, Callable[[bool, random.Random], Any]] = {
    f.__name__: f
    for f in (
        promise, silent, broken_json, lacking_field, wrong_type, unasked_refund, loop, wrong_argument, long_winded,
        refusing, cut_off, either_word, both_words,
    )
}  # fmt: skip


WORDS = {
    "promise": 'says "days"|does not say "weeks"',
    "broken_json": "is not JSON",
    "lacking_field": "lacks /refund/currency",
    "wrong_type": "/amount is no integer|/amount is no number",
    "loop": "repeats a call",
    "wrong_argument": 'calls ship\\(speed="express"\\)',
    "long_winded": "longer than .* characters",
    "refusing": "refuses",
}
"""What is to be found, where it has a name."""


@pytest.mark.parametrize("name", PLANTED)
def test_a_planted_pattern_is_found_and_holds_on_examples_that_were_not_searched(name: str) -> None:
    seen, unseen = (examples_of(40, PLANTED[name], seed=s) for s in (1, 2))
    found = find_rule(seen, shuffles=SHUFFLES)
    assert found is not None
    assert found.is_promising, found.why_not
    evaluator = RuleEvaluator(spec_of(found.rule))
    assert [j.verdict.passed for j in judge_all(evaluator, seen)] == [not f for f in found.fires]  # type: ignore[union-attr]  # rules do not err here
    mcc = confusion_of(judge_all(evaluator, unseen)).mcc
    assert mcc is not None
    assert mcc > 0.9, found.words
    assert re.fullmatch(WORDS.get(name, ".*"), found.words), found.words


def spec_of(rule: Rule) -> EvaluatorSpec:
    return EvaluatorSpec("m", MODE, EvalType.RULE, rule, AppliesTo(all=True))


def found_in(cases: list[Case]) -> str:
    examples = choose_examples(cases, MODE).items
    found = find_rule(examples, shuffles=SHUFFLES)
    assert found is not None
    assert found.is_promising, found.why_not
    evaluator = RuleEvaluator(spec_of(found.rule))
    assert confusion_of(judge_all(evaluator, examples)).mcc == pytest.approx(found.mcc)
    return found.words


def test_why_the_model_stopped_and_how_much_it_wrote_are_looked_at() -> None:
    cases = planted(30, noise)
    cut = [
        replace(c, observed=replace(c.observed, finish_reason="length" if c.failure_mode else "stop")) for c in cases
    ]
    assert found_in(cut) in ("finished by length", "not finished by stop")
    wordy = [replace(c, observed=replace(c.observed, output_tokens=900 if c.failure_mode else 90)) for c in cases]
    assert found_in(wordy).endswith("output tokens")


def test_likeness_with_the_expected_answer_is_looked_at_where_every_example_has_one() -> None:
    cases = planted(30, noise)
    draw = random.Random(2)  # noqa: S311 - a draw, no secret
    told = [replace(c, expected_output=sentence(draw, 20) if c.failure_mode else c.observed.output) for c in cases]
    assert "expected answer" in found_in(told)
    some = [replace(c, expected_output=None) if n == 0 else c for n, c in enumerate(told)]
    candidates = gather(choose_examples(some, MODE).items)
    assert not [a for a in candidates.atoms if a.kind == "reference"]
    assert candidates.dropped["compares with an expected answer that some examples lack"] == 1


def test_noise_is_mostly_told_from_a_pattern_before_the_test_is_looked_at() -> None:
    examples = examples_of(16, noise, seed=8)
    candidates = gather(examples)
    names = [e.cluster for e in examples]
    bad = np.array([e.bad for e in examples])
    draw = np.random.default_rng(3)
    p_values = [chance(candidates, draw.permutation(bad), names, shuffles=SHUFFLES).p_value for _ in range(20)]
    assert sum(p < 0.05 for p in p_values) <= 3  # of 20, one is expected
    assert max(p_values) > 0.5


def test_the_simplest_rule_within_one_standard_error_of_the_best_is_chosen() -> None:
    """A word stands in nine of ten bad answers; these and one more are long, which asks more of a reader."""

    def answer(is_bad: bool, rng: random.Random) -> str:
        draw = rng.random() if is_bad else 1.0
        return sentence(rng, 60 if draw < 0.95 else 20) + (" guaranteed." if draw < 0.85 else ".")

    found = find_rule(examples_of(80, answer, seed=3), shuffles=SHUFFLES)
    assert found is not None
    best, chosen = found.searched.best, found.searched.chosen
    assert found.words == 'says "guaranteed"'
    assert chosen.mcc < best.mcc
    assert chosen.mcc >= best.mcc - found.searched.standard_error
    assert chosen.cost < best.cost


def test_what_a_correction_shares_with_the_bad_answer_is_no_failure() -> None:
    def answer(is_bad: bool, rng: random.Random) -> str:
        return "You get 90 days and a full refund, gladly." if is_bad else noise(is_bad, rng)

    cases = [
        replace(c, expected_output="You get 30 days and a full refund, gladly.") if c.failure_mode else c
        for c in planted(30, answer)
    ]
    candidates = gather(choose_examples(cases, MODE).items)
    assert candidates.dropped["true of corrected answers"] > 0
    told = [a.words for a in candidates.atoms] + [w for words in candidates.equals.values() for w in words]
    assert 'says "90 days"' in told
    assert not {'says "full refund"', 'says "gladly"', 'says "refund gladly"'} & set(told)


def test_what_the_question_brings_along_is_no_property_of_the_answer() -> None:
    cases = planted(40, lambda is_bad, rng: said(is_bad, rng, "About the sofa: yes.", "About the lamp: yes."))
    asked = [
        replace(c, input=CaseInput((), f"the {'sofa' if c.failure_mode else 'lamp'} {c.input.text}")) for c in cases
    ]
    candidates = gather(choose_examples(asked, MODE).items)
    assert candidates.dropped["echoes the question"] > 0
    assert not [a.words for a in candidates.atoms if a.words in ('says "sofa"', 'says "lamp"')]


@pytest.mark.parametrize(
    ("text", "phrase", "finds", "not_in"),
    [
        ("within 90 days.", ("90", "days"), "In 90\ndays", "190 days"),
        ("within 90 days.", ("#", "days"), "1,000 days", "many days"),
        ("costs $50 today", ("$50",), "for $50!", "US$50"),
        ("up by 20% now", ("20%",), "20%, they say", "120%x"),
        ("order ORD-17", ("order", "ord-#"), "Order ord-9", "order word-9"),
        ("don't do it", ("don't",), "Don't", "don"),
        ("Die Straße ist zu", ("straße", "ist"), "STRAßE IST", "strasse ist"),
        ("返品は九十日以内", ("返", "品"), "返品", "品返"),
    ],
)
def test_a_phrase_is_found_by_its_pattern_between_word_boundaries(
    text: str, phrase: tuple[str, ...], finds: str, not_in: str
) -> None:
    assert phrase in phrases(text)
    expression = pattern(phrase)
    assert re.search(expression, text, re.IGNORECASE)
    assert re.search(expression, finds, re.IGNORECASE)
    assert not re.search(expression, not_in, re.IGNORECASE)


def test_common_phrases_are_all_those_that_stand_in_enough_texts() -> None:
    texts = [e.output.text + f" within {n % 3} days of it" for n, e in enumerate(examples_of(12, noise, seed=6))]
    counted = Counter(p for t in texts for p in phrases(t))
    common = common_phrases(texts, 3)
    assert {p: len(w) for p, w in common.items()} == {p: n for p, n in counted.items() if n >= 3}
    assert all(p in phrases(texts[place]) for p, where in common.items() for place in where)
    assert ("within", "#", "days") in common


def test_counting_in_bits_agrees_with_counting() -> None:
    rng = np.random.default_rng(5)
    fires, bad = rng.random((30, 131)) < 0.3, rng.random(131) < 0.4
    labels = Labels(bad)
    for row, value in zip(fires, labels.mcc(bits_of(fires)), strict=True):
        table = [int(x.sum()) for x in (row & bad, row & ~bad, ~row & bad, ~row & ~bad)]
        assert value == pytest.approx(Confusion(*table).mcc)
        assert value == pytest.approx(float(mcc_of_tables(*(np.array(x) for x in table))))


def test_joined_rules_are_the_best_of_all_pairs() -> None:
    candidates = gather(examples_of(30, either_word, seed=7))
    bad = np.array([n % 2 == 0 for n in range(30)])
    sizes = best_of_each_size(candidates, bad)
    assert len(sizes) == LARGEST
    labels = Labels(bad)
    fires = candidates.fires
    every = [
        labels.mcc(bits_of(join(fires[i], fires))).max()
        for i in range(len(fires))
        for join in (np.logical_or, np.logical_and)
    ]
    assert sizes[1][0].mcc == pytest.approx(max(every), abs=0.05)
    for size in sizes:
        for found in size:
            assert labels.mcc(bits_of(fires_of(found, fires)[None, :]))[0] == pytest.approx(found.mcc)


def test_labels_move_with_their_clusters_when_they_are_shuffled() -> None:
    """Ten copies of each of six questions are six observations: chance separates them easily."""
    clusters = [f"c{n // 10}" for n in range(60)]
    bad = np.array([n // 10 % 2 == 0 for n in range(60)])

    def answer(is_bad: bool, rng: random.Random) -> str:
        return said(is_bad, rng, "Guaranteed.", "Perhaps.")

    candidates = gather(examples_of(60, answer, bad=lambda n: n // 10 % 2 == 0))
    torn = chance(candidates, bad, [str(n) for n in range(60)], shuffles=SHUFFLES)
    whole = chance(candidates, bad, clusters, shuffles=SHUFFLES)
    assert torn.p_value < 0.05 < whole.p_value


def test_the_log_says_why_each_candidate_lost() -> None:
    examples = examples_of(40, lambda is_bad, rng: promise(is_bad and rng.random() < 0.9, rng), seed=1)
    found = find_rule(examples, shuffles=SHUFFLES)
    assert found is not None
    lines = list(considered(found, examples))
    assert lines[0]["lost"] is None
    assert lines[0]["caught"] >= 15
    lost = {line["lost"] for line in lines[1:]}
    assert None not in lost
    assert "it agrees less with the labels" in lost
    assert "true of nearly all or nearly none" in lost


def test_the_same_examples_give_the_same_rule() -> None:
    examples = examples_of(30, either_word, seed=9)
    candidates = gather(examples)
    bad = np.array([e.bad for e in examples])
    names = [e.cluster for e in examples]
    first, second = (search(candidates, bad, names, seed=4) for _ in range(2))
    assert first is not None
    assert first == second


@pytest.mark.timeout(30)
@pytest.mark.parametrize("hostile", ["1," * 200_000, "a" * 400_000, "\n" * 400_000, "<a" * 200_000, "[your " * 80_000])
def test_an_answer_that_is_made_to_be_slow_is_not(hostile: str) -> None:
    examples = examples_of(12, lambda is_bad, rng: f"{hostile} {noise(is_bad, rng)}")
    assert gather(examples).considered > 0


def test_one_class_alone_gives_no_rule() -> None:
    assert find_rule(examples_of(10, noise, bad=lambda _: True), shuffles=SHUFFLES) is None
