"""What to label next: first pass, examples of each failure mode, then weekly."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from evalgate.review.guidance import Counts, Guidance, Stage, guidance, guidance_json, minutes_spent

NINE = datetime(2026, 11, 20, 9, 0, tzinfo=UTC)


def modes(*counts: int) -> dict[str, int]:
    return {f"mode {n}": count for n, count in enumerate(counts)}


@pytest.mark.parametrize(
    ("counts", "stage", "words"),
    [
        (Counts(), Stage.FIRST_PASS, "read 50 to 100 traces and name the 3 to 5 ways"),
        (Counts(12, modes(4)), Stage.FIRST_PASS, "12 of 50 traces read, 1 failure mode named"),
        (Counts(12), Stage.FIRST_PASS, "no failure mode named yet"),
        (Counts(60, modes(4, 2)), Stage.FIRST_PASS, "only 2 of 3 failure modes have a name"),
        (Counts(30, modes(*[1] * 6)), Stage.FIRST_PASS, "evalgate modes merge"),
        (Counts(50, modes(12, 9, 1)), Stage.EXAMPLES, "too few: mode 1 9, mode 2 1"),
        # A project that fails in two ways only is not held up: everything that is better to read was read.
        (Counts(100, modes(12, 9)), Stage.EXAMPLES, "10 to 20 labels of each"),
        (Counts(80, modes(12, 10, 10), 20, 45.0), Stage.WEEKLY, "20 of 50 traces in about 45 of 120 minutes"),
        (Counts(180, modes(12, 10, 10), 70), Stage.WEEKLY, "70 traces. That is enough for a week"),
        # Rare modes are not chased: the five most frequent ones have their examples.
        (Counts(180, modes(*[12] * 5, 1, 1)), Stage.WEEKLY, "evalgate evals generate"),
    ],
)
def test_each_stage_says_what_to_do(counts: Counts, stage: Stage, words: str) -> None:
    found = guidance(counts)
    assert found.stage is stage
    assert words in " ".join(found.sentences)


def test_progress_towards_each_goal() -> None:
    found: Guidance = guidance(Counts(50, modes(12, 9, *[1] * 20), 7))
    assert (found.first_pass.done, found.first_pass.enough, found.first_pass.is_done) == (50, 50, True)
    assert [(m.name, m.done, m.is_done) for m in found.modes[:2]] == [("mode 0", 12, True), ("mode 1", 9, False)]
    assert len(found.modes) == 10
    told = guidance_json(found)
    assert told["next"] == found.sentences[0]
    assert told["week"] == {"name": "traces this week", "done": 7, "enough": 50, "better": 150, "is_done": False}


def test_time_without_pauses() -> None:
    steady = [NINE + timedelta(minutes=n) for n in range(11)]
    assert minutes_spent(steady) == pytest.approx(11)
    after_lunch = [*steady, NINE + timedelta(hours=2)]
    assert minutes_spent(after_lunch) == pytest.approx(12)
    assert minutes_spent([NINE + timedelta(microseconds=n) for n in range(500)]) == 0
    assert minutes_spent([]) == 0
