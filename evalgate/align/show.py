"""Alignment in words, and as JSON."""

from __future__ import annotations

import shlex
from typing import TYPE_CHECKING, Any, Final

from evalgate.figures import percent
from evalgate.terminal import count_of, one_line
from schema.alignment import Permission, PermissionRule, Reason, measurement_to_json
from schema.evaluator import EvaluatorError, Score
from schema.verdict import Verdict

if TYPE_CHECKING:
    from collections.abc import Iterator

    from evalgate.align.labelled import Labelled
    from evalgate.align.measure import Judged
    from evalgate.align.track import Aligned
    from schema.alignment import Drop, Grant, Measurement, PermissionPolicy
    from schema.evaluator import EvaluatorSpec

SHOWN_WRONG: Final = 5
ASKED_CHARS: Final = 70
HEADER: Final = ("evaluator", "labels", "mcc", "90 % interval", "may", "why, and what next")


def row(aligned: Aligned, policy: PermissionPolicy, options: str = "") -> tuple[str, ...]:
    """Return one line of the table."""
    given = aligned.grant
    labels = "–" if aligned.measurement is None else labels_of(aligned.measurement)
    return (
        aligned.spec.id,
        labels,
        number(given.mcc),
        interval(given.low, given.high),
        str(given.permission),
        aligned.problem or ". ".join((*_not_kept(aligned), why(given, policy), *advice(aligned, options))),
    )


def details(aligned: Aligned, policy: PermissionPolicy, options: str = "") -> Iterator[str]:
    """Yield what there is to say of one evaluator. `options`: what commands must be told to read the same cases."""
    spec = aligned.spec
    measured = aligned.measurement
    judge = f", asked of {measured.model}" if measured and measured.model else ""
    yield f"{spec.id}: {spec.eval_type}{judge}, version {spec.version}, looks for {spec.failure_mode!r}"
    if measured is None:
        yield f"  not measured: {aligned.problem}"
    else:
        yield from _matrix(aligned, measured)
    given = aligned.grant
    for sentence in _not_kept(aligned):
        yield f"  {sentence}"
    yield f"  may {given.permission}: {why(given, policy)}"
    if measured and measured.self_consistency is not None:
        yield f"  asked again, {percent(measured.self_consistency)} of a case's verdicts agree (mean over cases)"
    if measured and measured.order_flip_rate is not None:
        yield f"  with the answers in the other order, {percent(measured.order_flip_rate)} of verdicts change"
    if measured and measured.injection_flip_rate is not None:
        yield f"  bad answers that ask it for a verdict get it in {percent(measured.injection_flip_rate)} of attempts"
    if measured and (cost := _cost(aligned, measured)):
        yield f"  cost {cost}"
    if measured and is_narrow(spec) and measured.confusion.fp:
        yield "  in a run it judges cases of its failure mode alone: what it says of other good answers stops nothing"
    for sentence in advice(aligned, options):
        yield f"  {sentence}"
    wrong = [
        j
        for j in aligned.judged
        if (j.is_right is False and _matters(j, spec)) or isinstance(j.verdict, EvaluatorError)
    ]
    for each in wrong[:SHOWN_WRONG]:
        yield f"  {_wrong(each)}"
    if len(wrong) > SHOWN_WRONG:
        yield f"  and {len(wrong) - SHOWN_WRONG} more; all of them: --json"


def why(given: Grant, policy: PermissionPolicy) -> str:
    """Return why an evaluator may do what it may."""
    bound = "MCC" if policy.rule is PermissionRule.POINT else "the lower bound of MCC"
    match given.reason:
        case Reason.HAND_WRITTEN:
            return "written by hand and deterministic, so it is policy"
        case Reason.MEASURED:
            return f"{bound} is at least {policy.block_at:g}"
        case Reason.LOW_MCC if given.permission is Permission.SKIP:
            return f"low_mcc: MCC is below {policy.monitor_at:g}"
        case Reason.LOW_MCC:
            return f"MCC is below {policy.block_at:g}"
        case Reason.TOO_FEW_LABELS:
            return "too few labels to be sure of it"
        case Reason.UNDEFINED_MCC if given.permission is Permission.SKIP:
            return "it says the same of every case, so MCC is undefined and it is worth nothing"
        case Reason.UNDEFINED_MCC:
            return "MCC is undefined: there are only bad or only good labels, or none"
        case Reason.NOT_MEASURED:
            return "not measured"


