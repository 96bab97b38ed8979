"""The base: the state a run is compared with. It is made from a run, and kept in a baseline file or read from a run.

With it go the terms it was judged on: who might block, versions and thresholds, the policy. A comparison is worth what
they are worth, so a run that comes on looser ones is told apart (evalgate.gate.terms).

It holds what each attempt of each case was failed by, not one verdict: which evaluators may block can change between
then and now, and both sides of a comparison must be judged by the same ones.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from schema.fields import Fields, Malformed

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

    from evalgate.gate.policy import GatePolicy
    from schema.run import Attempt, Result, Run


@dataclass(frozen=True, slots=True)
class BaseCase:
    """One case as it was."""

    content_hash: str
    passed: bool | None
    """By all evaluators of the base: for people who read the file. Comparisons use `verdict`."""
    scores: Mapping[str, float]
    """Evaluator to its mean score over the attempts."""
    failed_by: tuple[tuple[str, ...] | None, ...]
    """For each attempt the evaluators that failed it; None: the attempt has no verdict."""
    cluster: str | None = None
    tools: tuple[str, ...] | None = None
    """Names of the tools that the first attempt with a verdict called, in order; None: it has no output."""
    duration_ms: float | None = None
    """Of one attempt, the median."""
    cost_usd: float | None = None
    """Of one attempt of the target, the mean."""
    context_hash: str = ""
    """Of what it is counted and grouped by: schema.case."""

    def verdict(self, evaluators: Collection[str]) -> Verdict | None:
        """Return what these evaluators said, None where none of them judged."""
        if not any(e in self.scores for e in evaluators):
            return None
        return verdict_of([None if a is None else not any(e in a for e in evaluators) for a in self.failed_by])


@dataclass(frozen=True, slots=True)
class Verdict:
    """What the attempts of a case come to."""

    passed: bool
    """Most attempts passed; a tie fails."""
    share: float
    """Of the attempts that passed."""
    attempts: int
    """Those with a verdict."""

    @property
    def flaky(self) -> bool:
        """Whether the attempts disagree."""
        return 0 < self.share < 1


@dataclass(frozen=True, slots=True)
class Base:
    """What a run is compared with."""

    run_id: str
    version: str
    """Of the dataset."""
    accepted_at: str | None
    """ISO 8601; None: it is a run that nobody accepted."""
    evaluators: Mapping[str, str]
    """Id to version."""
    cases: Mapping[str, BaseCase]
    blocking: tuple[str, ...] = ()
    """Evaluators that might block."""
    thresholds: Mapping[str, float] = field(default_factory=dict)
    """Of the evaluators that named one; the others have the policy's."""
    protecting: tuple[str, ...] = ()
    """Evaluators that said `must_not_break`."""
    policy: GatePolicy | None = None
    """What was asked then; None: it is a run, which has none of its own."""


def verdict_of(attempts: Collection[bool | None]) -> Verdict | None:
    """Return what attempts come to, None where none has a verdict."""
    judged = [a for a in attempts if a is not None]
    if not judged:
        return None
    passed = sum(judged)
    return Verdict(2 * passed > len(judged), passed / len(judged), len(judged))


def cluster_key(case: BaseCase | Result) -> str:
    """Return what a case shares with others: its cluster, else its content, so that a copy of a case adds nothing."""
    return f"cluster {case.cluster}" if case.cluster is not None else f"content {case.content_hash}"


def base_of(run: Run, accepted_at: str | None = None, policy: GatePolicy | None = None) -> Base:
    """Return the base that a run makes. Cases without a verdict are left out: there is nothing to compare with.

    `policy` says who might block. It is a part of what is accepted; a run that nobody accepted has none.
    """
    from evalgate.gate.permission import permission_of  # noqa: PLC0415 - 0.2 s that no other command pays
    from evalgate.gate.policy import GatePolicy  # noqa: PLC0415 - as above

    asked = (policy or GatePolicy()).of(run.dataset.name)
    return Base(
        run_id=run.run_id,
        version=run.dataset.version,
        accepted_at=accepted_at,
        evaluators={e.id: e.version for e in run.evaluators},
        cases={r.case_id: base_case(r) for r in run.results if r.passed is not None},
        blocking=tuple(sorted(e.id for e in run.evaluators if permission_of(e, asked).permission == "block")),
        thresholds={e.id: e.threshold for e in run.evaluators if e.threshold is not None},
        protecting=tuple(sorted(e.id for e in run.evaluators if e.must_not_break)),
        policy=asked if accepted_at is not None else None,
    )


