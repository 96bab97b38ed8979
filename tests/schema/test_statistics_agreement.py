"""Agreement beyond chance, against published examples and statsmodels."""

from __future__ import annotations

from itertools import permutations

import numpy as np
import pytest
from statsmodels.stats.inter_rater import cohens_kappa

from schema.statistics import MIN_ITEMS, cohen_kappa, krippendorff_alpha

FLEISS_1969 = ((106, 10, 4), (22, 28, 10), (2, 12, 6))
"""J. L. Fleiss, J. Cohen, B. S. Everitt, Psychological Bulletin 72 (1969): κ = 0.429 of 200 patients."""
OBSERVERS = ("12332141 2...", "12332241 25.3", ".33323422 51.", "12332441 251.")
"""K. Krippendorff (2011), example C: four observers, twelve units, some not seen: α = 0.743."""
BEN, GERRY = "aabbdcccedda", "babbbccceddd"
"""Ibid., example B: α = 0.692."""
MEG, OWEN = "0100000010", "1110010000"
"""Ibid., example A: α = 0.095."""


def pairs_of(table: tuple[tuple[int, ...], ...]) -> list[tuple[str, str]]:
    return [(str(i), str(j)) for i, row in enumerate(table) for j, count in enumerate(row) for _ in range(count)]


def test_kappa_of_the_published_example() -> None:
    found = cohen_kappa(pairs_of(FLEISS_1969))
    assert (found.n, found.agreed) == (200, 140)
    assert found.value == pytest.approx(0.429, abs=5e-4)


def test_kappa_agrees_with_statsmodels_and_so_does_its_interval() -> None:
    theirs = cohens_kappa(np.array(FLEISS_1969))
    ours = cohen_kappa(pairs_of(FLEISS_1969))
    assert ours.value == pytest.approx(theirs.kappa)
    # Theirs is the normal approximation, which holds for so many items.
    assert ours.low == pytest.approx(theirs.kappa_low, abs=0.015)
    assert ours.high == pytest.approx(theirs.kappa_upp, abs=0.015)


@pytest.mark.parametrize(
    ("items", "n", "alpha"),
    [
        (list(zip(MEG, OWEN, strict=True)), 10, 0.095),
        (list(zip(BEN, GERRY, strict=True)), 12, 0.692),
        (
            [[w for w in unit if w != "."] for unit in zip(*(o.replace(" ", "") for o in OBSERVERS), strict=True)],
            11,
            0.743,
        ),
    ],
    ids=["binary", "nominal", "gaps"],
)
def test_alpha_of_the_published_examples(items: list[list[str]], n: int, alpha: float) -> None:
    found = krippendorff_alpha(items, min_items=10, min_rare=1)
    assert found.n == n
    assert found.value == pytest.approx(alpha, abs=5e-4)
    assert found.low is not None
    assert found.high is not None
    assert found.low < alpha < found.high <= 1


def test_the_interval_holds_what_it_says() -> None:
    """Two who agree by chance half of the time, else by knowing: κ = 0.5; nine intervals in ten or more have it."""
    draw = np.random.default_rng(8)
    held = 0
    for _ in range(60):
        truth = draw.integers(0, 2, 80)
        other = np.where(draw.random(80) < 0.5, truth, draw.integers(0, 2, 80))
        found = cohen_kappa(list(zip(map(str, truth), map(str, other), strict=True)))
        assert found.low is not None
        assert found.high is not None
        held += found.low <= 0.5 <= found.high
    assert held >= 54


def test_the_same_labels_in_another_order_give_the_same_interval() -> None:
    pairs = pairs_of(FLEISS_1969)
    assert cohen_kappa(pairs) == cohen_kappa(pairs[::-1])
    assert krippendorff_alpha(pairs) == krippendorff_alpha([(b, a) for a, b in pairs[::-1]])


def test_perfect_agreement_of_few_is_not_certain() -> None:
    few = cohen_kappa([("good", "good")] * 10 + [("bad", "bad")] * 10)
    many = cohen_kappa([("good", "good")] * 500 + [("bad", "bad")] * 500)
    assert (few.value, few.high, many.value) == (1.0, 1.0, 1.0)
    assert few.low is not None
    assert many.low is not None
    assert few.low < 0.7
    assert many.low > 0.98


def test_too_few_items_and_one_word_have_no_coefficient() -> None:
    few = [("good", "bad")] * (MIN_ITEMS - 1)
    assert (cohen_kappa(few).value, krippendorff_alpha(few).value) == (None, None)
    rare = [("good", "good")] * 60 + [("bad", "good"), ("bad", "bad")] * 2
    assert (cohen_kappa(rare).rare, cohen_kappa(rare).value, krippendorff_alpha(rare).value) == (4, None, None)
    assert cohen_kappa([*rare, ("bad", "bad")]).value == pytest.approx(0.7347, abs=1e-4)
    one_word = [("good", "good")] * 50
    assert (cohen_kappa(one_word).value, krippendorff_alpha(one_word).value) == (None, None)
    assert (cohen_kappa([]).observed, cohen_kappa(one_word).observed) == (None, 1.0)
    assert krippendorff_alpha([["good"]] * 50).n == 0


def test_alpha_is_what_its_definition_says_pair_by_pair() -> None:
    """Observed: pairs of words of one item, each item by its words; expected: pairs of any two words of all."""
    draw = np.random.default_rng(4)
    for _ in range(20):
        items = [["abc"[draw.integers(0, 3)] for _ in range(draw.integers(0, 5))] for _ in range(12)]
        pairable = [said for said in items if len(said) > 1]
        values = [word for said in pairable for word in said]
        observed = sum(sum(a != b for a, b in permutations(said, 2)) / (len(said) - 1) for said in pairable) / len(
            values
        )
        pairs = list(permutations(values, 2))
        expected = sum(a != b for a, b in pairs) / len(pairs)
        found = krippendorff_alpha(items, min_items=1, min_rare=1)
        assert found.n == len(pairable)
        assert found.value == pytest.approx(1 - observed / expected)


def test_kappa_of_two_and_alpha_are_near_for_many_items() -> None:
    pairs = pairs_of(FLEISS_1969)
    kappa, alpha = cohen_kappa(pairs), krippendorff_alpha(pairs)
    assert alpha.value == pytest.approx(kappa.value, abs=0.02)
    assert alpha.low == pytest.approx(kappa.low, abs=0.02)
