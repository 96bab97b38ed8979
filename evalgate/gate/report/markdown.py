"""The report as Markdown: a step summary, or a comment on a pull request. Bounded; content is never markup."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from evalgate.figures import percent, weighted_words
from evalgate.gate.decision import CheckStatus, Status
from evalgate.gate.report import words
from evalgate.gate.report.model import back_commands, contents, place
from evalgate.gate.report.payload import unscored_notes
from evalgate.gate.report.safe import code, fenced, prose

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from evalgate.gate.decision import Failing
    from evalgate.gate.report.model import Report

MARKER: Final = "<!-- evalgate gate -->"
"""The first line: how a workflow finds its comment again."""
MOST_CHARS: Final = 60_000
"""GitHub takes 65 536 in a comment."""
SUMMARY_CHARS: Final = 200_000
"""GitHub takes 1 MiB in the summary of a step; a character has up to four bytes."""
CONTENT_CHARS: Final = 1500
MOST_ROWS: Final = 60


def markdown(report: Report, limit: int = MOST_CHARS) -> str:
    """Return the report in at most `limit` characters; what has no room is counted."""
    head = "\n".join([*_head(report), *_checks(report)]) + "\n"
    tail = "\n".join(_tail(report))
    page = head[: limit // 2] if len(head) + len(tail) > limit else head
    room = limit - len(page) - len(tail) - 200
    cases, shown = [], 0
    if report.decision.failing:
        title = f"\n### Failing cases ({len(report.decision.failing)})\n"
        room -= len(title)
        cases.append(title)
        for piece, is_case in _cases(report):
            if len(piece) > room:
                break
            cases.append(piece)
            room -= len(piece)
            shown += is_case
        if left := len(report.decision.failing) - shown:
            cases.append(f"\n{left} more: they stand in the JSON and in the HTML report.\n")
    return (page + "".join(cases) + tail)[:limit]


def error_markdown(message: str) -> str:
    """Return the report where there was nothing to decide on."""
    return f"{MARKER}\n## {words.EMOJI[Status.ERROR]} {words.VERDICTS[Status.ERROR]}\n\n{fenced(message)}\n"


def _head(report: Report) -> Iterator[str]:
    run, decision = report.run, report.decision
    yield MARKER
    yield f"## {words.EMOJI[decision.status]} {words.VERDICTS[decision.status]}"
    yield ""
    yield prose(decision.sentence, 2000)
    yield ""
    yield (
        f"Dataset {code(run.dataset.name)} version {code(run.dataset.version)}, run {code(run.run_id)}, "
        f"target {code(run.target)}."
    )
    if rate := decision.case_interval:
        passed = f"{decision.passed_cases} of {decision.judged_cases} cases passed"
        yield f"{passed}: {percent(decision.case_pass_rate)}, 95 % interval {words.interval(rate)}."
    if told := weighted_words(decision.weighted):
        yield f"Weighted: {prose(told, 1000)}."
    for told in words.policy_lines(report.terms):
        yield f"Policy: {prose(told, 1000)}."
    for told in words.comparison_lines(decision.comparison, report.terms.unaccepted)[:4]:
        yield f"Base: {prose(told, 1000)}."
    yield from _table(
        ("evidence", "asks", "comes to"),
        ((words.KINDS[e.evidence], words.ASKED[e.evidence], words.evidence_line(e)) for e in decision.evidence),
    )


def _checks(report: Report) -> list[str]:
    checks = [c for c in report.decision.checks if c.status is not CheckStatus.SKIPPED]
    ordered = sorted(checks, key=lambda c: (not c.stops, c.status is not CheckStatus.INCONCLUSIVE))
    rows = (
        (
            f"{words.MARKS[c.status]} {prose(c.id, 100)}",
            prose("; ".join([c.sentence, *words.figures(c)]), 600),
        )
        for c in ordered[:MOST_ROWS]
    )
    lines = _table(("check", "what was found"), rows)
    if len(ordered) > MOST_ROWS:
        lines += ["", f"{len(ordered) - MOST_ROWS} more checks: they stand in the JSON report."]
    return lines


def _cases(report: Report) -> Iterator[tuple[str, bool]]:
    for issue, mode, rows in report.groups:
        yield f"\n#### {prose(words.group_name(issue, mode), 200)} ({len(rows)})\n", False
        for f in rows:
            yield _case(report, f), True


def _case(report: Report, f: Failing) -> str:
    r = f.result
    standing = f" ({told})" if (told := words.standing(f)) else ""
    lines = [f"<details><summary>✗ {prose(r.case_id, 120)}{standing}</summary>", ""]
    lines += [f"- {prose(s.evaluator, 120)}: {prose(s.reason, 600)}" for s in f.scores]
    lines.append(f"- {code(place(report, r.case_id))}")
    lines += [f"- {code(command)}" for command in back_commands(report, f)]
    for name, content in contents(r, f.scores):
        lines += ["", name, fenced(content, CONTENT_CHARS)]
    return "\n".join([*lines, "", "</details>", ""])


def _tail(report: Report) -> Iterator[str]:
    decision = report.decision
    if decision.errors:
        rows = ((code(r.case_id), prose(f"{r.error.kind}: {r.error.message}")) for r in decision.errors if r.error)
        yield from _table(("case without a verdict", "what broke"), [*rows][:MOST_ROWS])
    if decision.watched:
        yield ""
        yield f"Watched only, these do not block: {len(decision.watched)}."
    notes = [*unscored_notes(decision), *decision.missing_permission, *report.notes]
    if notes:
        yield ""
    for note in notes[:MOST_ROWS]:
        yield f"- {prose(note, 600)}"
    yield ""


def _table(header: tuple[str, ...], rows: Iterable[tuple[str, ...]]) -> list[str]:
    body = ["| " + " | ".join(row) + " |" for row in rows]
    return ["", "| " + " | ".join(header) + " |", "|---" * len(header) + "|", *body] if body else []
