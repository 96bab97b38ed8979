"""The report for programs: `evalgate/gate/2`, described by schema/gate.schema.json. The same input, the same text."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from evalgate.gate.base import base_to_json
from evalgate.gate.decision import Status
from evalgate.gate.report.model import back_commands
from evalgate.gate.report.safe import BLOCK_CHARS, cut
from evalgate.terminal import count_of, safe_json
from schema.hashing import content_hash
from schema.provenance import head_hash
from schema.run import weighted_json

if TYPE_CHECKING:
    from collections.abc import Mapping

    from evalgate.gate.base import Base
    from evalgate.gate.decision import Check, Decision, EvalResult, Failing
    from evalgate.gate.report.model import Report

SCHEMA = "evalgate/gate/2"


def to_text(payload: Mapping[str, Any]) -> str:
    """Return the JSON document as it is written to files: indented, and valid UTF-8 whatever content holds."""
    return safe_json(payload, indent=2) + "\n"


def checksum(payload: Mapping[str, Any]) -> str:
    """Return the hash over everything in a report but its checksum."""
    return content_hash({k: v for k, v in payload.items() if k != "checksum"})


def error_payload(message: str) -> dict[str, Any]:
    """Return the report where there was nothing to decide on: a missing artefact explains nothing."""
    payload: dict[str, Any] = {
        "schema": SCHEMA,
        "status": Status.ERROR,
        "exit_code": 2,
        "deployment_blocked": True,
        "blocking_reason": cut(message, BLOCK_CHARS),
    }
    return {**payload, "checksum": checksum(payload)}


def report_json(report: Report) -> dict[str, Any]:
    """Return the whole report."""
    run, decision = report.run, report.decision
    payload = {
        "schema": SCHEMA,
        "status": decision.status,
        "exit_code": decision.exit_code,
        "deployment_blocked": decision.blocked,
        "blocking_reason": decision.sentence if decision.blocked else None,
        "sentence": decision.sentence,
        "run": {
            "run_id": run.run_id,
            "path": report.run_path,
            "target": run.target,
            "started_at": run.started_at,
            "finished_at": run.finished_at,
            "cost_usd": run.cost_usd,
            "judge_cost_usd": run.judge_cost_usd,
        },
        "dataset": asdict(run.dataset),
        "suite_pass_rate": decision.suite_pass_rate,
        "case_pass_rate": decision.case_pass_rate,
        "case_pass_rate_interval_95": decision.case_interval,
        "case_pass_rate_weighted": weighted_json(decision.weighted),
        "cases": {
            "total": len(run.results),
            "judged": decision.judged_cases,
            "passed": decision.passed_cases,
            "failed": len(decision.failing),
            "errors": len(decision.errors),
            "unscored": len(decision.unscored),
            "set_aside": len(run.set_aside),
            "repeated": decision.repeated,
            "flaky": len(decision.flaky),
        },
        "evidence": [asdict(e) for e in decision.evidence],
        "checks": [check_json(c) for c in decision.checks],
        "eval_results": [_eval_json(e) for e in decision.eval_results],
        "failing_cases": [_failing_json(report, f) for f in decision.failing],
        "watched_cases": [_failing_json(report, f) for f in decision.watched],
        "errors": [
            {"case_id": r.case_id, "kind": r.error.kind, "message": r.error.message} for r in decision.errors if r.error
        ],
        "unscored_cases": [r.case_id for r in decision.unscored],
        "flaky_cases": list(decision.flaky),
        "set_aside": [asdict(s) for s in run.set_aside],
        "comparison": _comparison_json(decision),
        "missing_permission": list(decision.missing_permission),
        "notes": [*unscored_notes(decision), *report.notes],
        "policy": report.policy,
        "terms": asdict(report.terms),
        "sources": _sources_json(report),
    }
    bounded: dict[str, Any] = _bounded(payload)
    return {**bounded, "checksum": checksum(bounded)}


def check_json(check: Check) -> dict[str, Any]:
    """Return one check."""
    return {**asdict(check), "stops": check.stops}


def unscored_notes(decision: Decision) -> list[str]:
    """Return a note on cases that no evaluator judges."""
    if not decision.unscored:
        return []
    names = ", ".join(sorted({r.failure_mode or "(none)" for r in decision.unscored})[:20])
    cases = count_of(len(decision.unscored), "case")
    return [f"{cases} without an evaluator (failure modes: {names}): neither passed nor failed"]


def _eval_json(e: EvalResult) -> dict[str, Any]:
    common = {
        "evaluator": e.evaluator,
        "failure_mode": e.failure_mode,
        "eval_type": e.eval_type,
        "evidence": e.evidence,
        "role": e.role,
        "permission": asdict(e.grant),
        "mcc_score": e.mcc_score,
        "sample_count": e.sample_count,
    }
    if e.skipped:
        return {**common, "skipped": True, "reason": e.skipped}
    return {
        **common,
        "pass_rate": e.pass_rate,
        "pass_rate_interval_95": e.interval,
        "pass_rate_corrected": None if e.corrected is None else asdict(e.corrected),
        "passed": e.passed,
        "threshold": e.threshold,
        "mean_score": e.mean_score,
    }


def _failing_json(report: Report, f: Failing) -> dict[str, Any]:
    chain = report.chains.get(f.result.case_id)
    return {
        "case_id": f.result.case_id,
        "content_hash": f.result.content_hash,
        "failure_mode": f.result.failure_mode,
        "issue": f.issue,
        "known": f.known,
        "regression": f.regression,
        "flaky": f.flaky,
        "line": report.lines.get(f.result.case_id),
        "reasons": [{"evaluator": s.evaluator, "score": s.score, "reason": s.reason} for s in f.scores],
        "trace_id": f.result.provenance.trace_id,
        "annotation_id": f.result.provenance.annotation_id,
        "chain": None
        if chain is None
        else {
            "issue": chain.issue.id if chain.issue else None,
            "annotations": [a.annotation_id for a in chain.annotations],
            "spans": [{"trace_id": s.trace_id, "span_id": s.span_id} for s in chain.spans],
            "hash": chain.hash,
        },
        "commands": back_commands(report, f),
    }


def _comparison_json(decision: Decision) -> dict[str, Any] | None:
    c = decision.comparison
    if c is None:
        return None
    return {
        "baseline_run_id": c.baseline_run_id,
        "accepted_at": c.accepted_at,
        "same_dataset_version": c.same_version,
        "compared": c.compared,
        "regressions": list(c.regressions),
        "repaired": list(c.repaired),
        "flaky": list(c.flaky),
        "disappeared": list(c.disappeared),
        "new_cases": c.new,
        "changed_cases": c.changed,
        "evaluators_changed": list(c.evaluators_changed),
        "evaluators_missing": list(c.evaluators_missing),
    }


def _sources_json(report: Report) -> dict[str, Any]:
    s = report.sources
    return {
        "run": _source(s.run),
        "dataset": _source(s.dataset),
        "baseline": _source(s.baseline),
        "base": _base_json(report),
        "chains": _source(s.chains),
        "chains_head": head_hash(report.chains.values()) if report.chains else None,
        "evaluators": {e.id: e.version for e in sorted(report.run.evaluators, key=lambda e: e.id)},
    }


def _base_json(report: Report) -> dict[str, str] | None:
    if report.base is None or report.base_reference is None:
        return None
    return {"reference": report.base_reference, "sha256": base_hash(report.base)}


def base_hash(base: Base) -> str:
    """Return the hash of what a run was compared with, wherever it was kept."""
    return content_hash(base_to_json(base))


def _source(found: Any) -> dict[str, str] | None:
    return None if found is None else asdict(found)


def _bounded(value: Any) -> Any:
    """Return a value as JSON has it, with its texts cut: names and reasons are content, and can be of any length."""
    match value:
        case str():
            return cut(str(value), BLOCK_CHARS)
        case dict():
            return {k: _bounded(v) for k, v in value.items()}
        case list() | tuple():
            return [_bounded(v) for v in value]
        case _:
            return value
