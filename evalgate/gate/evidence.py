"""Five kinds of evidence: their scores, and the checks of the two kinds that are not an evaluator's word alone.

outcome, behaviour, judge    verdicts of evaluators of that kind
trajectory                   the same, and steps, loops, cost and latency beside the base
integrity                    whether run, dataset, baseline and provenance are what they say
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Final

from evalgate.figures import percent
from evalgate.gate.decision import Check, CheckStatus, EvidenceScore
from evalgate.gate.policy import Integrity
from evalgate.terminal import count_of
from schema.case import dataset_version
from schema.evaluator import Evidence
from schema.hashing import canonical_json

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping, Sequence

    from evalgate.gate.base import BaseCase
    from evalgate.gate.decision import EvalResult
    from evalgate.gate.paired import Pairs
    from evalgate.gate.policy import GatePolicy
    from schema.run import Result, Run

TOLERANCE: Final = 1e-9
"""A share that is written as 0.2 is a little more than one fifth."""
LOOP_CALLS: Final = 3
"""The same tool with the same arguments so many times in one answer is a loop."""
ABSENT: Final[Mapping[Integrity, str]] = {
    Integrity.RUN: "there is no run",
    Integrity.EVALUATORS: "the evaluators' files are not here, so nobody can say whether they changed since the run",
    Integrity.DATASET: "the dataset's file is not here, so nobody can say whether it has changed since the run",
    Integrity.BASELINE: "there is no baseline whose checksum could be wrong",
    Integrity.PROVENANCE: "no provenance is recorded beside the dataset",
    Integrity.DUPLICATES: "there are no cases",
    Integrity.LEAKED: "no evaluator of the run says that it was made from cases",
}
WORST: Final = (
    CheckStatus.ERROR,
    CheckStatus.FAIL,
    CheckStatus.INCONCLUSIVE,
    CheckStatus.PASS,
    CheckStatus.INFO,
    CheckStatus.SKIPPED,
)


@dataclass(frozen=True, slots=True)
class Fact:
    """What somebody who may read files found out."""

    intact: bool
    sentence: str


@dataclass(frozen=True, slots=True)
class Facts:
    """What the decision is told of files, which it does not read itself. None: nobody looked, or there is nothing."""

    dataset_version: str | None = None
    """Of the dataset's file as it is now."""
    baseline: Fact | None = None
    """Whether the baseline has its checksum."""
    provenance: Fact | None = None
    """Whether the chain from case to span is whole."""
    made_from: Mapping[str, Collection[str]] = field(default_factory=dict)
    """Generated evaluator to the cases it was made from."""
    evaluators: Fact | None = None
    """Whether the evaluators' files say what they said when the run was made."""
    base_from: str = "file"
    """Where the base comes from: file (a baseline), git (one as of a commit), run."""
    typed: tuple[str, ...] = ()
    """Settings of the policy that the command line named."""
    around: tuple[Check, ...] = ()
    """What a gate of several runs finds beside this one."""


TOLD: Final = (Integrity.DUPLICATES, Integrity.LEAKED)
"""What is no mistake unless the policy says so: traffic repeats itself, and cases of a failure mode are what its
evaluator is made from. Tests count copies once, and permission rests on cases that were left out."""


def integrity_checks(run: Run, facts: Facts, policy: GatePolicy) -> list[Check]:
    """Return what is known of the data's truth. One that is broken and blocks is an error: such data say nothing."""
    found = {
        Integrity.RUN: _run_is_whole(run),
        Integrity.DATASET: _dataset_is_the_same(run, facts),
        Integrity.EVALUATORS: facts.evaluators,
        Integrity.BASELINE: facts.baseline,
        Integrity.PROVENANCE: facts.provenance,
    }
    checks = [_integrity(kind, fact, (), policy) for kind, fact in found.items()]
    copies = _copies(run)
    words = f"{count_of(len(copies), 'case')} of the same content as another; they count as one in every test"
    checks.append(
        _integrity(
            Integrity.DUPLICATES, Fact(not copies, words if copies else "no content stands there twice"), copies, policy
        )
    )
    leaked = _leaked(run, facts)
    words = f"{count_of(len(leaked), 'case')} judged by an evaluator that was made from just this case"
    if facts.made_from:
        told = Fact(not leaked, words if leaked else "no case is judged by an evaluator that was made from it")
        checks.append(_integrity(Integrity.LEAKED, told, leaked, policy))
    else:
        checks.append(_integrity(Integrity.LEAKED, None, (), policy))
    return checks


