"""Whether a piece of feedback says good or bad: a rule, since the data does not say.

The default, documented in docs/normalized.md: a word decides if it is a known one; a boolean is what it is; a number
below zero is negative, above zero positive, and zero is negative only for scores that are known to run from 0 to 1
(booleans sent as numbers), which a lone 0 does not prove: it is negative all the same, since the scale -1..1 with a
neutral middle is rarer than 0/1 and a missed thumbs-down costs more than a looked-at neutral one.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, Literal, cast

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

Polarity = Literal["negative", "positive", "unknown"]

NEGATIVE_WORDS = frozenset(
    {
        "down", "thumbs_down", "thumbs-down", "thumbs down", "thumbsdown", "negative", "bad", "no", "false", "fail",
        "failed", "incorrect", "wrong", "unhelpful", "not_helpful", "dislike", "disliked", "poor", "irrelevant",
        "not_relevant", "unsafe", "toxic", "hallucinated", "hallucination", "👎", "dissatisfied", "unfaithful",
    }
)  # fmt: skip
POSITIVE_WORDS = frozenset(
    {
        "up", "thumbs_up", "thumbs-up", "thumbs up", "thumbsup", "positive", "good", "yes", "true", "pass", "passed",
        "correct", "right", "helpful", "like", "liked", "great", "excellent", "relevant", "safe", "factual", "👍",
        "satisfied", "faithful",
    }
)  # fmt: skip
RATING_MAX = 5
"""A number above 1 is read as a rating out of five: below the middle is negative, above it positive."""


def polarity(
    name: str | None, value: Any, label: str | None, *, lower_is_better: Mapping[str, bool] | None = None
) -> Polarity:
    """Return what one piece of feedback says; `lower_is_better` turns the numbers of the scores named."""
    for word in (label, value):
        if isinstance(word, str):
            known = word.strip().lower()
            if known in NEGATIVE_WORDS:
                return "negative"
            if known in POSITIVE_WORDS:
                return "positive"
    number = _number(value)
    if number is None:
        return "unknown"
    turned = bool(name and (lower_is_better or {}).get(name))
    middle = 0.5 if 0 <= number <= 1 else (1 + RATING_MAX) / 2 if 1 < number <= RATING_MAX else 0.0
    if number == middle:
        return "unknown"
    return "negative" if (number < middle) != turned else "positive"


def of_score(row: Mapping[str, Any], fails: Callable[[float], bool]) -> Polarity:
    """Return what a row of `schema.span.FEEDBACK` says by the user's own threshold.

    A label or value that is a word for bad stays bad; where there is no score, the row says what it said.
    """
    value = json.loads(row["value"]) if isinstance(row.get("value"), str) else None
    if any(isinstance(w, str) and w.strip().lower() in NEGATIVE_WORDS for w in (row.get("label"), value)):
        return "negative"
    score = _number(value)
    if score is None:
        return cast("Polarity", row.get("polarity") or "unknown")
    return "negative" if fails(score) else "positive"


def _number(value: Any) -> float | None:
    if isinstance(value, str):
        try:
            value = float(value) if len(value) < 32 else None
        except ValueError:
            return None
    if not isinstance(value, (bool, int, float)):
        return None
    number = float(value) if abs(value) < 2**53 else None
    return number if number == number else None  # noqa: PLR0124 - NaN is the one that differs from itself
