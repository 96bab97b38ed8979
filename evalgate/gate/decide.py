"""The decision. Pure: a run, perhaps a base, a policy; out comes pass, fail, inconclusive or error, and all behind it.

    error         nothing can be said: no cases, more errors than allowed, nothing judged by an evaluator that may
                  block, a case or an evaluator of the base that is gone, terms that are looser than the base's, data
                  that are not what they say
    fail          a policy is broken (a rate, a group, a case that must not break, a limit), or a drop is surer than
                  chance and larger than the policy lets go
    inconclusive  neither, and a drop that matters is not ruled out
    pass          everything else

docs/gate.md says why each rule is as it is, and what simulations say of it.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Final

from evalgate.gate.base import base_case
from evalgate.gate.checks import (
    data_checks,
    flaky_check,
    group_checks,
    issue_checks,
    loss_checks,
    must_not_break_check,
    rate_checks,
    worth_of,
)
from evalgate.gate.decision import (
    CheckStatus,
    Decision,
    EvalResult,
    Failing,
    Status,
    names_of,
)
from evalgate.gate.evidence import Facts, evidence_scores, integrity_checks, trajectory_checks
from evalgate.gate.paired import compare, pair, paired_checks
from evalgate.gate.permission import measurement_of, permission_of
from evalgate.gate.policy import GatePolicy, Inconclusive
from evalgate.gate.terms import cure_of, term_checks
from evalgate.terminal import count_of
from schema.alignment import Permission, Reason
from schema.evaluator import EvalType, Evidence
from schema.issue import IssueStatus
from schema.statistics import corrected_rate, weighted_share, wilson_interval

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping, Sequence

    from evalgate.gate.base import Base, BaseCase, Verdict
    from evalgate.gate.decision import Check
    from schema.issue import Issue
    from schema.run import EvaluatorUsed, Result, Run

DEFAULT_POLICY: Final = GatePolicy()
NOTHING_KNOWN: Final = Facts()
MOST_REASONS: Final = 3
"""In the verdict's sentence."""


def decide(
    run: Run,
    base: Base | None,
    policy: GatePolicy = DEFAULT_POLICY,
    issues: Iterable[Issue] = (),
    facts: Facts = NOTHING_KNOWN,
) -> Decision:
    """Judge a run."""
    policy = policy.of(run.dataset.name)
    cases = {r.case_id: base_case(r) for r in run.results}
    by_evaluator = {e.id: _verdicts(cases, (e.id,)) for e in run.evaluators}
    results = tuple(_evaluate(e, run.results, by_evaluator[e.id], policy) for e in run.evaluators)
    blocking = [r.evaluator for r in results if r.role is Permission.BLOCK]
    watching = [r.evaluator for r in results if r.role is Permission.MONITOR]
    verdicts = _verdicts(cases, blocking)
    pairs = pair(run, base) if base is not None else None
    comparison = compare(run, pairs, blocking) if pairs is not None else None
    by_mode = {i.failure_mode: i for i in issues}

    failed = {
        e: [r.case_id for r in run.results if (v := given.get(r.case_id)) is not None and not v.passed]
        for e, given in by_evaluator.items()
    }
    cure = cure_of(run, facts.base_from)
    lacks = [words for r in results if (words := _permission_words(r, policy)) is not None]
    checks = [
        *data_checks(run, len(verdicts), policy, base, lacks=lacks),
        *facts.around,
        *(loss_checks(comparison, cure) if comparison else ()),
        *(term_checks(run, pairs, results, policy, typed=facts.typed, cure=cure) if pairs else ()),
        *integrity_checks(run, facts, policy),
        *rate_checks(results, failed, policy),
        *(must_not_break_check(run, pairs, results, policy) if pairs else ()),
        *(paired_checks(pairs, results, policy, comparison.evaluators_changed) if pairs and comparison else ()),
        *group_checks(run, verdicts, by_evaluator, results, policy),
        *flaky_check(verdicts, policy),
        *(issue_checks(verdicts, comparison, by_mode.values()) if comparison else ()),
        *trajectory_checks(run, pairs, policy),
    ]
    regressions = set(comparison.regressions) if comparison else set()
    modes = {r.case_id: r.failure_mode for r in run.results}
    checks = [_with_issue(c, regressions, modes, by_mode) for c in checks]
    status, sentence = _judge(checks, verdicts, results)
    return Decision(
        status=status,
        sentence=sentence,
        exit_code=exit_code(status, policy),
        checks=tuple(checks),
        evidence=evidence_scores(results, checks),
        eval_results=results,
        failing=_failing(run, verdicts, blocking, regressions, by_mode),
        watched=tuple(
            f
            for f in _failing(run, _verdicts(cases, watching), watching, set(), by_mode)
            if (v := verdicts.get(f.result.case_id)) is None or v.passed
        ),
        errors=tuple(r for r in run.results if r.error is not None),
        unscored=tuple(r for r in run.results if r.error is None and not r.scores),
        flaky=tuple(i for i, v in verdicts.items() if v.flaky),
        repeated=sum(v.attempts > 1 for v in verdicts.values()),
        comparison=comparison,
        passed_cases=sum(v.passed for v in verdicts.values()),
        judged_cases=len(verdicts),
        case_interval=_case_interval(run, verdicts),
        weighted=weighted_share(
            (v.passed, r.provenance.sample_weight) for r in run.results if (v := verdicts.get(r.case_id)) is not None
        ),
        missing_permission=tuple(lacks),
    )