def _integrity(kind: Integrity, fact: Fact | None, cases: Sequence[str], policy: GatePolicy) -> Check:
    blocking = kind in policy.integrity
    if fact is None:
        status, sentence = CheckStatus.SKIPPED, ABSENT[kind]
    elif fact.intact:
        status, sentence = CheckStatus.PASS, fact.sentence
    else:
        broken = CheckStatus.INFO if kind in TOLD else CheckStatus.FAIL
        status, sentence = (CheckStatus.ERROR if blocking else broken), fact.sentence
    return Check(
        id=f"integrity:{kind}",
        evidence=Evidence.INTEGRITY,
        status=status,
        blocking=blocking,
        sentence=sentence,
        cases=tuple(cases),
        skipped_reason="absent" if fact is None else None,
    )


def _run_is_whole(run: Run) -> Fact:
    if dataset_version(run.results) == run.dataset.version:
        return Fact(intact=True, sentence=f"the results are the cases of version {run.dataset.version}, all of them")
    return Fact(
        intact=False,
        sentence=f"the results are not the cases of version {run.dataset.version}: some were added, changed or taken "
        "away after the run. Run it again",
    )


def _dataset_is_the_same(run: Run, facts: Facts) -> Fact | None:
    now, then = facts.dataset_version, run.dataset.version
    if now is None:
        return None
    if now == then:
        return Fact(intact=True, sentence=f"the dataset is at version {now}, the one that was run")
    return Fact(intact=False, sentence=f"the dataset is at version {now} now, the run is of {then}. Run it again")


def _copies(run: Run) -> list[str]:
    count = Counter(r.content_hash for r in run.results)
    return [r.case_id for r in run.results if count[r.content_hash] > 1]


def _leaked(run: Run, facts: Facts) -> list[str]:
    return [
        r.case_id
        for r in run.results
        if any(r.case_id in facts.made_from.get(e, ()) for e in {s.evaluator for s in r.scores})
    ]


def trajectory_checks(run: Run, pairs: Pairs | None, policy: GatePolicy) -> list[Check]:
    """Return loops, and what an answer takes beside the base."""
    checks = []
    calls = [r for r in run.results if r.tool_calls]
    if calls:
        looping = tuple(r.case_id for r in calls if _loops(r))
        checks.append(
            Check(
                id="trajectory:loops",
                evidence=Evidence.TRAJECTORY,
                status=CheckStatus.INFO,
                blocking=False,
                sentence=f"{count_of(len(looping), 'case')} of {len(calls)} with tool calls made the same call "
                f"{LOOP_CALLS} times or more",
                value=len(looping) / len(calls),
                n=len(calls),
                cases=looping,
            )
        )
    if pairs is not None:
        wanted = policy.trajectory
        acted = any(pairs.base.cases[i].tools or pairs.now[i].tools for i in pairs.same)
        if acted or wanted.steps is not None:
            checks.append(
                _more("steps", "tool calls", pairs, lambda c: None if c.tools is None else len(c.tools), wanted.steps)
            )
        if acted or wanted.order is not None:
            checks.append(_order(pairs, wanted.order))
        checks.append(_more("cost", "USD", pairs, lambda c: c.cost_usd, wanted.cost))
        checks.append(_more("latency", "ms", pairs, lambda c: c.duration_ms, wanted.latency))
    return checks


