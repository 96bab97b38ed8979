"""Checks of policy: what is asked whatever the statistics say."""

from __future__ import annotations

from collections import Counter
from fractions import Fraction
from functools import partial
from typing import TYPE_CHECKING, Final

from evalgate.figures import percent
from evalgate.gate.base import cluster_key
from evalgate.gate.decision import Check, CheckStatus, names_of
from evalgate.gate.paired import regressed
from evalgate.gate.policy import MustNotBreak, RateRule
from evalgate.terminal import count_of, one_line
from schema.evaluator import EvalType, Evidence
from schema.statistics import effective_n, wilson_interval

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping, Sequence

    from evalgate.gate.base import Base, Verdict
    from evalgate.gate.decision import Comparison, EvalResult
    from evalgate.gate.paired import Pairs
    from evalgate.gate.policy import GatePolicy, GroupPolicy
    from schema.issue import Issue
    from schema.run import Result, Run

MOST_LACKS: Final = 2
"""Evaluators of which it is told what they lack to block."""


def data_checks(
    run: Run, judged: int, policy: GatePolicy, base: Base | None = None, *, lacks: Sequence[str] = ()
) -> list[Check]:
    """Return why nothing can be said of the run; none of these is ever green.

    `lacks`: of evaluators that may not block, what each would need.
    """
    total = len(run.results)
    if not total:
        add = f"Add some: evalgate dataset build --name {run.dataset.name}"
        return [_error("data:cases", f"the run has no cases, so nothing was proved. {add}")]
    checks = []
    errors = [r for r in run.results if r.error is not None]
    if len(errors) > policy.allow_errors:
        kinds = Counter(r.error.kind for r in errors if r.error)
        words = ", ".join(f"{n} {kind}" for kind, n in sorted(kinds.items()))
        sentence = (
            f"{count_of(len(errors), 'case')} of {total} could not be judged ({words}). "
            f"Fix the cause and run again, or allow them: --allow-errors {len(errors)}"
        )
        checks.append(_error("data:errors", sentence, [r.case_id for r in errors]))
    elif errors:
        checks.append(_allowed_errors(errors, total, base))
    checks += _broken_attempts(run)
    aside = run.set_aside
    if len(aside) > policy.allow_set_aside:
        told = "; ".join(f"line {a.line}: {one_line(a.reason, 120)}" for a in aside[:3])
        told += f"; and {len(aside) - 3} more" if len(aside) > 3 else ""
        sentence = (
            f"{count_of(len(aside), 'line')} of the dataset could not be run ({told}). "
            f"Mend them, or allow them in evals/gate.yaml: allow_set_aside: {len(aside)}"
        )
        checks.append(_error("data:set_aside", sentence, [a.case_id for a in aside if a.case_id]))
    if not judged:
        advice = "Write one for their failure modes in evals/evaluators, or give one 'applies_to: all'"
        if lacks:
            more = f"; and {len(lacks) - MOST_LACKS} more" if len(lacks) > MOST_LACKS else ""
            advice = "; ".join(lacks[:MOST_LACKS]) + more
        sentence = f"no case of {total} was judged by an evaluator that may block. {advice}"
        checks.append(_error("data:judged", sentence))
    return checks


def _allowed_errors(errors: Sequence[Result], total: int, base: Base | None) -> Check:
    """Return how many cases have no verdict and are let go; one that passed before may hide what broke it."""
    passed = [r.case_id for r in errors if base and (case := base.cases.get(r.case_id)) and case.passed]
    before = f"; {len(passed)} of them passed in the base: {names_of(passed)}" if passed else ""
    return Check(
        id="data:errors",
        evidence=Evidence.INTEGRITY,
        status=CheckStatus.INFO,
        blocking=False,
        sentence=f"{count_of(len(errors), 'case')} of {total} could not be judged, which is allowed{before}",
        n=total,
        cases=tuple(r.case_id for r in errors),
    )


