"""The run beside its base, case by case: which verdicts changed, and whether chance would do so, too.

cases that say the same in both ──▶ drop of each case ──▶ sums over clusters ──▶ p, interval ──▶ Holm ──▶ status

fail          adjusted p < alpha, and the drop is larger than `min_effect`
pass          no case got worse, or the interval rules out a drop larger than `margin`
inconclusive  everything else
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from enum import IntEnum
from functools import cached_property
from typing import TYPE_CHECKING, Final

from evalgate.figures import points
from evalgate.gate.base import base_case, cluster_key
from evalgate.gate.decision import Check, CheckStatus, Comparison, sample_words
from evalgate.terminal import count_of
from schema.evaluator import Evidence
from schema.statistics import (
    Change,
    benjamini_hochberg,
    bootstrap_interval,
    cases_for_drop,
    cases_for_score_drop,
    change_interval,
    content_seed,
    holm,
    minimum_detectable_drop,
    minimum_detectable_score_drop,
    sign_flip_p,
)

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping, Sequence

    from evalgate.gate.base import Base, BaseCase, Verdict
    from evalgate.gate.decision import EvalResult
    from evalgate.gate.policy import GatePolicy
    from schema.run import Run

CASES: Final = "paired:cases"
TOLERANCE: Final = 1e-9
"""0.1 + 0.2 and 0.3 are the same score."""


@dataclass(frozen=True)
class Pairs:
    """What can be compared."""

    base: Base
    now: Mapping[str, BaseCase]
    """All cases of the run."""
    broken: frozenset[str]
    """Cases of the run that something broke: they have no verdict, and did not lose one."""
    same: tuple[str, ...]
    """Cases that say the same in both."""
    changed: tuple[str, ...] = ()
    """Cases of both that say something else now, or are counted or grouped otherwise."""

    def evaluators(self, case_id: str, wanted: Collection[str]) -> tuple[str, ...]:
        """Return which of these evaluators judged the case both times."""
        then, now = self.base.cases[case_id].scores, self.now[case_id].scores
        return tuple(e for e in wanted if e in then and e in now)

    def verdicts(self, case_id: str, wanted: Collection[str]) -> tuple[Verdict, Verdict] | None:
        """Return then and now by those of these evaluators that judged both times, None where there are none."""
        both = self.evaluators(case_id, wanted)
        then, now = self.base.cases[case_id].verdict(both), self.now[case_id].verdict(both)
        return (then, now) if then and now else None

    def cluster(self, case_id: str) -> str:
        """Return what the case shares with others: its cluster, else its content, so that a copy adds nothing.

        The base's word counts: the change that is judged must not say which of its cases are independent.
        """
        return cluster_key(self.base.cases[case_id])

    def in_session(self, case_id: str) -> bool:
        """Return whether it is a session or a template that it shares, and not its content alone."""
        return self.base.cases[case_id].cluster is not None

    @cached_property
    def judged_then(self) -> frozenset[str]:
        """Evaluators that judged something in the base."""
        return frozenset(e for c in self.base.cases.values() for e in c.scores)

    @cached_property
    def judged_now(self) -> frozenset[str]:
        """Evaluators that judge something now."""
        return frozenset(e for c in self.now.values() for e in c.scores)


def pair(run: Run, base: Base) -> Pairs:
    """Find what can be compared."""
    now = {r.case_id: base_case(r) for r in run.results}
    return Pairs(
        base=base,
        now=now,
        broken=frozenset(r.case_id for r in run.results if r.error is not None),
        same=tuple(i for i, c in base.cases.items() if i in now and now[i].content_hash == c.content_hash),
        changed=tuple(
            i
            for i, c in base.cases.items()
            if i in now and (now[i].content_hash, now[i].context_hash) != (c.content_hash, c.context_hash)
        ),
    )


def compare(run: Run, pairs: Pairs, blocking: Collection[str]) -> Comparison:
    """Return what changed, by the evaluators that may block."""
    base = pairs.base
    found = {i: v for i in pairs.same if (v := pairs.verdicts(i, blocking)) is not None}
    changed = {i: v for i, v in found.items() if v[0].passed != v[1].passed}
    flaky = tuple(i for i, (then, now) in changed.items() if then.flaky or now.flaky)
    sure = {i: v for i, v in changed.items() if i not in flaky}
    versions = {e.id: e.version for e in run.evaluators}
    missing = tuple(sorted(e for e in pairs.judged_then - pairs.judged_now if not _broke(pairs, e)))
    return Comparison(
        baseline_run_id=base.run_id,
        accepted_at=base.accepted_at,
        same_version=base.version == run.dataset.version,
        compared=len(found),
        regressions=tuple(i for i, (_, now) in sure.items() if not now.passed),
        repaired=tuple(i for i, (_, now) in sure.items() if now.passed),
        flaky=flaky,
        new=sum(i not in base.cases for i in pairs.now),
        changed=len(pairs.changed),
        disappeared=tuple(i for i, c in base.cases.items() if _vanished(pairs, i, c, missing)),
        evaluators_changed=tuple(
            sorted(i for i, v in versions.items() if i in base.evaluators and base.evaluators[i] != v)
        ),
        evaluators_missing=missing,
    )


def _broke(pairs: Pairs, evaluator: str) -> bool:
    """Return whether something broke in a case that this evaluator judged in the base: that is why it has none now."""
    return any(i in pairs.broken and evaluator in c.scores for i, c in pairs.base.cases.items())


def _vanished(pairs: Pairs, case_id: str, then: BaseCase, missing: Collection[str]) -> bool:
    """Return whether a case, or the verdict of an evaluator on it, is gone; evaluators that are gone are told apart."""
    if case_id not in pairs.now:
        return True
    if case_id in pairs.broken:
        return False
    return any(e not in pairs.now[case_id].scores for e in then.scores if e not in missing)


class _Kind(IntEnum):
    """What drops are made of; the coarsest kind that all of them are."""

    VERDICTS = 0
    """0 and 1."""
    SHARES = 1
    """Of the attempts that passed."""
    SCORES = 2


@dataclass(frozen=True, slots=True)
class _Tested:
    """One paired test before it is adjusted for the others."""

    id: str
    evidence: Evidence
    result: EvalResult | None
    """The evaluator's; None: of all that may block."""
    change: Change
    kind: _Kind
    worse: tuple[str, ...]
    p: float
    interval: tuple[float, float] | None
    """Of the drop."""
    cluster_noun: str = "session"
    judged_anew: bool = False
    """The evaluator is another version than in the base: a change may be its own."""
    same_as: str | None = None
    """The id of a test before it with the same sums: one test under two names."""

    @property
    def clusters(self) -> int | None:
        """What the cases come from, None where each stands for itself."""
        return len(self.change.sizes) if self.change.clustered else None