def _order(pairs: Pairs, allowed: float | None) -> Check:
    """Return in how many cases other tools are called, or in another order, than in the base."""
    both = [i for i in pairs.same if pairs.base.cases[i].tools is not None and pairs.now[i].tools is not None]
    called = [i for i in both if pairs.base.cases[i].tools or pairs.now[i].tools]
    other = tuple(i for i in called if pairs.base.cases[i].tools != pairs.now[i].tools)
    share = len(other) / len(called) if called else 0.0
    exceeded = allowed is not None and share > allowed + TOLERANCE
    limit = "" if allowed is None else f", at most {percent(allowed)} is allowed"
    return Check(
        id="trajectory:order",
        evidence=Evidence.TRAJECTORY,
        status=CheckStatus.INFO if allowed is None else CheckStatus.FAIL if exceeded else CheckStatus.PASS,
        blocking=allowed is not None,
        sentence=f"{count_of(len(other), 'case')} of {len(called)} with tool calls took other tools, or in another "
        f"order, than before{limit}",
        value=share,
        threshold=allowed,
        n=len(called),
        cases=other,
    )


def _loops(result: Result) -> bool:
    made = Counter(canonical_json([c.get("name"), c.get("arguments")]) for c in result.tool_calls)
    return max(made.values(), default=0) >= LOOP_CALLS


def _more(
    name: str, unit: str, pairs: Pairs, taken: Callable[[BaseCase], float | None], allowed: float | None
) -> Check:
    """Return how much more the cases of both take now, as a share of what they took."""
    both = [
        (i, then, now)
        for i in pairs.same
        if (then := taken(pairs.base.cases[i])) is not None and (now := taken(pairs.now[i])) is not None
    ]
    before, after = sum(b[1] for b in both), sum(b[2] for b in both)
    check = partial(Check, id=f"trajectory:{name}", evidence=Evidence.TRAJECTORY, threshold=allowed, n=len(both))
    if not both:
        unknown = f"{name} is not known of any case in both runs"
        status = CheckStatus.SKIPPED if allowed is None else CheckStatus.ERROR
        return check(status=status, blocking=allowed is not None, sentence=unknown, skipped_reason="not_recorded")
    more = after / before - 1 if before else (0.0 if not after else None)
    told = "from none" if more is None else f"{'+' if more >= 0 else '-'}{percent(abs(more))}"
    sentence = f"{name} of {count_of(len(both), 'case')}: {before:.4g} {unit} before, {after:.4g} now ({told})"
    if allowed is None:
        return check(status=CheckStatus.INFO, blocking=False, sentence=sentence, value=more)
    exceeded = more is None or more > allowed + TOLERANCE
    worst = sorted(both, key=lambda b: b[1] - b[2])
    return check(
        status=CheckStatus.FAIL if exceeded else CheckStatus.PASS,
        blocking=True,
        sentence=f"{sentence}, at most +{percent(allowed)} is allowed",
        value=more,
        cases=tuple(i for i, then, now in worst if now > then) if exceeded else (),
    )


def evidence_scores(results: Sequence[EvalResult], checks: Sequence[Check]) -> tuple[EvidenceScore, ...]:
    """Return the five kinds. One without a verdict has no score: no evidence is not 100 %."""
    return tuple(_score(kind, results, [c for c in checks if c.evidence is kind]) for kind in Evidence)


def _score(kind: Evidence, results: Sequence[EvalResult], checks: Sequence[Check]) -> EvidenceScore:
    if kind is Evidence.INTEGRITY:
        judged = [c for c in checks if c.status not in (CheckStatus.SKIPPED, CheckStatus.INFO)]
        passed, total = sum(c.status is CheckStatus.PASS for c in judged), len(judged)
    else:
        mine = [r for r in results if r.evidence is kind and not r.skipped]
        passed, total = sum(r.passed_count for r in mine), sum(r.sample_count for r in mine)
    blocking = [c.status for c in checks if c.blocking]
    return EvidenceScore(
        evidence=kind,
        score=passed / total if total else None,
        passed=passed,
        judged=total,
        checks=tuple(c.id for c in checks),
        status=min(blocking, key=WORST.index, default=CheckStatus.SKIPPED),
    )
