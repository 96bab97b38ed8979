"""Whatever a run and its base hold, there is a decision, its figures are numbers, and its parts agree."""

from __future__ import annotations

import json
import math
from dataclasses import asdict, replace

from hypothesis import given, settings
from hypothesis import strategies as st

from evalgate.gate.base import base_of, base_to_json, parse_base
from evalgate.gate.decide import decide
from evalgate.gate.decision import CheckStatus, Decision, Status
from evalgate.gate.policy import GatePolicy, MustNotBreak
from schema.alignment import Confusion, Measurement, Split
from schema.evaluator import EvalType, Evidence, Score
from schema.run import Attempt, ErrorKind, EvaluatorUsed, Output, Result, Run, RunError
from tests.evalgate.builders import result, run_of

NAMES = ("rule", "judge", "weak", "never")
MATRICES = {"judge": Confusion(40, 2, 3, 45), "weak": Confusion(4, 3, 3, 4)}

scores = st.sampled_from([0.0, 0.3, 0.5, 0.8, 1.0, 1 / 3])
tools = st.lists(st.fixed_dictionaries({"name": st.sampled_from(["a", "b"]), "arguments": st.just({})}), max_size=4)


def evaluators() -> tuple[EvaluatorUsed, ...]:
    return tuple(
        EvaluatorUsed(
            name,
            "v",
            "m",
            eval_type=EvalType.LLM_JUDGE if name in MATRICES else EvalType.RULE,
            evidence=Evidence.JUDGE if name in MATRICES else Evidence.OUTCOME,
            measurement=Measurement(name, "v", "d", Split.TEST, "2026", MATRICES[name]) if name in MATRICES else None,
        )
        for name in NAMES
    )


@st.composite
def attempts(draw: st.DrawFn, names: frozenset[str], *, may_break: bool) -> list[Attempt]:
    made = []
    for number in range(1, draw(st.integers(1, 3)) + 1):
        if may_break and draw(st.integers(0, 7)) == 0:
            made.append(Attempt(number, None, error=RunError(draw(st.sampled_from(ErrorKind)), "broke")))
            continue
        given_scores = tuple(Score(n, s := draw(scores), s >= 0.8, "because") for n in sorted(names))
        cost = draw(st.sampled_from([None, 0.0, 0.01]))
        output = Output("said", tuple(draw(tools)), cost_usd=cost)
        made.append(Attempt(number, output, given_scores, duration_ms=draw(st.sampled_from([0.0, 5.0]))))
    return made


@st.composite
def pairs(draw: st.DrawFn) -> tuple[Run, Run]:
    """Return two runs of cases that are mostly the same."""
    is_rough = draw(st.booleans())
    sides: tuple[list[Result], list[Result]] = ([], [])
    for number in draw(st.lists(st.integers(0, 19), unique=True, max_size=14)):
        names = draw(st.frozensets(st.sampled_from(NAMES[:3]), min_size=0 if is_rough else 1))
        row = result(
            f"c{number}",
            failure_mode=draw(st.sampled_from([None, "m", "n"])),
            feature=draw(st.sampled_from([None, "f"])),
            cluster=draw(st.sampled_from([None, None, "s", "t"])),
        )
        for side in sides:
            if is_rough and draw(st.integers(0, 9)) == 0:
                continue
            content = (
                draw(st.sampled_from([row.content_hash, row.content_hash, "same"])) if is_rough else row.content_hash
            )
            made = draw(attempts(names, may_break=is_rough))
            side.append(replace(row, attempts=tuple(made), content_hash=content))
    return run_of(sides[0], evaluators()), run_of(sides[1], evaluators())


@settings(max_examples=40)
@given(pairs(), st.integers(0, 9), st.sampled_from([None, 0.1]), st.sampled_from(MustNotBreak))
def test_there_is_a_decision_and_its_parts_agree(
    both: tuple[Run, Run], allow_errors: int, margin: float | None, must_not_break: MustNotBreak
) -> None:
    before, run = both
    policy = GatePolicy(
        threshold=0,
        allow_errors=allow_errors,
        margin=margin,
        must_not_break=must_not_break,
        max_flaky=1,
        resamples=2000,
    )
    base = base_of(before)
    assert parse_base(json.loads(json.dumps(base_to_json(base)))) == base
    agree(decide(run, None, policy))
    decision = decide(run, base, policy)
    json.dumps([asdict(c) for c in decision.checks], allow_nan=False)
    agree(decision)
    for check in decision.checks:
        low, high = check.interval or (0.0, 0.0)
        assert low <= high
        for p in (check.p_value, check.p_adjusted):
            assert p is None or 0 <= p <= 1
        assert check.minimum_detectable_effect is None or 0 < check.minimum_detectable_effect <= 1
        assert check.cases_to_settle is None or check.cases_to_settle > 0
        assert check.value is None or math.isfinite(check.value)


def agree(decision: Decision) -> None:
    """Assert that the status is what the blocking checks say, and that green rests on something."""
    found = {c.status for c in decision.checks if c.blocking}
    expected = Status.PASS
    for status in (Status.ERROR, Status.FAIL, Status.INCONCLUSIVE):
        if CheckStatus(status.value) in found:
            expected = status
            break
    assert decision.status is expected
    assert len({c.id for c in decision.checks}) == len(decision.checks), "an id names one check"
    if decision.status in (Status.PASS, Status.INCONCLUSIVE):
        assert decision.judged_cases > 0
    assert {s.evidence for s in decision.evidence} == set(Evidence)
    for failing in decision.failing:
        assert failing.scores, "a failing case says by what"
