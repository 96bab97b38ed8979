"""Populations for tests: ordinary traces, of which some are made different."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from evalgate.signals.population import Flagged, Judged, Lists, Population

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence


def lists(rows: Sequence[Sequence[str]]) -> Lists:
    """Return a column of lists."""
    names = tuple(sorted({name for row in rows for name in row}))
    codes = np.array([names.index(name) for row in rows for name in row], np.int64)
    return Lists(np.r_[0, np.cumsum([len(row) for row in rows], dtype=np.int64)].astype(np.int64), codes, names)


def judged(said: Sequence[tuple[int, str, int, int, float, float]]) -> Judged:
    """Return (row, name, negative, positive, lowest, highest) as columns."""
    row, name, negative, positive, lowest, highest = zip(*said, strict=True) if said else ((),) * 6
    return Judged(
        np.array(row, np.int64),
        np.array(name, np.str_),
        np.array(negative, np.int64),
        np.array(positive, np.int64),
        np.array(lowest, np.float64),
        np.array(highest, np.float64),
    )


def flagged(said: Sequence[tuple[int, str, float]]) -> Flagged:
    """Return (row, category, confidence) as columns; the reason is the category's name."""
    row, category, confidence = zip(*said, strict=True) if said else ((),) * 3
    return Flagged(
        np.array(row, np.int64),
        np.array(category, np.str_),
        np.array(confidence, np.float64),
        tuple(f"because of {c}" for c in category),
    )


def population(n: int, changes: Mapping[int, Mapping[str, Any]] | None = None, **columns: Any) -> Population:
    """Return n ordinary traces, each in a session of its own; by row, what is different; whole columns by name."""
    random = np.random.default_rng(7)
    base: dict[str, Any] = {
        "trace": np.array([f"{i:032x}" for i in range(n)], np.str_),
        "start_ns": np.arange(n, dtype=np.int64) * 60_000_000_000,
        "took_ms": random.lognormal(7, 0.2, n),
        "service": np.full(n, "shop", "<U16"),
        "feature": np.full(n, "refunds", "<U16"),
        "root": np.full(n, "answer", "<U16"),
        "session": np.array([f"s{i}" for i in range(n)], "<U16"),
        "tokens": np.round(random.lognormal(6, 0.2, n)),
        "cost_usd": random.lognormal(-5, 0.2, n),
        "failing": np.zeros(n, bool),
        "weight": np.ones(n),
        "asked_for": np.ones(n, bool),
        "recovered": np.zeros(n, bool),
        "same_calls": np.ones(n),
        "same_tool": np.full(n, "find", "<U16"),
        "request_chars": np.full(n, 80.0),
        "answer_words": np.round(random.lognormal(4, 0.2, n)),
        "hedges": np.zeros(n),
        "refusals": np.zeros(n),
        "likeness": np.zeros(n),
        "like": np.full(n, -1),
        "first_chunk_s": np.full(n, np.nan),
    }
    told: dict[str, list[Sequence[str]]] = {
        "reasons": [()] * n,
        "defects": [()] * n,
        "tools": [("find", "read", "refund")] * n,
        "hedge_words": [()] * n,
        "refusal_words": [()] * n,
    }
    for row, change in (changes or {}).items():
        for name, value in change.items():
            (told if name in told else base)[name][row] = value
    base["end_ns"] = base["start_ns"] + (base["took_ms"] * 1e6).astype(np.int64)
    base |= {name: lists(rows) for name, rows in told.items()}
    made = Population(**base, judged=judged(()), flagged=flagged(()))
    return replace(made, **columns)
