"""The report as JUnit XML, as Jenkins' schema has it: the verdict, each check and each case is a test case.

Source: https://github.com/jenkinsci/xunit-plugin, junit-10.xsd, which has no place for a file and a line; what other
viewers read is a part of it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from evalgate.gate.decision import CheckStatus, Status
from evalgate.gate.report import words
from evalgate.gate.report.model import back_commands, contents, place
from evalgate.gate.report.safe import BLOCK_CHARS, cut, xml, xml_body

if TYPE_CHECKING:
    from collections.abc import Iterator

    from evalgate.gate.decision import Check, Failing
    from evalgate.gate.report.model import Report
    from schema.run import Result

MESSAGE_CHARS: Final = 1000


@dataclass(frozen=True, slots=True)
class Test:
    """One test case; `outcome` is failure, error, skipped, or None where it passed."""

    classname: str
    name: str
    time_s: float = 0.0
    outcome: str | None = None
    message: str = ""
    body: str = ""


def junit(report: Report) -> str:
    """Return the document."""
    decision = report.decision
    suites = {"gate": [_verdict(report)]}
    for check in decision.checks:
        suites.setdefault(f"checks.{check.evidence}", []).append(_check(report, check))
    failing = {f.result.case_id: f for f in decision.failing}
    watched = {f.result.case_id: f for f in decision.watched}
    unscored = {r.case_id for r in decision.unscored}
    for r in report.run.results:
        test = _case(report, r, failing.get(r.case_id), watched.get(r.case_id), is_unscored=r.case_id in unscored)
        suites.setdefault(f"cases.{r.failure_mode or 'no failure mode'}", []).append(test)
    for aside in report.run.set_aside:
        name = aside.case_id or f"line {aside.line}"
        test = Test("evalgate.aside", name, 0, "skipped", f"line {aside.line}: {aside.reason}")
        suites.setdefault("set aside", []).append(test)
    return _document([*suites.items()], report.run.started_at)


def error_junit(message: str) -> str:
    """Return the document where there was nothing to decide on."""
    return _document([("gate", [Test("evalgate.gate", "verdict", 0, "error", message)])], "")


def _verdict(report: Report) -> Test:
    decision = report.decision
    outcome = None
    if decision.status is Status.ERROR:
        outcome = "error"
    elif decision.blocked:
        outcome = "failure"
    return Test("evalgate.gate", "verdict", 0, outcome, words.verdict(decision), words.verdict(decision))


def _check(report: Report, check: Check) -> Test:
    name = f"evalgate.checks.{check.evidence}"
    body = "\n".join([check.sentence, *words.figures(check), *(f"case {c}" for c in check.cases[:100])])
    outcome = None
    message = check.sentence
    match check.status:
        case CheckStatus.FAIL:
            outcome = "failure" if check.blocking else "skipped"
            message = check.sentence if check.blocking else f"watched only, does not block: {check.sentence}"
        case CheckStatus.INCONCLUSIVE:  # a policy may say that this blocks
            outcome = "failure" if check.blocking and report.decision.blocked and _is_undecided(report) else "skipped"
            message = f"inconclusive: {check.sentence}"
        case CheckStatus.SKIPPED:
            outcome, message = "skipped", check.skipped_reason or check.sentence
        case CheckStatus.ERROR:
            outcome = "error"
        case CheckStatus.PASS | CheckStatus.INFO:
            pass
    return Test(name, check.id, 0, outcome, message, body)


def _is_undecided(report: Report) -> bool:
    return report.decision.status is Status.INCONCLUSIVE


def _case(report: Report, r: Result, failing: Failing | None, watched: Failing | None, *, is_unscored: bool) -> Test:
    outcome, message, body = None, "", ""
    if r.error is not None:
        outcome, message = "error", f"{r.error.kind}: {r.error.message}"
    elif failing is not None:
        outcome, message = "failure", _reasons(failing)
        body = _story(report, r, failing)
    elif watched is not None:
        body = "watched only, does not block\n" + _story(report, r, watched)
    elif is_unscored:
        outcome, message = "skipped", "no evaluator judges it"
    mode = r.failure_mode or "no failure mode"
    return Test(f"evalgate.cases.{mode}", r.case_id, r.duration_ms / 1000, outcome, message, body)


def _reasons(f: Failing) -> str:
    standing = words.standing(f)
    told = "; ".join(f"{s.evaluator}: {s.reason[:MESSAGE_CHARS]}" for s in f.scores)
    return f"{standing}. {told}" if standing else told


def _story(report: Report, r: Result, f: Failing) -> str:
    parts = [_reasons(f)]
    parts += [f"{s.evaluator} gives {s.score:g}: {cut(s.reason, BLOCK_CHARS)}" for s in f.scores]
    parts += [f"--- {name}\n{cut(content, MESSAGE_CHARS)}" for name, content in contents(r, f.scores)]
    return "\n".join([*parts, place(report, r.case_id), *back_commands(report, f)])


def _document(suites: list[tuple[str, list[Test]]], timestamp: str) -> str:
    tests = [t for _, members in suites for t in members]
    lines = ['<?xml version="1.0" encoding="UTF-8"?>', f'<testsuites name="evalgate gate" {_counts(tests)}>']
    stamp = f' timestamp="{xml(timestamp[:19])}"' if timestamp else ""
    for name, members in suites:
        skipped = sum(t.outcome == "skipped" for t in members)
        lines.append(f'  <testsuite name="{xml(name)}" {_counts(members)} skipped="{skipped}"{stamp}>')
        for test in members:
            lines += _test(test)
        lines.append("  </testsuite>")
    return "\n".join([*lines, "</testsuites>", ""])


def _counts(tests: list[Test]) -> str:
    failures = sum(t.outcome == "failure" for t in tests)
    errors = sum(t.outcome == "error" for t in tests)
    time_s = sum(t.time_s for t in tests)
    return f'tests="{len(tests)}" failures="{failures}" errors="{errors}" time="{time_s:.3f}"'


def _test(test: Test) -> Iterator[str]:
    head = f'    <testcase classname="{xml(test.classname)}" name="{xml(test.name)}" time="{test.time_s:.3f}"'
    if test.outcome is None and not test.body:
        yield head + "/>"
        return
    yield head + ">"
    message = xml(test.message, MESSAGE_CHARS)
    if test.outcome is None:
        yield f"      <system-out>{xml_body(test.body)}</system-out>"
    elif test.outcome == "skipped":
        yield f'      <skipped message="{message}"/>'
    else:
        kind = "evalgate." + test.outcome
        yield f'      <{test.outcome} message="{message}" type="{kind}">{xml_body(test.body)}</{test.outcome}>'
    yield "    </testcase>"
