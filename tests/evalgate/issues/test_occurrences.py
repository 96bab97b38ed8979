"""How often an issue was seen, what was to be expected, and whether it is gone."""

from __future__ import annotations

from datetime import date, timedelta

import numpy as np
import pytest

from evalgate.issues.evidence import Absence, Looked
from evalgate.issues.occurrences import count_occurrences
from evalgate.issues.production import FailingTrace, Production, unexplained
from evalgate.issues.sightings import Sighting
from schema.statistics.counts import binomial_tail, expected_count, none_of, trials_to_rule_out

TODAY = date(2026, 11, 21)


def seen(days_ago: int, number: int = 0) -> Sighting:
    return Sighting(f"{days_ago}-{number}", f"{TODAY - timedelta(days=days_ago)}T09:{number:02}:00.000000+00:00", 1.0)


def test_days_are_counted_beside_what_the_days_before_let_expect() -> None:
    tone = [*(seen(n) for n in range(1, 40)), *(seen(0, n) for n in range(9))]
    other = [seen(40)]
    found = count_occurrences("tone", {"tone": tone, "other": other}, Production(), (), today=TODAY, days=14)
    assert [d.date for d in found.days[:2]] == ["2026-11-08", "2026-11-09"]
    assert (len(found.days), found.days[-1].count, found.days[-2].count, found.total) == (14, 9, 1, 48)
    assert (found.days[-1].is_above, found.days[-2].is_above, found.is_rising) == (True, False, True)
    assert found.machine == ()
    calm = count_occurrences("other", {"tone": tone, "other": other}, Production(), (), today=TODAY)
    assert not calm.is_rising
    new = count_occurrences("tone", {"tone": [seen(3), seen(0), seen(0, 1)]}, Production(), (), today=TODAY)
    assert new.days[-1].expected_high is None, "of three days nothing is to be expected"
    assert not new.is_rising


def test_what_people_and_what_machines_say_is_kept_apart() -> None:
    failing = tuple(FailingTrace(f"t{n}", f"{TODAY}T10:00:00+00:00", 10.0) for n in range(4))
    production = Production({"w": failing}, {"w": {str(TODAY - timedelta(days=n)): 50 for n in range(20)}})
    found = count_occurrences("tone", {"tone": [seen(0)]}, production, ("w",), today=TODAY)
    assert (found.days[-1].count, found.machine[-1].count, found.machine[-1].weighted) == (1, 4, 40.0)
    assert (found.total, found.machine_total, found.is_rising) == (1, 4, True)


@pytest.mark.parametrize(
    ("failing", "mistakes", "is_news"), [(1, 0.0, True), (1, 0.05, False), (4, 0.05, False), (9, 0.05, True)]
)
def test_verdicts_of_machines_are_news_where_their_mistakes_do_not_explain_them(
    failing: int,
    mistakes: float,
    is_news: bool,  # noqa: FBT001 - what is expected
) -> None:
    traces = tuple(FailingTrace(f"t{n}", "2026-11-20T10:00:00+00:00", 1.0) for n in range(failing))
    production = Production({"w": traces}, {"w": {"2026-11-18": 500, "2026-11-19": 30, "2026-11-20": 30}})
    said = unexplained(production, "w", mistakes, "2026-11-18T00:00:00+00:00")
    assert said.startswith(f"w failed {failing} of 60 traces") is is_news
    assert not unexplained(production, "w", mistakes, "2026-11-21T00:00:00+00:00"), "they began before"


def test_the_band_holds_what_it_promises() -> None:
    """Above it lie 2.5 % of the days whose rate did not change; twice that where a week of weighted ones is all."""
    drawn = np.random.default_rng(7)
    kinds = (
        drawn.poisson(4.0, (2000, 29)),
        drawn.poisson(0.2, (2000, 29)),
        10 * drawn.poisson(1.5, (2000, 29)),
    )
    for counts in kinds:
        for length in (7, 14, 28):
            above = 0
            for row in counts:
                *history, now = (float(x) for x in row[-length - 1 :])
                band = expected_count(history)
                assert band is not None
                above += now > band.high
            assert above / len(counts) < 0.05, (length, above)
    assert expected_count([1.0] * 6) is None
    weekly = expected_count([0, 0, 0, 0, 0, 50, 50] * 4 + [0, 0, 0, 0, 0])
    assert weekly is not None
    assert (weekly.mean, weekly.days, weekly.low > 20) == (50, 4, True), "a Saturday is compared with Saturdays"
    many = expected_count([5000.0] * 28)
    assert many is not None
    assert (round(many.low, -2), round(many.high, -2)) == (4800, 5200)


def test_what_is_not_seen_leaves_a_rate_possible() -> None:
    assert none_of(100) == pytest.approx(3 / 100, rel=0.03)
    assert none_of(0) == 1.0
    assert trials_to_rule_out(0.03) == 99
    assert trials_to_rule_out(0.0) is None
    assert binomial_tail(3, 50, 0.02) == pytest.approx(0.0784277, abs=1e-6)
    assert [binomial_tail(0, 5, 0.1), binomial_tail(2, 5, 0.0), binomial_tail(2, 5, 1.0)] == [1.0, 0.0, 1.0]


def test_an_absence_is_shown_where_it_would_have_been_seen() -> None:
    before = Looked(200, 6, 200.0, 6.0, 200.0)
    since = "2026-11-01T00:00:00+00:00"
    shown = Absence(since, before, Looked(120, 0, 120.0, 0.0, 120.0))
    assert shown.is_shown
    assert shown.sentence == (
        "not seen in 120 labelled traces that began since 2026-11-01: its rate is below 2.5 % (95 %); "
        "before, it was 3 % of 200 labelled traces"
    )
    few = Absence(since, before, Looked(40, 0, 40.0, 0.0, 40.0))
    assert (few.is_shown, few.lacking.startswith("look at 59 more traces")) == (False, True)
    uneven = Absence(since, before, Looked(120, 0, 120.0, 0.0, 1200.0))
    assert (round(uneven.after.effective), uneven.is_shown) == (12, False)
    assert ", worth 12 of the sample" in uneven.sentence
    again = Absence(since, before, Looked(40, 1, 40.0, 1.0, 40.0))
    assert (again.is_shown, again.lacking) == (False, "it is not gone")
    unknown = Absence(since, Looked(), Looked(40, 0, 40.0, 0.0, 40.0))
    assert "--reason" in unknown.lacking
