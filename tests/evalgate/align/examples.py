"""Labelled cases, evaluators and judges for tests of alignment."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from evalgate.evaluators.judge import JudgeEvaluator
from evalgate.evaluators.rules import RuleEvaluator
from evalgate.model.chat import Completion, ModelError
from schema.case import Case, CaseInput, Observed, Provenance
from schema.evaluator import parse_evaluator
from schema.verdict import Verdict

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from schema.evaluator import Evaluator

MODE = "refund window"
WRONG, RIGHT = "You have 90 days.", "You have 30 days."


def case(
    name: str,
    verdict: Verdict | None,
    output: str | None,
    *,
    mode: str | None = None,
    expected: str | None = None,
    feature: str | None = None,
    day: int = 1,
) -> Case:
    """Return a case that was labelled on a day of November 2026."""
    return Case(
        case_id=f"case-{name}",
        input=CaseInput((), f"question {name}"),
        observed=Observed(output),
        expected_output=expected,
        verdict=verdict,
        failure_mode=(mode or MODE) if verdict in (Verdict.BAD, Verdict.PARTIAL) else None,
        feature=feature,
        provenance=Provenance(labelled_at=f"2026-11-{day:02}T00:00:00.000000+00:00"),
    )


def bad(name: str, output: str = WRONG, **more: Any) -> Case:
    return case(f"b{name}", Verdict.BAD, output, **more)


def good(name: str, output: str = RIGHT, **more: Any) -> Case:
    return case(f"g{name}", Verdict.GOOD, output, **more)


def many(count: int, *, missed: int = 0, alarmed: int = 0, day: int = 1, start: int = 0) -> list[Case]:
    """Return as many bad and good cases, of which `rule` misses and wrongly alarms so many."""
    numbers = range(start, start + count)
    return [
        *(bad(str(n), RIGHT if n - start < missed else WRONG, day=day) for n in numbers),
        *(good(str(n), WRONG if n - start < alarmed else RIGHT, day=day) for n in numbers),
    ]


def rule(name: str = "window", *, generated: bool = False, text: str = "90", **more: Any) -> Evaluator:
    """Return an evaluator that fails outputs with a text."""
    body = {"id": name, "failure_mode": MODE, "rule": {"type": "not_contains", "text": text}, **more}
    if generated:
        body["generated"] = {"by": "t", "at": "2026-11-01T00:00:00+00:00", "method": "rule_search", "issue": 1}
    return RuleEvaluator(parse_evaluator(body))


@dataclass
class ScriptedModel:
    """A model that answers by what it reads; keeps what it was asked."""

    answer: Callable[[str, bool], float | ModelError]
    """(the data, fresh) to a score."""
    name: str = "scripted"
    cost_usd: float | None = 0.01
    asked: list[Sequence[Mapping[str, Any]]] = field(default_factory=list)

    def complete(
        self, messages: Sequence[Mapping[str, Any]], *, fresh: bool = False, **_: Any
    ) -> Completion | ModelError:
        self.asked.append(messages)
        score = self.answer(str(messages[-1]["content"]), fresh)
        if isinstance(score, ModelError):
            return score
        return Completion(json.dumps({"reasoning": "r", "score": score}), cost_usd=self.cost_usd)


def judge(model: ScriptedModel, name: str = "polite") -> Evaluator:
    spec = parse_evaluator(
        {"id": name, "failure_mode": MODE, "eval_type": "llm_judge", "judge": {"criteria": "be right"}}
    )
    return JudgeEvaluator(spec, model)
