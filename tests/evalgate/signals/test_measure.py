"""Each signal finds what it is for, weighs what it was compared with, and is silent where nothing can be said."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from evalgate.signals import Weights, measure, prioritise
from evalgate.signals.measure import NAMES
from evalgate.signals.words import WORDS, part_words, words_of
from tests.evalgate.signals.made import flagged, judged, population

N = 200
ODD = 17

CASES: dict[str, dict[str, Any]] = {
    "failure": {"failing": True, "reasons": ("span_error",)},
    "refusal": {"refusals": 1, "refusal_words": ("i cannot help with",)},
    "hedging": {"hedges": 6, "hedge_words": ("perhaps", "i think"), "answer_words": 60},
    "tool_loop": {"same_calls": 5},
    "odd_tools": {"tools": ("refund", "refund", "find")},
    "fast_and_short": {"answer_words": 3, "took_ms": 90},
    "tokens": {"tokens": 90_000},
    "duration": {"took_ms": 90_000},
    "cost": {"cost_usd": 9},
    "broken": {"defects": ("missing_parent",)},
}


@pytest.mark.parametrize("name", CASES)
def test_a_signal_is_strongest_where_it_should_be(name: str) -> None:
    found = measure(population(N, {ODD: CASES[name]}))
    column = found.columns[name]
    assert column.strength.argmax() == ODD
    assert column.strength[ODD] > 0.7
    assert np.median(column.strength) == 0
    assert ((column.strength >= 0) & (column.strength <= 1)).all()
    assert prioritise(found, Weights()).order[0] == ODD


def test_first_chunks_are_compared_where_they_are_known() -> None:
    seconds = np.where(np.arange(N) % 2, np.nan, 0.4)
    seconds[ODD + 1] = 30
    column = measure(population(N, first_chunk_s=seconds)).columns["first_chunk"]
    assert column.strength[ODD + 1] == 1
    assert column.strength.sum() == 1
    assert np.isnan(column.value[1])


def test_what_somebody_said_is_a_low_score_and_no_failure() -> None:
    p = population(N, {3: {"failing": True, "reasons": ("feedback:thumbs",)}})
    found = measure(
        population(
            N, {3: {"failing": True, "reasons": ("feedback:thumbs",)}}, judged=judged([(3, "thumbs", 1, 0, 0.0, 0.0)])
        )
    )
    assert found.columns["low_score"].strength[3] == 1
    assert found.columns["failure"].strength[3] == 0
    assert found.pattern[3] == -1
    assert measure(p).columns["low_score"].strength.sum() == 0


def test_the_lowest_scores_count_though_no_evaluation_failed() -> None:
    said = [(i, "relevance", 0, 0, 0.5 + i / 1000, 0.5 + i / 1000) for i in range(N)]
    found = measure(population(N, judged=judged(said)))
    strength = found.columns["low_score"].strength
    assert strength[0] > 0.9
    assert strength[10] < strength[0]
    assert not strength[21:].any()
    assert words_of(found, "low_score", 0) == "relevance 0.5 (lower than 99.8 % of relevance)"
    assert words_of(found, "low_score", 30) == "relevance 0.53 (no verdict)"


def test_judges_differ_under_one_name_only() -> None:
    said = [(1, "tone", 0, 0, 0.1, 0.9), (2, "tone", 0, 0, 0.8, 0.9), (3, "tone", 1, 1, np.nan, np.nan),
            (4, "tone", 1, 0, 0.0, 0.0), (4, "facts", 0, 1, 1.0, 1.0)]  # fmt: skip
    strength = measure(population(N, judged=judged(said))).columns["judges_differ"].strength
    assert list(strength[:6]) == [0, 1, 0, 1, 0, 0]


def test_evaluators_of_one_failure_mode_are_judges_of_the_same() -> None:
    said = [(4, "tone", 1, 0, 0.0, 0.0), (4, "facts", 0, 1, 1.0, 1.0),
            (5, "late_judge", 0, 0, 0.9, 0.9), (5, "late_rule", 0, 0, 0.1, 0.1),
            (6, "late_judge", 0, 1, np.nan, np.nan), (6, "late_rule", 1, 0, np.nan, np.nan),
            (7, "late_judge", 0, 0, 0.9, 0.9), (8, "late_rule", 0, 0, 0.1, 0.1)]  # fmt: skip
    p = population(N, judged=judged(said))
    found = measure(p, {"late_judge": "late_refund", "late_rule": "late_refund"})
    assert list(found.columns["judges_differ"].strength[4:9]) == [0, 1, 1, 0, 0]
    assert words_of(found, "judges_differ", 5) == "of late_refund: late_judge 0.9, late_rule 0.1"
    assert words_of(found, "judges_differ", 6) == "of late_refund: late_judge positive, late_rule negative"
    assert not measure(p).columns["judges_differ"].strength.any()


def test_a_model_adds_what_signals_leave_open() -> None:
    changes = {2: {"same_calls": 5}, 3: {"refusals": 1}, 5: {"refusals": 1}}
    said = [(1, "looping", 0.9), (2, "looping", 0.9), (3, "jailbreak", 0.9), (4, "wrong_tool", 0.4), (6, "other", 0.65)]
    found = measure(population(N, changes, flagged=flagged(said)))
    flags = found.columns["model_flag"].strength
    assert flags[[1, 3, 4, 5]].tolist() == [1, 1, 0, 0]
    assert flags[2] < 0.05, "the loop is counted already"
    assert flags[6] == pytest.approx(0.5)
    refusal = found.columns["refusal"].strength
    assert refusal[3] == 0 < refusal[5], "to refuse a jailbreak is right"
    assert words_of(found, "model_flag", 1) == "a model says looping, 90 % sure: because of looping"
    assert not found.population.failing.any()
    priority = prioritise(found, Weights())
    assert priority.parts_of(1) == {"model_flag": 20}
    assert priority.parts["more_of_same"][3] == 0, "other categories are other reasons"


def test_the_answer_before_a_repetition_is_the_suspect() -> None:
    found = measure(population(N, {6: {"likeness": 1.0, "like": 5, "session": "s5"}}))
    strength = found.columns["asked_again"].strength
    assert strength[5] == pytest.approx(2 * strength[6])
    assert strength[5] > 0.9
    assert found.asked_again[5] == 6
    assert found.columns["asked_again"].value[[4, 5, 6]].tolist() == [0, 1, 1]
    assert words_of(found, "asked_again", 5).startswith("asked again 60 s later, in the same words: 0000")
    short = measure(population(N, {6: {"likeness": 1.0, "like": 5, "request_chars": 9}}))
    assert not short.columns["asked_again"].strength.any()


def test_what_a_whole_workflow_does_is_no_signal() -> None:
    for name, column in (("tool_loop", "same_calls"), ("hedging", "hedges"), ("refusal", "refusals")):
        common = {i: {column: 6} for i in range(N)}
        strength = measure(population(N, common)).columns[name].strength
        assert strength.max() == pytest.approx(0), name


def test_a_short_answer_to_a_short_question_is_fine() -> None:
    quick = {"answer_words": 3, "took_ms": 90}
    strength = measure(population(N, {1: quick, 2: {**quick, "request_chars": 11}})).columns["fast_and_short"].strength
    assert strength[1] > 0.7
    assert strength[2] == 0


def test_a_loop_begins_at_three_equal_calls() -> None:
    strength = measure(population(N, {1: {"same_calls": 2}, 2: {"same_calls": 3}})).columns["tool_loop"].strength
    assert strength[1] == 0
    assert strength[2] > 0.4


def test_late_turns_of_a_long_session_are_the_stronger() -> None:
    changes = {i: {"session": f"n{i // 3}"} for i in range(150)} | {i: {"session": "long"} for i in range(150, 200)}
    found = measure(population(N, changes))
    strength = found.columns["long_session"].strength
    assert strength[:150].max() < 0.1
    assert list(found.turn[150:]) == list(range(1, 51))
    assert strength[199] > strength[160] > 0
    assert words_of(found, "long_session", 199).startswith("turn 50 of 50; longer than 99")


def test_a_trace_is_compared_with_those_of_its_task() -> None:
    """Ten times the tokens are usual for those that use a further tool; one of the others with as many is not."""
    heavy = {i: {"tools": ("find", "read", "refund", "mail"), "tokens": 4000 + i} for i in range(60)}
    strength = measure(population(N, {**heavy, 100: {"tokens": 4010}})).columns["tokens"].strength
    assert strength[100] > 0.6
    assert strength[:50].max() < 0.2


@pytest.mark.parametrize("n", [0, 1, 2, 19])
def test_few_traces_are_compared_with_nothing(n: int) -> None:
    found = measure(
        population(n, {0: {"took_ms": 1e9, "tokens": 1e9, "failing": True, "reasons": ("span_error",)}} if n else None)
    )
    for name in ("tokens", "duration", "cost", "odd_tools", "fast_and_short"):
        assert not found.columns[name].strength.any()
    order = prioritise(found, Weights()).order
    assert len(order) == n
    if n:
        assert order[0] == 0
        assert "fewer than 20 traces" in words_of(found, "tokens", 0)


def test_every_signal_has_words_weights_and_a_finite_part() -> None:
    found = measure(population(N, {ODD: {k: v for change in CASES.values() for k, v in change.items()}}))
    priority = prioritise(found, Weights())
    assert set(found.columns) == set(NAMES)
    assert {*WORDS, "more_of_same"} == set(priority.parts)
    for name in priority.parts:
        assert all(part_words(found, priority, name, row) for row in (0, ODD))
        assert np.isfinite(priority.parts[name]).all()
    assert np.allclose(sum(priority.parts.values()), priority.score)