def _broken_attempts(run: Run) -> list[Check]:
    """Return how many attempts broke of cases that have a verdict from others: told, for fewer attempts know less."""
    rows = [r for r in run.results if r.verdicts]
    broken = [r.case_id for r in rows for a in r.attempts if a.error is not None]
    if not broken:
        return []
    total = sum(len(r.attempts) for r in rows)
    sentence = f"{count_of(len(broken), 'attempt')} of {total} broke; their cases are judged by the other attempts"
    return [
        Check(
            id="data:attempts",
            evidence=Evidence.INTEGRITY,
            status=CheckStatus.INFO,
            blocking=False,
            sentence=sentence,
            value=len(broken) / total,
            n=total,
            cases=tuple(dict.fromkeys(broken)),
        )
    ]


def issue_checks(verdicts: Mapping[str, Verdict], comparison: Comparison, issues: Iterable[Issue]) -> list[Check]:
    """Return issues of which every case passes now and one failed before: somebody should verify the fix."""
    repaired = set(comparison.repaired)
    checks = []
    for issue in issues:
        mine = [i for i in issue.cases if i in verdicts]
        mended = tuple(i for i in mine if i in repaired)
        if mended and all(verdicts[i].passed for i in mine):
            sentence = (
                f"issue {issue.id} ({issue.failure_mode}): all of its {count_of(len(mine), 'case')} pass now, "
                f"{len(mended)} failed before. See whether it is gone from production, too"
            )
            checks.append(
                Check(
                    id=f"issue:{issue.id}",
                    evidence=Evidence.OUTCOME,
                    status=CheckStatus.INFO,
                    blocking=False,
                    sentence=sentence,
                    failure_mode=issue.failure_mode,
                    issue=issue.id,
                    n=len(mine),
                    cases=mended,
                )
            )
    return checks


def loss_checks(comparison: Comparison, cure: str) -> list[Check]:
    """Return what the base had and the run lacks. A gate that a deletion can turn green is none."""
    checks = [
        Check(
            id=f"missing:{e}",
            evidence=Evidence.INTEGRITY,
            status=CheckStatus.ERROR,
            blocking=True,
            sentence=f"{e} judged cases of the base and judges none now. Bring it back. {cure}",
            evaluator=e,
        )
        for e in comparison.evaluators_missing
    ]
    if gone := comparison.disappeared:
        verb = "has" if len(gone) == 1 else "have"
        sentence = (
            f"{count_of(len(gone), 'case')} judged before {verb} no verdict now, or not by every evaluator. {cure}"
        )
        checks.append(_error("vanished:cases", sentence, gone))
    return checks


def _error(name: str, sentence: str, cases: Sequence[str] = ()) -> Check:
    return Check(
        id=name,
        evidence=Evidence.INTEGRITY,
        status=CheckStatus.ERROR,
        blocking=True,
        sentence=sentence,
        cases=tuple(cases),
    )


def rate_checks(results: Sequence[EvalResult], failed: Mapping[str, Sequence[str]], policy: GatePolicy) -> list[Check]:
    """Return the pass rate of each evaluator beside its threshold; `failed` are the cases each one failed."""
    checks = []
    for r in results:
        blocking = r.role == "block"
        check = partial(
            Check, id=f"rate:{r.evaluator}", evidence=r.evidence, evaluator=r.evaluator, failure_mode=r.failure_mode
        )
        if r.skipped:
            words = "judged no case" if r.skipped == "no_cases" else "agrees too little with people"
            checks.append(
                check(
                    status=CheckStatus.SKIPPED,
                    blocking=False,
                    sentence=f"{r.evaluator} {words}",
                    skipped_reason=r.skipped,
                )
            )
            continue
        status = _rate_status(r.passed_count, r.sample_count, r.threshold, r.interval, policy)
        rates = f"{percent(r.pass_rate)}, needs {percent(r.threshold)}"
        around = ", and its interval lies around that" if status is CheckStatus.INCONCLUSIVE else ""
        checks.append(
            check(
                status=status,
                blocking=blocking,
                sentence=f"{r.evaluator} passed {r.passed_count} of {r.sample_count} ({rates}){around}",
                value=r.pass_rate,
                threshold=r.threshold,
                interval=r.interval,
                n=r.sample_count,
                corrected=r.corrected,
                cases=tuple(failed.get(r.evaluator, ())),
            )
        )
    return checks


