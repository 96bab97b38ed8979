"""Find a rule for a failure mode: searched on training and validation, measured on the untouched test."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from evalgate.generate.chance import ALPHA, SHUFFLES, Chance, chance
from evalgate.generate.features import gather
from evalgate.generate.search import Found, Searched, fires_of, search
from schema.evaluator import Combined

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from evalgate.generate.examples import Example
    from evalgate.generate.features import Candidates
    from schema.evaluator import Rule

PROMISING = 0.4
"""Cross-validated MCC below which a rule is not worth measuring: an evaluator below it would be skipped."""
SHOWN_EQUALS = 5


@dataclass(frozen=True, slots=True)
class RuleFound:
    """The rule of a search, and how far it can be believed before the test."""

    rule: Rule
    words: str
    """For people: on what it says bad."""
    mcc: float
    """On the examples it was found in."""
    held_out: float
    """Cross-validated: of the search, not of this rule alone."""
    chance: Chance
    equals: tuple[str, ...]
    """Other rules that say the same of every example."""
    searched: Searched
    candidates: Candidates

    @property
    def fires(self) -> list[bool]:
        """On which of the examples it fires."""
        return [bool(f) for f in fires_of(self.searched.chosen, self.candidates.fires)]

    @property
    def is_promising(self) -> bool:
        """Whether chance does not find as much, and examples that were left out bear it out."""
        return self.chance.p_value < ALPHA and self.held_out >= PROMISING

    @property
    def why_not(self) -> str | None:
        """Why it is not promising, for people; None where it is."""
        if self.chance.p_value >= ALPHA:
            return (
                f"chance finds as much: with shuffled labels the same search did as well in "
                f"{self.chance.p_value:.0%} of {len(self.chance.by_chance)} tries"
            )
        if self.held_out < PROMISING:
            return f"it does not hold out: MCC {self.held_out:.2f} on examples the search had not seen"
        return None


def find_rule(
    examples: Sequence[Example], *, shuffles: int = SHUFFLES, seed: int = 0, step: Callable[[], None] = lambda: None
) -> RuleFound | None:
    """Return the rule that separates bad examples from good ones; None where nothing at all tells them apart.

    `step` is called after each shuffle, at most `shuffles` times.
    """
    candidates = gather(examples)
    bad = np.array([e.bad for e in examples], dtype=bool)
    clusters = [e.cluster for e in examples]
    searched = search(candidates, bad, clusters, seed=seed)
    if searched is None:
        return None
    found = searched.chosen
    return RuleFound(
        rule=rule_of(found, candidates),
        words=words_of(found, candidates),
        mcc=found.mcc,
        held_out=searched.held_out[searched.size - 1],
        chance=chance(candidates, bad, clusters, shuffles=shuffles, seed=seed, step=step),
        equals=candidates.equals.get(found.atoms[0], ())[:SHOWN_EQUALS] if len(found.atoms) == 1 else (),
        searched=searched,
        candidates=candidates,
    )


def rule_of(found: Found, candidates: Candidates) -> Rule:
    """Return the rule: what fires where any candidate does holds where all of them hold."""
    rules = tuple(candidates.atoms[a].rule for a in found.atoms)
    return rules[0] if len(rules) == 1 else Combined(rules, any_of=not found.any_fires)


def words_of(found: Found, candidates: Candidates) -> str:
    """Return on what a rule fires, for people."""
    return (", or " if found.any_fires else ", and ").join(candidates.atoms[a].words for a in found.atoms)


def considered(found: RuleFound, examples: Sequence[Example]) -> Iterator[dict[str, Any]]:
    """Yield what was tried and why it lost, the winner first: for the log."""
    bad = np.array([e.bad for e in examples], dtype=bool)
    searched, candidates = found.searched, found.candidates
    chosen = searched.chosen

    def line(f: Found, lost: str | None) -> dict[str, Any]:
        fires = fires_of(f, candidates.fires)
        return {
            "fires_on": words_of(f, candidates),
            "mcc": round(f.mcc, 4),
            "cost": round(f.cost, 3),
            "caught": int((fires & bad).sum()),
            "false_alarms": int((fires & ~bad).sum()),
            "lost": lost,
            "same_as_it": list(candidates.equals.get(f.atoms[0], ())) if len(f.atoms) == 1 else [],
        }

    yield line(chosen, found.why_not)
    for other in searched.runners_up:
        if len(other.atoms) > searched.size:
            lost = f"rules of {len(other.atoms)} parts do not hold out better"
        elif other.mcc < searched.best.mcc - searched.standard_error - 1e-9:
            lost = "it agrees less with the labels"
        elif other.cost > chosen.cost + 1e-9 or len(other.atoms) > len(chosen.atoms):
            lost = "a simpler rule does as well, within one standard error"
        else:
            lost = "it agrees no better, and stands later in the alphabet"
        yield line(other, lost)
    for reason, count in sorted(candidates.dropped.items()):
        yield {"fires_on": None, "candidates": count, "lost": reason}
