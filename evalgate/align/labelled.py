"""Which labelled cases an evaluator is measured on, and what it is shown of them."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field, replace
from enum import StrEnum
from types import MappingProxyType
from typing import TYPE_CHECKING

from evalgate.align.clusters import cluster
from schema.case import Observed
from schema.evaluator import RULE_TYPES, EvalType
from schema.evaluator.rule import has_reference
from schema.hashing import short_hash
from schema.run import observed_output
from schema.verdict import Verdict

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from schema.case import Case
    from schema.evaluator import EvaluatorSpec
    from schema.run import Output


class Partial(StrEnum):
    """What a partial verdict is in the matrix."""

    APART = "apart"
    """Nothing: it is counted beside it."""
    PASS = "pass"  # noqa: S105 - a verdict
    FAIL = "fail"


@dataclass(frozen=True, slots=True)
class Labelled:
    """One case with an answer, and what a person said of it."""

    case: Case
    output: Output
    """What the application did in production."""
    label: Verdict
    """Bad: it shows the failure mode of the evaluator."""


@dataclass(frozen=True, slots=True)
class Chosen:
    """The cases an evaluator is measured on, by id, and how many were not used, by reason."""

    items: tuple[Labelled, ...]
    left_out: Mapping[str, int] = field(default_factory=lambda: MappingProxyType({}))
    made_from: int = 0
    """Of those left out, the cases that the evaluator was made from."""

    @property
    def data_version(self) -> str:
        """Hash of what was judged and of the labels; the order does not matter."""
        return short_hash(sorted((x.case.case_id, x.case.content_hash, x.output.text, x.label) for x in self.items))

    @property
    def clusters(self) -> int:
        """How many sessions, traces and questions the good and the bad ones come from: see align/clusters.py."""
        return len(set(cluster([x.case for x in self.items if x.label is not Verdict.PARTIAL])))

    @property
    def labelled_until(self) -> str | None:
        """The newest label among them."""
        return max((x.case.provenance.labelled_at or "" for x in self.items), default="") or None


def choose(
    spec: EvaluatorSpec,
    cases: Iterable[Case],
    *,
    partial: Partial = Partial.APART,
    other_modes: bool = False,
    made_from: Mapping[str, str] = MappingProxyType({}),
) -> Chosen:
    """Return the cases that tell whether this evaluator is right: bad ones of its failure mode, and good ones.

    A bad case of another mode is neither: its answer may be right by this evaluator's criteria. `other_modes` takes it
    as good, which asks of the evaluator that it tells the modes apart. `made_from`: id to `seen_hash` of the cases
    that it was made from; another case of the same id is none of them.
    """
    left_out: Counter[str] = Counter()
    items: list[Labelled] = []
    for case in sorted(cases, key=lambda c: (c.case_id, c.content_hash)):
        output = observed_output(case)
        label = _label(case, spec.failure_mode, partial, other_modes=other_modes)
        if not isinstance(label, Verdict):
            left_out[label] += 1
        elif output is None:
            left_out["nothing observed"] += 1
        elif spec.applies_to.features and case.feature not in spec.applies_to.features:
            left_out["another feature"] += 1
        elif isinstance(spec.body, RULE_TYPES) and not has_reference(spec.body, case):
            left_out["nothing to compare with"] += 1
        elif made_from.get(case.case_id) == seen_hash(case):
            left_out["the evaluator was made from them"] += 1
        else:
            items.append(Labelled(case, output, label))
    seen = left_out["the evaluator was made from them"]
    return Chosen(tuple(items), MappingProxyType({k: n for k, n in left_out.most_common() if n}), seen)


def seen_hash(case: Case) -> str:
    """Return the hash of what an evaluator sees of a case: two with the same id and the same hash are one case.

    Labels and corrections are not in it: a case that is labelled anew is no other one.
    """
    return short_hash((case.input.text, case.observed.output, [dict(c) for c in case.observed.tool_calls]))


def as_shown(spec: EvaluatorSpec, case: Case) -> Case:
    """Return the case as an evaluator is shown it when it is measured.

    A judge gets the request alone. What people corrected is known of the bad ones only, and what production answered is
    the very answer that is judged: either would give the label away.
    """
    if spec.eval_type is not EvalType.LLM_JUDGE:
        return case
    return replace(case, observed=Observed(), expected_output=None)


def _label(case: Case, failure_mode: str, partial: Partial, *, other_modes: bool) -> Verdict | str:
    """Return what the label means for this mode, or why it means nothing."""
    match case.verdict:
        case None:
            return "no verdict"
        case Verdict.GOOD:
            return Verdict.GOOD
    if case.failure_mode is None:
        return "no failure mode"
    if case.failure_mode != failure_mode:
        if case.verdict is Verdict.BAD and other_modes:
            return Verdict.GOOD
        return "another failure mode"
    if case.verdict is Verdict.PARTIAL and partial is not Partial.APART:
        return Verdict.GOOD if partial is Partial.PASS else Verdict.BAD
    return case.verdict