def _rate_status(
    passed: int, total: int, threshold: float, interval: tuple[float, float] | None, policy: GatePolicy
) -> CheckStatus:
    """Compare as exact fractions: 4 of 5 reaches 0.8."""
    if policy.rate_rule is RateRule.POINT or interval is None:
        reached = Fraction(passed, total) >= Fraction(str(threshold))
        return CheckStatus.PASS if reached else CheckStatus.FAIL
    if interval[1] < threshold:
        return CheckStatus.FAIL
    return CheckStatus.PASS if interval[0] >= threshold else CheckStatus.INCONCLUSIVE


def group_checks(
    run: Run,
    verdicts: Mapping[str, Verdict],
    by_evaluator: Mapping[str, Mapping[str, Verdict]],
    results: Sequence[EvalResult],
    policy: GatePolicy,
) -> list[Check]:
    """Return the pass rate of each group beside its threshold."""
    roles = {r.evaluator: r for r in results}
    checks = []
    for group in policy.groups:
        rows = [r for r in run.results if _belongs(r, group)]
        given = verdicts if group.evaluator is None else by_evaluator.get(group.evaluator, {})
        judged = [(r, given[r.case_id]) for r in rows if r.case_id in given]
        passed, n = sum(v.passed for _, v in judged), len(judged)
        result = roles.get(group.evaluator or "")
        blocking = group.evaluator is None or result is None or result.role == "block"
        check = partial(
            Check,
            id=f"group:{group.name}",
            evidence=result.evidence if result else Evidence.OUTCOME,
            blocking=blocking,
            evaluator=group.evaluator,
            failure_mode=group.failure_mode,
            threshold=group.threshold,
            n=n,
        )
        if n < group.min_cases:
            sentence = f"{group.name}: {count_of(n, 'judged case')}, at least {group.min_cases} are asked for. "
            sentence += "A group of another dataset is named under policy.datasets"
            status = CheckStatus.ERROR if blocking else CheckStatus.SKIPPED
            checks.append(check(status=status, sentence=sentence, skipped_reason="too_few_cases"))
            continue
        worth = effective_n(_clusters(judged))
        interval = wilson_interval(passed / n * worth, worth)
        rates = f"{percent(passed / n)}, needs {percent(group.threshold)}"
        checks.append(
            check(
                status=_rate_status(passed, n, group.threshold, interval, policy),
                sentence=f"{group.name} passed {passed} of {n} ({rates})",
                value=passed / n,
                interval=interval,
                cases=tuple(r.case_id for r, v in judged if not v.passed),
            )
        )
    return checks


def _belongs(result: Result, group: GroupPolicy) -> bool:
    if group.feature is not None and result.feature != group.feature:
        return False
    if group.tag is not None and group.tag not in result.tags:
        return False
    return group.failure_mode is None or result.failure_mode == group.failure_mode


def _clusters(judged: Sequence[tuple[Result, Verdict]]) -> list[tuple[int, int]]:
    found: dict[str, tuple[int, int]] = {}
    for result, verdict in judged:
        passed, total = found.get(cluster_key(result), (0, 0))
        found[cluster_key(result)] = (passed + verdict.passed, total + 1)
    return list(found.values())


def worth_of(results: Sequence[Result], verdicts: Mapping[str, Verdict]) -> float:
    """Return how many independent cases those with a verdict are worth."""
    return effective_n(_clusters([(r, verdicts[r.case_id]) for r in results if r.case_id in verdicts]))


def flaky_check(verdicts: Mapping[str, Verdict], policy: GatePolicy) -> list[Check]:
    """Return how many repeated cases disagree with themselves; none where nothing was repeated."""
    repeated = {i: v for i, v in verdicts.items() if v.attempts > 1}
    if not repeated:
        return []
    flaky = tuple(i for i, v in repeated.items() if v.flaky)
    share = len(flaky) / len(repeated)
    many = len(flaky) > 1 and Fraction(len(flaky), len(repeated)) > Fraction(str(policy.max_flaky))
    sentence = (
        f"{count_of(len(flaky), 'case')} of {len(repeated)} repeated ones disagree with themselves ({percent(share)}, "
        f"at most {percent(policy.max_flaky)})"
    )
    return [
        Check(
            id="flaky",
            evidence=Evidence.OUTCOME,
            status=CheckStatus.FAIL if many else CheckStatus.PASS,
            blocking=True,
            sentence=sentence,
            value=share,
            threshold=policy.max_flaky,
            interval=wilson_interval(len(flaky), len(repeated)),
            n=len(repeated),
            cases=flaky,
        )
    ]


