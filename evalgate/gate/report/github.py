"""Annotations for a GitHub runner: workflow commands on stdout, at most ten of each kind.

Source: https://docs.github.com/actions/reference/workflow-commands-for-github-actions and the limits there: ten errors,
ten warnings and ten notices per step; others are not shown.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from evalgate.gate.decision import CheckStatus, Status
from evalgate.gate.report import words
from evalgate.gate.report.model import show_command
from evalgate.gate.report.safe import data, prop

if TYPE_CHECKING:
    from collections.abc import Iterator

    from evalgate.gate.decision import Failing
    from evalgate.gate.report.model import Report

MOST: Final = 10
MESSAGE_CHARS: Final = 1000


def workflow_commands(report: Report) -> list[str]:
    """Return the annotations: errors, then warnings; the verdict first, regressions before known failures."""
    return [*_errors(report)][:MOST] + [*_warnings(report)][:MOST]


def _errors(report: Report) -> Iterator[str]:
    decision = report.decision
    if not decision.blocked:
        return
    yield _command("error", report, "evalgate gate", words.verdict(decision))
    failing = [f for _, _, rows in report.groups for f in rows]
    for f in sorted(failing, key=lambda f: not f.regression)[:MOST]:
        yield _case("error", report, f)
    for r in decision.errors[:MOST]:
        if r.error:
            told = f"{r.error.kind}: {r.error.message}"
            yield _command("error", report, f"{r.case_id} has no verdict", told, r.case_id)


def _warnings(report: Report) -> Iterator[str]:
    decision = report.decision
    if decision.status is Status.INCONCLUSIVE and not decision.blocked:
        yield _command("warning", report, "evalgate gate", words.verdict(decision))
    for check in decision.checks:
        if check.status is CheckStatus.INCONCLUSIVE:
            told = "; ".join([check.sentence, *words.figures(check)])
            yield _command("warning", report, check.id, told)
    if not decision.blocked:  # what failed within what the policy allows
        for f in decision.failing[:MOST]:
            yield _case("warning", report, f)
    for f in decision.watched[:MOST]:
        yield _case("warning", report, f)
    for aside in report.run.set_aside[:MOST]:
        place = f"file={prop(report.run.dataset.path)},line={aside.line}"
        yield f"::warning {place},title={prop('this line could not be run')}::{data(aside.reason, MESSAGE_CHARS)}"


def _case(level: str, report: Report, f: Failing) -> str:
    reasons = "; ".join(f"{s.evaluator}: {s.reason[:MESSAGE_CHARS]}" for s in f.scores)
    standing = f"{told}. " if (told := words.standing(f)) else ""
    where = f" ({command})" if (command := show_command(f.result)) else ""
    title = f"{f.result.case_id} {words.group_name(f.issue, f.result.failure_mode)}"
    return _command(level, report, title, f"{standing}{reasons[:MESSAGE_CHARS]}{where}", f.result.case_id)


def _command(level: str, report: Report, title: str, message: str, case_id: str = "") -> str:
    number = report.lines.get(case_id)
    place = f"file={prop(report.run.dataset.path)}" + (f",line={number}" if number else "")
    return f"::{level} {place},title={prop(title)}::{data(message, MESSAGE_CHARS + 200)}"
