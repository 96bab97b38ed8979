"""Generate the evaluator of one failure mode: split, search a rule, else optimise a judge, measure once, write.

examples ─▶ split ─▶ rule search ──promising──▶ test ──holds──────────────┐
              │           └─no, or it fails the test─▶ judge ─▶ test ──▶ permission ─▶ files
              └─ test: looked at once by each method, by nothing that chooses within it
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING

from evalgate.align.labelled import Chosen
from evalgate.align.measure import confusion_of, judge_all
from evalgate.align.store import append_measurement
from evalgate.align.usable import missing
from evalgate.errors import BadInput
from evalgate.evaluators.load import load_evaluator
from evalgate.evaluators.rules import RuleEvaluator
from evalgate.files import to_json_line, write_atomic
from evalgate.generate.features.shape import MAX_CHARS
from evalgate.generate.outcome import Before, Measured, Outcome, RuleAttempt
from evalgate.generate.request import Method, Request, build_spec
from evalgate.generate.rule import considered, find_rule
from evalgate.generate.split import Split, split_examples
from evalgate.generate.write import earlier, hand_edits, known_parts, write_evaluator
from schema.alignment import Measurement, Permission, grant
from schema.alignment import Split as MeasuredOn
from schema.evaluator import RULE_TYPES, EvalType, Score

if TYPE_CHECKING:
    from evalgate.generate.examples import Examples
    from evalgate.generate.judging import JudgeTools
    from evalgate.generate.outcome import JudgeAttempt
    from schema.alignment import Confusion
    from schema.evaluator import EvaluatorSpec

Judges = Callable[[], "JudgeTools"]
"""Opens the models; the same each time. Raises BadInput where something is missing."""
WORTH_A_JUDGE = 0.1
"""MCC that a judge must bring beyond a rule: it costs money each time, and drifts with its model."""
LEAST_FOR_JUDGE = 10
"""One or two to learn from, four to choose by, four to test."""


def generate(
    examples: Examples,
    request: Request,
    judges: Judges | None = None,
    *,
    step: Callable[[], None] = lambda: None,
) -> Outcome:
    """Return what was generated; files are written unless the request says otherwise.

    `judges` is called when a judge is first wanted; None: no model is named, so rules alone are tried. `step` is called
    after each shuffle of the labels.

    Raises:
        BadInput: a file that is there cannot be read, or no place can be written.

    """
    place = request.place
    split = split_examples(examples.failure_mode, examples.items, known=known_parts(place), seed=request.seed)
    missing_bad, missing_good = missing(examples.bad, examples.good)
    outcome = Outcome(
        examples,
        split,
        place,
        missing_bad=missing_bad,
        missing_good=missing_good,
        remarks=tuple(_remarks(examples)),
    )
    if outcome.missing_bad or outcome.missing_good:
        return replace(outcome, not_written="there are too few labels to hold any out")
    before = earlier(place)
    why_by_hand = hand_edits(place, before) if before else None
    if before is not None and why_by_hand and not request.force and not request.dry_run:
        reason = f"{place.file} is there, and {why_by_hand}; replace it: --force, or look first: --dry-run"
        return replace(outcome, before=Before(before, why_by_hand), not_written=reason)
    rule = _try_rule(examples, split, request, before, step) if request.method is not Method.JUDGE else None
    judge, why_no_judge = _try_judge(examples, split, request, before, judges, rule)
    chosen = _choose(rule, judge)
    outcome = replace(outcome, rule=rule, judge=judge, remarks=(*outcome.remarks, *why_no_judge))
    if before is not None:
        told, judge = _measure_before(Before(before, why_by_hand), outcome, judges, is_compared=chosen is not None)
        outcome = replace(outcome, before=told, judge=judge)
    if chosen is None:
        return replace(outcome, not_written=_why_nothing(rule, judge))
    measurement = _measurement(chosen, examples, request, judge)
    permission = grant(measurement, deterministic_by_hand=False, policy=request.policy)
    outcome = replace(outcome, chosen=chosen, grant=permission)
    if why := _why_not_write(outcome, request):
        return replace(outcome, not_written=why)
    write_evaluator(place, chosen.spec, split, before)
    append_measurement(measurement, place.alignment)
    return replace(outcome, written=True)


def _remarks(examples: Examples) -> list[str]:
    found = []
    clusters = len({e.cluster for e in examples.items})
    if examples.items and clusters < len(examples.items) / 2:
        found.append(
            f"{len(examples.items)} examples are only {clusters} different questions or sessions; "
            "labels of other traffic would tell more"
        )
    return found


def _try_rule(
    examples: Examples, split: Split, request: Request, before: EvaluatorSpec | None, step: Callable[[], None]
) -> RuleAttempt:
    found = find_rule(split.search, shuffles=request.shuffles, seed=request.seed, step=step)
    if found is None:
        return RuleAttempt(None, rejected="no simple property divides the examples at all")
    log = "".join(to_json_line(line) + "\n" for line in considered(found, split.search))
    write_atomic(request.place.work / "considered.jsonl", log)
    if not found.is_promising:
        return RuleAttempt(found, rejected=found.why_not)
    spec = build_spec(found.rule, f"Fails an output that {found.words}.", examples, request, before)
    evaluator = RuleEvaluator(spec)
    again = [isinstance(j.verdict, Score) and not j.verdict.passed for j in judge_all(evaluator, split.search)]
    whole = [len(e.output.text) <= MAX_CHARS for e in split.search]  # of longer ones the search sees a part
    if any(a is not f for a, f, w in zip(again, found.fires, whole, strict=True) if w):
        # The search computes for thousands of rules at once what an evaluator computes for one: they must agree.
        return RuleAttempt(found, rejected="the evaluator does not see what the search saw; please report this")
    measured = Measured(spec, tuple(judge_all(evaluator, split.test)))
    return RuleAttempt(found, _with_mcc(measured), rejected=_why_failed(measured.confusion, request))


def _try_judge(  # noqa: PLR0917 - what one attempt needs
    examples: Examples,
    split: Split,
    request: Request,
    before: EvaluatorSpec | None,
    judges: Judges | None,
    rule: RuleAttempt | None,
) -> tuple[JudgeAttempt | None, list[str]]:
    """Return the attempt, or why there was none."""
    if request.method is Method.RULE or _is_strong(rule, request):
        return None, []
    if judges is None:
        return None, ["no model is set, so no judge was tried; name one: --judge-model, or EVALGATE_JUDGE_MODEL"]
    lacking = [max(0, LEAST_FOR_JUDGE - n) for n in (examples.bad, examples.good)]
    if any(lacking):
        return None, [f"a judge needs {lacking[0]} more bad and {lacking[1]} more good labels"]
    try:
        tools = judges()
    except BadInput as e:  # no key, no extra, too small a budget: a rule may do without
        if request.method is Method.JUDGE:
            raise
        return None, [f"no judge was tried: {e}"]
    from evalgate.generate.judging import optimise_judge  # noqa: PLC0415 - loads gepa

    attempt = optimise_judge(
        examples, split, tools, lambda body, words: build_spec(body, words, examples, request, before)
    )
    if (measured := attempt.measured) is not None:
        rejected = attempt.rejected or _why_failed(measured.confusion, request)
        attempt = replace(attempt, measured=_with_mcc(measured), rejected=rejected)
    return attempt, []


def _is_strong(rule: RuleAttempt | None, request: Request) -> bool:
    """Tell whether a rule agrees as well as a gate asks of what blocks. A weaker one stays if no judge does better."""
    return rule is not None and rule.rejected is None and rule.held_out >= request.policy.block_at


def _why_failed(test: Confusion, request: Request) -> str | None:
    """Return why the test rejects an evaluator, None where it does not."""
    if test.mcc is not None:
        return f"it failed the untouched test: MCC {test.mcc:.2f}" if test.mcc < request.policy.monitor_at else None
    if test.positives and test.negatives:
        return "it says the same of every case of the untouched test, so its MCC is undefined"
    return f"the untouched test has no {'good' if test.positives else 'bad'} one that it judged: its MCC is undefined"


def _why_nothing(rule: RuleAttempt | None, judge: JudgeAttempt | None) -> str:
    """Return why there is no evaluator."""
    if judge is None or judge.silent is None:
        return "nothing was found that agrees with the labels"
    return f"{'no rule held out, and a judge was ' if rule else ''}not tried: {judge.silent}"


def _choose(rule: RuleAttempt | None, judge: JudgeAttempt | None) -> Measured | None:
    """Return the evaluator to keep: the rule, unless a judge agrees better where neither was measured yet.

    The test does not choose: it would not be untouched any longer.
    """
    kept = [a for a in (rule, judge) if a is not None and a.rejected is None and a.measured is not None]
    if len(kept) == 2 and rule is not None and judge is not None:
        is_better = judge.chosen_mcc is not None and judge.chosen_mcc > rule.held_out + WORTH_A_JUDGE
        return judge.measured if is_better else rule.measured
    return kept[0].measured if kept else None


def _with_mcc(measured: Measured) -> Measured:
    """Return it with the test's MCC in its file: for readers, it grants nothing."""
    mcc = measured.confusion.mcc
    return replace(measured, spec=replace(measured.spec, mcc_score=None if mcc is None else round(mcc, 4)))


