"""The report for people: verdict first and last, evidence by kind, failing cases by issue. Short when all is well."""

from __future__ import annotations

import shutil
import textwrap
from typing import TYPE_CHECKING, Final

from evalgate.figures import percent, weighted_words
from evalgate.gate.decision import CheckStatus, Status
from evalgate.gate.report import words
from evalgate.gate.report.model import back_commands, contents, place
from evalgate.gate.report.payload import unscored_notes
from evalgate.gate.report.safe import cut, line
from evalgate.terminal import count_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from evalgate.gate.decision import Check, Failing
    from evalgate.gate.report.model import Report
    from evalgate.terminal import Terminal

STYLES: Final[Mapping[Status, str]] = {
    Status.PASS: "bold green",
    Status.FAIL: "bold red",
    Status.INCONCLUSIVE: "bold yellow",
    Status.ERROR: "bold yellow",
}
CHECK_STYLES: Final[Mapping[CheckStatus, str]] = {
    CheckStatus.PASS: "green",
    CheckStatus.FAIL: "red",
    CheckStatus.INCONCLUSIVE: "yellow",
    CheckStatus.SKIPPED: "dim",
    CheckStatus.INFO: "",
    CheckStatus.ERROR: "bold yellow",
}
CONTENT_CHARS: Final = 160
MOST_CASES: Final = 50
"""Failing cases that are printed; the others are counted, and stand in the JSON and the HTML report."""
MOST_OF_AN_ISSUE: Final = 5
"""Cases of one failure mode are much alike; the first few say what it is."""
NARROW: Final = 80
WIDE: Final = 120


def print_text(terminal: Terminal, report: Report, commands: Iterable[str] = ()) -> None:
    """Print the report; `commands` are for a CI runner that reads along."""
    decision, width = report.decision, _width(terminal)
    style = STYLES[decision.status]
    _say(terminal, line(words.verdict(decision), 2000), style=style, width=width)
    terminal.say()
    for name, told in _head(report):
        _say(terminal, f"{name:<9}{line(told, 2000)}", width=width, hang=9)
    terminal.say()
    _print_evidence(terminal, report, width)
    _print_failing(terminal, report, width)
    _print_watched(terminal, report, width)
    _print_errors(terminal, report, width)
    remarks = [*unscored_notes(decision), *decision.missing_permission, *report.notes]
    if remarks:
        terminal.say()
    for note in remarks:
        _say(terminal, f"note: {line(note, 2000)}", width=width, hang=6)
    terminal.say()
    for command in commands:
        terminal.out.write(command + "\n")
    _say(terminal, line(words.verdict(decision), 2000), style=style, width=width)


def _head(report: Report) -> list[tuple[str, str]]:
    run, decision = report.run, report.decision
    head = [
        ("dataset", f"{run.dataset.name}, version {run.dataset.version}, {count_of(len(run.results), 'case')}"),
        ("run", f"{run.run_id}, target {run.target}"),
    ]
    if rate := decision.case_interval:
        passed = f"{decision.passed_cases} of {decision.judged_cases} passed: {percent(decision.case_pass_rate)}"
        head.append(("cases", f"{passed} (95 % interval {words.interval(rate)})"))
    if told := weighted_words(decision.weighted):
        head.append(("weighted", told))
    head += [("policy", told) for told in words.policy_lines(report.terms)]
    head += [("base", told) for told in words.comparison_lines(decision.comparison, report.terms.unaccepted)]
    if decision.repeated:
        flaky = count_of(len(decision.flaky), "case")
        head.append(("repeats", f"{count_of(decision.repeated, 'case')} tried more than once, {flaky} flaky"))
    if run.set_aside:
        head.append(("aside", f"{count_of(len(run.set_aside), 'line')} of the dataset could not be run"))
    return head


def _print_evidence(terminal: Terminal, report: Report, width: int | None) -> None:
    decision = report.decision
    hidden = 0
    for score in decision.evidence:
        name = words.KINDS[score.evidence]
        terminal.say(f"{name:<12}{words.evidence_line(score)}", style="bold" if score.score is not None else "dim")
        for check in decision.checks:
            if check.evidence is score.evidence:
                if _is_told(check, report):
                    _print_check(terminal, check, width)
                else:
                    hidden += 1
    if hidden:
        terminal.say(f"{count_of(hidden, 'check')} not shown, passed or with nothing to look at: --format json")


def _is_told(check: Check, report: Report) -> bool:
    """Return whether a check is worth a line: what is not plainly well when all is well, else what was looked at."""
    if check.status is CheckStatus.SKIPPED and check.evaluator is None:
        return False
    if report.decision.status is not Status.PASS:
        return True
    return check.status not in (CheckStatus.PASS, CheckStatus.SKIPPED) or check.id.startswith("rate:")


