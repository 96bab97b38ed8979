"""Measure an evaluator: run it over what production answered, and count where it agrees with people.

Never raises for a case: what the evaluator could not judge is counted, and is no score.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Generic, TypeVar

from evalgate.align.labelled import Labelled, as_shown
from evalgate.evaluators.judge import JudgeEvaluator
from evalgate.work import map_in_threads
from schema.alignment import Confusion, Measurement, Split
from schema.case import Observed
from schema.evaluator import EvaluatorError, Score
from schema.verdict import Verdict

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence
    from datetime import datetime

    from evalgate.align.labelled import Chosen
    from schema.evaluator import Evaluator

Item = TypeVar("Item", bound=Labelled)
Item_co = TypeVar("Item_co", bound=Labelled, covariant=True)

ROUNDED_USD = 9
ATTACKED_CASES = 3
"""Bad answers that are attacked, each in some thirty ways: a judge that can be talked round shows it in one."""


@dataclass(frozen=True, slots=True)
class Judged(Generic[Item_co]):
    """One labelled case and what the evaluator says of it."""

    item: Item_co
    verdict: Score | EvaluatorError

    @property
    def is_right(self) -> bool | None:
        """Whether evaluator and person agree; None where the one could not judge, or the other said partial."""
        if not isinstance(self.verdict, Score) or self.item.label is Verdict.PARTIAL:
            return None
        return self.verdict.passed is (self.item.label is Verdict.GOOD)


@dataclass(frozen=True, slots=True)
class Steadiness:
    """How far a judge agrees with itself."""

    self_consistency: float | None = None
    order_flip_rate: float | None = None
    cost_usd: float | None = None


def under_attack(
    evaluator: Evaluator,
    judged: Sequence[Judged[Labelled]],
    *,
    concurrency: int = 1,
    cases: int = ATTACKED_CASES,
    step: Callable[[], None] = lambda: None,
) -> float | None:
    """Return how many of our attacks bring a bad answer through that the judge fails; None: nothing to attack.

    The first `cases` bad answers that it fails are attacked in each way that comes with the package.
    """
    caught = [j.item for j in judged if is_caught(j)][:cases]
    if not caught or not isinstance(evaluator, JudgeEvaluator):
        return None
    from evalgate.evaluators.injection import load_attacks, measure_resistance  # noqa: PLC0415 - reads a file

    shown = [(as_shown(evaluator.spec, item.case), item.output) for item in caught]
    return measure_resistance(evaluator, shown, load_attacks(), concurrency=concurrency, step=step).flip_rate


def attacks_of(cases: int) -> int:
    """Return how many verdicts attacking takes, of so many cases."""
    from evalgate.evaluators.injection import load_attacks  # noqa: PLC0415 - reads a file

    return min(cases, ATTACKED_CASES) * (1 + len(load_attacks()))


def is_caught(judged: Judged[Labelled]) -> bool:
    """Tell whether it is a bad answer that the evaluator fails."""
    return judged.item.label is Verdict.BAD and isinstance(judged.verdict, Score) and not judged.verdict.passed


def judge_all(
    evaluator: Evaluator, items: Sequence[Item], *, concurrency: int = 1, step: Callable[[], None] = lambda: None
) -> list[Judged[Item]]:
    """Return what an evaluator says of each, in their order. `step` is called after each, from several threads."""

    def judge(item: Item) -> Judged[Item]:
        found = Judged(item, evaluator(as_shown(evaluator.spec, item.case), item.output))
        step()
        return found

    return map_in_threads(judge, items, concurrency)


def confusion_of(judged: Iterable[Judged[Labelled]]) -> Confusion:
    """Return the matrix. Positive is the failure: label bad, verdict fail."""
    count: Counter[str] = Counter()
    for each in judged:
        if isinstance(each.verdict, EvaluatorError):
            count["errors"] += 1
        elif each.item.label is Verdict.PARTIAL:
            count["partial_passed" if each.verdict.passed else "partial_failed"] += 1
        elif each.item.label is Verdict.BAD:
            count["fn" if each.verdict.passed else "tp"] += 1
        else:
            count["tn" if each.verdict.passed else "fp"] += 1
    names = ("tp", "fp", "fn", "tn", "partial_passed", "partial_failed", "errors")
    return Confusion(*(count[name] for name in names))


def measurement_of(
    evaluator: Evaluator,
    chosen: Chosen,
    judged: Sequence[Judged[Labelled]],
    *,
    split: Split,
    at: datetime,
    steadiness: Steadiness | None = None,
    injection_flip_rate: float | None = None,
) -> Measurement:
    """Return the measurement that this makes. `chosen` are the cases of `judged`."""
    steady = steadiness or Steadiness()
    return Measurement(
        evaluator=evaluator.spec.id,
        version=evaluator.spec.version,
        data_version=chosen.data_version,
        split=split,
        at=at.isoformat(timespec="microseconds"),
        confusion=confusion_of(judged),
        model=model_of(evaluator),
        self_consistency=steady.self_consistency,
        order_flip_rate=steady.order_flip_rate,
        injection_flip_rate=injection_flip_rate,
        cost_usd=_total(cost_of(judged), steady.cost_usd),
        labelled_until=chosen.labelled_until,
        left_out=chosen.made_from,
        clusters=chosen.clusters,
    )


def steadiness_of(
    evaluator: Evaluator,
    judged: Sequence[Judged[Labelled]],
    repeats: int,
    *,
    concurrency: int = 1,
    step: Callable[[], None] = lambda: None,
) -> Steadiness | None:
    """Ask a judge again: `repeats` times the same, round the cache, and twice with the answers' places changed.

    None for evaluators that are no judges: they say the same each time. An example where it errs once is left out.
    """
    if not isinstance(evaluator, JudgeEvaluator):
        return None
    again = evaluator.fresh()
    before = replace(evaluator, is_swapped=True)

    def ask(each: Judged[Labelled]) -> tuple[list[Score | EvaluatorError], list[Score | EvaluatorError]]:
        item = each.item
        shown = as_shown(evaluator.spec, item.case)
        same = [each.verdict, *(again(shown, item.output) for _ in range(repeats))]
        step()
        # Something else stands beside the answer: what people corrected, else the answer itself.
        other = item.case.expected_output or item.output.text
        pair = replace(item.case, observed=Observed(other), expected_output=None)
        return same, [evaluator(pair, item.output), before(pair, item.output)]

    answers = map_in_threads(ask, judged, concurrency)
    agreeing = [max(Counter(v).values()) / len(v) for same, _ in answers if (v := _passed(same)) is not None]
    flipped = [v[0] is not v[1] for _, pair in answers if (v := _passed(pair)) is not None]
    asked = [s for same, pair in answers for s in (*same[1:], *pair) if isinstance(s, Score)]
    return Steadiness(
        self_consistency=sum(agreeing) / len(agreeing) if agreeing and repeats else None,
        order_flip_rate=sum(flipped) / len(flipped) if flipped else None,
        cost_usd=_sum(asked),
    )


def cost_of(judged: Iterable[Judged[Labelled]]) -> float | None:
    """Return what the verdicts cost; None: nothing that is known."""
    return _sum([j.verdict for j in judged if isinstance(j.verdict, Score)])


def model_of(evaluator: Evaluator) -> str | None:
    """Return the model that a judge asks."""
    return evaluator.model.name if isinstance(evaluator, JudgeEvaluator) else None


def _passed(verdicts: Sequence[Score | EvaluatorError]) -> list[bool] | None:
    passed = [v.passed for v in verdicts if isinstance(v, Score)]
    return passed if len(passed) == len(verdicts) else None


def _sum(scores: Sequence[Score]) -> float | None:
    costs = [s.cost_usd for s in scores if s.cost_usd is not None]
    return round(sum(costs), ROUNDED_USD) if costs else None


def _total(*costs: float | None) -> float | None:
    known = [c for c in costs if c is not None]
    return round(sum(known), ROUNDED_USD) if known else None
