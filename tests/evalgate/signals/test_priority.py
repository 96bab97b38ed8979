"""The order: a sum whose parts are shown, common failures first, and never a queue of one of them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest

from evalgate.signals import Weights, measure, prioritise, read_weights
from evalgate.signals.measure import NAMES
from evalgate.signals.words import part_words
from schema.errors import ConfigError
from tests.evalgate.signals.made import population

if TYPE_CHECKING:
    from pathlib import Path

N = 300
ERROR = {"failing": True, "reasons": ("span_error",)}
OTHER = {"failing": True, "reasons": ("finish:length",)}


def test_the_common_failure_comes_before_the_rare_one() -> None:
    found = measure(population(N, {1: OTHER, **dict.fromkeys(range(10, 30), ERROR)}))
    priority = prioritise(found, Weights())
    assert priority.order[0] == 29
    assert priority.parts["pattern"][29] == 10
    assert 0 < priority.parts["pattern"][1] < 10
    assert list(priority.order[1:3]) == [1, 28] or 1 in priority.order[:6]


def test_one_common_failure_is_not_the_whole_queue() -> None:
    loops = {i: {"same_calls": 6} for i in range(5)}
    found = measure(population(N, {**loops, **dict.fromkeys(range(50, 250), ERROR)}))
    priority = prioritise(found, Weights())
    assert set(range(5)) <= {int(r) for r in priority.order[:40]}
    last = int(priority.before.argmax())
    assert part_words(found, priority, "more_of_same", last) == "199 traces come first for the same reason"
    kept = -priority.parts["more_of_same"] / 50
    assert kept.max() == pytest.approx(199 / 209)
    assert (priority.score >= 0).all()
    assert {int(r) for r in priority.order[:220]} >= set(range(50, 250))  # and still before what is fine


def test_one_common_signal_is_not_the_whole_queue() -> None:
    hedging = {"hedges": 6, "answer_words": 60}
    changes = {**{i: {"same_calls": 6} for i in range(30)}, **dict.fromkeys(range(100, 103), hedging)}
    priority = prioritise(measure(population(N, changes)), Weights())
    before = priority.score - priority.parts["more_of_same"]
    assert before[:30].min() > before[100:103].max()
    assert {100, 101, 102} <= {int(r) for r in priority.order[:12]}
    elsewhere = measure(population(N, {**changes, 1: {"same_calls": 6, "root": "other"}}))
    assert prioritise(elsewhere, Weights()).parts["more_of_same"][1] == 0


def test_a_tool_that_was_called_again_with_success_weighs_less() -> None:
    tool = {"failing": True, "reasons": ("tool_error",)}
    mixed = {"failing": True, "reasons": ("tool_error", "empty_output"), "recovered": True}
    found = measure(population(N, {1: tool, 2: {**tool, "recovered": True}, 3: mixed}))
    assert list(found.columns["failure"].strength[:4]) == [0, 1, 0.25, 1]
    assert len(set(found.pattern[1:4])) == 3


def test_equal_ones_are_in_the_order_of_time_and_the_order_never_changes() -> None:
    found = measure(population(N))
    first = prioritise(found, Weights())
    assert np.array_equal(first.order, prioritise(found, Weights()).order)
    quiet = [int(r) for r in first.order if first.score[r] == 0]
    assert len(quiet) > 200
    assert quiet == sorted(quiet, reverse=True)


def test_conditions_choose_what_is_listed_not_what_it_is_compared_with() -> None:
    whole = measure(population(N, {7: {"tokens": 90_000}}))
    only = measure(population(N, {7: {"tokens": 90_000}}, asked_for=np.arange(N) == 7))
    assert list(prioritise(only, Weights()).order) == [7]
    assert only.columns["tokens"].strength[7] == whole.columns["tokens"].strength[7]


def test_a_weight_of_zero_switches_a_signal_off() -> None:
    found = measure(population(N, {7: {"same_calls": 9}}))
    assert prioritise(found, Weights()).order[0] == 7
    assert prioritise(found, Weights(tool_loop=0)).parts["tool_loop"][7] == 0


def test_weights_are_of_a_file_and_the_others_stay(tmp_path: Path) -> None:
    file = tmp_path / "queue.yaml"
    assert read_weights(file) == Weights()
    file.write_text("weights:\n  tool_loop: 77\n")
    assert read_weights(file) == Weights(tool_loop=77)
    assert set(Weights.model_fields) == {*NAMES, "pattern"}


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("weights:\n  tool_lop: 3\n", "queue.yaml:2: weights.tool_lop: unknown key"),
        ("weights:\n  cost: -1\n", "queue.yaml:2: weights.cost"),
        ("weights:\n  cost: .inf\n", "queue.yaml:2: weights.cost"),
        ("weigths: {}\n", "did you mean 'weights'"),
    ],
)
def test_a_mistake_is_told_with_its_line(tmp_path: Path, text: str, said: str) -> None:
    file = tmp_path / "queue.yaml"
    file.write_text(text)
    with pytest.raises(ConfigError) as e:
        read_weights(file)
    assert said in str(e.value)