def must_not_break_check(run: Run, pairs: Pairs, results: Sequence[EvalResult], policy: GatePolicy) -> list[Check]:
    """Return which protected cases passed in the base and fail now. A case whose attempts disagree is none of them."""
    if policy.must_not_break is MustNotBreak.NONE:
        return []
    blocking = [r for r in results if r.role == "block" and not r.skipped]
    named_cases, named_modes = set(policy.must_not_break_cases), set(policy.must_not_break_modes)
    marked = {e.id for e in run.evaluators if e.must_not_break}
    if policy.must_not_break is MustNotBreak.ALL:
        marked |= {r.evaluator for r in blocking if r.eval_type is EvalType.RULE}
    always = [r.evaluator for r in blocking if r.evaluator in marked]
    every = [r.evaluator for r in blocking]
    modes = {r.case_id: r.failure_mode for r in run.results}
    named = [i for i in pairs.same if i in named_cases or modes[i] in named_modes]
    looked_at = {i for i in pairs.same if _passed_before(pairs, i, always)}
    looked_at |= {i for i in named if _passed_before(pairs, i, every)}
    sure, unsure = _broken(pairs, always, every, named)
    lost = sorted(i for i in named_cases if i not in modes or (i in pairs.base.cases and i not in pairs.same))
    if lost:
        sentence = (
            f"{count_of(len(lost), 'case')} that must not break is not in the run, or says something else there. "
            "Accept it anew: evalgate baseline accept. One of another dataset is named under policy.datasets"
        )
        return [_error("must_not_break", sentence, lost)]
    if not looked_at:
        return []
    evidence = {r.evidence for r in blocking if r.evaluator in (always or every)}
    return [
        Check(
            id="must_not_break",
            evidence=evidence.pop() if len(evidence) == 1 else Evidence.OUTCOME,
            status=CheckStatus.FAIL if sure else CheckStatus.PASS,
            blocking=True,
            sentence=_break_words(run, pairs, always or every, (len(sure), len(unsure), len(looked_at))),
            value=float(len(sure)),
            threshold=0.0,
            n=len(looked_at),
            cases=tuple(sure),
        )
    ]


def _passed_before(pairs: Pairs, case_id: str, by: Collection[str]) -> bool:
    both = pairs.verdicts(case_id, by)
    return both is not None and both[0].passed


def _break_words(run: Run, pairs: Pairs, by: Collection[str], counts: tuple[int, int, int]) -> str:
    """Return what broke, of `counts` (surely, perhaps, looked at); with one attempt a case, how to know it better."""
    sure, unsure, looked_at = counts
    if sure:
        words = f"{count_of(sure, 'case')} that passed before {'fails' if sure == 1 else 'fail'} now"
    else:
        words = f"none of {count_of(looked_at, 'case')} that passed before fails now"
    can_repeat = run.dataset.path.endswith(".jsonl")  # the tests of a project are another tool's to repeat
    if sure and can_repeat and all(len(r.attempts) == 1 for r in run.results):
        found = [v for i in pairs.same if (v := pairs.verdicts(i, by)) is not None]
        mended = sum(now.passed and not then.passed for then, now in found)
        also = f", and {count_of(mended, 'case')} the other way round" if mended else ""
        words += f" (attempted once{also}: evalgate run --repeats 5 tells broken from flaky)"
    return words + (f"; {count_of(unsure, 'case')} with attempts that disagree left out" if unsure else "")


def _broken(
    pairs: Pairs, always: Collection[str], every: Collection[str], named: Sequence[str]
) -> tuple[list[str], list[str]]:
    sure, unsure = regressed(pairs, pairs.same, always)
    more_sure, more_unsure = regressed(pairs, named, every)
    found = dict.fromkeys([*sure, *more_sure])
    return list(found), [i for i in dict.fromkeys([*unsure, *more_unsure]) if i not in found]
