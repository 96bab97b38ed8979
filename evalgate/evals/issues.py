"""`evalgate issues`: failure modes that people have named, and where they stand."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from evalgate.align.coverage import cover
from evalgate.errors import BadInput
from evalgate.evals.options import KnownOptions, with_known_options
from evalgate.issues.store import ISSUES, write_issues
from evalgate.options import Json, new_app
from evalgate.terminal import Terminal, count_of, one_line
from schema.issue import issue_to_json

if TYPE_CHECKING:
    from evalgate.align.coverage import Coverage
    from evalgate.align.standing import Standing
    from evalgate.evals.overview import Overview
    from schema.case import Case

SHOWN_CASES = 20
ASKED_CHARS = 60


def register(app: typer.Typer) -> None:
    """Add the group."""
    group = new_app("Issues: failure modes that people have named, how often they were seen, and who looks for them.")
    group.command("list")(list_)
    group.command("show")(show)
    group.command("export")(export)
    app.add_typer(group, name="issues")


@with_known_options
def list_(
    *,
    all_: Annotated[bool, typer.Option("--all", help="Also those whose labels were all taken back.")] = False,
    known: KnownOptions,
    json: Json = False,
) -> None:
    """List the issues, the frequent ones first."""
    terminal = Terminal()
    found = known.look()
    shown = [s for s in found.standings if all_ or s.issue.occurrences]
    shown.sort(key=lambda s: (-s.issue.occurrences, s.issue.id))
    if json:
        terminal.emit([_to_json(s) for s in shown])
        return
    if not shown:
        terminal.say(f"No issues in {found.known.source}. One is opened by labelling a failure mode: evalgate label")
        return
    terminal.table(
        ("issue", "failure mode", "status", "seen", "first", "last", "evaluators"),
        [
            (
                str(s.issue.id),
                s.issue.failure_mode,
                str(s.issue.status),
                str(s.issue.occurrences),
                _day(s.issue.first_seen),
                _day(s.issue.last_seen),
                _evaluators(s),
            )
            for s in shown
        ],
    )


@with_known_options
def show(
    number: Annotated[int, typer.Argument(min=1, help="The issue's number.")],
    *,
    known: KnownOptions,
    json: Json = False,
) -> None:
    """Show one issue: its cases, its evaluators, and what to do next."""
    terminal = Terminal()
    found = known.look()
    standing = _find(found, number)
    cases = [c for c in found.known.cases if c.case_id in set(standing.issue.cases)]
    agreement = found.known.agreement.get(standing.issue.failure_mode)
    todo = _todo(cover([standing], found.known.cases or None, found.known.options))
    if json:
        people = None if agreement is None else {"labelled_by_several": agreement.several, "agree": agreement.agree}
        labelled = [_case_json(c) for c in cases]
        terminal.emit({**_to_json(standing), "next": todo, "people": people, "labelled": labelled})
        return
    issue = standing.issue
    terminal.say(f"issue {issue.id}: {issue.failure_mode}, {issue.status}")
    seen = f", first {_day(issue.first_seen)}, last {_day(issue.last_seen)}" if issue.first_seen else ""
    terminal.say(f"seen in {count_of(issue.occurrences, 'labelled trace')}{seen}; {count_of(len(issue.cases), 'case')}")
    if agreement is not None:
        said = f"{agreement.agree} of {count_of(agreement.several, 'trace')} that several people labelled"
        terminal.say(f"people agree on {said}: no evaluator can agree better with all of them")
    for trusted in standing.evaluators:
        grant = trusted.grant
        measured = f", MCC {grant.mcc:.2f} of {count_of(grant.n, 'label')}" if grant.mcc is not None else ""
        terminal.say(f"evaluator {trusted.spec.id} ({trusted.spec.eval_type}): may {grant.permission}{measured}")
    if todo:
        terminal.say(f"next: {todo}")
    if cases:
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


@with_known_options
def export(
    *,
    known: KnownOptions,
    json: Json = False,
) -> None:
    """Write evals/issues.jsonl, by which a gate in CI tells a known open issue from a new regression."""
    terminal = Terminal()
    found = known.look()
    changed = write_issues([s.issue for s in found.standings])
    if json:
        terminal.emit({"path": str(ISSUES), "issues": len(found.standings), "changed": changed})
    else:
        words = "written; commit it" if changed else "it says this already"
        terminal.say(f"{ISSUES}: {count_of(len(found.standings), 'issue')}, {words}")


def _find(found: Overview, number: int) -> Standing:
    for standing in found.standings:
        if standing.issue.id == number:
            return standing
    known = ", ".join(f"{s.issue.id} {s.issue.failure_mode}" for s in found.standings[:10]) or "none"
    raise BadInput(f"there is no issue {number} in {found.known.source}. Known: {known}")


def _todo(coverage: Coverage) -> str | None:
    return coverage.gaps[0].todo if coverage.gaps else None


def _to_json(standing: Standing) -> dict[str, Any]:
    return {
        **issue_to_json(standing.issue),
        "permissions": {
            t.spec.id: {"permission": str(t.grant.permission), "reason": str(t.grant.reason), "mcc": t.grant.mcc}
            for t in standing.evaluators
        },
    }


def _case_json(case: Case) -> dict[str, Any]:
    return {
        "case_id": case.case_id,
        "verdict": case.verdict,
        "trace_id": case.provenance.trace_id,
        "annotation_id": case.provenance.annotation_id,
        "asked": case.input.text,
    }


def _evaluators(standing: Standing) -> str:
    return ", ".join(f"{t.spec.id} ({t.grant.permission})" for t in standing.evaluators) or "none"


def _day(at: str | None) -> str:
    return (at or "–")[:10]
