"""The page's content, prepared: cut, defused, in order. The template escapes whatever it is given."""

from __future__ import annotations

import base64
import hashlib
import json
from importlib.metadata import version
from importlib.resources import files
from typing import TYPE_CHECKING, Any, Final

from evalgate.figures import percent, weighted_words
from evalgate.gate.decision import Status
from evalgate.gate.report import words
from evalgate.gate.report.html.differences import differences
from evalgate.gate.report.html.pictures import TITLES, paired_picture, rates_picture, score_pictures
from evalgate.gate.report.model import back_commands, place, show_command, shown_attempt
from evalgate.gate.report.payload import unscored_notes
from evalgate.gate.report.safe import block, line
from evalgate.terminal import count_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from evalgate.gate.decision import Check, Decision, EvidenceScore, Failing
    from evalgate.gate.report.model import Report
    from schema.evaluator import Score
    from schema.run import Attempt, Result

CONTENT_BUDGET_CHARS: Final = 12_000_000
"""Of all cases together; a page that a browser opens at once, and that fits an artefact."""
LEAST_CHARS: Final = 600
MOST_CHARS: Final = 20_000
MOST_CASES: Final = 2000
MANY_CASES: Final = 100
"""From here on a browser lays out a case only when it comes into sight."""
MOST_LOW: Final = 20
MOST_ERRORS: Final = 200
MOST_TOOLS: Final = 50
MOST_ATTEMPTS: Final = 50


def html(report: Report) -> str:
    """Return the page."""
    decision = report.decision
    limit = _limit(len(decision.failing) + len(decision.watched) + MOST_LOW)
    cases = [
        _part("failing", "Failing cases", _failing_groups(report, limit), len(decision.failing)),
        _part("low", "Lowest scores among those that passed", _low_groups(report, limit), 0),
        _part("watched", "Watched only, these do not block", _watched_groups(report, limit), len(decision.watched)),
    ]
    cases = [c for c in cases if c["groups"]]
    errors = [
        {"id": line(r.case_id), "kind": r.error.kind, "message": line(r.error.message, 1000)}
        for r in decision.errors[:MOST_ERRORS]
        if r.error
    ] + [
        {"id": f"line {s.line}", "kind": "set aside", "message": line(s.reason, 1000)}
        for s in report.run.set_aside[:MOST_ERRORS]
    ]
    notes = [line(n, 1000) for n in [*unscored_notes(decision), *decision.missing_permission, *report.notes]]
    parts = [("evidence", "Evidence"), ("checks", "Checks"), *((c["anchor"], c["title"]) for c in cases)]
    parts += [("scores", "Scores")]
    return _render(
        status=str(decision.status),
        verdict=words.VERDICTS[decision.status],
        sentence=line(decision.sentence, 4000),
        facts=_facts(report),
        parts=parts + ([("errors", "Without a verdict")] if errors else []) + ([("notes", "Notes")] if notes else []),
        kinds=[_kind(e, decision) for e in decision.evidence],
        pictures=_pictures(report),
        rows=[_row(e) for e in decision.eval_results],
        cases=cases,
        are_many=sum(len(g["cases"]) for c in cases for g in c["groups"]) > MANY_CASES,
        errors=errors,
        more_errors=max(0, len(decision.errors) - MOST_ERRORS),
        notes=notes,
        sources=_sources(report),
    )


def error_html(message: str) -> str:
    """Return the page where there was nothing to decide on."""
    return _render(status=str(Status.ERROR), verdict=words.VERDICTS[Status.ERROR], sentence=line(message, 4000))


def _render(**values: Any) -> str:
    from jinja2 import Environment, StrictUndefined  # noqa: PLC0415 - slow to import, and one rendering of six needs it
    from markupsafe import Markup  # noqa: PLC0415 - as above

    here = files(__package__)
    css = here.joinpath("page.css").read_text("utf-8")
    digest = base64.b64encode(hashlib.sha256(css.encode()).digest()).decode()
    nothing: dict[str, Any] = dict.fromkeys(
        ("facts", "parts", "kinds", "pictures", "rows", "cases", "errors", "notes", "sources"), ()
    )
    environment = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True, keep_trailing_newline=True)
    template = environment.from_string(here.joinpath("page.html").read_text("utf-8"))
    return template.render(
        **{**nothing, "more_errors": 0, "are_many": False, **values},
        css=Markup(css),  # noqa: S704 - ours, from a file of this package
        policy=f"default-src 'none'; style-src 'sha256-{digest}'; base-uri 'none'; form-action 'none'",
        version=version("otel-evalgate"),
    )


