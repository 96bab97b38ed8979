"""A lucky run that is accepted is remarked, where it is known that luck plays a part."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from evalgate.gate.luck import luck_words
from tests.evalgate.builders import run_of
from tests.evalgate.test_gate_paired import case

if TYPE_CHECKING:
    from schema.run import Run

STEADY = case("a", {"e": 1.0}, {"e": 1.0}, {"e": 1.0})
FLAKY = case("b", {"e": 1.0}, {"e": 0.0}, {"e": 1.0})
REPEATED = run_of([STEADY, FLAKY])


def once() -> Run:
    return run_of([case("a", {"e": 1.0}), case("b", {"e": 1.0})])


def test_one_attempt_of_what_is_known_to_be_flaky_is_remarked() -> None:
    said = luck_words(once(), [REPEATED])
    assert said is not None
    assert "of 2 cases that earlier runs tried several times 1 did not always come to the same" in said


def test_nothing_is_said_where_nothing_is_known_or_the_run_knows_itself() -> None:
    assert luck_words(once(), []) is None
    assert luck_words(once(), [run_of([STEADY])]) is None
    assert luck_words(REPEATED, [REPEATED]) is None
    assert luck_words(once(), [replace(REPEATED, target="another")]) is None
    assert luck_words(once(), [run_of([STEADY, replace(FLAKY, content_hash="other words")])]) is None