def exit_code(status: Status, policy: GatePolicy) -> int:
    """Return 0, 1 or 2."""
    if status is Status.INCONCLUSIVE:
        return 1 if policy.inconclusive is Inconclusive.FAIL else 0
    return {Status.PASS: 0, Status.FAIL: 1, Status.ERROR: 2}[status]


def _verdicts(cases: Mapping[str, BaseCase], evaluators: Collection[str]) -> dict[str, Verdict]:
    return {i: v for i, c in cases.items() if (v := c.verdict(evaluators)) is not None}


def _evaluate(
    evaluator: EvaluatorUsed, results: Sequence[Result], verdicts: Mapping[str, Verdict], policy: GatePolicy
) -> EvalResult:
    given = permission_of(evaluator, policy)
    passed, total = sum(v.passed for v in verdicts.values()), len(verdicts)
    scores = [s for r in results if r.case_id in verdicts and (s := r.score_of(evaluator.id)) is not None]
    skipped = str(given.reason) if given.permission is Permission.SKIP else None if total else "no_cases"
    worth = worth_of(results, verdicts)
    corrected = None
    measured = measurement_of(evaluator)
    if measured is not None and total and not skipped:
        matrix = measured.confusion
        corrected = corrected_rate(
            passed / total * worth,
            worth,
            tp=matrix.tp,
            fn=matrix.fn,
            tn=matrix.tn,
            fp=matrix.fp,
            label_weight=measured.weight,
        )
    return EvalResult(
        evaluator=evaluator.id,
        failure_mode=evaluator.failure_mode,
        eval_type=EvalType(evaluator.eval_type),
        evidence=Evidence(evaluator.evidence),
        grant=given,
        threshold=policy.threshold if evaluator.threshold is None else evaluator.threshold,
        passed_count=passed,
        sample_count=total,
        mean_score=sum(scores) / len(scores) if scores else None,
        mcc_score=evaluator.mcc_score if given.mcc is None else given.mcc,
        skipped=skipped,
        corrected=corrected,
        effective_n=worth,
    )


def _case_interval(run: Run, verdicts: Mapping[str, Verdict]) -> tuple[float, float] | None:
    if not verdicts:
        return None
    worth = worth_of(run.results, verdicts)
    return wilson_interval(sum(v.passed for v in verdicts.values()) / len(verdicts) * worth, worth)


def _failing(
    run: Run,
    verdicts: Mapping[str, Verdict],
    evaluators: Collection[str],
    regressions: Collection[str],
    issues: Mapping[str, Issue],
) -> tuple[Failing, ...]:
    found = []
    for r in run.results:
        verdict = verdicts.get(r.case_id)
        if verdict is None or verdict.passed:
            continue
        failed = {s.evaluator: s for a in r.attempts if a.error is None for s in a.scores if not s.passed}
        regression = r.case_id in regressions
        issue, known = _known(r.failure_mode, regression=regression, issues=issues)
        found.append(
            Failing(r, tuple(s for e, s in failed.items() if e in evaluators), regression, known, issue, verdict.flaky)
        )
    return tuple(found)