def paired_checks(
    pairs: Pairs, results: Sequence[EvalResult], policy: GatePolicy, changed: Collection[str] = ()
) -> list[Check]:
    """Return the paired checks: of all cases, and of each evaluator that can tell more than they do.

    `changed` are evaluators of which the base has another version.
    """
    blocking = [r for r in results if not r.skipped and r.role == "block"]
    tested = [_test_cases(pairs, blocking, policy)]
    for result in results:
        if result.skipped or result.evaluator not in pairs.judged_then:
            continue
        found = _test_scores(pairs, result, policy)
        if found is not None and not (found.kind is not _Kind.SCORES and [result] == blocking):
            tested.append(replace(found, judged_anew=result.evaluator in changed))
    family = _told_once([t for t in tested if _decides(t, policy)])
    adjusted = _adjusted(family)
    others = [t for t in tested if t.id not in adjusted]
    named = {t.id: t for t in [*family, *others]}
    tested = [named[t.id] for t in tested]
    explored = dict(zip((t.id for t in others), benjamini_hochberg([t.p for t in others]), strict=True))
    alpha = policy.alpha / max(1, len(family))
    concluded = [_conclude(t, {**adjusted, **explored}[t.id], alpha, t.id in adjusted, policy) for t in tested]
    return [*_unknown_primary(tested, policy), *concluded]


def _told_once(family: Sequence[_Tested]) -> list[_Tested]:
    """Return the tests, those with the sums of one before them named as that."""
    seen: dict[tuple[object, ...], str] = {}
    told = []
    for t in family:
        sums = (t.change.sizes, *(round(s, 9) for s in t.change.sums))
        first = seen.setdefault(sums, t.id)
        told.append(t if first == t.id else replace(t, same_as=first))
    return told


def _adjusted(family: Sequence[_Tested]) -> dict[str, float]:
    """Return the p of each test, adjusted by Holm for the others.

    One test under two names counts once, and one in which no sum moved counts for nothing: it could not have failed,
    whatever the signs (R. E. Tarone, Biometrics 46, 1990). Both are said by the sizes of the sums alone, which the sign
    flip takes as given, so that the error rate is kept.
    """
    counted = [t for t in family if t.same_as is None and any(abs(s) > TOLERANCE for s in t.change.sums)]
    adjusted = dict(zip((t.id for t in counted), holm([t.p for t in counted]), strict=True))
    return {t.id: adjusted.get(t.same_as or t.id, 1.0) for t in family}


