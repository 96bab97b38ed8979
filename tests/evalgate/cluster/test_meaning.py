"""Texts by their meaning: paraphrases meet, what differs by a trifle stays near, nothing of a person leaves."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

import numpy as np

from evalgate.cluster.behaviour import Behaviour
from evalgate.cluster.find import Settings, find
from evalgate.cluster.meaning import KEPT_DIMENSIONS, Meaning, spread, texts_of

if TYPE_CHECKING:
    from collections.abc import Sequence

WORDINGS = (
    ("The parcel never arrived", "Delivery went missing somewhere", "Nobody brought my box"),
    ("You charged twice", "Double payment on card", "Money taken two times"),
)
DIMENSIONS = 96


def vector(text: str) -> list[float]:
    """Return what a model might say: all point one way, a meaning moves them, wording hardly does."""
    meaning = next((m for m, ways in enumerate(WORDINGS) if any(w in text for w in ways)), 2)
    noise = np.random.default_rng(int(hashlib.sha256(text.encode()).hexdigest()[:8], 16)).normal(0, 0.02, DIMENSIONS)
    noise[0] += 1.0
    noise[1 + meaning] += 0.6
    return [float(x) for x in noise]


def meaning_of(traces: Sequence[Behaviour]) -> Meaning:
    return Meaning("e", DIMENSIONS, "here", {text: vector(text) for text in texts_of(traces)})


def complaints() -> tuple[list[Behaviour], list[int]]:
    """Return traces that say one of two things in words that share nothing, and which."""
    said = [(m, ways[i % len(ways)]) for m, ways in enumerate(WORDINGS) for i in range(30)]
    traces = [
        Behaviour(f"{i:032x}", i, "answer", failing=True, answered=f"{words}, case {i}")
        for i, (_, words) in enumerate(said)
    ]
    return traces, [m for m, _ in said]


def test_paraphrases_meet_by_meaning_and_not_by_words() -> None:
    traces, truth = complaints()
    right = ({(1, 0), (2, 1)}, {(2, 0), (1, 1)})
    found = find(traces, Settings(), meaning=meaning_of(traces))
    assert set(zip([m.cluster_id for m in found.members], truth, strict=True)) in right
    assert any("parcel" in c.name or "box" in c.name or "delivery" in c.name for c in found.clusters), "words name it"
    by_words = find(traces, Settings())
    assert set(zip([m.cluster_id for m in by_words.members], truth, strict=True)) not in right
    otherwise = sorted(traces, key=lambda b: b.answered)
    assert find(otherwise, Settings(), meaning=meaning_of(traces)) == found


def test_what_hardly_differs_is_not_drawn_apart() -> None:
    texts = [f"{WORDINGS[0][0]} {'x' * i}" for i in range(9)] + ["", WORDINGS[1][0]]
    traces = [Behaviour(str(i), 0, answered=t) for i, t in enumerate(texts)]
    points = spread(texts, meaning_of(traces), seed=1)
    near = np.linalg.norm(points[0] - points[1:9], axis=1).max()
    far = np.linalg.norm(points[0] - points[10])
    assert far > 3 * near
    assert not points[9].any(), "who said nothing is nowhere"
    many = [f"{WORDINGS[i % 2][0]} {chr(97 + i % 26) * (1 + i // 26)}" for i in range(100)]
    wide = spread(many, meaning_of([Behaviour(str(i), 0, answered=t) for i, t in enumerate(many)]), seed=1)
    assert wide.shape == (100, KEPT_DIMENSIONS)
    assert not spread(["", ""], meaning_of([]), seed=1).any()


def test_what_is_sent_is_masked_and_each_text_once() -> None:
    same = [
        Behaviour(str(i), 0, asked=f"Where is order {i} of ann{i}@example.org?", errors=(f"Timeout after {i} ms",))
        for i in range(5)
    ]
    assert texts_of(same) == ["Timeout after # ms", "Where is order # of ?"]