def _measure_before(
    before: Before, outcome: Outcome, judges: Judges | None, *, is_compared: bool
) -> tuple[Before, JudgeAttempt | None]:
    """Return what the evaluator before says of the same test, and the attempt with what that cost.

    A judge is asked only where something `is_compared` with it.
    """
    spec, test, attempt = before.spec, outcome.split.test, outcome.judge
    if isinstance(spec.body, RULE_TYPES):
        return replace(before, judged=tuple(judge_all(load_evaluator(outcome.place.file), test))), attempt
    if not is_compared:
        return before, attempt
    if spec.eval_type is not EvalType.LLM_JUDGE:
        return replace(before, unmeasured="it is neither a rule nor a judge"), attempt
    if judges is None:
        return replace(before, unmeasured="no model is set: --judge-model, or EVALGATE_JUDGE_MODEL"), attempt
    if attempt is not None and attempt.silent is not None:
        return replace(before, unmeasured=attempt.silent), attempt
    try:
        tools = judges()
        judged, failed = tools.measure(spec, test)
    except BadInput as e:
        return replace(before, unmeasured=str(e)), attempt
    return replace(before, judged=judged, unmeasured=failed), tools.with_costs(attempt) if attempt else None


def _measurement(chosen: Measured, examples: Examples, request: Request, judge: JudgeAttempt | None) -> Measurement:
    is_judge = chosen.spec.eval_type is EvalType.LLM_JUDGE
    labelled = [e.case.provenance.labelled_at for e in examples.items]
    measured_on = Chosen(tuple(j.item for j in chosen.judged))
    return Measurement(
        evaluator=chosen.spec.id,
        version=chosen.spec.version,
        data_version=measured_on.data_version,
        split=MeasuredOn.TEST,
        at=request.at.isoformat(timespec="seconds"),
        confusion=chosen.confusion,
        model=judge.model if is_judge and judge else None,
        labelled_until=max((at for at in labelled if at), default=None),
        left_out=len(examples.items) - len(chosen.judged),
        clusters=len({j.item.cluster for j in chosen.judged}),  # the split's, by which the test is apart
    )


def _why_not_write(outcome: Outcome, request: Request) -> str | None:
    if request.dry_run:
        return "this is a dry run"
    if outcome.grant is not None and outcome.grant.permission is Permission.SKIP:
        return "a gate would skip it: it agrees too little with the labels"
    before, chosen = outcome.before, outcome.chosen
    if before is None or request.force or chosen is None:
        return None
    if before.spec.version == chosen.spec.version:
        return None
    if before.unmeasured is not None:
        return (
            f"the one before could not be measured whole on the same test ({before.unmeasured}), so it may be the "
            "better one; replace it all the same: --force"
        )
    # On what both judged: other examples would be another test.
    both = {j.item.case.case_id for j in before.judged if j.is_right is not None}
    both &= {j.item.case.case_id for j in chosen.judged if j.is_right is not None}
    was, now = (confusion_of([j for j in x.judged if j.item.case.case_id in both]).mcc for x in (before, chosen))
    if was is not None and (now is None or was > now + 1e-9):
        told = "undefined" if now is None else f"{now:.2f}"
        return (
            f"the one before agrees better on the same test (MCC {was:.2f}, the new one {told}); "
            "replace it all the same: --force"
        )
    return None
