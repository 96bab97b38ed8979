"""What the gate prints: for people, for programs, for a step summary, as annotations.

The verdict is the first and the last line. Case content is data: it stays on its line behind a mark of ours, so it
can neither act on a terminal nor speak to a CI runner.
"""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from evalgate.gate.decide import Role, Status, percent, weighted_words
from evalgate.terminal import count_of, one_line
from schema.run import weighted_json

if TYPE_CHECKING:
    from collections.abc import Iterable

    from evalgate.gate.decide import Decision, EvalResult, Failing
    from evalgate.terminal import Terminal
    from schema.run import Result, Run

SCHEMA = "evalgate/gate/1"
MAX_ANNOTATIONS = 10
"""GitHub shows ten error annotations per step."""
INPUT_CHARS = 160
MARKUP = frozenset("\\`*_{}[]()+!|@~")

WORDS = {Status.PASS: "GATE PASSED", Status.FAIL: "GATE FAILED", Status.ERROR: "GATE ERROR"}
STYLES = {Status.PASS: "bold green", Status.FAIL: "bold red", Status.ERROR: "bold yellow"}


def verdict_line(decision: Decision) -> str:
    """Return the line that stands first and last."""
    return f"{WORDS[decision.status]}: {one_line(decision.sentence)}"


def show_command(result: Result) -> str | None:
    """Return the command that shows where a case came from, None for a case without a trace."""
    trace = result.provenance.trace_id
    return f"evalgate traces show {one_line(trace)[:16]}" if trace else None


def print_report(
    terminal: Terminal, run: Run, decision: Decision, notes: Iterable[str], commands: Iterable[str] = ()
) -> None:
    """Print the whole report for people; `commands` are for a CI runner that reads along."""
    style = STYLES[decision.status]
    terminal.say(verdict_line(decision), style=style)
    terminal.say()
    terminal.say(f"dataset  {run.dataset.name}, version {run.dataset.version}, {count_of(len(run.results), 'case')}")
    terminal.say(f"run      {run.run_id}, target {one_line(run.target)}")
    if rate := decision.case_interval:
        terminal.say(
            f"cases    {decision.passed_cases} of {decision.judged_cases} passed: {percent(decision.case_pass_rate)} "
            f"(95 % interval {percent(rate[0])} to {percent(rate[1])})"
        )
    if words := weighted_words(decision.weighted):
        terminal.say(f"weighted {words}")
    for line in comparison_lines(decision):
        terminal.say(f"baseline {line}")
    if decision.eval_results:
        terminal.say()
        terminal.table(
            ("evaluator", "failure mode", "passed", "pass rate", "needs", "result"),
            [_row(e) for e in decision.eval_results],
        )
    _print_failing(terminal, "Failing cases", decision.failing)
    _print_failing(terminal, "Watched only (these do not block)", decision.watched)
    if decision.errors:
        terminal.say(f"\nCases without a verdict because something broke ({len(decision.errors)})")
        for r in decision.errors:
            if r.error:
                terminal.say(f"! {one_line(r.case_id)}  {r.error.kind}: {defused(r.error.message)}")
    remarks = [*unscored_notes(decision), *notes]
    if remarks:
        terminal.say()
    for note in remarks:
        terminal.say(f"note: {one_line(note)}")
    terminal.say()
    for command in commands:
        terminal.say(command)
    terminal.say(verdict_line(decision), style=style)


def comparison_lines(decision: Decision) -> list[str]:
    """Return what is to be said of the baseline."""
    c = decision.comparison
    if c is None:
        return ["none for this dataset: thresholds only. Accept this run: evalgate gate --write-baseline"]
    compared = f"{count_of(c.compared, 'case')} compared"
    lines = [f"run {c.baseline_run_id}: {compared}, {len(c.regressions)} broken, {len(c.repaired)} repaired"]
    if c.discordant == 0:
        lines.append("no verdict changed")
    elif c.inconclusive:
        lines.append(
            f"inconclusive as statistics: {count_of(c.discordant, 'changed verdict')}, an exact test needs 5; "
            "a broken case fails the gate all the same"
        )
    else:
        lines.append(f"exact McNemar test, one-sided: p = {c.p_value:.3g} for so many broken cases by chance")
    if not c.same_version:
        lines.append(f"the dataset has changed since: {c.new} new, {c.changed} reworded; those were not compared")
    if c.evaluators_changed:
        lines.append(f"evaluators changed since: {', '.join(map(one_line, c.evaluators_changed))}")
    if c.disappeared:
        names = ", ".join(map(one_line, c.disappeared))
        lines.append(f"no verdict any more: {names}. Meant so? Accept it: evalgate gate --write-baseline")
    return lines


