"""The evaluator `glossary`: an output uses the company's words.

    id: our-words
    failure_mode: wrong_word
    use: glossary
    with:
      say: {client: customer, ticket: request}     # what is said: what should be said

A factory takes the specification and the settings, once per run, and returns what judges: (case, output) to a `Score`
or an `EvaluatorError`. `ValueError` from the factory tells the author of the file what is wrong in it.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from schema.evaluator import EvaluatorError, EvaluatorSpec, Score

if TYPE_CHECKING:
    from collections.abc import Mapping

    from schema.case import Case
    from schema.run import Output


@dataclass(frozen=True)
class Glossary:
    """Counts words that should be others; a score of 1 - wrong / all words of the glossary in the output."""

    spec: EvaluatorSpec
    say: Mapping[str, str]

    def __call__(self, case: Case, output: Output) -> Score | EvaluatorError:  # noqa: ARG002 - the seam
        """Judge one output."""
        words = re.findall(r"\w+", output.text.casefold())
        wrong = [w for w in words if w in self.say]
        right = [w for w in words if w in self.say.values()]
        if not wrong:
            return Score(self.spec.id, 1.0, passed=True, reason="it uses the words of the glossary")
        score = len(right) / (len(right) + len(wrong))
        said = ", ".join(f"{w!r} instead of {self.say[w]!r}" for w in dict.fromkeys(wrong))
        return Score(self.spec.id, score, passed=False, reason=f"it says {said}")


def glossary(spec: EvaluatorSpec, settings: Mapping[str, Any]) -> Glossary:
    """Return the evaluator for the settings of a file."""
    say = settings.get("say")
    if not isinstance(say, dict) or not say or not all(isinstance(v, str) for v in say.values()):
        raise ValueError("'say' must be an object such as {client: customer}")
    if unknown := set(settings) - {"say"}:
        raise ValueError(f"unknown setting {min(unknown)!r}; it knows 'say'")
    return Glossary(spec, {key.casefold(): value.casefold() for key, value in say.items()})
