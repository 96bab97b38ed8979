"""Search a rule: one candidate, or two or three of them together.

    candidates (no label seen) ──▶ best of one, two, three ──▶ how many: cross-validation ──▶ the simplest of the best

A rule fires on outputs that break it; a firing is the verdict "bad". Two rules that must both hold fire where either
does. The score of a rule is MCC less a little for what it asks of its reader.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from numpy.typing import NDArray

    from evalgate.generate.features import Candidates

    Flags = NDArray[np.bool_]
    Floats = NDArray[np.float64]
    Bits = NDArray[np.uint64]
    Counts = NDArray[np.int64] | NDArray[np.float64]

LARGEST = 3
"""Candidates in one rule."""
BEAM = 24
"""Best rules of one size that the next size is built on."""
PENALTY = 0.02
"""MCC that one more word in a rule must bring."""
JOINING = 0.5
"""What joining two rules costs, beside both."""
FOLDS = 5
RESAMPLES = 200
LARGEST_TABLE = 4_000_000
"""Entries of MCC that are computed beforehand: 32 MB."""
KEPT = 200
"""Best rules of each size that the simplest is chosen from."""


class Found(NamedTuple):
    """One rule: which candidates, joined how."""

    atoms: tuple[int, ...]
    any_fires: bool
    """Whether it fires where any of them does (all must hold), or only where all do."""
    mcc: float
    cost: float

    @property
    def score(self) -> float:
        """MCC less the penalty."""
        return self.mcc - PENALTY * (self.cost - 1.0)

    @property
    def rank(self) -> tuple[float, float, tuple[int, ...]]:
        """What to sort by: the best first, of equals the simplest."""
        return -round(self.score, 9), self.cost, self.atoms


@dataclass(frozen=True, slots=True)
class Searched:
    """What a search found."""

    best: Found
    """The best score on the examples that were searched."""
    chosen: Found
    """The simplest that is as good as the best, within one standard error."""
    size: int
    """How many candidates cross-validation allows in a rule."""
    held_out: tuple[float, ...]
    """Cross-validated MCC with rules of at most one, two, three candidates."""
    standard_error: float
    runners_up: tuple[Found, ...]
    """Others: the best of one candidate, of two, of three."""


def fires_of(found: Found, fires: Flags) -> Flags:
    """Return on which examples a rule fires."""
    rows = fires[list(found.atoms)]
    return np.asarray(rows.any(axis=0) if found.any_fires else rows.all(axis=0), dtype=bool)


class Labels:
    """Labels, ready to count with: bits, and the MCC of every table that they allow."""

    def __init__(self, bad: Flags) -> None:
        self.positives, self.negatives = int(bad.sum()), int((~bad).sum())
        self._bits = bits_of(np.stack([bad, ~bad]))
        self._table: Floats | None = None
        if (self.positives + 1) * (self.negatives + 1) <= LARGEST_TABLE:
            tp, fp = np.arange(self.positives + 1)[:, None], np.arange(self.negatives + 1)[None, :]
            self._table = mcc_of_tables(tp, fp, self.positives - tp, self.negatives - fp)

    def mcc(self, bits: Bits) -> Floats:
        """Return the MCC of rules by what they fire on; the last axis is that of the words."""
        tp, fp = (np.bitwise_count(bits & label).sum(axis=-1, dtype=np.int64) for label in self._bits)
        if self._table is not None:
            return np.asarray(self._table[tp, fp])
        return mcc_of_tables(tp, fp, self.positives - tp, self.negatives - fp)


def bits_of(flags: Flags) -> Bits:
    """Return rows of flags as words of 64 bits, zeros at the end."""
    packed = np.packbits(flags, axis=1)
    room = -packed.shape[1] % 8
    return np.ascontiguousarray(np.pad(packed, ((0, 0), (0, room)))).view(np.uint64)


def mcc_of_tables(tp: Counts, fp: Counts, fn: Counts, tn: Counts) -> Floats:
    """Return Matthews correlations of many tables; 0 where it is undefined."""
    tp, fp, fn, tn = (np.asarray(x, dtype=np.float64) for x in (tp, fp, fn, tn))
    spread = (tp + fp) * (tp + fn) * (tn + fp) * (tn + fn)
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.where(spread > 0, (tp * tn - fp * fn) / np.sqrt(spread), 0.0)


def best_of_each_size(candidates: Candidates, bad: Flags, *, keep: int = 1) -> list[list[Found]]:
    """Return the best rules of one, two, ... LARGEST candidates by score, at most `keep` of each size."""
    labels = Labels(bad)
    if not candidates.atoms or not labels.positives or not labels.negatives:
        return []
    costs = np.array([a.cost for a in candidates.atoms])
    bits = bits_of(candidates.fires)
    mcc = labels.mcc(bits)
    places = _top(mcc - PENALTY * costs, max(keep, BEAM))
    found = [Found((int(i),), any_fires=True, mcc=float(mcc[i]), cost=float(costs[i])) for i in places]
    sizes = [sorted(found, key=lambda f: f.rank)]
    for _ in range(2, LARGEST + 1):
        sizes.append(_joined(sizes[-1], bits, labels, costs, keep=max(keep, BEAM)))
    return [s[:keep] for s in sizes]


def _joined(beam: Sequence[Found], bits: Bits, labels: Labels, costs: Floats, *, keep: int) -> list[Found]:
    """Return the best rules that have one candidate more than those of the beam."""
    best: dict[tuple[tuple[int, ...], bool], Found] = {}
    for any_fires in (True, False):
        parents = [f for f in beam[:BEAM] if len(f.atoms) == 1 or f.any_fires is any_fires]
        if not parents:
            continue
        join = np.bitwise_or if any_fires else np.bitwise_and
        rows = np.stack([join.reduce(bits[list(f.atoms)], axis=0) for f in parents])
        mcc = labels.mcc(join(rows[:, None, :], bits[None, :, :]))
        cost = np.array([f.cost for f in parents])[:, None] + costs[None, :] + JOINING
        score = mcc - PENALTY * cost
        for row, f in enumerate(parents):
            score[row, list(f.atoms)] = -np.inf
        for flat in _top(score.ravel(), keep):
            row, column = divmod(int(flat), len(costs))
            if np.isinf(score[row, column]):
                continue
            atoms = tuple(sorted((*parents[row].atoms, column)))
            best[atoms, any_fires] = Found(atoms, any_fires, float(mcc[row, column]), float(cost[row, column]))
    return sorted(best.values(), key=lambda f: f.rank)[:keep]


def best_score(candidates: Candidates, bad: Flags) -> float:
    """Return the best score that any rule reaches for these labels."""
    return max((s[0].score for s in best_of_each_size(candidates, bad) if s), default=-1.0)


def search(candidates: Candidates, bad: Flags, clusters: Sequence[str], *, seed: int = 0) -> Searched | None:
    """Return the rule to choose; None where no candidate says anything.

    How many candidates a rule may have is decided by cross-validation: of the sizes whose held-out MCC is within one
    standard error of the best, the smallest. Then the simplest rule of at most that size, within one standard error of
    the best on all examples.
    """
    sizes = best_of_each_size(candidates, bad, keep=KEPT)
    if not sizes:
        return None
    rng = np.random.default_rng(seed)
    groups = _group_numbers(clusters)
    held_out, errors = _cross_validated(candidates, bad, groups, rng)
    top = int(np.argmax(held_out))
    size = next(s for s in range(top + 1) if held_out[s] >= held_out[top] - errors[top]) + 1
    allowed = sorted((f for s in sizes[:size] for f in s), key=lambda f: f.rank)
    best = allowed[0]
    error = _standard_error(fires_of(best, candidates.fires), bad, groups, rng)
    near = [f for f in allowed if f.mcc >= best.mcc - error - 1e-9 and f.score >= best.score - error - 1e-9]
    chosen = min(near, key=lambda f: (len(f.atoms), round(f.cost, 6), -round(f.mcc, 9), f.atoms))
    others = tuple(f for s in sizes for f in s if f != chosen)
    return Searched(best, chosen, size, tuple(held_out), error, others)


def _cross_validated(
    candidates: Candidates, bad: Flags, groups: NDArray[np.int64], rng: np.random.Generator
) -> tuple[list[float], list[float]]:
    """Return the MCC of rules of at most one, two, ... candidates on examples that the search had not seen.

    And its standard errors.
    """
    predicted = np.zeros((LARGEST, len(bad)), dtype=bool)
    for fold in _folds(bad, groups, rng):
        seen = ~fold
        inside = _subset(candidates, seen)
        sizes = best_of_each_size(inside, bad[seen])
        best: Found | None = None
        for size in range(LARGEST):
            for found in sizes[size][:1] if size < len(sizes) else ():
                best = found if best is None or found.rank < best.rank else best
            if best is not None:
                predicted[size, fold] = fires_of(best, candidates.fires[:, fold])
    held_out = [_mcc(predicted[s], bad) for s in range(LARGEST)]
    return held_out, [_standard_error(predicted[s], bad, groups, rng) for s in range(LARGEST)]


def _subset(candidates: Candidates, seen: Flags) -> Candidates:
    from evalgate.generate.features import Candidates as Kind  # noqa: PLC0415 - a type elsewhere

    return Kind(candidates.atoms, candidates.fires[:, seen], {}, 0, {})


def _folds(bad: Flags, groups: NDArray[np.int64], rng: np.random.Generator) -> Iterator[Flags]:
    """Yield who is held out: whole clusters, each class spread evenly over the folds."""
    names = np.unique(groups)
    is_bad = np.array([bad[groups == g].mean() > 0.5 for g in names])
    fold_of = np.zeros(int(groups.max()) + 1, dtype=np.int64)
    start = 0
    for label in (True, False):
        members = rng.permutation(names[is_bad == label])
        fold_of[members] = (np.arange(len(members)) + start) % FOLDS
        start += len(members)
    for number in range(FOLDS):
        fold = fold_of[groups] == number
        if fold.any() and not fold.all():
            yield fold


def _standard_error(fires: Flags, bad: Flags, groups: NDArray[np.int64], rng: np.random.Generator) -> float:
    """Return the standard error of MCC by resampling clusters."""
    names = np.unique(groups)
    member = (groups[None, :] == names[:, None]).astype(np.float64)
    table = np.stack([fires & bad, fires & ~bad, ~fires & bad, ~fires & ~bad]).astype(np.float64)
    per_cluster = member @ table.T
    drawn = rng.multinomial(len(names), np.full(len(names), 1 / len(names)), size=RESAMPLES)
    tp, fp, fn, tn = (drawn @ per_cluster).T
    values = mcc_of_tables(tp, fp, fn, tn)
    return float(np.std(values))


def _mcc(fires: Flags, bad: Flags) -> float:
    return float(Labels(bad).mcc(bits_of(fires[None, :]))[0])


def _group_numbers(clusters: Sequence[str]) -> NDArray[np.int64]:
    _, numbers = np.unique(np.array(clusters), return_inverse=True)
    return np.asarray(numbers, dtype=np.int64)


def _top(values: Floats, count: int) -> NDArray[np.int64]:
    """Return the places of the largest values, in no order."""
    if len(values) <= count:
        return np.arange(len(values))
    return np.asarray(np.argpartition(-values, count - 1)[:count], dtype=np.int64)