def unscored_notes(decision: Decision) -> list[str]:
    """Return a note on cases that no evaluator judges."""
    if not decision.unscored:
        return []
    modes = sorted({r.failure_mode or "(none)" for r in decision.unscored})
    names = ", ".join(modes)
    cases = count_of(len(decision.unscored), "case")
    return [f"{cases} without an evaluator (failure modes: {names}): neither passed nor failed"]


def defused(text: str, limit: int | None = None) -> str:
    """Return text on one line that a GitHub runner does not take for a command."""
    return one_line(text, limit).replace("##[", "## [").replace("::", ": :")


def report_json(run: Run, run_path: str, decision: Decision, notes: Iterable[str]) -> dict[str, Any]:
    """Return the payload for programs."""
    c = decision.comparison
    return {
        "schema": SCHEMA,
        "status": decision.status,
        "exit_code": decision.exit_code,
        "deployment_blocked": decision.status is not Status.PASS,
        "blocking_reason": None if decision.status is Status.PASS else decision.sentence,
        "run": {"run_id": run.run_id, "path": run_path, "target": run.target},
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
        },
        "eval_results": [_eval_json(e) for e in decision.eval_results],
        "failing_cases": [_failing_json(f) for f in decision.failing],
        "watched_cases": [_failing_json(f) for f in decision.watched],
        "errors": [{"case_id": r.case_id, **asdict(r.error)} for r in decision.errors if r.error],
        "unscored_cases": [r.case_id for r in decision.unscored],
        "comparison": None
        if c is None
        else {
            "baseline_run_id": c.baseline_run_id,
            "same_dataset_version": c.same_version,
            "compared": c.compared,
            "regressions": list(c.regressions),
            "repaired": list(c.repaired),
            "disappeared": list(c.disappeared),
            "new_cases": c.new,
            "changed_cases": c.changed,
            "evaluators_changed": list(c.evaluators_changed),
            "mcnemar_p": c.p_value,
            "inconclusive": c.inconclusive,
        },
        "notes": [*unscored_notes(decision), *notes],
    }


def workflow_commands(run: Run, decision: Decision) -> list[str]:
    """Return workflow commands: one for the verdict, then the failing cases, ten in all.

    Source: https://docs.github.com/actions/reference/workflow-commands-for-github-actions
    """
    if decision.status is Status.PASS:
        return []
    lines = [_annotation("evalgate gate", verdict_line(decision), run.dataset.path)]
    for f in decision.failing[: MAX_ANNOTATIONS - 1]:
        reason = "; ".join(s.reason for s in f.scores)
        kind = "regression: " if f.regression else ""
        where = f" ({command})" if (command := show_command(f.result)) else ""
        title = f"{f.result.case_id} {f.result.failure_mode or ''}".strip()
        lines.append(_annotation(title, f"{kind}{reason}{where}", run.dataset.path))
    return lines


