"""The terms of a comparison: who judges, by which rule, what, and how strictly. Looser ones are never green.

    demoted:<evaluator>    it might block in the base and may not now
    changed:<evaluator>    another version, a lower threshold, or no longer one whose cases must not break
    changed:cases          cases of the base say something else, or are counted or grouped otherwise
    loosened:policy        evals/gate.yaml asks less than the accepted one
    tightened              what is stricter now: told

A gate that an edit of its own rules can turn green is none. Whoever means the edit accepts a run that was made with it;
then the base has the new terms. Only what blocked counts: an evaluator that watched cannot hide anything.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from evalgate.gate.decision import Check, CheckStatus, names_of
from evalgate.gate.looser import looser
from evalgate.terminal import count_of
from schema.alignment import Permission
from schema.evaluator import Evidence

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence

    from evalgate.gate.base import Base
    from evalgate.gate.decision import EvalResult
    from evalgate.gate.paired import Pairs
    from evalgate.gate.policy import GatePolicy
    from schema.run import EvaluatorUsed, Run

CHANGED_CASES: Final = "changed:cases"
LOOSENED: Final = "loosened:policy"
TIGHTENED: Final = "tightened"
FROM_FILE: Final = "file"
FROM_GIT: Final = "git"
FROM_RUN: Final = "run"


def cure_of(run: Run, base_from: str) -> str:
    """Return what to type where a change of the terms is meant."""
    accept = f"evalgate baseline accept --run {run.run_id}"
    if base_from == FROM_RUN:
        return "Meant so? Make the base's run anew in the same way, and compare with that one: --base"
    if base_from == FROM_GIT:
        return (
            f"Meant so? {accept}, commit evals/baseline.json, and have somebody agree: a change cannot accept itself, "
            "so a maintainer sets the label accept-baseline on the pull request (docs/ci.md)"
        )
    return f"Meant so? {accept}, and commit evals/baseline.json"


@dataclass(frozen=True, slots=True)
class Difference:
    """One change of the terms that loosens them."""

    id: str
    sentence: str
    evaluator: str | None = None
    cases: tuple[str, ...] = ()


def term_checks(
    run: Run,
    pairs: Pairs,
    results: Sequence[EvalResult],
    policy: GatePolicy,
    *,
    typed: Collection[str] = (),
    cure: str,
) -> list[Check]:
    """Return what is looser than in the base, each an error; and in one check, told, what is stricter.

    `typed` are settings of the command line: who types them sees what they do, and no file has changed.
    """
    roles = {r.evaluator: r.role for r in results}
    checks = [
        Check(
            id=d.id,
            evidence=Evidence.INTEGRITY,
            status=CheckStatus.ERROR,
            blocking=True,
            sentence=f"{d.sentence}. {cure}",
            evaluator=d.evaluator,
            n=len(d.cases) or None,
            cases=d.cases,
        )
        for d in loosenings(run, pairs, roles, policy, typed)
    ]
    if stricter := _tightenings(run, pairs.base, roles, policy, typed):
        checks.append(
            Check(
                id=TIGHTENED,
                evidence=Evidence.INTEGRITY,
                status=CheckStatus.INFO,
                blocking=False,
                sentence=f"new or stricter than in the base: {'; '.join(stricter)}",
            )
        )
    return checks


def loosenings(
    run: Run, pairs: Pairs, roles: Mapping[str, Permission], policy: GatePolicy, typed: Collection[str] = ()
) -> list[Difference]:
    """Return every change since the base that makes it easier to pass."""
    base = pairs.base
    blocked = [e for e in base.blocking if e in pairs.judged_then]
    found = []
    for used in (e for e in run.evaluators if e.id in blocked):
        if roles.get(used.id) is not Permission.BLOCK:
            sentence = f"{used.id} might block in the base and {_may_only(roles.get(used.id))} now"
            found.append(Difference(f"demoted:{used.id}", sentence, used.id))
        elif changes := _changes(used, base, policy, typed):
            found.append(
                Difference(
                    f"changed:{used.id}", f"{used.id} is not the rule of the base: {'; '.join(changes)}", used.id
                )
            )
    if len(pairs.changed) > policy.allow_changed:
        n = len(pairs.changed)
        sentence = (
            f"{count_of(n, 'case')} of the base {'says' if n == 1 else 'say'} something else now, or "
            f"{'is' if n == 1 else 'are'} counted otherwise, and so {'proves' if n == 1 else 'prove'} nothing: "
            f"{names_of(pairs.changed)}"
        )
        found.append(Difference(CHANGED_CASES, sentence, cases=pairs.changed))
    if base.policy is not None:
        less = [x.words for x in looser(base.policy, policy) if x.setting not in typed]
        if less:
            found.append(Difference(LOOSENED, f"evals/gate.yaml asks less than the accepted one: {', '.join(less)}"))
    return found


def _may_only(role: Permission | None) -> str:
    return "may only watch" if role is Permission.MONITOR else "is not used"


def _changes(used: EvaluatorUsed, base: Base, policy: GatePolicy, typed: Collection[str]) -> list[str]:
    found = []
    then = base.evaluators.get(used.id)
    if then != used.version:
        found.append(f"version {used.version[:12]}, not {str(then)[:12]}")
    before, now = _thresholds(used, base, policy, typed)
    if now < before:
        found.append(f"threshold {now:g}, not {before:g}")
    if used.id in base.protecting and not used.must_not_break:
        found.append("must_not_break is gone")
    return found


def _thresholds(used: EvaluatorUsed, base: Base, policy: GatePolicy, typed: Collection[str]) -> tuple[float, float]:
    """Return the evaluator's threshold then and now, the same one twice where only the policy has changed."""
    own = base.thresholds.get(used.id)
    if used.threshold is None and (own is None or "threshold" in typed):
        return policy.threshold, policy.threshold
    before = (base.policy or policy).threshold if own is None else own
    return before, policy.threshold if used.threshold is None else used.threshold


def _tightenings(
    run: Run, base: Base, roles: Mapping[str, Permission], policy: GatePolicy, typed: Collection[str]
) -> list[str]:
    found = []
    for used in run.evaluators:
        may_block = roles.get(used.id) is Permission.BLOCK
        if used.id not in base.evaluators:
            found.append(f"{used.id} is new")
            continue
        if may_block and used.id not in base.blocking:
            found.append(f"{used.id} may block")
        before, now = _thresholds(used, base, policy, typed)
        if now > before:
            found.append(f"{used.id}: threshold {now:g}, not {before:g}")
        if used.must_not_break and used.id not in base.protecting:
            found.append(f"{used.id}: must_not_break")
    if base.policy is not None:
        found += [f"{x.setting} {x.then} (was {x.now})" for x in looser(policy, base.policy)]
    return found
