"""Judge labelled examples with an evaluator: what it says of each, as a matrix and by case."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from evalgate.align.labelled import as_shown
from evalgate.work import map_in_threads
from schema.alignment import Confusion
from schema.evaluator import EvaluatorError, Score

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from evalgate.generate.examples import Example
    from schema.evaluator import Evaluator

Verdict = Score | EvaluatorError


@dataclass(frozen=True, slots=True)
class Judged:
    """An example and what an evaluator says of it."""

    example: Example
    verdict: Verdict

    @property
    def is_right(self) -> bool | None:
        """Whether evaluator and person agree; None where the evaluator could not judge."""
        return self.verdict.passed != self.example.bad if isinstance(self.verdict, Score) else None


def judge_all(
    evaluator: Evaluator, examples: Sequence[Example], *, workers: int = 1, step: Callable[[], None] = lambda: None
) -> list[Judged]:
    """Return the verdicts in the order of the examples. Errors are values."""

    def one(example: Example) -> Judged:
        judged = Judged(example, evaluator(as_shown(evaluator.spec, example.case), example.output))
        step()
        return judged

    return map_in_threads(one, examples, workers)


def confusion_of(judged: Sequence[Judged]) -> Confusion:
    """Return the matrix; positive is the failure."""
    counts = {"tp": 0, "fp": 0, "fn": 0, "tn": 0, "errors": 0}
    for j in judged:
        if not isinstance(j.verdict, Score):
            counts["errors"] += 1
        elif j.example.bad:
            counts["fn" if j.verdict.passed else "tp"] += 1
        else:
            counts["tn" if j.verdict.passed else "fp"] += 1
    return Confusion(**counts)
