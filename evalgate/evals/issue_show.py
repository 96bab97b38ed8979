"""Issues for people and for machines."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Any, Final

from evalgate.issues.taxonomy import Action
from evalgate.layout import Fit
from evalgate.terminal import count_of, one_line
from schema.issue import issue_to_json

if TYPE_CHECKING:
    from collections.abc import Sequence

    from evalgate.align.standing import Standing, Trusted
    from evalgate.evals.issue_views import GateLine, IssueView
    from evalgate.issues.agreement import Agreement
    from evalgate.issues.lifecycle import Transition
    from evalgate.issues.occurrences import Affected, Day, Occurrences
    from evalgate.issues.taxonomy import Change
    from evalgate.terminal import Terminal
    from schema.case import Case

BARS: Final = "▁▂▃▄▅▆▇█"
BAR_CELLS: Final = 24
SHOWN_CASES: Final = 20
SHOWN_RUNS: Final = 5
SHOWN_DAYS: Final = 14
ASKED_CHARS: Final = 60


def print_list(terminal: Terminal, views: Sequence[IssueView]) -> None:
    """Print a table of issues."""
    machine = any(v.occurrences.machine for v in views)
    days = any(v.occurrences.days for v in views)
    severe = any(v.issue.severity for v in views)
    header = ["issue", "failure mode", "status", *["severity"] * severe, "seen"]
    header += ["by machine"] * machine + ["14 days"] * days + ["last", "evaluators"]
    rows = []
    for view in views:
        issue, seen = view.issue, view.occurrences
        row = [str(issue.id), issue.failure_mode, str(issue.status)]
        row += [str(issue.severity or "–")] * severe + [str(issue.occurrences)]
        row += [str(seen.machine_total) if seen.machine else "–"] * machine
        row += [sparkline(seen) + (" rising" if seen.is_rising else "")] * days
        rows.append([*row, _day(issue.last_seen), _evaluators(view.standing)])
    terminal.table(
        header, rows, fits={"14 days": Fit.WHOLE, "status": Fit.WHOLE, "seen": Fit.WHOLE, "evaluators": Fit.CUT}
    )


def sparkline(seen: Occurrences) -> str:
    """Return the labelled traces of the last 14 days as a small picture; a dot for a day without any."""
    counts = [d.count for d in seen.days[-SHOWN_DAYS:]]
    most = max(counts, default=0)
    return "".join("·" if not n else BARS[max(0, -(-n * len(BARS) // most) - 1)] for n in counts)


def print_issue(terminal: Terminal, view: IssueView, agreement: Agreement | None) -> None:
    """Print everything about one issue; the next step first, for who reads no further."""
    issue, seen = view.issue, view.occurrences
    severity = f", severity {issue.severity}" if issue.severity else ""
    since = f" since {_day(issue.since)}" if issue.since else ""
    terminal.say(f"issue {issue.id}: {issue.failure_mode}, {issue.status}{since}{severity}", style="bold")
    when = f", first {_day(issue.first_seen)}, last {_day(issue.last_seen)}" if issue.first_seen else ""
    terminal.say(f"seen in {count_of(issue.occurrences, 'labelled trace')}{when}; {count_of(len(issue.cases), 'case')}")
    if seen.affected is not None:
        terminal.say(_affected(seen.affected))
    if seen.machine:
        terminal.say(f"its evaluators failed {count_of(seen.machine_total, 'trace')} in production")
    if view.words:
        terminal.say(f"labels also say: {', '.join(view.words)}")
    if agreement is not None:
        said = f"{agreement.agree} of {count_of(agreement.several, 'trace')} that several people labelled"
        terminal.say(f"people agree on {said}: no evaluator can agree better with all of them")
    for trusted in view.evaluators:
        terminal.say(_evaluator(trusted))
    if view.next:
        terminal.say(f"next: {view.next}")
    if any(d.count for d in seen.days):
        _print_days(terminal, "labelled", seen.days)
    if any(d.count for d in seen.machine):
        _print_days(terminal, "failed by its evaluators", seen.machine)
    if view.gate_history:
        _print_runs(terminal, view.gate_history)
    if view.transitions:
        terminal.say("\nwhat was done:")
        terminal.table(
            ("at", "status", "by", "why"),
            [(t.at[:16], f"{t.from_status} → {t.to_status}", t.actor, t.reason) for t in view.transitions],
        )
    for change in view.lineage:
        terminal.say(lineage_words(change, issue.id))
    if view.cases:
        _print_cases(terminal, view.cases)


def lineage_words(change: Change, number: int) -> str:
    """Return one change of the taxonomy in words, as an issue sees it; 0: as nobody does."""
    row, undone = change.stated, ", taken back" if change.is_undone else ""
    labels = count_of(len(row.annotation_ids), "label")
    match change.action:
        case Action.RENAMED:
            told = f"{row.from_mode} was renamed to {row.to_mode}"
        case Action.MERGED if number == row.issue:
            told = f"issue {row.from_issue} ({row.from_mode}) was merged into it"
        case Action.MERGED:
            told = f"issue {row.from_issue} ({row.from_mode}) was merged into issue {row.issue} ({row.to_mode})"
        case Action.SPLIT if number == row.issue:
            told = f"{labels} came from issue {row.from_issue} ({row.from_mode})"
        case Action.SPLIT:
            told = f"{labels} of issue {row.from_issue} went to issue {row.issue} ({row.to_mode})"
    why = f": {change.reason}" if change.reason else ""
    return f"change {change.number}, {change.at[:16]}, {change.actor or '(nobody)'}: {told}{why}{undone}"


def issue_json(view: IssueView, agreement: Agreement | None = None, *, in_full: bool = False) -> dict[str, Any]:
    """Return an issue as JSON; `in_full`: with its cases, moves, lineage and runs."""
    seen = view.occurrences
    told = {
        **issue_to_json(view.issue),
        "permissions": {
            t.spec.id: {"permission": str(t.grant.permission), "reason": str(t.grant.reason), "mcc": t.grant.mcc}
            for t in view.evaluators
        },
        "is_rising": seen.is_rising,
        "days": [_day_json(d) for d in seen.days],
        "machine_days": [_day_json(d) for d in seen.machine],
        "machine_occurrences": seen.machine_total,
        "affected": asdict(seen.affected) if seen.affected else None,
        "next": view.next,
    }
    if not in_full:
        return told
    people = None if agreement is None else {"labelled_by_several": agreement.several, "agree": agreement.agree}
    return {
        **told,
        "people": people,
        "words": list(view.words),
        "labelled": [_case_json(c) for c in view.cases],
        "transitions": [transition_json(t) for t in view.transitions],
        "lineage": [change_json(c) for c in view.lineage],
        "gate_history": [
            {"run_id": g.run_id, "at": g.at, "passed": g.passed, "of": g.of, "status": g.status}
            for g in view.gate_history
        ],
    }


def transition_json(made: Transition) -> dict[str, Any]:
    """Return a move as JSON."""
    return {
        "number": made.number,
        "sequence": made.sequence,
        "at": made.at,
        "from": made.from_status,
        "to": made.to_status,
        "since": made.since,
        "actor": made.actor,
        "reason": made.reason,
        "is_automatic": made.is_automatic,
    }


def change_json(change: Change) -> dict[str, Any]:
    """Return a change of the taxonomy as JSON."""
    row = change.stated
    return {
        "change": change.number,
        "action": change.action,
        "at": change.at,
        "actor": change.actor,
        "reason": change.reason,
        "from_mode": row.from_mode,
        "to_mode": row.to_mode,
        "from_issue": row.from_issue,
        "issue": row.issue,
        "labels": len(row.annotation_ids) or None,
        "is_undone": change.is_undone,
    }


def _affected(seen: Affected) -> str:
    def told(count: int, noun: str, without: int) -> str:
        lacking = f" ({count_of(without, 'trace')} without)" if without else ""
        return f"{count_of(count, noun)}{lacking}"

    users = told(seen.users, "user", seen.without_user)
    return f"affected: {users}, {told(seen.sessions, 'session', seen.without_session)}"


def _evaluator(trusted: Trusted) -> str:
    grant = trusted.grant
    measured = f", MCC {grant.mcc:.2f} of {count_of(grant.n, 'label')}" if grant.mcc is not None else ""
    return f"evaluator {trusted.spec.id} ({trusted.spec.eval_type}): may {grant.permission}{measured}"


def _print_days(terminal: Terminal, what: str, days: Sequence[Day]) -> None:
    """Print bars of the days from the first on of which anything can be said, beside what was to be expected."""
    shown = days[-SHOWN_DAYS:]
    first = next((i for i, d in enumerate(shown) if d.count or d.expected_high is not None), len(shown) - 1)
    shown = shown[first:]
    weighted = any(d.weighted != d.count for d in shown)
    most = max(max(d.count, d.weighted) for d in shown) or 1
    terminal.say(f"\n{what}, by the day the trace began:")
    rows = []
    for day in shown:
        bar = "█" * max(1, round(day.weighted / most * BAR_CELLS)) if day.weighted else ""
        band = "–" if day.expected_high is None else f"{day.expected_low:.0f} to {day.expected_high:.0f}"
        above = " more than expected" if day.is_above else ""
        row = [day.date, str(day.count)] + [f"{day.weighted:.0f}"] * weighted
        rows.append([*row, band, bar + above])
    terminal.table(["day", "traces", *["stand for"] * weighted, "expected", ""], rows)
    if all(d.expected_high is None for d in shown):
        terminal.say("too little history to say what is to be expected: a week of labelled traffic is the least")


def _print_runs(terminal: Terminal, lines: Sequence[GateLine]) -> None:
    terminal.say("\nits cases in runs, the latest first:")
    shown = [(g.run_id, g.at[:16], f"{g.passed} of {g.of} pass", g.status) for g in lines[:SHOWN_RUNS]]
    terminal.table(("run", "at", "cases", "status"), shown)
    if len(lines) > SHOWN_RUNS:
        terminal.say(f"and {count_of(len(lines) - SHOWN_RUNS, 'earlier run')}: --json")


def _print_cases(terminal: Terminal, cases: Sequence[Case]) -> None:
    terminal.say("")
    terminal.table(
        ("case", "verdict", "trace", "asked"),
        [
            (
                c.case_id,
                str(c.verdict or ""),
                (c.provenance.trace_id or "")[:16],
                one_line(c.input.text or "", ASKED_CHARS),
            )
            for c in cases[:SHOWN_CASES]
        ],
    )
    if len(cases) > SHOWN_CASES:
        terminal.say(f"and {len(cases) - SHOWN_CASES} more: --json")


def _case_json(case: Case) -> dict[str, Any]:
    return {
        "case_id": case.case_id,
        "verdict": case.verdict,
        "trace_id": case.provenance.trace_id,
        "annotation_id": case.provenance.annotation_id,
        "asked": case.input.text,
    }


def _day_json(day: Day) -> dict[str, Any]:
    return {
        "date": day.date,
        "count": day.count,
        "weighted": day.weighted,
        "expected_95": None if day.expected_high is None else [day.expected_low, day.expected_high],
        "is_above": day.is_above,
    }


def _evaluators(standing: Standing) -> str:
    return ", ".join(f"{t.spec.id} ({t.grant.permission})" for t in standing.evaluators) or "none"


def _day(at: str | None) -> str:
    return (at or "–")[:10]
