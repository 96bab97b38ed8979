"""What an evaluator says of an output, and the seam that says it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol, runtime_checkable

if TYPE_CHECKING:
    from schema.case import Case
    from schema.evaluator.spec import EvaluatorSpec
    from schema.run import Output


@dataclass(frozen=True, slots=True)
class Score:
    """What one evaluator says of one output."""

    evaluator: str
    score: float
    """0 (worst) to 1 (best)."""
    passed: bool
    reason: str
    """One line for the person who reads the gate's report."""
    cost_usd: float | None = None
    """What the judge's calls cost; None: it made none, or the price is not known."""
    cached: bool = False
    """Whether a judge's answer was an earlier one, kept."""
    repeats: tuple[float, ...] = ()
    """Each score, where a judge was asked several times; `score` is their mean."""


@dataclass(frozen=True, slots=True)
class EvaluatorError:
    """The evaluator could not judge."""

    evaluator: str
    message: str


class Evaluator(Protocol):
    """The seam. Never raises for an individual case; may be called from several threads."""

    @property
    def spec(self) -> EvaluatorSpec:
        """What it was made from."""

    def __call__(self, case: Case, output: Output) -> Score | EvaluatorError:
        """Judge one output."""


@runtime_checkable
class Remembering(Protocol):
    """An evaluator that may answer from memory, as one that asks a model does: it says so by this method."""

    def fresh(self) -> Evaluator:
        """Return the evaluator that judges anew and takes no verdict from a cache."""


def fresh(evaluator: Evaluator) -> Evaluator:
    """Return the evaluator for a repeat: each attempt gets a verdict of its own. A rule has none to forget."""
    return evaluator.fresh() if isinstance(evaluator, Remembering) else evaluator
