"""What a generation did, as values: for people in show.py, for machines in `outcome_to_json`."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any

from evalgate.align.measure import confusion_of
from schema.evaluator import Score, spec_to_json

if TYPE_CHECKING:
    from evalgate.align.measure import Judged
    from evalgate.generate.examples import Example, Examples
    from evalgate.generate.rule import RuleFound
    from evalgate.generate.split import Split
    from evalgate.generate.write import Place
    from schema.alignment import Confusion, Grant
    from schema.evaluator import EvaluatorSpec


@dataclass(frozen=True, slots=True)
class Measured:
    """An evaluator and what it says of the untouched test."""

    spec: EvaluatorSpec
    judged: tuple[Judged[Example], ...] = field(repr=False)

    @property
    def confusion(self) -> Confusion:
        """Its matrix."""
        return confusion_of(self.judged)

    @property
    def mcc(self) -> float | None:
        """Its MCC; None: it is undefined, which is no 0."""
        return self.confusion.mcc


@dataclass(frozen=True, slots=True)
class RuleAttempt:
    """The search of a rule."""

    found: RuleFound | None
    measured: Measured | None = None
    """None: it was not worth the look at the test."""
    rejected: str | None = None
    """Why it is not the evaluator; None where it is."""

    @property
    def held_out(self) -> float:
        """Cross-validated MCC."""
        return self.found.held_out if self.found else 0.0


@dataclass(frozen=True, slots=True)
class Candidate:
    """Criteria that the optimisation tried on the whole validation split."""

    criteria: str
    validation: Confusion
    parent: int | None = None


@dataclass(frozen=True, slots=True)
class JudgeAttempt:
    """The optimisation of a judge's criteria."""

    model: str
    reflection_model: str
    candidates: tuple[Candidate, ...]
    chosen: int | None
    """Which of them; None: none was measured whole."""
    stopped: str
    """Why it ended."""
    measured: Measured | None = None
    rejected: str | None = None
    silent: str | None = None
    """Why nothing was tried: the judge does not answer; None where it does."""
    calls: int = 0
    """Paid for in this run; answers that were known are not in it."""
    known: int = 0
    """Answers that were known from an earlier run."""
    cost_usd: float = 0.0
    unpriced: int = 0
    """Calls whose price nobody knows; their cost is not in `cost_usd`."""
    errors: int = 0
    """Verdicts that the judge did not give: they counted as wrong."""
    proposals: int = 0
    bad_proposals: int = 0
    """Proposals that were no criteria: empty, too long, or the same again."""
    can_go_on: bool = False
    """Whether more budget would let it go on."""

    @property
    def chosen_mcc(self) -> float | None:
        """MCC on validation of what was chosen; None: nothing was, or it is undefined."""
        return None if self.chosen is None else self.candidates[self.chosen].validation.mcc


@dataclass(frozen=True, slots=True)
class Before:
    """The evaluator that stood there, on the same test."""

    spec: EvaluatorSpec
    hand_edited: str | None
    """Why it is a person's; None where it is just what was generated."""
    judged: tuple[Judged[Example], ...] = field(default=(), repr=False)
    """What it says of the test; empty where it was not asked."""
    unmeasured: str | None = None
    """Why it could not be measured, or not whole; None where it was, or nothing is to be compared with it."""

    @property
    def confusion(self) -> Confusion | None:
        """Its matrix; None: it was not asked."""
        return confusion_of(self.judged) if self.judged else None


@dataclass(frozen=True, slots=True)
class Outcome:
    """All of it."""

    examples: Examples
    split: Split
    place: Place
    missing_bad: int
    """Labels that even a first evaluator lacks."""
    missing_good: int
    rule: RuleAttempt | None = None
    judge: JudgeAttempt | None = None
    chosen: Measured | None = None
    grant: Grant | None = None
    before: Before | None = None
    written: bool = False
    not_written: str | None = None
    """Why there is no new file; None where there is."""
    remarks: tuple[str, ...] = ()

    @property
    def is_untried(self) -> bool:
        """Whether nothing was decided: the judge did not answer, or nobody knows whether the one before is better."""
        no_judge = self.judge is not None and self.judge.chosen is None
        unknown_before = self.before is not None and self.before.unmeasured is not None
        return (self.chosen is None and no_judge) or unknown_before


