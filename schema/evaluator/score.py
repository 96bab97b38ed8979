"""What an evaluator says of an output, and the seam that says it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

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