def _unknown_primary(tested: Sequence[_Tested], policy: GatePolicy) -> list[Check]:
    """Return an error where the check that was to decide is none: nothing else would."""
    known = [t.id for t in tested]
    unknown = [p for p in policy.primary if p not in known]
    if not unknown:
        return []
    return [
        Check(
            id="policy:primary",
            evidence=Evidence.INTEGRITY,
            status=CheckStatus.ERROR,
            blocking=True,
            sentence=f"the policy's primary check {', '.join(unknown)} is not there. There are {', '.join(known)}",
        )
    ]


def _decides(tested: _Tested, policy: GatePolicy) -> bool:
    if policy.primary and tested.id not in policy.primary:
        return False
    return tested.result is None or tested.result.role == "block"


def _test_cases(pairs: Pairs, blocking: Sequence[EvalResult], policy: GatePolicy) -> _Tested:
    wanted = [r.evaluator for r in blocking]
    found = [(i, v) for i in pairs.same if (v := pairs.verdicts(i, wanted)) is not None]
    repeated = any(v.attempts > 1 for _, both in found for v in both)
    drops = [(i, then.share - now.share) for i, (then, now) in found]
    kinds = {r.evidence for r in blocking}
    evidence = kinds.pop() if len(kinds) == 1 else Evidence.OUTCOME
    return _test(CASES, evidence, None, drops, pairs, kind=_Kind.SHARES if repeated else _Kind.VERDICTS, policy=policy)


def _test_scores(pairs: Pairs, result: EvalResult, policy: GatePolicy) -> _Tested | None:
    e = result.evaluator
    then, now = pairs.base.cases, pairs.now
    both = [i for i in pairs.same if e in then[i].scores and e in now[i].scores]
    if not both:
        return None
    drops = [(i, then[i].scores[e] - now[i].scores[e]) for i in both]
    kind = max(_kind_of(c, e) for i in both for c in (then[i], now[i]))
    return _test(f"paired:score:{e}", result.evidence, result, drops, pairs, kind=kind, policy=policy)


def _kind_of(case: BaseCase, evaluator: str) -> _Kind:
    score, attempts = case.scores[evaluator], sum(a is not None for a in case.failed_by)
    if score in (0.0, 1.0):
        return _Kind.VERDICTS
    passed = score * attempts
    return _Kind.SHARES if attempts > 1 and abs(passed - round(passed)) < TOLERANCE else _Kind.SCORES


def _test(
    name: str,
    evidence: Evidence,
    result: EvalResult | None,
    drops: Sequence[tuple[str, float]],
    pairs: Pairs,
    *,
    kind: _Kind,
    policy: GatePolicy,
) -> _Tested:
    change = Change.of((pairs.cluster(i), drop) for i, drop in drops)
    seed = content_seed(name, *(f"{i} {drop!r}" for i, drop in sorted(drops)))
    level = 1 - 2 * policy.alpha
    if kind is _Kind.SCORES:
        interval = bootstrap_interval(change, level, seed, policy.resamples)
    else:  # a bootstrap of what is mostly 0 is too sure of it
        interval = change_interval(change, level)
    worse = sorted((d for d in drops if d[1] > 0), key=lambda d: (-d[1], d[0]))
    p = sign_flip_p(change.sums, seed, policy.resamples)
    noun = "session" if any(pairs.in_session(i) for i, _ in drops) else "content"
    return _Tested(name, evidence, result, change, kind, tuple(i for i, _ in worse), p, interval, noun)


def _conclude(tested: _Tested, adjusted: float, alpha: float, blocking: bool, policy: GatePolicy) -> Check:  # noqa: FBT001 - one of five facts
    change = tested.change
    status = _status(tested, adjusted, policy)
    needed = _cases_to_settle(tested, alpha, policy) if status is CheckStatus.INCONCLUSIVE else None
    return Check(
        id=tested.id,
        evidence=tested.evidence,
        status=status,
        blocking=blocking,
        sentence=_sentence(tested, status, policy),
        evaluator=tested.result.evaluator if tested.result else None,
        failure_mode=tested.result.failure_mode if tested.result else None,
        value=0.0 - change.drop,
        threshold=-policy.min_effect,
        interval=(0.0 - tested.interval[1], 0.0 - tested.interval[0]) if tested.interval else None,
        level=1 - 2 * policy.alpha,
        n=change.n,
        p_value=tested.p if change.n else None,
        p_adjusted=adjusted if change.n else None,
        minimum_detectable_effect=_detectable(tested, alpha, policy),
        cases_to_settle=needed,
        clusters=tested.clusters,
        clusters_to_settle=None
        if needed is None or tested.clusters is None
        else max(tested.clusters + 1, math.ceil(needed * tested.clusters / change.n - TOLERANCE)),
        cluster_noun=tested.cluster_noun,
        cases=tested.worse,
    )