def advice(aligned: Aligned, options: str = "") -> list[str]:
    """Return what a person should do next, in sentences without their full stops."""
    found, said = aligned.measurement, []
    if found is not None and aligned.grant.reason is Reason.HAND_WRITTEN and found.confusion.fn:
        said.append(f"it misses {found.confusion.fn} of {count_of(found.confusion.positives, 'bad one')}")
    if aligned.sunk_from is not None:
        said.append(f"ALARM: it may {aligned.grant.permission} where it might {aligned.sunk_from} before")
    if aligned.drop is not None and aligned.drop.is_alarm:
        said.append(f"ALARM: {drop_words(aligned.drop)}")
    if aligned.grant.further_labels and aligned.grant.reason is not Reason.NOT_MEASURED:
        said.append(f"{_labels_lacking(aligned.grant, found)}: evalgate label")
    if aligned.wants_generating:
        came = count_of(aligned.new_labels, "label")
        said.append(f"{came} came since it was generated: {generate_command(aligned.spec)}{options}")
    elif aligned.grant.permission is Permission.SKIP and aligned.spec.generated is not None:
        said.append(f"generate it anew: {generate_command(aligned.spec)}{options}")
    elif aligned.grant.permission is Permission.SKIP and found is not None:
        said.append("rewrite its criteria" if found.model else "rewrite it")
    return said


def _cost(aligned: Aligned, measured: Measurement) -> str | None:
    """Return what asking cost; None: nothing was asked. What nobody knows is no 0."""
    asked = [j.verdict for j in aligned.judged if isinstance(j.verdict, Score) and not j.verdict.cached]
    unknown = sum(v.cost_usd is None for v in asked) if measured.model else 0
    is_known = measured.cost_usd is not None and (measured.cost_usd > 0 or not unknown)
    told = [f"${measured.cost_usd:.4f}"] if is_known else []
    told += [f"unknown for {count_of(unknown, 'verdict')}"] if unknown else []
    return " and ".join(told) or None


def _not_kept(aligned: Aligned) -> list[str]:
    """Return that a measurement tells too little to be kept, and which one counts."""
    if aligned.lacks is None:
        return []
    counts = f", and the one of {aligned.counting.at[:10]} counts" if aligned.counting else ""
    return [f"{aligned.lacks}, so this measurement is not kept{counts}"]


def is_narrow(spec: EvaluatorSpec) -> bool:
    """Tell whether good answers in general are not this evaluator's business: a rule for cases of one failure mode."""
    return spec.is_deterministic_by_hand and bool(spec.applies_to.failure_modes) and not spec.applies_to.all


def drop_words(drop: Drop) -> str:
    """Return what happened on new labels."""
    return (
        f"on {count_of(drop.new_n, 'label')} that came since, MCC is {drop.new_mcc:.2f} where it was "
        f"{drop.earlier_mcc:.2f}; chance does not explain it ({percent(drop.probability)} sure)"
    )


def generate_command(spec: EvaluatorSpec) -> str:
    """Return the command that makes the evaluator anew."""
    issue = spec.generated.issue if spec.generated else None
    what = f"--issue {issue}" if issue else f"--failure-mode {shlex.quote(spec.failure_mode)}"
    return f"evalgate evals generate {what}"


def labels_of(measured: Measurement) -> str:
    """Return how many labels a measurement rests on."""
    return f"{measured.confusion.positives} bad, {measured.confusion.negatives} good"


def number(value: float | None) -> str:
    """Return an MCC."""
    return "–" if value is None else f"{value:.2f}"


def interval(low: float | None, high: float | None) -> str:
    """Return two ends."""
    return "–" if low is None or high is None else f"{low:.2f} to {high:.2f}"