def outcome_to_json(outcome: Outcome) -> dict[str, Any]:
    """Return the JSON object of an outcome. Contents of cases are not in it, their ids are."""
    examples, split = outcome.examples, outcome.split
    return {
        "failure_mode": examples.failure_mode,
        "evaluator": outcome.place.evaluator_id,
        "examples": {
            "bad": examples.bad,
            "good": examples.good,
            "clusters": len({e.cluster for e in examples.items}),
            "left_out": dict(examples.left_out),
            "missing": {"bad": outcome.missing_bad, "good": outcome.missing_good},
            "data_version": examples.data_version,
        },
        "split": {
            name: {"bad": sum(e.bad for e in part), "good": sum(not e.bad for e in part)}
            for name, part in (("train", split.train), ("validation", split.validation), ("test", split.test))
        },
        "rule": _rule_json(outcome.rule),
        "judge": _judge_json(outcome.judge),
        "chosen": _measured_json(outcome.chosen),
        "permission": asdict(outcome.grant) if outcome.grant else None,
        "before": {
            "version": outcome.before.spec.version,
            "hand_edited": outcome.before.hand_edited,
            "test": _confusion_json(outcome.before.confusion),
            "unmeasured": outcome.before.unmeasured,
        }
        if outcome.before
        else None,
        "written": [str(outcome.place.file), str(outcome.place.split)] if outcome.written else [],
        "not_written": outcome.not_written,
        "remarks": list(outcome.remarks),
    }


def _rule_json(attempt: RuleAttempt | None) -> dict[str, Any] | None:
    if attempt is None:
        return None
    found = attempt.found
    return {
        "fires_on": found.words if found else None,
        "mcc": found.mcc if found else None,
        "mcc_held_out": found.held_out if found else None,
        "p_value": found.chance.p_value if found else None,
        "mcc_by_chance": found.chance.median if found else None,
        "candidates": found.candidates.considered if found else 0,
        "distinct": len(found.candidates.atoms) if found else 0,
        "same_as_it": list(found.equals) if found else [],
        "test": _confusion_json(attempt.measured.confusion) if attempt.measured else None,
        "rejected": attempt.rejected,
    }


def _judge_json(attempt: JudgeAttempt | None) -> dict[str, Any] | None:
    if attempt is None:
        return None
    return {
        "model": attempt.model,
        "reflection_model": attempt.reflection_model,
        "candidates": [
            {"criteria": c.criteria, "parent": c.parent, "validation": _confusion_json(c.validation)}
            for c in attempt.candidates
        ],
        "chosen": attempt.chosen,
        "stopped": attempt.stopped,
        "can_go_on": attempt.can_go_on,
        "calls": attempt.calls,
        "known_answers": attempt.known,
        "cost_usd": attempt.cost_usd,
        "unpriced_calls": attempt.unpriced,
        "errors": attempt.errors,
        "proposals": attempt.proposals,
        "bad_proposals": attempt.bad_proposals,
        "test": _confusion_json(attempt.measured.confusion) if attempt.measured else None,
        "rejected": attempt.rejected,
        "silent": attempt.silent,
    }


def _measured_json(measured: Measured | None) -> dict[str, Any] | None:
    if measured is None:
        return None
    judged = measured.judged
    return {
        "spec": spec_to_json(measured.spec),
        "version": measured.spec.version,
        "test": _confusion_json(measured.confusion),
        "caught": [j.item.case.case_id for j in judged if j.item.bad and j.is_right],
        "missed": [j.item.case.case_id for j in judged if j.item.bad and j.is_right is False],
        "false_alarms": [j.item.case.case_id for j in judged if not j.item.bad and j.is_right is False],
        "errors": [j.item.case.case_id for j in judged if not isinstance(j.verdict, Score)],
    }


def _confusion_json(confusion: Confusion | None) -> dict[str, Any] | None:
    if confusion is None:
        return None
    return {
        "caught": confusion.tp,
        "missed": confusion.fn,
        "false_alarms": confusion.fp,
        "passed": confusion.tn,
        "errors": confusion.errors,
        "mcc": confusion.mcc,
        "mcc_interval_95": confusion.mcc_interval(),
        "balanced_accuracy": confusion.balanced_accuracy,
    }
