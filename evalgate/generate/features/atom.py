"""One candidate, and all of them for a set of examples."""

from __future__ import annotations

from dataclasses import dataclass, replace
from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np

from schema.verdict import Verdict

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from numpy.typing import NDArray

    from evalgate.generate.examples import Example
    from schema.evaluator import Rule

MAX_ATOMS = 3_000
"""Kept of what was found: the most evenly dividing ones."""


CORRECTED = 0.2
"""Share of corrected answers that a rule on texts may fail."""
OF_THE_TEXT = frozenset({"text", "shape", "json"})
"""Kinds that a corrected answer can refute: it has no tool calls of its own, and people write shorter than models."""


@dataclass(frozen=True, slots=True)
class Atom:
    """A rule that some of the outputs break and others do not."""

    rule: Rule
    cost: float
    """How much it asks of its reader: 1 is one word that must not be there."""
    kind: str
    """What it looks at: text, shape, size, tools, json, finish, reference."""
    fires: NDArray[np.bool_]
    """Of each example, whether its output breaks the rule."""
    words: str
    """The rule for people, short."""


@dataclass(frozen=True, slots=True)
class Candidates:
    """Candidates that tell different things of the examples; of equals, the simplest."""

    atoms: tuple[Atom, ...]
    fires: NDArray[np.bool_]
    """Atoms x examples."""
    equals: Mapping[int, tuple[str, ...]]
    """Atom to the words of those that say the same of every example."""
    considered: int
    dropped: Mapping[str, int]
    """Why candidates were not even tried, with their number."""


def gather(examples: Sequence[Example]) -> Candidates:
    """Return every candidate for a set of examples: true of at least 2 of few, of 5 % of many, and false of as many.

    What people wrote in place of bad outputs is right: a property of the text that those share is no failure, however
    well it tells bad from good. ("get a full refund" stands in what was promised wrongly, and in the correction.)
    """
    from evalgate.generate.features import document, reference, shape, text, tools  # noqa: PLC0415 - they need Atom

    support = max(2, round(0.05 * len(examples)))
    dropped: dict[str, int] = {}
    right = corrections(examples)
    found: list[Atom] = []
    for module in (text, shape, tools, document, reference):
        for atom in module.atoms([*examples, *right], support, dropped):
            if atom.kind in OF_THE_TEXT and right and atom.fires[len(examples) :].mean() > CORRECTED:
                dropped["true of corrected answers"] = dropped.get("true of corrected answers", 0) + 1
            else:
                found.append(replace(atom, fires=atom.fires[: len(examples)]))
    return distinct(found, support, dropped)


def corrections(examples: Sequence[Example]) -> list[Example]:
    """Return what people wrote in place of bad outputs, each text once, as examples."""
    texts = {e.case.expected_output: e for e in reversed(examples) if e.bad and e.case.expected_output}
    return [replace(e, output=replace(e.output, text=text or ""), label=Verdict.GOOD) for text, e in texts.items()]


def distinct(found: Iterable[Atom], support: int, dropped: dict[str, int]) -> Candidates:
    """Keep one atom of those that say the same, the simplest; drop those that say nearly nothing."""
    best: dict[bytes, Atom] = {}
    names: dict[bytes, list[str]] = {}
    considered = 0
    for atom in found:
        considered += 1
        count = int(atom.fires.sum())
        if not support <= count <= len(atom.fires) - support:
            dropped["true of nearly all or nearly none"] = dropped.get("true of nearly all or nearly none", 0) + 1
            continue
        key = np.packbits(atom.fires).tobytes()
        names.setdefault(key, []).append(atom.words)
        known = best.get(key)
        if known is None or (atom.cost, atom.words) < (known.cost, known.words):
            best[key] = atom
    kept = sorted(best.items(), key=lambda item: (-_evenness(item[1].fires), item[1].cost, item[1].words))
    if len(kept) > MAX_ATOMS:
        dropped["beyond the limit of candidates"] = len(kept) - MAX_ATOMS
        kept = kept[:MAX_ATOMS]
    kept.sort(key=lambda item: (item[1].cost, item[1].words))
    atoms = tuple(atom for _, atom in kept)
    fires = np.array([a.fires for a in atoms], dtype=bool) if atoms else np.zeros((0, 0), dtype=bool)
    equals = {
        place: tuple(sorted(n for n in names[key] if n != atom.words))
        for place, (key, atom) in enumerate(kept)
        if len(names[key]) > 1
    }
    return Candidates(atoms, fires, equals, considered, dropped)


def both(atom: Atom, opposite: Rule, words: str, *, more: float = 0.05) -> Iterator[Atom]:
    """Yield an atom and its opposite, which costs a little more: what must be there is narrower than what must not."""
    yield atom
    yield Atom(opposite, atom.cost + more, atom.kind, ~atom.fires, words)


def cuts(values: Sequence[float], most: int = 12) -> list[int]:
    """Return whole numbers between the values that occur, at most so many, spread evenly over the examples.

    A cut is rounded as far as it goes without passing a value: 400 rather than 387.5.
    """
    ordered = sorted(set(values))
    gaps = list(pairwise(ordered))
    if len(gaps) > most:
        ranks = sorted(values)
        wanted = {ranks[round(i * (len(ranks) - 1) / (most + 1))] for i in range(1, most + 1)}
        gaps = [g for g in gaps if g[0] in wanted]
    return sorted({_round_between(low, high) for low, high in gaps})


def _round_between(low: float, high: float) -> int:
    """Return the roundest whole number n with low <= n < high."""
    for size in (1000, 500, 100, 50, 10, 5):
        number = int(high // size) * size
        if number == high:
            number -= size
        if number >= low:
            return number
    return int(low)


def _evenness(fires: NDArray[np.bool_]) -> int:
    count = int(fires.sum())
    return min(count, len(fires) - count)