def _print_check(terminal: Terminal, check: Check, width: int | None) -> None:
    mark = words.MARKS[check.status]
    _say(
        terminal,
        f"  {mark} {line(check.sentence, 1000)}",
        style=CHECK_STYLES[check.status],
        width=width,
        hang=4,
    )
    if told := words.figures(check):
        _say(terminal, f"    {'; '.join(told)}", width=width, hang=4)
    if check.skipped_reason:
        _say(terminal, f"    skipped: {line(check.skipped_reason, 1000)}", width=width, hang=4)


def _print_failing(terminal: Terminal, report: Report, width: int | None) -> None:
    decision = report.decision
    if not decision.failing:
        return
    terminal.say(f"\nFailing cases ({len(decision.failing)})", style="bold")
    left, hidden = MOST_CASES, len(decision.failing)
    for issue, mode, rows in report.groups:
        if left <= 0:
            break
        new = sum(f.regression for f in rows)
        told = f"{count_of(len(rows), 'case')}" + (f", {count_of(new, 'regression')}" if new else "")
        see = f": evalgate issues show {issue}" if issue is not None else ""
        _say(terminal, f"{line(words.group_name(issue, mode))} ({told}){see}", style="bold", width=width, hang=2)
        shown = rows[: min(left, MOST_OF_AN_ISSUE)]
        for f in shown:
            _print_case(terminal, report, f, width)
        if len(rows) > len(shown):
            terminal.say(f"  … {len(rows) - len(shown)} more of it")
        left -= len(shown)
        hidden -= len(shown)
    if hidden:
        terminal.say(f"{count_of(hidden, 'case')} not shown: --format json, or --output html=report.html")


def _print_case(terminal: Terminal, report: Report, f: Failing, width: int | None) -> None:
    r = f.result
    standing = words.standing(f)
    mode = f"  {line(r.failure_mode)}" if r.failure_mode else ""
    told = f"  {standing}" if standing else ""
    _say(terminal, f"✗ {line(r.case_id)}{mode}{told}", style="red", width=width, hang=2)
    for s in f.scores:
        _tell(terminal, "why", f"{line(s.evaluator)}: {line(s.reason)}", width)
    for name, content in contents(r, f.scores):
        _tell(terminal, name, line(content, CONTENT_CHARS), width)
    if (made := r.provenance.synthesis) is not None:
        _tell(terminal, "variant", f"of {line(made.case_id)}, {line(made.dimension)}={line(made.value)}", width)
    for command in back_commands(report, f, with_issue=False):  # the group names it
        terminal.say(f"    see         {command}")
    if not r.provenance.trace_id:
        terminal.say(f"    from        {line(place(report, r.case_id))}")


def _print_watched(terminal: Terminal, report: Report, width: int | None) -> None:
    watched = report.decision.watched
    if not watched:
        return
    terminal.say(f"\nWatched only, these do not block ({len(watched)})", style="bold")
    for f in watched[:MOST_CASES]:
        mode = f"  {line(f.result.failure_mode)}" if f.result.failure_mode else ""
        terminal.say(f"~ {line(f.result.case_id)}{mode}")
        for s in f.scores:
            _tell(terminal, "why", f"{line(s.evaluator)}: {line(s.reason)}", width)
    if len(watched) > MOST_CASES:
        terminal.say(f"{len(watched) - MOST_CASES} more: --format json")


def _print_errors(terminal: Terminal, report: Report, width: int | None) -> None:
    errors, aside = report.decision.errors, report.run.set_aside
    if errors:
        terminal.say(f"\nCases without a verdict because something broke ({len(errors)})", style="bold")
    for r in errors[:MOST_CASES]:
        if r.error:
            _say(terminal, f"! {line(r.case_id)}  {r.error.kind}: {line(r.error.message)}", width=width, hang=2)
    if len(errors) > MOST_CASES:
        terminal.say(f"{len(errors) - MOST_CASES} more: --format json")
    if aside:
        terminal.say(f"\nLines of the dataset that could not be run ({len(aside)})", style="bold")
    for s in aside[:MOST_CASES]:
        where = f"{line(report.run.dataset.path)}:{s.line}"
        _say(terminal, f"! {where}  {line(cut(s.reason, 1000))}", width=width, hang=2)


def _tell(terminal: Terminal, name: str, told: str, width: int | None) -> None:
    _say(terminal, f"    {name:<12}{told}", width=width, hang=16)


def _width(terminal: Terminal) -> int | None:
    """Return the width of a terminal; a pipe has none: one fact stays on one line there."""
    return min(max(shutil.get_terminal_size((NARROW, 24)).columns, 40), WIDE) if terminal.is_rich else None


def _say(terminal: Terminal, text: str, *, style: str = "", width: int | None = None, hang: int = 0) -> None:
    if width is not None and len(text) > width:
        indent = len(text) - len(text.lstrip())
        text = textwrap.fill(
            text.lstrip(),
            width,
            initial_indent=" " * indent,
            subsequent_indent=" " * max(hang, indent),
            break_long_words=False,
            break_on_hyphens=False,
            replace_whitespace=False,
            drop_whitespace=True,
        )
    terminal.say(text, style=style)
