"""Which evaluators one could do without: proposals with reasons. Nothing here deletes."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from typing import TYPE_CHECKING, Final

from evalgate.terminal import count_of
from schema.evaluator import EvalType
from schema.verdict import Verdict

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from evalgate.align.standing import Standing, Trusted
    from schema.case import Case
    from schema.run import Run

UNSEEN: Final = timedelta(days=90)
MIN_SHARED: Final = 10
"""Cases that two evaluators must both have judged before one is called redundant."""
COSTLY_USD: Final = 0.05
"""Per failure that it caught, above which a judge is called costly."""


class Why(StrEnum):
    """Why an evaluator could go."""

    RESOLVED = "resolved"
    """Its issues are over, or nobody labels them any more, and production has not shown them for 90 days."""
    REDUNDANT = "redundant"
    """Another one of its failure mode says the same of every case."""
    COSTLY = "costly"
    """A judge that costs much for each failure it catches."""


@dataclass(frozen=True, slots=True)
class Proposal:
    """One reason why one evaluator could go."""

    evaluator: str
    why: Why
    sentence: str


@dataclass(frozen=True, slots=True)
class Limits:
    """From when on something is proposed."""

    unseen: timedelta = UNSEEN
    min_shared: int = MIN_SHARED
    costly_usd: float = COSTLY_USD


DEFAULT_LIMITS: Final = Limits()


def propose(
    trusted: Sequence[Trusted],
    standings: Sequence[Standing],
    runs: Sequence[Run],
    cases: Sequence[Case],
    *,
    now: datetime,
    limits: Limits = DEFAULT_LIMITS,
) -> list[Proposal]:
    """Return what could go, by evaluator; one may have several reasons. `runs`: the newest last."""
    found = [
        *(p for t in trusted if (p := _resolved(t, standings, now, limits))),
        *_redundant(trusted, runs, limits),
        *(p for t in trusted if (p := _costly(t, runs, cases, limits))),
    ]
    return sorted(found, key=lambda p: (p.evaluator, p.why))


def _resolved(trusted: Trusted, standings: Sequence[Standing], now: datetime, limits: Limits) -> Proposal | None:
    """Propose one whose issues are all over. One that looks for no known issue is kept: somebody wrote it."""
    name = trusted.spec.id
    own = [s.issue for s in standings if name in s.issue.evaluators]
    if not own or any(i.is_active for i in own):
        return None
    seen = [i.last_seen for i in own if i.last_seen]
    if any(_is_recent(at, now - limits.unseen) for at in seen):
        return None
    numbers = " and ".join(f"issue {i.id} ({i.failure_mode})" for i in own)
    since = f"last seen {max(seen)[:10]}" if seen else "no label of it stands any more"
    days = limits.unseen.days
    return Proposal(name, Why.RESOLVED, f"{numbers} is over and unseen in production for {days} days: {since}")


def _redundant(trusted: Sequence[Trusted], runs: Sequence[Run], limits: Limits) -> list[Proposal]:
    """Propose, of two that always say the same, the one that is worth less: a judge before a rule."""
    verdicts = {t.spec.id: _verdicts(t, runs) for t in trusted}
    gone: set[str] = set()
    found = []
    for worse in sorted(trusted, key=_worth):
        for better in sorted(trusted, key=_worth, reverse=True):
            if _worth(better) <= _worth(worse):
                break
            if better.spec.id in gone or better.spec.failure_mode != worse.spec.failure_mode:
                continue
            shared = verdicts[worse.spec.id].keys() & verdicts[better.spec.id].keys()
            own = verdicts[worse.spec.id]
            if len(shared) < limits.min_shared or shared != own.keys():
                continue  # what it alone has judged, nobody else looks at
            if all(own[c] is verdicts[better.spec.id][c] for c in shared) and len({own[c] for c in shared}) == 2:
                gone.add(worse.spec.id)
                said = f"says the same as {better.spec.id} of all {len(shared)} cases that it judged"
                found.append(Proposal(worse.spec.id, Why.REDUNDANT, said))
                break
    return found


def _worth(trusted: Trusted) -> tuple[bool, bool, bool, float, str]:
    """Order evaluators: one that may block, is no judge and was written by hand is worth most."""
    spec = trusted.spec
    is_rule = spec.eval_type is EvalType.RULE
    return (trusted.may_block, is_rule, spec.generated is None, trusted.grant.mcc or 0.0, spec.id)


def _costly(trusted: Trusted, runs: Sequence[Run], cases: Sequence[Case], limits: Limits) -> Proposal | None:
    """Propose a judge whose failures cost much. A failure that people call good is no catch; each run catches anew."""
    name = trusted.spec.id
    good = {c.case_id for c in cases if c.verdict is Verdict.GOOD}
    spent = 0.0
    caught: set[tuple[str, str]] = set()
    for run in runs:
        for result in run.results:
            for attempt in result.attempts:
                for score in attempt.scores:
                    if score.evaluator != name:
                        continue
                    spent += score.cost_usd or 0.0
                    if not score.passed and result.case_id not in good:
                        caught.add((run.run_id, result.case_id))
    if spent <= limits.costly_usd * max(1, len(caught)):
        return None
    each = f"${spent / len(caught):.2f} for each of the {len(caught)} it caught" if caught else "it caught nothing"
    return Proposal(name, Why.COSTLY, f"cost ${spent:.2f} in {count_of(len(runs), 'run')}, {each}")


def _verdicts(trusted: Trusted, runs: Sequence[Run]) -> Mapping[tuple[str, str], bool]:
    """Return what this version of an evaluator said, by run and case; a repeated case counts by its majority."""
    found = {}
    for run in runs:
        if not any(e.id == trusted.spec.id and e.version == trusted.spec.version for e in run.evaluators):
            continue
        for result in run.results:
            passed = result.passed_by((trusted.spec.id,))
            if passed is not None:
                found[run.run_id, result.case_id] = passed
    return found


def _is_recent(text: str, since: datetime) -> bool:
    """Tell whether a time of a case lies after another. Who writes cases by hand may leave out zone or hour."""
    try:
        at = datetime.fromisoformat(text)
    except ValueError:
        return True  # nobody knows, so nothing is proposed
    return (at if at.tzinfo else at.replace(tzinfo=UTC)) > since
