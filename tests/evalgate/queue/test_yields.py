"""What reviewing came to: the random sample tells the truth of all traffic, whatever priority brings in beside it."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import numpy as np
import pytest

from evalgate.errors import BadInput
from evalgate.queue.fill import choose, draws, random_wanted
from evalgate.queue.items import Entry, Item, ItemState, Part
from evalgate.queue.reweight import LEAST_REVIEWED, diff, proposal, reweight_by
from evalgate.queue.yields import Looked, sample, yield_of
from evalgate.signals.weights import Weights

if TYPE_CHECKING:
    from numpy.typing import NDArray

START = datetime(2026, 11, 20, tzinfo=UTC)


def item(entry: Entry, verdict: str = "", state: ItemState = ItemState.DONE) -> Item:
    return Item(
        queue="q",
        trace_id=entry.trace_id,
        state=state if verdict else ItemState.WAITING,
        score=entry.score,
        parts={p.signal: p.points for p in entry.parts},
        is_random=entry.is_random,
        assigned_to="",
        reserved_by="",
        reserved_until=None,
        labelled_by=(),
        added_at=entry.added_at,
        verdict=verdict,
        entry=entry,
    )


def reviewed_queue(seed: int, traces: int, fills: int) -> tuple[list[Item], int]:
    """Fill a queue again and again while traffic comes, review all of it; return the items, and all true failures."""
    random = np.random.default_rng(seed)
    score = random.random(traces)
    bad = random.random(traces) < 0.02 + 0.3 * score**4  # what is prioritised fails more
    ids = np.array([f"{n:032x}" for n in range(traces)])
    came = np.sort(random.integers(0, fills, traces))
    draw = draws(f"q{seed}", ids)
    inside = np.zeros(traces, bool)
    items: list[Item] = []
    for number in range(fills):
        free: NDArray[np.int64] = np.flatnonzero(~inside & (came <= number))
        order = free[np.argsort(-score[free], kind="stable")]
        choice = choose(order, draw, 40, random_wanted(0.25, 40, items))
        for row in np.union1d(choice.by_score, choice.at_random):
            entry = Entry(
                str(ids[row]),
                START + timedelta(days=number + 1),
                is_priority=bool(row in choice.by_score),
                is_random=bool(row in choice.at_random),
                draw=float(draw[row]),
                inclusion_probability=choice.threshold,
                population=int((came <= number).sum()),
                window_start=START,
                start_time=START + timedelta(days=int(came[row])),
            )
            items.append(item(entry, "bad" if bad[row] else "good"))
            inside[row] = True
    return items, int(bad.sum())


def test_the_estimate_of_all_failures_is_unbiased_over_several_fills() -> None:
    ratios, naive, covered = [], [], 0
    for seed in range(100):
        items, failures = reviewed_queue(seed, 600, 3)
        found = yield_of({"q": items})
        assert found.failures is not None
        assert found.failures_low is not None
        assert found.failures_high is not None
        ratios.append(found.failures / failures)
        naive.append(600 * (found.of_all.rate or 0) / failures)
        covered += found.failures_low <= failures <= found.failures_high
    error = np.std(ratios) / np.sqrt(len(ratios))
    assert abs(np.mean(ratios) - 1) < 3 * error + 0.02  # never fewer than were found: a little above
    assert np.mean(naive) > 1.3  # what was reviewed is no sample
    assert covered >= 0.9 * len(ratios)


def test_the_sample_is_all_that_lies_below_a_threshold_whatever_brought_it_in() -> None:
    early = Entry("aa" * 16, START + timedelta(days=1), draw=0.15, inclusion_probability=0.1, start_time=START)
    drawn = Entry("bb" * 16, START + timedelta(days=1), draw=0.05, inclusion_probability=0.1, is_random=True)
    late = Entry("cc" * 16, START + timedelta(days=2), draw=0.3, inclusion_probability=0.2, start_time=START)
    younger = replace(early, trace_id="dd" * 16, start_time=START + timedelta(days=1, hours=1), version=2)
    drawn = replace(drawn, start_time=START)
    found = {i.trace_id[:2]: round(1 / w, 3) for i, w in sample([item(e) for e in (early, drawn, late, younger)])}
    # The second fill, with 0.2, could have chosen what the first did not; not that of another version.
    assert found == {"aa": 0.2, "bb": 0.2}


def test_rates_by_way_in_and_by_signal() -> None:
    loop, doubt = Part("tool_loop", 30, 1, "four times"), Part("hedging", 8, 0.4, "perhaps")
    entries = [
        (Entry(f"{n:032x}", START, parts=parts, is_priority=not drawn, is_random=drawn, draw=0.1,
               inclusion_probability=0.2 if drawn else 0.05), verdict)
        for n, (parts, drawn, verdict) in enumerate(
            [((loop,), False, "bad"), ((loop, doubt), False, "bad"), ((doubt,), False, "partial"),
             ((), True, "good"), ((), True, "good"), ((), True, "bad"), ((), True, "good"), ((), True, "")]
        )
    ]  # fmt: skip
    found = yield_of({"q": [item(e, verdict) for e, verdict in entries]})
    assert (found.of_all.bad, found.of_all.partial, found.of_all.reviewed) == (3, 1, 7)
    assert (found.of_priority.bad, found.of_priority.reviewed) == (2, 3)
    assert [(s.signal, s.of.bad, s.of.reviewed) for s in found.signals] == [("tool_loop", 2, 2), ("hedging", 1, 2)]
    assert found.of_all.low < 3 / 7 < found.of_all.high
    assert len(found.looked) == 7


def test_nothing_reviewed_is_nothing_known() -> None:
    found = yield_of({"q": []})
    assert (found.of_all.rate, found.lift, found.candidates, found.failures, found.recall) == (None,) * 5
    several = yield_of({"q": [], "p": []})
    assert several.candidates is None


def looked(random: np.random.Generator, n: int, of: dict[str, float]) -> list[Looked]:
    """Return reviewed items in which each signal is on in a third, and raises the log-odds of a failure by so much."""
    found = []
    for _ in range(n):
        on = {name: float(random.random() < 1 / 3) for name in of}
        odds = -2 + sum(of[name] * x for name, x in on.items())
        found.append(Looked(on, {}, bool(random.random() < 1 / (1 + np.exp(-odds)))))
    return found


def test_points_follow_what_signals_are_worth_within_bounds() -> None:
    items = looked(np.random.default_rng(1), 400, {"asked_again": 4, "long_session": 3, "refusal": 0, "hedging": -1})
    found = reweight_by(items, Weights())
    after = {c.signal: (c.before, c.after) for c in found.changes}
    assert after["refusal"][1] == Weights().refusal / 2
    assert after["hedging"][1] == Weights().hedging / 2
    assert after["long_session"][1] == Weights().long_session * 2
    assert found.weights.long_session == Weights().long_session * 2
    assert found.weights.tool_loop == Weights().tool_loop  # nobody has seen it
    assert all(c.before / 2 <= c.after <= c.before * 2 for c in found.changes)


def test_little_evidence_moves_little_and_what_is_off_stays_off() -> None:
    weights = Weights(long_session=0)
    few = reweight_by(looked(np.random.default_rng(2), LEAST_REVIEWED, {"asked_again": 3, "long_session": 3}), weights)
    assert few.weights.long_session == 0
    assert abs(few.weights.asked_again - weights.asked_again) < 0.4 * weights.asked_again
    none = reweight_by([Looked({}, {}, is_bad=True)] * 50, weights)
    assert (none.weights, none.changes) == (weights, ())
    assert "it takes 20, and both kinds" in none.why_not


def test_what_was_learned_is_not_learned_again() -> None:
    random = np.random.default_rng(3)
    points = {"asked_again": 30.0, "refusal": 20.0}
    items = [
        replace(x, points={n: points[n] * s for n, s in x.strengths.items()})
        for x in looked(random, 200, {"asked_again": 4, "refusal": 0})
    ]
    first = reweight_by(items, Weights())
    assert first.weights.refusal < Weights().refusal
    again = reweight_by(items, first.weights)
    assert again.weights == first.weights
    assert "were added under other points" in again.why_not
    # Points of a queue's own tell nothing of when its items were added.
    assert reweight_by(items, first.weights, frozenset(points)).changes


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("", "weights:\n  hedging: 10\n"),
        ("weights:\n  hedging: 30  # they hedge\n", "weights:\n  hedging: 10  # they hedge\n"),
        (
            "# ours\nweights:   # points\n    refusal: 20\n",
            "# ours\nweights:   # points\n    hedging: 10\n    refusal: 20\n",
        ),
    ],
)
def test_a_proposal_keeps_the_lines_of_the_file(before: str, after: str) -> None:
    assert proposal(before, Weights(hedging=10)) == after
    assert any(line.startswith("+") and "hedging: 10" in line for line in diff(before, after, "evals/queue.yaml"))


def test_a_file_that_is_not_line_by_line_is_left_alone() -> None:
    with pytest.raises(BadInput, match="change it by hand"):
        proposal("weights: {hedging: 30}\n", Weights(hedging=10))