def base_case(result: Result) -> BaseCase:
    """Return one case as it is now."""
    judged = [a for a in result.counted if a.passed is not None]
    names = sorted({s.evaluator for a in judged for s in a.scores})
    costs = [a.output.cost_usd for a in judged if a.output is not None and a.output.cost_usd is not None]
    durations = sorted(a.duration_ms for a in judged if not a.cached)
    return BaseCase(
        content_hash=result.content_hash,
        passed=result.passed,
        scores={n: _mean([s.score for a in judged for s in a.scores if s.evaluator == n]) for n in names},
        failed_by=tuple(_failed_by(a) for a in result.attempts),
        cluster=result.cluster,
        tools=_tools(judged[0]) if judged else None,
        duration_ms=durations[len(durations) // 2] if durations else None,
        cost_usd=_mean(costs) if costs else None,
        context_hash=result.context_hash,
    )


def _tools(attempt: Attempt) -> tuple[str, ...] | None:
    if attempt.output is None:
        return None
    return tuple(str(c.get("name") or "") for c in attempt.output.tool_calls)


def _failed_by(attempt: Attempt) -> tuple[str, ...] | None:
    if attempt.passed is None:
        return None
    return tuple(sorted({s.evaluator for s in attempt.scores if not s.passed}))


def _mean(values: list[float]) -> float:
    return sum(values) / len(values)


def base_to_json(base: Base) -> dict[str, Any]:
    """Return the JSON object of a base, the same text for the same base."""
    return {
        "run_id": base.run_id,
        "version": base.version,
        "accepted_at": base.accepted_at,
        "evaluators": dict(sorted(base.evaluators.items())),
        "blocking": list(base.blocking),
        "thresholds": dict(sorted(base.thresholds.items())),
        "protecting": list(base.protecting),
        "policy": None if base.policy is None else base.policy.model_dump(mode="json", exclude={"datasets"}),
        "cases": {i: _case_json(c) for i, c in sorted(base.cases.items())},
    }


def _case_json(case: BaseCase) -> dict[str, Any]:
    return {
        "content_hash": case.content_hash,
        "context_hash": case.context_hash,
        "passed": case.passed,
        "scores": dict(sorted(case.scores.items())),
        "failed_by": [None if a is None else list(a) for a in case.failed_by],
        "cluster": case.cluster,
        "tools": None if case.tools is None else list(case.tools),
        "duration_ms": case.duration_ms,
        "cost_usd": case.cost_usd,
    }


def parse_base(value: Any) -> Base:
    """Read a base.

    Raises:
        Malformed: in words for the person who pointed at the file.

    """
    fields = Fields(value, "a base")
    evaluators = fields.mapping("evaluators")
    if not all(isinstance(v, str) for v in evaluators.values()):
        raise Malformed("'evaluators' must give a version for each id")
    thresholds = fields.mapping("thresholds")
    if not all(_is_share(t) for t in thresholds.values()):
        raise Malformed("'thresholds' must give a number from 0 to 1 for each evaluator")
    base = Base(
        run_id=fields.text("run_id"),
        version=fields.text("version"),
        accepted_at=fields.optional_text("accepted_at"),
        evaluators=evaluators,
        cases={i: _parse_case(i, c) for i, c in fields.mapping("cases").items()},
        blocking=fields.texts("blocking"),
        thresholds={e: float(t) for e, t in thresholds.items()},
        protecting=fields.texts("protecting"),
        policy=_parse_policy(fields.any("policy")),
    )
    fields.close()
    return base


def _parse_case(case_id: str, value: Any) -> BaseCase:
    fields = Fields(value, f"the case {case_id}")
    scores = fields.mapping("scores")
    if not all(_is_share(s) for s in scores.values()):
        raise Malformed(f"the case {case_id}: 'scores' must give a number from 0 to 1 for each evaluator")
    case = BaseCase(
        content_hash=fields.text("content_hash"),
        context_hash=fields.optional_text("context_hash") or "",
        passed=fields.optional_bool("passed"),
        scores={e: float(s) for e, s in scores.items()},
        failed_by=tuple(_names(case_id, a) for a in fields.sequence("failed_by")),
        cluster=fields.optional_text("cluster"),
        tools=None if fields.any("tools") is None else fields.texts("tools"),
        duration_ms=fields.optional_number("duration_ms"),
        cost_usd=fields.optional_number("cost_usd"),
    )
    fields.close()
    unknown = Counter(e for a in case.failed_by for e in a or ()).keys() - scores.keys()
    if unknown:
        raise Malformed(f"the case {case_id}: {min(unknown)!r} failed it and has no score")
    return case


def _parse_policy(value: Any) -> GatePolicy | None:
    if value is None:
        return None
    from pydantic import ValidationError  # noqa: PLC0415 - 0.2 s that no other command pays

    from evalgate.gate.policy import GatePolicy  # noqa: PLC0415 - as above

    try:
        return GatePolicy.model_validate(value)
    except ValidationError as e:
        first = e.errors(include_url=False)[0]
        where = ".".join(str(part) for part in first["loc"])
        raise Malformed(f"'policy': {where}: {first['msg']}") from None


def _is_share(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and 0 <= value <= 1


def _names(case_id: str, value: Any) -> tuple[str, ...] | None:
    if value is None:
        return None
    if not isinstance(value, list) or not all(isinstance(v, str) for v in value):
        raise Malformed(f"the case {case_id}: 'failed_by' must hold a list of evaluators, or null, for each attempt")
    return tuple(value)
