"""The report as SARIF 2.1.0: a rule is an evaluator, a result is a case that it failed.

A result keeps its fingerprint from run to run: it is of the case and the evaluator, not of what was said; so code
scanning knows an old failure again, and closes it when it is gone.
Source: OASIS SARIF 2.1.0 (2023), and what GitHub's code scanning takes of it (5 000 results are shown).
"""

from __future__ import annotations

from importlib.metadata import version
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import quote

from evalgate.gate.decision import Status
from evalgate.gate.report import words
from evalgate.gate.report.model import back_commands
from evalgate.gate.report.safe import block, cut, line
from evalgate.terminal import safe_json
from schema.evaluator import Evidence
from schema.hashing import content_hash

if TYPE_CHECKING:
    from collections.abc import Iterator

    from evalgate.gate.decision import Failing
    from evalgate.gate.report.model import Report
    from schema.evaluator import Score
    from schema.run import EvaluatorUsed

SCHEMA: Final = "https://json.schemastore.org/sarif-2.1.0.json"
FINGERPRINT: Final = "evalgateCase/v1"
MOST_RESULTS: Final = 5000
ESCAPES: Final = str.maketrans({"[": "\\[", "]": "\\]", "{": "{{", "}": "}}"})


def sarif(report: Report) -> str:
    """Return the document."""
    rules = {e.id: number for number, e in enumerate(report.run.evaluators)}
    results = [r for _, r in zip(range(MOST_RESULTS), _results(report, rules), strict=False)]
    return _document(
        rules=[_rule(e) for e in report.run.evaluators],
        results=results,
        notifications=[_notification(words.verdict(report.decision), report.decision.status)]
        + [
            _notification(f"{r.case_id}: {r.error.kind}: {r.error.message}", Status.ERROR)
            for r in report.decision.errors[:100]
            if r.error
        ],
        exit_code=report.decision.exit_code,
        is_successful=report.decision.status is not Status.ERROR,
    )


def error_sarif(message: str) -> str:
    """Return the document where there was nothing to decide on."""
    notes = [_notification(message, Status.ERROR)]
    return _document(rules=[], results=[], notifications=notes, exit_code=2, is_successful=False)


def _document(
    *,
    rules: list[dict[str, Any]],
    results: list[dict[str, Any]],
    notifications: list[dict[str, Any]],
    exit_code: int,
    is_successful: bool,
) -> str:
    invocation = {
        "executionSuccessful": is_successful,
        "exitCode": exit_code,
        "toolExecutionNotifications": notifications,
    }
    driver = {"name": "evalgate", "version": version("otel-evalgate"), "rules": rules}
    run = {"tool": {"driver": driver}, "invocations": [invocation], "columnKind": "unicodeCodePoints"}
    return safe_json({"$schema": SCHEMA, "version": "2.1.0", "runs": [{**run, "results": results}]}, indent=1) + "\n"


def _rule(e: EvaluatorUsed) -> dict[str, Any]:
    kind = Evidence(e.evidence)
    return {
        "id": line(e.id),
        "name": line(e.id),
        "shortDescription": {"text": _message(f"{e.id}: {e.failure_mode}")},
        "fullDescription": {
            "text": _message(f"{words.KINDS[kind]}: {words.ASKED[kind]}. Failure mode {e.failure_mode}")
        },
        "defaultConfiguration": {"level": "error"},
        "properties": {"tags": ["evalgate", str(kind), str(e.eval_type)], "version": line(e.version)},
    }


def _results(report: Report, rules: dict[str, int]) -> Iterator[dict[str, Any]]:
    for level, failing in (("error", report.decision.failing), ("warning", report.decision.watched)):
        for f in failing:
            seen: set[str] = set()
            for s in f.scores:
                if s.evaluator not in seen:
                    seen.add(s.evaluator)
                    yield _result(report, rules, f, s, level)


def _result(report: Report, rules: dict[str, int], f: Failing, s: Score, level: str) -> dict[str, Any]:
    r = f.result
    standing = f"{known}. " if (known := words.standing(f)) else ""
    told = "".join(f"\nSee: {c}" for c in back_commands(report, f))
    found: dict[str, Any] = {
        "ruleId": line(s.evaluator),
        "level": level,
        "message": {"text": _message(f"{r.case_id}: {standing}{cut(s.reason, 1000)}{told}")},
        "locations": [
            {
                "physicalLocation": {
                    "artifactLocation": {"uri": _uri(report.run.dataset.path)},
                    "region": {"startLine": report.lines.get(r.case_id, 1)},
                },
                "logicalLocations": [{"name": line(r.case_id), "kind": "member"}],
            }
        ],
        "partialFingerprints": {FINGERPRINT: content_hash([report.run.dataset.name, r.case_id, s.evaluator])},
        "properties": {
            "case_id": line(r.case_id),
            "failure_mode": line(r.failure_mode or ""),
            "issue": f.issue,
            "score": s.score,
        },
    }
    if s.evaluator in rules:
        found["ruleIndex"] = rules[s.evaluator]
    if report.decision.comparison is not None:
        found["baselineState"] = "new" if f.regression or f.known is False else "unchanged"
    return found


def _notification(message: str, status: Status) -> dict[str, Any]:
    level = {Status.PASS: "note", Status.INCONCLUSIVE: "warning"}.get(status, "error")
    return {"level": level, "message": {"text": _message(message)}}


def _message(text: str) -> str:
    """Return content as a plain-text message: by 3.11.5 braces are placeholders, by 3.11.6 brackets links; escaped."""
    said = block(text, 2000).replace("\\", "\\\\")
    return said.translate(ESCAPES) or "(empty)"


def _uri(path: str) -> str:
    """Return a reference relative to the root of the repository, or an absolute one."""
    quoted = quote(block(path, 1000).removeprefix("./"), safe="/")
    return f"file://{quoted}" if PurePosixPath(path).is_absolute() else quoted