def to_json(aligned: Aligned, options: str = "") -> dict[str, Any]:
    """Return the JSON object of one evaluator; `mcc_score` is the measured one, None where it is undefined."""
    spec, given, drop = aligned.spec, aligned.grant, aligned.drop
    return {
        "id": spec.id,
        "failure_mode": spec.failure_mode,
        "eval_type": str(spec.eval_type),
        "version": spec.version,
        "coverage_target": spec.coverage_target,
        "mcc_score": aligned.measurement.confusion.mcc if aligned.measurement else None,
        "measurement": _measurement(aligned.measurement),
        "permission": str(given.permission),
        "reason": str(given.reason),
        "lower_bound": given.low,
        "upper_bound": given.high,
        "further_labels": given.further_labels,
        "new": _measurement(aligned.new),
        "drop": None
        if drop is None
        else {
            "earlier_mcc": drop.earlier_mcc,
            "new_mcc": drop.new_mcc,
            "new_n": drop.new_n,
            "probability": drop.probability,
            "alarm": drop.is_alarm,
        },
        "left_out": dict(aligned.chosen.left_out),
        "kept": aligned.is_kept,
        "lacks": aligned.lacks,
        "sunk_from": None if aligned.sunk_from is None else str(aligned.sunk_from),
        "problem": aligned.problem,
        "next": advice(aligned, options),
        "wrong": [
            {"case_id": j.item.case.case_id, "label": str(j.item.label), "passed": j.verdict.passed}
            for j in aligned.judged
            if j.is_right is False and isinstance(j.verdict, Score)
        ],
        "errors": [
            {"case_id": j.item.case.case_id, "message": j.verdict.message}
            for j in aligned.judged
            if isinstance(j.verdict, EvaluatorError)
        ],
    }


def _measurement(measured: Measurement | None) -> dict[str, Any] | None:
    if measured is None:
        return None
    found = measured.confusion
    return {
        **measurement_to_json(measured),
        "n": found.n,
        "mcc": found.mcc,
        "mcc_interval": found.mcc_interval(),
        "balanced_accuracy": found.balanced_accuracy,
        "tpr": found.tpr,
        "tpr_interval": found.tpr_interval,
        "tnr": found.tnr,
        "tnr_interval": found.tnr_interval,
    }


def _matrix(aligned: Aligned, measured: Measurement) -> Iterator[str]:
    found = measured.confusion
    left = ", ".join(f"{n} {reason}" for reason, n in aligned.chosen.left_out.items())
    yield f"  {count_of(len(aligned.judged), 'labelled case')}" + (f"; left out: {left}" if left else "")
    yield "                  says fail  says pass"
    yield f"    people: bad   {found.tp:9}  {found.fn:9}   {_rate('TPR', found.tpr, found.tpr_interval)}"
    yield f"    people: good  {found.fp:9}  {found.tn:9}   {_rate('TNR', found.tnr, found.tnr_interval)}"
    if found.partial_failed or found.partial_passed:
        yield f"    partial       {found.partial_failed:9}  {found.partial_passed:9}   apart, not in the figures"
    if found.errors:
        yield f"    could not judge {found.errors}, not in the figures"
    if measured.clusters and measured.weight < 1:
        yield (
            f"    from {count_of(measured.clusters, 'session')} or different questions: "
            "labels of one count as one in the interval"
        )
    given = aligned.grant
    accuracy = "–" if found.balanced_accuracy is None else f"{found.balanced_accuracy:.2f}"
    if found.mcc is None:
        yield f"  MCC is undefined, n = {found.n}; balanced accuracy {accuracy}"
    else:
        ends = f"{interval(given.low, given.high)} (90 % interval)"
        yield f"  MCC {found.mcc:.2f}, {ends}, n = {found.n}; balanced accuracy {accuracy}"


def _rate(name: str, rate: float | None, ends: tuple[float, float] | None) -> str:
    if rate is None or ends is None:
        return f"{name} –"
    return f"{name} {percent(rate)} ({percent(ends[0])} to {percent(ends[1])})"


def _labels_lacking(given: Grant, found: Measurement | None) -> str:
    lacking = []
    if found is not None:
        lacking += ["bad ones"] if found.confusion.positives < found.confusion.negatives / 4 else []
        lacking += ["good ones"] if found.confusion.negatives < found.confusion.positives / 4 else []
    most = f", most of all {' and '.join(lacking)}" if lacking else ""
    return f"{count_of(given.further_labels or 0, 'label')} more{most}, with as much agreement, would let it block"


def _matters(judged: Judged[Labelled], spec: EvaluatorSpec) -> bool:
    """Tell whether a mistake is one that a run would show."""
    return judged.item.label is Verdict.BAD or not is_narrow(spec)


def _wrong(each: Judged[Labelled]) -> str:
    asked = one_line(each.item.case.input.text or "", ASKED_CHARS)
    if isinstance(each.verdict, EvaluatorError):
        return f"{each.item.case.case_id}: could not judge ({each.verdict.message}): {asked}"
    said = "passes what people call bad" if each.item.label is Verdict.BAD else "fails what people call good"
    return f"{each.item.case.case_id}: {said}: {asked} [{one_line(each.verdict.reason, ASKED_CHARS)}]"