def _limit(cases: int) -> int:
    """Return how many characters of a content are shown, so that all cases together stay in the budget."""
    return max(LEAST_CHARS, min(MOST_CHARS, CONTENT_BUDGET_CHARS // (6 * max(1, min(cases, MOST_CASES)))))


def _facts(report: Report) -> list[tuple[str, str]]:
    run, decision = report.run, report.decision
    facts = [
        ("dataset", f"{run.dataset.name}, version {run.dataset.version}, {count_of(len(run.results), 'case')}"),
        ("run", f"{run.run_id}, {run.finished_at[:19].replace('T', ' ')}"),
        ("target", run.target),
    ]
    if rate := decision.case_interval:
        passed = f"{decision.passed_cases} of {decision.judged_cases} passed"
        rates = f"{percent(decision.case_pass_rate)}, 95 % interval {words.interval(rate)}"
        facts.append(("cases", f"{passed}: {rates}"))
    if told := weighted_words(decision.weighted):
        facts.append(("weighted", told))
    facts += [("policy", told) for told in words.policy_lines(report.terms)]
    facts += [("base", told) for told in words.comparison_lines(decision.comparison, report.terms.unaccepted)]
    if decision.repeated:
        flaky = f"{len(decision.flaky)} flaky"
        facts.append(("repeats", f"{count_of(decision.repeated, 'case')} tried more than once, {flaky}"))
    if run.cost_usd is not None or run.judge_cost_usd is not None:
        facts.append(("cost", f"target {_usd(run.cost_usd)}, judges {_usd(run.judge_cost_usd)}"))
    return [(name, line(told, 2000)) for name, told in facts]


def _usd(cost: float | None) -> str:
    return "not known" if cost is None else f"{cost:.4f} USD"


def _kind(score: EvidenceScore, decision: Decision) -> dict[str, Any]:
    return {
        "name": words.KINDS[score.evidence],
        "asks": words.ASKED[score.evidence],
        "figure": "–" if score.score is None else percent(score.score),
        "told": "no evidence" if score.score is None else f"{score.passed} of {score.judged} passed",
        "checks": [_check(c) for c in decision.checks if c.evidence is score.evidence],
    }


def _check(check: Check) -> dict[str, Any]:
    skipped = [f"skipped: {check.skipped_reason}"] if check.skipped_reason else []
    return {
        "id": line(check.id),
        "status": str(check.status),
        "mark": words.MARKS[check.status],
        "blocking": check.blocking,
        "sentence": line(check.sentence, 2000),
        "figures": line("; ".join([*words.figures(check), *skipped]), 2000),
    }


def _row(e: Any) -> tuple[str, ...]:
    return (
        line(e.evaluator),
        line(e.failure_mode),
        f"{e.passed_count}/{e.sample_count}",
        percent(e.pass_rate),
        words.interval(e.interval) if e.sample_count else "–",
        percent(e.threshold),
        line(words.result_word(e)),
    )


def _pictures(report: Report) -> list[dict[str, Any]]:
    from markupsafe import Markup  # noqa: PLC0415 - as above

    run, decision = report.run, report.decision
    titled = [
        (TITLES["rates"], rates_picture(decision.eval_results)),
        (TITLES["paired"], paired_picture(run, report.base)),
    ]
    titled += score_pictures(run, decision.eval_results)
    return [{"title": title, "svg": Markup(svg)} for title, svg in titled if svg]  # noqa: S704 - text in it is escaped


def _part(anchor: str, title: str, groups: list[dict[str, Any]], total: int) -> dict[str, Any]:
    shown = sum(len(g["cases"]) for g in groups)
    told = f"The first {shown} of {total}; the others stand in the JSON report." if total > shown else ""
    return {"anchor": anchor, "title": f"{title} ({total})" if total else title, "told": told, "groups": groups}


def _failing_groups(report: Report, limit: int) -> list[dict[str, Any]]:
    groups: list[dict[str, Any]] = []
    left = MOST_CASES
    for issue, mode, rows in report.groups:
        if left <= 0:
            break
        shown = rows[:left]
        left -= len(shown)
        name = line(f"{words.group_name(issue, mode)} ({len(rows)})")
        groups.append({"name": name, "cases": [_failing(report, f, limit) for f in shown]})
    return groups


def _watched_groups(report: Report, limit: int) -> list[dict[str, Any]]:
    shown = [_failing(report, f, limit) for f in report.decision.watched[:MOST_CASES]]
    return [{"name": "", "cases": shown}] if shown else []


def _low_groups(report: Report, limit: int) -> list[dict[str, Any]]:
    """Return the cases that passed with the lowest mean scores, where scores say more than yes and no."""
    told = {f.result.case_id for f in (*report.decision.failing, *report.decision.watched)}
    rest = [(m, r) for r in report.run.results if r.case_id not in told and (m := r.mean_score) is not None and m < 1]
    lowest = sorted(rest, key=lambda pair: (pair[0], pair[1].case_id))[:MOST_LOW]
    shown = [_case(report, r, r.first.scores, [f"mean score {m:.2f}"], limit) for m, r in lowest]
    return [{"name": "", "cases": shown}] if shown else []


def _failing(report: Report, f: Failing, limit: int) -> dict[str, Any]:
    tags = [f"regression{' (new)' if f.known is False else ''}"] if f.regression else []
    tags += ["known open issue"] if f.known else []
    tags += ["flaky"] if f.flaky else []
    case = _case(report, f.result, f.scores, tags, limit)
    return {**case, "is_regression": f.regression, "commands": [line(c) for c in back_commands(report, f)]}


def _case(report: Report, r: Result, scores: Sequence[Score], tags: list[str], limit: int) -> dict[str, Any]:
    shown = shown_attempt(r, scores)
    before, now = block(r.observed_output or "", limit), block(shown.output.text if shown.output else "", limit)
    chain = report.chains.get(r.case_id)
    linked = (
        ""
        if chain is None
        else (
            f"chain {chain.hash[:16]}: {count_of(len(chain.annotations), 'annotation')}, "
            f"{count_of(len(chain.spans), 'span')}"
        )
    )
    command = show_command(r)
    return {
        "id": line(r.case_id),
        "tags": tags,
        "is_regression": False,
        "why": line("; ".join(s.reason for s in scores), 240),
        "scores": [
            {"evaluator": line(s.evaluator), "score": _score(s), "reason": block(s.reason, limit)} for s in scores
        ],
        "attempts": _attempts(r, shown),
        "asked": block(r.input_text or "", limit),
        "before": before,
        "now": now,
        "differences": differences(before, now) if before and now else None,
        "expected": block(r.expected_output or "", limit),
        "tools": _tools(shown.output.tool_calls if shown.output else (), limit),
        "place": line(place(report, r.case_id)),
        "commands": [command] if command else [],
        "chain": linked,
    }


def _score(s: Score) -> str:
    """Return a score; of a judge that was asked several times each answer, too."""
    each = f" (asked {len(s.repeats)} times: {', '.join(f'{x:g}' for x in s.repeats[:10])})" if s.repeats else ""
    return f"{s.score:g}{each}"


def _attempts(r: Result, shown: Attempt) -> str:
    """Return what became of each attempt, where there are several."""
    if len(r.attempts) == 1:
        return ""
    words = {True: "passed", False: "failed", None: "no verdict"}
    each = ", ".join(f"{a.number} {words[a.passed]}" for a in r.attempts[:MOST_ATTEMPTS])
    return f"Attempts: {each}. Shown is attempt {shown.number}."


def _tools(calls: Sequence[Mapping[str, Any]], limit: int) -> str:
    lines = [_tool(call, limit) for call in calls[:MOST_TOOLS]]
    if len(calls) > MOST_TOOLS:
        lines.append(f"… {len(calls) - MOST_TOOLS} more calls")
    return block("\n".join(lines), limit)


def _tool(call: Mapping[str, Any], limit: int) -> str:
    told = {k: v for k, v in call.items() if k != "name"}
    return block(f"{call.get('name')} {json.dumps(told, ensure_ascii=False, default=str)}", limit)


def _sources(report: Report) -> Iterable[str]:
    s = report.sources
    named = (("run", s.run), ("dataset", s.dataset), ("baseline", s.baseline), ("chains", s.chains))
    return [line(f"{name} {found.path} sha256 {found.sha256}") for name, found in named if found is not None]
