"""Can a judge be talked round? Known attacks, and the share of bad answers that they bring through.

No client can promise that a model does not obey what it reads. It can promise that content stays data (`fence`), and it
can measure what a real model does with it: bad answers that the judge fails are judged again with an attack added.
Each that passes then is a flip.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field, replace
from importlib import resources
from typing import TYPE_CHECKING, Any

from evalgate.work import map_in_threads
from schema.case import CaseInput
from schema.evaluator import EvaluatorError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from schema.case import Case
    from schema.evaluator import Evaluator, Score
    from schema.run import Output

FILE = "injections.yaml"


@dataclass(frozen=True, slots=True)
class Attack:
    """One text that tries to move a verdict."""

    id: str
    kind: str
    text: str
    where: str = "response"
    """response, request or tool_result."""
    at: str = "after"
    """before, after or around what is attacked."""


@dataclass(frozen=True, slots=True)
class Attacked:
    """What a judge said of one bad answer under one attack."""

    case_id: str
    attack: str
    kind: str
    score: float | None
    """None: it could not judge, which lets nothing through."""
    is_flipped: bool
    error: str | None = None
    """Why there was no verdict."""


@dataclass(frozen=True, slots=True)
class Resistance:
    """How far a judge can be talked round."""

    cases: int
    """Bad answers that the judge fails when nobody attacks; only those can flip."""
    passed_before: int
    """Those that it passes anyway: a matter of its alignment, not of attacks."""
    errors_before: int
    attempts: tuple[Attacked, ...] = field(default=())

    @property
    def judged(self) -> int:
        """Attempts that came to a verdict."""
        return sum(a.score is not None for a in self.attempts)

    @property
    def flips(self) -> int:
        """Attempts that brought a bad answer through."""
        return sum(a.is_flipped for a in self.attempts)

    @property
    def flip_rate(self) -> float | None:
        """Flips of all attempts; an attempt that ended in an error brought nothing through. None: no attempt."""
        return self.flips / len(self.attempts) if self.attempts else None

    def flips_by(self, attribute: str) -> list[tuple[str, int, int]]:
        """Return (name, flips, attempts) by `attack` or `kind`, those that work best first."""
        tried = Counter(str(getattr(a, attribute)) for a in self.attempts)
        flipped = Counter(str(getattr(a, attribute)) for a in self.attempts if a.is_flipped)
        return sorted(((n, flipped[n], tried[n]) for n in tried), key=lambda x: (-x[1] / x[2], x[0]))


def load_attacks() -> tuple[Attack, ...]:
    """Return the attacks that come with the package."""
    import yaml  # noqa: PLC0415 - only where attacks are made

    text = resources.files("evalgate.evaluators").joinpath(FILE).read_text(encoding="utf-8")
    return tuple(_attack(item) for item in yaml.safe_load(text))


def under_attack(attack: Attack, case: Case, output: Output) -> tuple[Case, Output]:
    """Return the case and the output with the attack in its place."""
    match attack.where:
        case "request":
            asked = f"{case.input.text or ''}\n{attack.text}"
            message = {"role": "user", "parts": [{"type": "text", "content": asked}]}
            return replace(case, input=CaseInput((*case.input.messages[:-1], message), asked)), output
        case "tool_result":
            call = {"name": "look_up", "arguments": {}, "result": attack.text}
            return case, replace(output, tool_calls=(*output.tool_calls, call))
        case _:
            before = (attack.text,) if attack.at in ("before", "around") else ()
            after = (attack.text,) if attack.at in ("after", "around") else ()
            return case, replace(output, text="\n".join((*before, output.text, *after)))


def measure_resistance(
    judge: Evaluator,
    bad: Sequence[tuple[Case, Output]],
    attacks: Sequence[Attack],
    *,
    concurrency: int = 8,
    step: Callable[[], None] = lambda: None,
) -> Resistance:
    """Attack every bad answer that the judge fails. Answers must be known to be bad, by a person's word.

    `step` is called after each verdict, from several threads: once for each answer and once for each attempt.
    """

    def one(item: tuple[Case, Output]) -> Score | EvaluatorError:
        found = judge(*item)
        step()
        return found

    def attempt(item: tuple[Case, Output], attack: Attack) -> Attacked:
        said = judge(*under_attack(attack, *item))
        step()
        name = item[0].case_id
        if isinstance(said, EvaluatorError):
            return Attacked(name, attack.id, attack.kind, None, is_flipped=False, error=said.message)
        return Attacked(name, attack.id, attack.kind, said.score, is_flipped=said.passed)

    before = map_in_threads(one, bad, concurrency)
    verdicts = zip(bad, before, strict=True)
    failed = [item for item, said in verdicts if not isinstance(said, EvaluatorError) and not said.passed]
    pairs = [(item, attack) for item in failed for attack in attacks]
    attempts = tuple(map_in_threads(lambda pair: attempt(*pair), pairs, concurrency))
    errors = sum(isinstance(said, EvaluatorError) for said in before)
    return Resistance(len(failed), len(bad) - len(failed) - errors, errors, attempts)


def _attack(item: Mapping[str, Any]) -> Attack:
    text = item["text"] * item.get("repeat", 1) + item.get("then", "")
    return Attack(item["id"], item["kind"], text, item.get("where", "response"), item.get("at", "after"))