def _status(tested: _Tested, adjusted: float, policy: GatePolicy) -> CheckStatus:
    change = tested.change
    if not change.n:
        return CheckStatus.ERROR
    if adjusted < policy.alpha and change.drop > policy.min_effect + TOLERANCE:
        return CheckStatus.FAIL
    if not change.worse:
        return CheckStatus.PASS
    if policy.margin is None:
        ruled_out = change.drop <= policy.min_effect + TOLERANCE
    else:
        ruled_out = tested.interval is not None and tested.interval[1] <= policy.margin
    return CheckStatus.PASS if ruled_out else CheckStatus.INCONCLUSIVE


def _sentence(tested: _Tested, status: CheckStatus, policy: GatePolicy) -> str:
    change, of = tested.change, f" by {tested.result.evaluator}" if tested.result else ""
    of += ", which is another version than in the base" if tested.judged_anew else ""
    if not change.n:
        return f"no case of the base says the same now and is judged{of}: nothing can be compared"
    if tested.same_as is not None:
        of += f" (the same as {tested.same_as})"
    counted = sample_words(change.n, tested.clusters, tested.cluster_noun)
    seen = f"{change.worse} worse and {change.better} better of {counted}{of}: {points(-change.drop)}"
    if status is CheckStatus.FAIL:
        return f"{seen}, more than chance does and more than the {policy.min_effect * 100:g} that are let go"
    if status is CheckStatus.INCONCLUSIVE:
        margin = policy.min_effect if policy.margin is None else policy.margin
        return f"{seen}; that may be chance, and a drop of more than {margin * 100:g} points is not ruled out"
    if not change.worse:
        among = "" if tested.clusters is None else f" in {count_of(tested.clusters, tested.cluster_noun)}"
        return f"no case of {change.n}{among} got worse{of}, {change.better} got better"
    margin = policy.min_effect if policy.margin is None else policy.margin
    return f"{seen}; a drop of more than {margin * 100:g} points is " + (
        "ruled out" if policy.margin is not None else "not seen"
    )


def _detectable(tested: _Tested, alpha: float, policy: GatePolicy) -> float | None:
    """Return the least drop that so many cases show, at the level of the first step of Holm: never too small."""
    change = tested.change
    n = int(change.n / change.design_effect)
    if tested.kind is not _Kind.VERDICTS and change.standard_error:
        return max(
            policy.min_effect,
            minimum_detectable_score_drop(
                change.standard_error, change.n / change.design_effect, alpha=alpha, power=policy.power
            ),
        )
    if n == 0:
        return None
    # What changes by chance goes both ways; what goes one way alone is the harm that is asked about.
    by_chance = min(change.worse + change.better, 2 * (min(change.worse, change.better) + 2))
    noise = min(0.99, by_chance / change.n)
    return minimum_detectable_drop(n, noise, alpha=alpha, power=policy.power, least_drop=policy.min_effect)


def _cases_to_settle(tested: _Tested, alpha: float, policy: GatePolicy) -> int | None:
    """Return how many cases would show the drop that was seen, or one of the margin, if that is larger."""
    change = tested.change
    drop = max(change.drop, policy.margin if policy.margin is not None else policy.min_effect)
    if tested.kind is _Kind.VERDICTS:
        noise = min(1 - drop, 2 * min(change.worse, change.better) / change.n)
        needed = cases_for_drop(drop, noise, alpha=alpha, power=policy.power, least_drop=policy.min_effect)
    else:
        worth = change.n / change.design_effect
        needed = cases_for_score_drop(drop, change.standard_error or 0.0, worth, alpha=alpha, power=policy.power)
    return None if needed is None else max(change.n + 1, round(needed * change.design_effect))


def regressed(pairs: Pairs, case_ids: Iterable[str], wanted: Collection[str]) -> tuple[list[str], list[str]]:
    """Return which of these cases passed by these evaluators and fail now: surely, and with attempts that disagree."""
    sure: list[str] = []
    flaky: list[str] = []
    for case_id in case_ids:
        both = pairs.verdicts(case_id, wanted)
        if both and both[0].passed and not both[1].passed:
            (flaky if both[0].flaky or both[1].flaky else sure).append(case_id)
    return sure, flaky
