"""Texts that were seen: what is the same, and what is another text."""

from __future__ import annotations

import random

import pytest

from evalgate.synthesize.alike import SAME, Seen, grams_of, jaccard
from tests.evalgate.synthesize.cases import SOFA


@pytest.mark.parametrize(
    ("left", "right", "is_like"),
    [
        ("Where is my parcel?", "where is my PARCEL", True),
        ("Where is my parcel?", " Where is\nmy parcel ? ", True),
        ("Where is my ﬁle?", "Where is my file?", True),
        (SOFA, SOFA.replace("broken", "brokenn"), True),
        (SOFA, SOFA.replace("ORD-8812", "ORD-8813"), False),
        (SOFA, ". ".join(reversed(SOFA.split(". "))), False),
        ("yes", "yet", False),
        ("Is it 4?", "Is it 5?", False),
        ("", "?", False),
        ("!", "!", True),
    ],
)
def test_what_says_the_same(left: str, right: str, *, is_like: bool) -> None:
    assert Seen([left]).has_like(right) is is_like
    assert Seen([right]).has_like(left) is is_like
    assert Seen([left]).has_like(left)
    assert not Seen().has_like(left)


def test_the_short_cut_finds_what_comparing_with_all_finds() -> None:
    chance = random.Random(4)  # noqa: S311 - a draw
    words = ["return", "sofa", "order", "broken", "invoice", "please", "window", "colour", "parcel", "late"]
    base = [" ".join(chance.choices(words, k=30)) for _ in range(15)]
    near = [t[:i] + "x" + t[i:] for t in base for i in (3, 40)]
    far = [t.replace("o", "u") for t in base]
    found = Seen(base)
    for text in [*near, *far]:
        best = max(jaccard(grams_of(text), grams_of(b)) for b in base)
        assert found.has_like(text) is (best >= SAME), text
    assert all(map(found.has_like, near))
    assert not any(map(found.has_like, far))
