"""Reports for tests: one that is red with everything in it, one that is green, and text that means harm."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields, is_dataclass, replace
from typing import TYPE_CHECKING, Any, Final

from evalgate.gate.base import Base, BaseCase
from evalgate.gate.decision import (
    Check,
    CheckStatus,
    Comparison,
    Decision,
    EvalResult,
    EvidenceScore,
    Failing,
    Status,
)
from evalgate.gate.report import Report, Source, Sources
from schema.alignment import Grant, Permission, Reason
from schema.case import Provenance
from schema.evaluator import EvalType, Evidence, Score
from schema.provenance import AnnotationLink, Chain, IssueLink, Promotion, SpanLink
from schema.run import Attempt, DatasetUsed, ErrorKind, EvaluatorUsed, Output, Result, Run, RunError, SetAside

if TYPE_CHECKING:
    from collections.abc import Sequence

HOSTILE: Final[dict[str, str]] = {
    "ansi": "\x1b[2J\x1b[31mred\x1b]0;title\x07\x9b1m",
    "workflow command": "::error file=x,line=1::pwned\n::stop-commands::x\n##[error]pwned\r::set-output name=a::b",
    "script": "<script>window.pwned=1</script><img src=x onerror=window.pwned=1><svg/onload=window.pwned=1>",
    "attribute": "\" onmouseover=\"window.pwned=1\" x=\"' onfocus='window.pwned=1' autofocus='",
    "template": "{{ 7*7 }}{% for x in y %}${{ secrets.TOKEN }}{0.__class__}%s%n",
    "url": "javascript:window.pwned=1 https://evil.example/x www.evil.example mailto:a@evil.example",
    "markdown": "[a](https://evil.example) ![b](x.png) @everyone #1 **b** `c` | d | \n# H\n> q\n- l\n1. n\n~~~\n---",
    "fence": "```\n</details>\n````\n`````text\n<h1>out</h1>\n```\n``````\n<h2>out</h2>",
    "closing": "</pre></div></details></section></main></body></html><style>*{display:none}</style>]]>--><!--",
    "entity": "&lt;b&gt; &amp; &#60; &quot; <!DOCTYPE x [<!ENTITY y SYSTEM 'file:///etc/passwd'>]>&y;",
    "not xml": "\x00\x01\x08\x0b\x0c\x0e\x1f\x7f\ufffe\uffff",
    "surrogates": "a\ud800b\udfffc",
    "bidi": "\u202egnp.exe\u202c \u2066x\u2069 \u200f\u061c\ufeff\U000e0041",
    "rtl": "שלום مرحبا",
    "shell": "$(touch pwned) `touch pwned`; rm -rf / && echo ' \" \\ \n| tee",
    "lines": "one\r\ntwo\u2028three\u2029four\x85five\vsix",
    "combining": "z\u0300\u0301\u0302\u0303" * 30,
    "empty": "",
    "space": " \t\n ",
    "emoji": "👩‍👩‍👧‍👦🏴󠁧󠁢󠁥󠁮󠁧󠁿",
    "sarif": "[click](https://evil.example) \\[x\\] {0} {{1}}",
    "comment": "--> <!-- evalgate gate --> <?xml version='1.0'?>",
}
"""One corpus for every rendering."""
HUGE: Final = "A🦊<b>\n" * 1_700_000
"""10 MB and more."""
TRACE: Final = "4bf92f3577b34da6a3ce929d0e0e4736"
BLOCKS: Final = Grant(Permission.BLOCK, Reason.HAND_WRITTEN)
WATCHES: Final = Grant(Permission.MONITOR, Reason.TOO_FEW_LABELS, 0.71, 0.44, 0.9, 24, 16)


def case_result(
    case_id: str,
    *,
    score: float,
    said: str,
    asked: str = "Can I return my shoes after two months?",
    before: str | None = "Yes, you have 30 days, and we take them back unworn.",
    mode: str | None = "policy_hallucination",
    reason: str = "the output promises 90 days, the policy has 30",
    evaluator: str = "refund-window",
    trace: str | None = TRACE,
    error: RunError | None = None,
) -> Result:
    """Return one case with one attempt."""
    scores = () if error else (Score(evaluator, score, score >= 0.8, reason),)
    output = None if error else Output(said, ({"name": "policy", "arguments": {"q": said[:40]}, "result": "30 days"},))
    return Result(
        case_id=case_id,
        content_hash=f"hash-{case_id}",
        failure_mode=mode,
        feature="refunds",
        cluster=None,
        provenance=Provenance(trace_id=trace, annotation_id="ann-1" if trace else None),
        input_text=asked,
        observed_output=before,
        expected_output="You have 30 days.",
        attempts=(Attempt(1, output, scores, error, duration_ms=12.5),),
    )


def run_with(results: Sequence[Result], *, name: str = "refunds", evaluator: str = "refund-window") -> Run:
    """Return a run of these results."""
    return Run(
        run_id="20261121T090000Z-ab12cd",
        started_at="2026-11-21T09:00:00+00:00",
        finished_at="2026-11-21T09:00:09+00:00",
        dataset=DatasetUsed(name, "5b8116daa7b03216", f"evals/datasets/{name}.jsonl"),
        target="python:support_agent.target:answer",
        evaluators=(
            EvaluatorUsed(evaluator, "v1", "policy_hallucination", EvalType.RULE, Evidence.OUTCOME),
            EvaluatorUsed("kind-tone", "v2", "rude", EvalType.LLM_JUDGE, Evidence.JUDGE, pass_at=0.8),
        ),
        results=tuple(results),
        judge_cost_usd=0.0123,
    )


def red_report(*, failing: int = 6, text: str | None = None, reason: str | None = None) -> Report:
    """Return a report with something of everything; `text` and `reason` stand wherever content can."""
    said = "Of course: you have 90 days to bring them back." if text is None else text
    why = "the output promises 90 days, the policy has 30" if reason is None else reason
    given = {"asked": text, "before": text, "mode": text} if text is not None else {}
    bad = [
        case_result(
            f"case-{n:04d}" if text is None else f"case-{n}{text[:300]}",
            score=0.0,
            said=said,
            reason=why,
            **given,  # type: ignore[arg-type] # the values are strings
        )
        for n in range(failing)
    ]
    good = [case_result(f"good-{n}", score=1.0, said="You have 30 days.", reason="it names 30 days") for n in range(9)]
    low = [
        case_result(f"low-{n}", score=0.82 + n / 50, said="30 days.", evaluator="kind-tone", reason=why, mode="rude")
        for n in range(4)
    ]
    rude = case_result("rude-1", score=0.35, said=said, evaluator="kind-tone", reason=why, mode="rude", trace=None)
    broken = case_result("broken-1", score=0, said="", error=RunError(ErrorKind.TIMEOUT, why))
    run = run_with([*bad, *good, *low, rude, broken], name="refunds")
    run = replace(run, set_aside=(SetAside(None, 7, "this is not JSON"),))
    if text is not None:
        run = replace(run, target=text, set_aside=(SetAside(text[:300], 7, text),))
    ids = tuple(r.case_id for r in bad)
    regressed = ids[:2]
    decision = Decision(
        status=Status.FAIL,
        sentence=f"refund-window passed 9 of {9 + failing}, needs 80 %" if text is None else text,
        exit_code=1,
        checks=(
            Check(
                "rate:refund-window",
                Evidence.OUTCOME,
                CheckStatus.FAIL,
                blocking=True,
                sentence=why if text is not None else f"refund-window passed 9 of {9 + failing}, needs 80 %",
                evaluator="refund-window",
                failure_mode="policy_hallucination",
                issue=3,
                known=False,
                value=0.6,
                threshold=0.8,
                interval=(0.357, 0.802),
                n=15,
                cases=ids,
            ),
            Check(
                "paired:cases",
                Evidence.OUTCOME,
                CheckStatus.INCONCLUSIVE,
                blocking=True,
                sentence="2 of 15 cases broken, 0 repaired: chance cannot be told from harm",
                value=-0.133,
                interval=(-0.31, 0.02),
                n=15,
                p_value=0.25,
                p_adjusted=0.5,
                minimum_detectable_effect=0.201,
                cases_to_settle=61,
            ),
            Check(
                "trajectory:steps", Evidence.TRAJECTORY, CheckStatus.PASS, blocking=False, sentence="1 step, as before"
            ),
            Check(
                "integrity:dataset",
                Evidence.INTEGRITY,
                CheckStatus.PASS,
                blocking=True,
                sentence="the dataset is the one that was run",
            ),
            Check(
                "rate:kind-tone",
                Evidence.JUDGE,
                CheckStatus.FAIL,
                blocking=False,
                sentence="kind-tone passed 4 of 5 (80 %)",
                evaluator="kind-tone",
                failure_mode="rude",
            ),
            Check(
                "permission:helpful",
                Evidence.JUDGE,
                CheckStatus.SKIPPED,
                blocking=False,
                sentence="helpful judged nothing",
                skipped_reason="low_mcc",
            ),
        ),
        evidence=(
            EvidenceScore(Evidence.OUTCOME, 0.6, 9, 15, ("rate:refund-window", "paired:cases"), CheckStatus.FAIL),
            EvidenceScore(Evidence.BEHAVIOUR, None, 0, 0, (), CheckStatus.SKIPPED),
            EvidenceScore(Evidence.TRAJECTORY, 1.0, 1, 1, ("trajectory:steps",), CheckStatus.PASS),
            EvidenceScore(Evidence.INTEGRITY, 1.0, 1, 1, ("integrity:dataset",), CheckStatus.PASS),
            EvidenceScore(Evidence.JUDGE, 0.8, 4, 5, ("rate:kind-tone",), CheckStatus.SKIPPED),
        ),
        eval_results=(
            EvalResult(
                "refund-window",
                "policy_hallucination",
                EvalType.RULE,
                Evidence.OUTCOME,
                BLOCKS,
                0.8,
                9,
                9 + failing,
                9 / (9 + failing),
                None,
                None,
            ),
            EvalResult("kind-tone", "rude", EvalType.LLM_JUDGE, Evidence.JUDGE, WATCHES, 0.9, 4, 5, 0.75, 0.71, None),
            EvalResult(
                "helpful", "unhelpful", EvalType.LLM_JUDGE, Evidence.JUDGE, WATCHES, 0.8, 1, 2, None, 0.2, "low_mcc"
            ),
        ),
        failing=tuple(
            Failing(r, r.scores, r.case_id in regressed, known=r.case_id not in regressed, issue=3, flaky=n == 3)
            for n, r in enumerate(bad)
        ),
        watched=(Failing(rude, rude.scores, regression=False),),
        errors=(broken,),
        unscored=(),
        flaky=(ids[3],) if len(ids) > 3 else (),
        repeated=0,
        comparison=Comparison(
            baseline_run_id="20261120T090000Z-000000",
            accepted_at="2026-11-20T10:00:00+00:00",
            same_version=False,
            compared=15,
            regressions=regressed,
            repaired=(),
            flaky=(),
            new=2,
            changed=1,
            disappeared=(),
            evaluators_changed=("kind-tone",),
            evaluators_missing=(),
        ),
        passed_cases=9,
        judged_cases=9 + failing,
        case_interval=(0.357, 0.802),
        weighted=None,
        missing_permission=("kind-tone may not block: 16 further labels would let it",),
    )
    return Report(
        run=run,
        run_path=".evalgate/runs/latest.json",
        decision=decision,
        notes=("evals/datasets/refunds.jsonl has changed since the run",) if text is None else (text,),
        base=base(run),
        lines={ids[0]: 4, "broken-1": 9} if ids else {},
        chains={ids[0]: chain(ids[0])} if ids else {},
        sources=Sources(
            run=Source(".evalgate/runs/latest.json", "ab" * 32),
            dataset=Source("evals/datasets/refunds.jsonl", "cd" * 32),
        ),
    )


def everywhere(value: Any, text: str) -> Any:
    """Return a value in which every text, in whatever field it stands, is this one; words of closed sets stay."""
    if type(value) is str:
        return text
    if is_dataclass(value) and not isinstance(value, type):
        return replace(value, **{f.name: everywhere(getattr(value, f.name), text) for f in fields(value)})
    if isinstance(value, tuple):
        return tuple(everywhere(v, text) for v in value)
    if isinstance(value, Mapping):
        return {everywhere(k, text): everywhere(v, text) for k, v in value.items()}
    return value


def green_report() -> Report:
    """Return a report of a run in which all is well."""
    good = [case_result(f"good-{n}", score=1.0, said="You have 30 days.") for n in range(9)]
    rated = EvalResult(
        "refund-window", "policy_hallucination", EvalType.RULE, Evidence.OUTCOME, BLOCKS, 0.8, 9, 9, 1.0, None, None
    )
    decision = Decision(
        status=Status.PASS,
        sentence="9 of 9 judged cases passed, every evaluator that may block reached its threshold",
        exit_code=0,
        checks=(
            Check(
                "rate:refund-window",
                Evidence.OUTCOME,
                CheckStatus.PASS,
                blocking=True,
                sentence="refund-window passed 9 of 9 (100 %), needs 80 %",
                interval=(0.70, 1.0),
                n=9,
            ),
            Check(
                "integrity:dataset",
                Evidence.INTEGRITY,
                CheckStatus.PASS,
                blocking=True,
                sentence="the dataset is the one that was run",
            ),
        ),
        evidence=tuple(
            EvidenceScore(kind, 1.0, 9, 9, ("rate:refund-window",), CheckStatus.PASS)
            if kind is Evidence.OUTCOME
            else EvidenceScore(kind, None, 0, 0, (), CheckStatus.SKIPPED)
            for kind in Evidence
        ),
        eval_results=(rated,),
        failing=(),
        watched=(),
        errors=(),
        unscored=(),
        flaky=(),
        repeated=0,
        comparison=None,
        passed_cases=9,
        judged_cases=9,
        case_interval=(0.70, 1.0),
        weighted=None,
        missing_permission=(),
    )
    return Report(run=run_with(good), run_path="run.json", decision=decision)


def base(run: Run) -> Base:
    """Return a base in which every case of the run passed."""
    return Base(
        run_id="20261120T090000Z-000000",
        version="v0",
        accepted_at="2026-11-20T10:00:00+00:00",
        evaluators={e.id: e.version for e in run.evaluators},
        cases={
            r.case_id: BaseCase(r.content_hash, True, {s.evaluator: 0.95 for s in r.scores}, ((),))  # noqa: FBT003
            for r in run.results
            if r.scores
        },
    )


def chain(case_id: str) -> Chain:
    """Return a chain of one annotation and two spans."""
    return Chain(
        case_id=case_id,
        case="ef" * 32,
        status="promoted",
        promoted=Promotion("ann", "2026-11-20T09:01:00+00:00"),
        issue=IssueLink(3, "policy_hallucination"),
        annotations=(
            AnnotationLink("ann-1", "ann", "2026-11-20T09:00:00+00:00", "bad", "policy_hallucination", "aa" * 32),
        ),
        spans=(SpanLink(TRACE, "01" * 8, "bb" * 32), SpanLink(TRACE, "02" * 8, "cc" * 32)),
    )
