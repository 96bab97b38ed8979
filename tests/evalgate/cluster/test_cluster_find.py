"""Clusters without a database: words, groups, names, ids, trends."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bench.tools.failures import MIXES, failures
from evalgate.cluster.behaviour import Behaviour, Scope
from evalgate.cluster.find import Known, Settings, Trend, find, path_of, trend_of
from evalgate.cluster.group import by_size
from evalgate.cluster.match import Event, EventKind, match
from evalgate.cluster.names import name_of, terms_of
from evalgate.cluster.words import MAX_CHARS, grams, with_pairs, words

DAY_NS = 86_400 * 10**9


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("Order #1047 of ann@example.org is late", ["order", "#", "of", "is", "late"]),
        ("see https://shop.example/o/9?t=1 now", ["see", "now"]),
        ("id 4bf92f3577b34da6a3ce929d0e0e4736, sku SKU-77A", ["id", "sku"]),
        ("8f14e45f-ceea-467f-9d2b-aaaaaaaaaaaa gone", ["gone"]),
        ("1,299.50 EUR at 9:15", ["#", "eur", "at", "#"]),
        ("返品したい", ["返", "品", "し", "た", "い"]),
        ("Größe_falsch " + "x" * (MAX_CHARS + 1), ["grösse", "falsch"]),
        ("key " + "a.b-" * 400 + "c", ["key"]),
        ("", []),
    ],
)
def test_what_varies_from_trace_to_trace_is_masked(text: str, found: list[str]) -> None:
    assert words(text) == found


def test_a_loop_is_a_loop_however_long() -> None:
    assert Counter(grams(["a"] * 4)) == Counter(grams(["a"] * 9))
    assert Counter(grams(["a", "a"])) != Counter(grams(["a"]))
    assert list(grams([])) == ["^", "$", "^ > $"]
    assert list(with_pairs(["a", "b"])) == ["a", "b", "a b"]
    assert path_of(["a", "b", "b", *["c"] * 7]) == "a → b ×2 → c ×4+"


def test_failures_are_found_again_in_any_order_and_with_their_shape() -> None:
    traces, truth = failures(MIXES[0], 240, 3)
    found = find(traces, Settings())
    otherwise = sorted(traces, key=lambda b: b.answered)
    assert find(otherwise, Settings()) == found
    where = {m.behaviour.trace_id: m.cluster_id for m in found.members}
    pure = Counter((where[b.trace_id], way) for b, way in zip(traces, truth, strict=True) if where[b.trace_id])
    most = sum(max(n for (c, _), n in pure.items() if c == cluster.id) for cluster in found.clusters)
    assert most / len(traces) > 0.75, "by chance it would be about 1 / 8"
    assert 6 <= len(found.clusters) <= 12
    assert sum(c.traces for c in found.clusters) + len(found.novel) == len(traces)
    for c in found.clusters:
        medoid = [m for m in found.members if m.cluster_id == c.id and m.representative == 1]
        assert len(medoid) == 1
        assert c.name


def test_traces_along_count_nowhere_and_lend_their_id() -> None:
    traces, truth = failures(replace(MIXES[0], ways=2), 60, 5)
    ids = {b.trace_id: 7 + t for b, t in zip(traces, truth, strict=True)}
    old = [replace(b, in_window=False) for b in traces[:40]]
    found = find([*old, *traces[40:]], Settings(least=5), Known({b.trace_id: ids[b.trace_id] for b in old}, 9))
    assert {c.id for c in found.clusters} == {7, 8}
    assert found.events == ()
    assert sum(c.traces for c in found.clusters) + len(found.novel) == 20
    assert found.total_weight == pytest.approx(20.0)
    assert found.early_total + found.late_total == 20
    (alone,) = find([*old, *(b for b, t in zip(traces[40:], truth[40:], strict=True) if t)], Settings(least=5),
                    Known(ids, 9)).clusters  # fmt: skip
    assert alone.id == 8, "a cluster that the window has nothing of is not told"


def test_few_equal_or_silent_traces_do_no_harm() -> None:
    one = Behaviour("0" * 32, 0)
    assert find([], Settings()).clusters == ()
    assert [m.cluster_id for m in find([one], Settings()).members] == [0]
    silent = [replace(one, trace_id=f"{i:032x}") for i in range(8)]
    (cluster,) = find(silent, Settings()).clusters
    assert (cluster.traces, cluster.name, cluster.terms) == (8, "unnamed", ())
    assert find(silent, Settings(scope=Scope.ALL)).clusters == (cluster,)


def test_a_name_is_made_of_three_traces_or_more_and_acts_on_nothing() -> None:
    counts = np.array([[1, 1, 0]] * 2 + [[1, 0, 0]] * 3 + [[0, 0, 1]] * 20)
    labels = np.array([0] * 5 + [1] * 20)
    assert terms_of(counts, ["timeout", "ann smith", "hello"], labels) == [("timeout",), ("hello",)]
    equal = counts[:, [0, 0, 0]]
    assert terms_of(equal, ["no answer", "timeout", "timeout reached"], labels) == [("timeout reached",), ()]
    assert name_of(["a", "b", "c", "d"], "", "", "chat") == "chat: a, b, c"
    hostile = name_of([], "\x1b[2J\u202eevil\n[bold]", "", "")
    assert "\x1b" not in hostile
    assert "\n" not in hostile
    assert len(name_of(["x" * 500], "y" * 500, "", "")) <= 80


def test_larger_groups_come_first_whatever_they_were_called() -> None:
    assert by_size(np.array([2, -1, 2, 0, 1, 1, 1])).tolist() == [1, -1, 1, 2, 0, 0, 0]


def test_a_cluster_that_stays_keeps_its_id_and_a_new_one_gets_the_next() -> None:
    found = match([0, 0, 0, 1, 1, -1], [5, 5, 5, 0, 0, 5], counts=[True, True], next_id=9)
    assert found.ids == (5, 9)
    assert found.events == (Event(EventKind.BORN, 9),)
    assert found.next_id == 10


def test_a_split_and_a_merge_are_told() -> None:
    split = match([0] * 6 + [1] * 4, [5] * 10, counts=[True, True], next_id=6)
    assert split.ids == (5, 6)
    assert split.events == (Event(EventKind.SPLIT_FROM, 6, 5, 0.4),)
    merge = match([0] * 10, [5] * 6 + [3] * 4, counts=[True], next_id=6)
    assert merge.ids == (5,)
    assert merge.events == (Event(EventKind.MERGED_INTO, 3, 5, 1.0),)


def test_what_the_window_has_nothing_of_is_not_born() -> None:
    found = match([0, 0, 1, 1], [0, 0, 4, 4], counts=[False, False], next_id=5)
    assert (found.ids, found.events, found.next_id) == ((0, 4), (), 5)


def test_ids_are_given_for_all_at_once() -> None:
    """Cluster 1 shares most with group 0, and so does 2; who is greedy with 1 leaves 2 without its only group."""
    groups = [0] * 6 + [1] * 5 + [0] * 5
    before = [1] * 6 + [1] * 5 + [2] * 5
    assert match(groups, before, counts=[True, True], next_id=3).ids == (2, 1)


@settings(max_examples=60)
@given(st.lists(st.tuples(st.integers(-1, 3), st.integers(0, 4)), max_size=60))
def test_no_id_is_given_twice_and_groups_may_come_in_any_order(pairs: list[tuple[int, int]]) -> None:
    groups, before = [g for g, _ in pairs], [c for _, c in pairs]
    found = match(groups, before, counts=[True] * 4, next_id=5)
    assert len(set(found.ids)) == 4
    assert all(1 <= i < found.next_id for i in found.ids)
    born = {e.cluster_id for e in found.events if e.kind is not EventKind.MERGED_INTO}
    assert born == {i for i in found.ids if i >= 5}


def test_a_trend_is_more_than_chance() -> None:
    assert trend_of(5, 9, 100, 100) is Trend.STEADY
    assert trend_of(5, 50, 100, 100) is Trend.RISING
    assert trend_of(50, 50, 100, 1000) is Trend.FALLING, "beside what else came"
    assert trend_of(0, 10, 0, 10) is Trend.STEADY


def test_a_cluster_is_new_where_earlier_runs_never_saw_it_and_the_first_half_neither() -> None:
    traces, _ = failures(replace(MIXES[0], ways=2), 40, 5)
    begin = [replace(b, start_unix_ns=i) for i, b in enumerate(traces)]
    strange = [
        Behaviour(f"{i:032x}", 2 * DAY_NS + i, root_name="other", answered="quite another thing", failing=True)
        for i in range(12)
    ]
    found = find([*begin, *strange], Settings(least=5), Known({}, 2))
    assert next(c for c in found.clusters if c.root_names == ("other",)).trend is Trend.NEW
    first = find([*begin, *strange], Settings(least=5))
    assert next(c for c in first.clusters if c.root_names == ("other",)).trend is Trend.RISING, "nothing ran before"
