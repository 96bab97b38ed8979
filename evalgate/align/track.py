"""Alignment over time: measure, compare with what was measured before, and say what is to do."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final

from evalgate.align.labelled import Chosen, Partial, choose
from evalgate.align.measure import (
    attacks_of,
    judge_all,
    measurement_of,
    model_of,
    steadiness_of,
    under_attack,
)
from evalgate.align.store import ALIGNMENT, append_measurement, made_from, read_measurements
from evalgate.evaluators.judge import JudgeEvaluator
from schema.alignment import DEFAULT_POLICY, Permission, Split, drop_of, grant
from schema.evaluator import EvaluatorError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from datetime import datetime
    from pathlib import Path

    from evalgate.align.labelled import Labelled
    from evalgate.align.measure import Judged
    from schema.alignment import Drop, Grant, Measurement, PermissionPolicy
    from schema.case import Case
    from schema.evaluator import Evaluator, EvaluatorSpec

MOST_ERRORS: Final = 0.1
"""Share of cases without a verdict above which a measurement is not kept: it would be of the weather."""
RANK: Final = (Permission.SKIP, Permission.MONITOR, Permission.BLOCK)
"""From the least to the most that an evaluator may do."""
MANY_NEW: Final = 10
MANY_NEW_SHARE: Final = 0.2
"""New labels of a failure mode, or their share of the earlier ones, that are worth generating anew for."""


@dataclass(frozen=True, slots=True)
class HowToAlign:
    """What a person may choose."""

    partial: Partial = Partial.APART
    other_modes: bool = False
    consistency: int = 0
    """How often a judge is asked again about each example."""
    injection: bool = False
    """Whether judges are attacked."""
    concurrency: int = 8
    policy: PermissionPolicy = DEFAULT_POLICY
    folder: Path = ALIGNMENT
    keep: bool = True
    """Whether measurements are written."""


@dataclass(frozen=True, slots=True)
class Aligned:
    """What measuring one evaluator found."""

    spec: EvaluatorSpec
    chosen: Chosen
    judged: tuple[Judged[Labelled], ...]
    measurement: Measurement | None
    """None: there was nothing to measure it on, or too much could not be judged."""
    grant: Grant
    """By the measurement that counts now; where none does, by this one."""
    new: Measurement | None = None
    """On labels that came since the measurement that new ones are compared with."""
    drop: Drop | None = None
    new_labels: int = 0
    """Labels that came since its first measurement."""
    first_labels: int = 0
    """Labels that its first measurement rests on."""
    counting: Measurement | None = None
    """What the permission rests on: this one, or the one before where this one is not kept."""
    lacks: str | None = None
    """Which labels are missing, so that the measurement says too little to be kept; None: none are."""
    sunk_from: Permission | None = None
    """What it might do by the measurement before, where that is more than it may now."""
    is_kept: bool = False
    """Whether something was written."""
    problem: str | None = None
    """Why there is no measurement, in words."""

    @property
    def wants_generating(self) -> bool:
        """Whether enough labels came to generate the evaluator anew."""
        if self.spec.generated is None or not self.first_labels:
            return False
        return self.new_labels >= MANY_NEW or self.new_labels / self.first_labels >= MANY_NEW_SHARE


def align(
    evaluator: Evaluator,
    cases: Sequence[Case],
    how: HowToAlign,
    *,
    now: Callable[[], datetime],
    step: Callable[[], None] = lambda: None,
) -> Aligned:
    """Measure one evaluator on the labelled cases, keep that, and compare it with what was before."""
    spec = evaluator.spec
    chosen = choose_for(spec, cases, how)
    history = read_measurements(spec.id, how.folder)
    model = model_of(evaluator)
    earlier = tuple(m for m in history if m.version == spec.version and m.model == model and m.split is not Split.NEW)
    judged = tuple(judge_all(evaluator, chosen.items, concurrency=how.concurrency, step=step))

    def permitted(by: Measurement | None) -> Grant:
        by_hand = spec.is_deterministic_by_hand
        return grant(by, deterministic_by_hand=by_hand, mcc_score=spec.mcc_score, policy=how.policy)

    before = earlier[-1] if earlier else None

    def found(measurement: Measurement | None, problem: str | None = None) -> Aligned:
        lacks = None if measurement is None else _lacks(spec, measurement)
        counting = before if measurement is None or lacks else measurement
        given = permitted(counting or measurement)
        might = None if before is None else permitted(before).permission
        has_sunk = might is not None and RANK.index(given.permission) < RANK.index(might)
        return Aligned(
            spec,
            chosen,
            judged,
            measurement,
            given,
            counting=counting,
            lacks=lacks,
            sunk_from=might if has_sunk else None,
            problem=problem,
        )

    if problem := _problem(spec, chosen, judged):
        return found(None, problem)
    steadiness = None
    if how.consistency:
        steadiness = steadiness_of(evaluator, judged, how.consistency, concurrency=how.concurrency, step=step)
    measurement = measurement_of(
        evaluator,
        chosen,
        judged,
        split=Split.ALL,
        at=now(),
        steadiness=steadiness,
        injection_flip_rate=under_attack(evaluator, judged, concurrency=how.concurrency, step=step)
        if how.injection
        else None,
    )
    whole = found(measurement)
    if whole.lacks:
        return whole
    reference = reference_of(earlier, how.policy)
    new = _on_new_labels(evaluator, judged, reference, now)
    drop = drop_of(reference.confusion, new.confusion, (reference.weight, new.weight)) if new and reference else None
    kept = [append_measurement(m, how.folder) for m in (measurement, new) if m and how.keep]
    return replace(
        whole,
        new=new,
        drop=drop,
        new_labels=len(_since(judged, earlier[0] if earlier else None)),
        first_labels=earlier[0].confusion.n if earlier else 0,
        is_kept=any(kept),
    )


def choose_for(spec: EvaluatorSpec, cases: Sequence[Case], how: HowToAlign) -> Chosen:
    """Return the cases that an evaluator is measured on."""
    seen = made_from(spec.id, how.folder) if spec.generated is not None else {}
    return choose(spec, cases, partial=how.partial, other_modes=how.other_modes, made_from=seen)


def steps_of(evaluator: Evaluator, cases: Sequence[Case], how: HowToAlign) -> int:
    """Return how often `step` is called, at most."""
    count = len(choose_for(evaluator.spec, cases, how).items)
    if not isinstance(evaluator, JudgeEvaluator):
        return count
    return count + (count if how.consistency else 0) + (attacks_of(count) if how.injection else 0)


def reference_of(earlier: Sequence[Measurement], policy: PermissionPolicy) -> Measurement | None:
    """Return the measurement that new labels are compared with: the first that permits to block, else the first.

    Not the last: of many small steps down chance would explain each.
    """
    for measurement in earlier:
        if grant(measurement, deterministic_by_hand=False, policy=policy).permission is Permission.BLOCK:
            return measurement
    return earlier[0] if earlier else None


def _on_new_labels(
    evaluator: Evaluator, judged: Sequence[Judged[Labelled]], reference: Measurement | None, now: Callable[[], datetime]
) -> Measurement | None:
    """Return the measurement on cases labelled since that one; None: there are none."""
    new = _since(judged, reference)
    if not new:
        return None
    return measurement_of(evaluator, Chosen(tuple(j.item for j in new)), new, split=Split.NEW, at=now())


def _since(judged: Sequence[Judged[Labelled]], measurement: Measurement | None) -> list[Judged[Labelled]]:
    """Return the cases that were labelled after a measurement was made."""
    until = measurement.labelled_until if measurement else None
    return [j for j in judged if until is not None and (j.item.case.provenance.labelled_at or "") > until]


def _lacks(spec: EvaluatorSpec, measured: Measurement) -> str | None:
    """Return which class has no label: such a measurement is of half of the evaluator, and takes nothing away."""
    if not measured.confusion.positives:
        return f"no case here is labelled bad with {spec.failure_mode!r}"
    return None if measured.confusion.negatives else "no case here is labelled good"


def _problem(spec: EvaluatorSpec, chosen: Chosen, judged: Sequence[Judged[Labelled]]) -> str | None:
    if not chosen.items:
        why = ", ".join(f"{n} {reason}" for reason, n in chosen.left_out.items())
        told = f" (left out: {why})" if why else ""
        return f"no labelled case tells of {spec.failure_mode!r}{told}. Label traces: evalgate label"
    errors = [j.verdict.message for j in judged if isinstance(j.verdict, EvaluatorError)]
    if len(errors) > MOST_ERRORS * len(judged):
        return f"{len(errors)} of {len(judged)} cases could not be judged, so this is not kept: {errors[0]}"
    return None
