"""What the dashboard says comes first, which hours it reads, and what it remembers."""

from __future__ import annotations

from dataclasses import replace

import pytest

from evalgate.web.next_step import Known, next_step
from evalgate.web.remembered import Remembered
from evalgate.web.traffic import chosen_hours

EVERYTHING = Known(
    reopened=[(3, "came back")],
    rising=[(4, "grows")],
    new=[(5, "unread"), (6, "unread too")],
    disputed={"refunds": 2},
    gap=(7, "nobody looks", "label 4 more bad ones"),
    guidance="This week: 3 of 50 traces.",
    flagged=9,
    labelled=3,
)


@pytest.mark.parametrize(
    ("done", "page", "path", "words"),
    [
        ([], "issue", {"number": 3}, "came back"),
        (["reopened"], "issue", {"number": 4}, "grows"),
        (["reopened", "rising"], "queue", {"name": "refunds"}, "2 traces"),
        (["reopened", "rising", "disputed"], "issues", {}, "and others"),
        (["reopened", "rising", "disputed", "new"], "issue", {"number": 7}, "label 4 more"),
        (["reopened", "rising", "disputed", "new", "gap"], "queues", {}, "This week"),
        (["reopened", "rising", "disputed", "new", "gap", "guidance"], "queues", {}, "9 traces flagged, 3 reviewed"),
    ],
)
def test_what_broke_again_comes_before_what_is_only_missing(
    done: list[str], page: str, path: dict[str, object], words: str
) -> None:
    nothing = Known()
    step = next_step(replace(EVERYTHING, **{name: getattr(nothing, name) for name in done}))
    assert (step.page, dict(step.path)) == (page, path)
    assert words in step.said


def test_with_nothing_to_do_it_says_so() -> None:
    assert "Nothing waits" in next_step(Known()).said


def test_hours_are_drawn_up_to_a_number_of_traces_whatever_their_order() -> None:
    hours = {3600 * n: 100 for n in range(48)}
    some = chosen_hours(hours, 1000)
    assert len(some) == 10
    assert some == chosen_hours(dict(reversed(hours.items())), 1000)
    assert chosen_hours(hours, 10_000) == sorted(hours)
    assert len(chosen_hours({0: 5000}, 10)) == 1, "one hour is read, however large"


def test_drawn_hours_are_spread_over_the_day() -> None:
    some = chosen_hours({3600 * n: 1 for n in range(24 * 28)}, 168)
    quarters = [sum(h // 3600 % 24 // 6 == q for h in some) for q in range(4)]
    assert min(quarters) > 20


def test_a_value_is_made_anew_when_it_is_old_and_the_oldest_are_forgotten() -> None:
    now_s = [0.0]
    made: list[str] = []
    kept: Remembered[int] = Remembered(kept_s=10, most=2, clock_s=lambda: now_s[0])

    def make(key: str) -> int:
        made.append(key)
        return len(made)

    def get(key: str) -> int:
        return kept.get(key, lambda: make(key))

    assert (get("a"), get("a")) == (1, 1)
    now_s[0] = 10.0
    assert get("a") == 2
    assert (get("b"), get("c"), get("a")) == (3, 4, 5)


def test_what_took_long_is_kept_longer() -> None:
    now_s = [0.0]
    kept: Remembered[float] = Remembered(kept_s=10, clock_s=lambda: now_s[0])

    def slow() -> float:
        now_s[0] += 2.0
        return now_s[0]

    assert kept.get("a", slow) == 2.0
    now_s[0] = 121.0
    assert kept.get("a", slow) == 2.0
    now_s[0] = 122.0
    assert kept.get("a", slow) == 124.0