def summary_markdown(run: Run, decision: Decision) -> str:
    """Return the step summary; every text that is not ours stands in code marks or is escaped."""
    mark = {Status.PASS: "✅", Status.FAIL: "❌", Status.ERROR: "⚠️"}[decision.status]
    lines = [
        f"## {mark} {WORDS[decision.status]}",
        "",
        _escaped(decision.sentence),
        "",
        f"Dataset {_code(run.dataset.name)} version {_code(run.dataset.version)}, run {_code(run.run_id)}.",
        *([f"Weighted: {_escaped(words)}."] if (words := weighted_words(decision.weighted)) else []),
        *(f"Baseline: {_escaped(line)}." for line in comparison_lines(decision)[:2]),
        "",
        "| evaluator | failure mode | passed | pass rate | needs | result |",
        "|---|---|---|---|---|---|",
        *("| " + " | ".join(_escaped(c) for c in _row(e)) + " |" for e in decision.eval_results),
    ]
    if decision.failing:
        lines += ["", "| failing case | failure mode | why | trace |", "|---|---|---|---|"]
    for f in decision.failing:
        why = "; ".join(s.reason for s in f.scores) + (" (regression)" if f.regression else "")
        command = show_command(f.result)
        cells = (_code(f.result.case_id), _code(f.result.failure_mode or "–"), _escaped(why), _code(command or "–"))
        lines.append("| " + " | ".join(cells) + " |")
    if decision.errors:
        lines += ["", "| case without a verdict | what broke |", "|---|---|"]
        lines += [f"| {_code(r.case_id)} | {_escaped(r.error.message)} |" for r in decision.errors if r.error]
    return "\n".join(lines) + "\n"


def _print_failing(terminal: Terminal, title: str, failing: Iterable[Failing]) -> None:
    items = list(failing)
    if not items:
        return
    terminal.say(f"\n{title} ({len(items)})")
    for f in items:
        mode = f"  {one_line(f.result.failure_mode)}" if f.result.failure_mode else ""
        terminal.say(f"✗ {one_line(f.result.case_id)}{mode}{'  REGRESSION: it passed before' if f.regression else ''}")
        for s in f.scores:
            terminal.say(f"    why    {s.evaluator}: {defused(s.reason)}")
        if f.result.input_text:
            terminal.say(f"    asked  {defused(f.result.input_text, INPUT_CHARS)}")
        if trace := f.result.provenance.trace_id:
            terminal.say(f"    from   trace {one_line(trace)}, see: {show_command(f.result)}")


def _row(e: EvalResult) -> tuple[str, ...]:
    if e.skipped == "low_mcc":
        result = f"skipped: low_mcc ({e.mcc_score:g})"
    elif e.skipped:
        result = "skipped: no_cases"
    else:
        result = ("passed" if e.passed else "FAILED") + (" (watched only)" if e.role is Role.MONITOR else "")
    return (
        e.evaluator,
        e.failure_mode,
        f"{e.passed_count}/{e.sample_count}",
        percent(e.pass_rate),
        percent(e.threshold),
        result,
    )


def _eval_json(e: EvalResult) -> dict[str, Any]:
    common = {"evaluator": e.evaluator, "failure_mode": e.failure_mode, "role": e.role, "mcc_score": e.mcc_score}
    if e.skipped:
        return {**common, "skipped": True, "reason": e.skipped, "sample_count": e.sample_count}
    return {
        **common,
        "pass_rate": e.pass_rate,
        "pass_rate_interval_95": e.interval,
        "passed": e.passed,
        "threshold": e.threshold,
        "sample_count": e.sample_count,
    }


def _failing_json(f: Failing) -> dict[str, Any]:
    return {
        "case_id": f.result.case_id,
        "failure_mode": f.result.failure_mode,
        "regression": f.regression,
        "reasons": [{"evaluator": s.evaluator, "reason": s.reason} for s in f.scores],
        "trace_id": f.result.provenance.trace_id,
        "show": show_command(f.result),
    }


def _annotation(title: str, message: str, file: str) -> str:
    def prop(text: str) -> str:
        return _data(text).replace(":", "%3A").replace(",", "%2C")

    return f"::error file={prop(file)},title={prop(title)}::{_data(message)}"


def _data(text: str) -> str:
    return defused(text).replace("%", "%25")


def _escaped(text: str) -> str:
    """Return text that Markdown and HTML leave alone."""
    line = one_line(text).replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    return "".join(f"&#{ord(c)};" if c in MARKUP else c for c in line)


def _code(text: str) -> str:
    return "`" + one_line(text).replace("`", "'").replace("|", "\\|") + "`"