def _known(mode: str | None, *, regression: bool, issues: Mapping[str, Issue]) -> tuple[int | None, bool | None]:
    """Return the issue of a failure, and whether it is known.

    A regression is new; so is a failure of an issue that is over, and of one that was seen again after it was.
    """
    issue = issues.get(mode) if mode is not None else None
    if regression:
        return (issue.id if issue else None), False
    if issue is None:
        return None, None
    return issue.id, not issue.is_over and issue.status is not IssueStatus.REOPENED


def _with_issue(
    check: Check, regressions: Collection[str], modes: Mapping[str, str | None], issues: Mapping[str, Issue]
) -> Check:
    """Return a failing check with its issue: that of its failure mode, or of the one mode of its cases."""
    if check.status not in (CheckStatus.FAIL, CheckStatus.INCONCLUSIVE):
        return check
    of_cases = {modes.get(i) for i in check.cases}
    mode = check.failure_mode or (of_cases.pop() if len(of_cases) == 1 else None)
    issue, known = _known(mode, regression=any(i in regressions for i in check.cases), issues=issues)
    return replace(check, issue=issue, known=known)


def _judge(
    checks: Sequence[Check], verdicts: Mapping[str, Verdict], results: Sequence[EvalResult]
) -> tuple[Status, str]:
    """Return the status and the sentence for what was found."""
    errors = [c for c in checks if c.blocking and c.status is CheckStatus.ERROR]
    fails = [c for c in checks if c.stops]
    if errors:
        return Status.ERROR, _reasons([*errors, *fails])
    if fails:
        return Status.FAIL, _reasons(fails)
    unsure = [c for c in checks if c.blocking and c.status is CheckStatus.INCONCLUSIVE]
    if unsure:
        most = max(unsure, key=lambda c: c.cases_to_settle or 0)
        settle = f". About {most.to_settle} would settle it" if most.cases_to_settle else ""
        return Status.INCONCLUSIVE, f"not enough evidence of harm: {_reasons(unsure)}{settle}"
    passed = sum(v.passed for v in verdicts.values())
    below = [r.evaluator for r in results if r.role is Permission.MONITOR and r.passed is False]
    watched = f"; below theirs, and only watched: {names_of(below)}" if below else ""
    return Status.PASS, (
        f"{passed} of {count_of(len(verdicts), 'judged case')} passed, every evaluator that may block reached its "
        f"threshold{watched}"
    )


def _reasons(checks: Sequence[Check]) -> str:
    """Return the first reasons; all of them stand among the checks."""
    more = len(checks) - MOST_REASONS
    return "; ".join(c.sentence for c in checks[:MOST_REASONS]) + (f"; and {more} more" if more > 0 else "")


def _permission_words(result: EvalResult, policy: GatePolicy) -> str | None:
    """Return what an evaluator that may not block would need, None where it may."""
    given = result.grant
    if given.permission is Permission.BLOCK:
        return None
    name, asked = result.evaluator, policy.permission
    measure = f"evalgate evals align {name}"
    if given.reason is Reason.NOT_MEASURED:
        return (
            f"{name} was never compared with people's labels, so it watches and does not block. "
            f"It takes {asked.min_labels} labels, {asked.min_per_class} of each kind: {measure}"
        )
    seen = "MCC is undefined" if given.mcc is None else f"MCC {given.mcc:.2f}"
    if given.low is not None and given.high is not None:
        seen += f", {(2 * asked.level - 1) * 100:g} % interval {given.low:.2f} to {given.high:.2f}"
    labels = count_of(given.n, "label")
    role = "is not used" if given.permission is Permission.SKIP else "watches and does not block"
    if given.further_labels:
        return (
            f"{name} {role}: {seen} on {labels}; about {given.further_labels} more, "
            f"if it goes on agreeing as it does, would let it block: {measure}"
        )
    if given.reason is Reason.LOW_MCC and given.n == 0:
        return f"{name} {role}: its file says mcc_score {result.mcc_score}, and {asked.block_at} is asked for"
    return f"{name} {role}: {seen} on {labels}, and {asked.block_at} is asked for. Make it anew from its labels"
