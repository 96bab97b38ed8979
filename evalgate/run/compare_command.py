"""`evalgate compare`: two runs case by case, or all runs of a dataset."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from evalgate.dataset.store import DATASETS, list_names
from evalgate.errors import BadInput
from evalgate.figures import percent, points
from evalgate.options import Json  # noqa: TC001 - typer reads it at run time
from evalgate.run.compare import PAIRED, CaseChange, Change, Compared, compare, compared_json
from evalgate.run.history import MIN_CASES, Share, Step, history
from evalgate.run.show import TEXT_CHARS
from evalgate.run_files import LATEST, RUNS, load_run, run_before, runs_of
from evalgate.terminal import Terminal, count_of, one_line
from schema.fields import did_you_mean

if TYPE_CHECKING:
    from schema.run import Result

SHOWN = 10
"""Changed cases with their outputs; --all shows every one."""
DEFAULT_LAST = 20


def compare_runs(
    *,
    before: Annotated[
        str | None,
        typer.Argument(
            help="A run: its id or a .json file.  [default: the one before NOW of the same dataset]", show_default=False
        ),
    ] = None,
    now: Annotated[str, typer.Argument(help="A run: 'latest', its id or a .json file.")] = LATEST,
    across: Annotated[
        bool, typer.Option("--history", help="All runs of a dataset, each against the one before.")
    ] = False,
    dataset: Annotated[
        str | None,
        typer.Option("--dataset", "-d", help="With --history.  [default: that of the latest run]", show_default=False),
    ] = None,
    last: Annotated[int, typer.Option(min=1, help="With --history: no more than the last N runs.")] = DEFAULT_LAST,
    every: Annotated[bool, typer.Option("--all", help=f"Show every changed case, not the first {SHOWN}.")] = False,
    json: Json = False,
) -> None:
    """Show what improved and what regressed between two runs. It only informs and exits 0; evalgate gate decides."""
    terminal = Terminal()
    if across:
        _history(terminal, dataset, last, json=json)
        return
    if dataset is not None:
        raise BadInput("--dataset goes with --history; without it name the runs: evalgate compare BEFORE NOW")
    _, later = load_run(now)
    earlier = load_run(before)[1] if before is not None else run_before(later)
    compared = compare(earlier, later)
    if json:
        terminal.emit(compared_json(compared))
        return
    _print(terminal, compared, None if every else SHOWN)


def _history(terminal: Terminal, dataset: str | None, last: int, *, json: bool) -> None:
    name = dataset if dataset is not None else load_run()[1].dataset.name
    found = runs_of(name, last=last)
    if not found:
        hint = did_you_mean(name, list_names()) if list_names() else f" There are no datasets in {DATASETS}."
        raise BadInput(f"there is no run of {name!r} in {RUNS}.{hint}")
    steps = history(found)
    if json:
        terminal.emit({"dataset": name, "min_cases": MIN_CASES, "runs": [s.to_json() for s in steps]})
        return
    _print_history(terminal, name, steps)


def _print(terminal: Terminal, compared: Compared, limit: int | None) -> None:
    before, now = compared.before, compared.now
    terminal.say(f"before  {before.run_id}  {one_line(before.target)}")
    terminal.say(f"now     {now.run_id}  {one_line(now.target)}")
    if before.dataset.name != now.dataset.name:
        terminal.say(f"note: two datasets, {before.dataset.name} and {now.dataset.name}")
    elif before.dataset.version != now.dataset.version:
        terminal.say(f"note: the dataset changed in between ({before.dataset.version}, now {now.dataset.version})")
    if compared.evaluators_changed:
        names = ", ".join(map(one_line, compared.evaluators_changed))
        terminal.say(f"note: evaluators changed in between, so verdicts may differ for that: {names}")
    counted = compared.counts
    pairs = len(compared.of(*PAIRED))
    told = [f"{counted[Change.IMPROVED]} improved", f"{counted[Change.REGRESSED]} regressed"]
    told.append(f"{counted[Change.UNCHANGED]} unchanged")
    terminal.say(f"{count_of(pairs, 'case')} compared: {', '.join(told)}")
    if compared.pass_rates and compared.change_interval:
        was, is_ = compared.pass_rates
        low, high = compared.change_interval
        terminal.say(
            f"pass rate {percent(was)} to {percent(is_)}: {points(is_ - was)} "
            f"(95 % interval {points(low)} to {points(high)})"
        )
    if compared.mean_score_change is not None:
        terminal.say(f"mean score {points(compared.mean_score_change)}")
    aside = [
        f"{counted[change]} {words}"
        for change, words in (
            (Change.NEW, "new"),
            (Change.GONE, "gone"),
            (Change.REWORDED, "reworded"),
            (Change.NO_VERDICT, "without a verdict in one of the two"),
        )
        if counted[change]
    ]
    if aside:
        terminal.say(f"not compared: {', '.join(aside)}")
    if pairs == 0:
        terminal.say("no case is in both with a verdict, so nothing can be said")
    changed = [*compared.of(Change.REGRESSED), *compared.of(Change.IMPROVED)]
    for change in changed[:limit]:
        _print_case(terminal, change)
    if limit is not None and len(changed) > limit:
        terminal.say(f"\n{len(changed) - limit} more; show them: --all")
    gone = compared.of(Change.NO_VERDICT)
    for c in gone[:limit]:
        error = next((r.error for r in (c.now, c.before) if r is not None and r.error is not None), None)
        terminal.say(
            f"! {one_line(c.case_id)}  "
            + (f"{error.kind}: {one_line(error.message, 200)}" if error else "no evaluator")
        )


def _print_case(terminal: Terminal, c: CaseChange) -> None:
    assert c.before is not None  # noqa: S101 - whoever is paired is in both
    assert c.now is not None  # noqa: S101 - as above
    terminal.say()
    score = f"  score {_score(c.before)} to {_score(c.now)}"
    terminal.say(f"{c.change}  {one_line(c.case_id)}{score}  ({', '.join(map(one_line, c.evaluators))})")
    if c.now.input_text is not None:
        terminal.say(f"    asked   {one_line(c.now.input_text, TEXT_CHARS)}")
    terminal.say(f"    before  {one_line(c.before.output or '', TEXT_CHARS)}")
    terminal.say(f"    now     {one_line(c.now.output or '', TEXT_CHARS)}")
    failing, word = (c.now, "why") if c.change is Change.REGRESSED else (c.before, "was")
    for evaluator, reason in dict.fromkeys((s.evaluator, s.reason) for s in failing.scores if not s.passed):
        terminal.say(f"    {word:<6}  {one_line(evaluator)}: {one_line(reason, 300)}")


def _score(r: Result) -> str:
    return "–" if r.mean_score is None else f"{r.mean_score:.2f}"


def _print_history(terminal: Terminal, name: str, steps: tuple[Step, ...]) -> None:
    terminal.say(f"{name}: {count_of(len(steps), 'run')}, the oldest first")
    terminal.table(
        ("run", "began", "passed", "improvement", "regressions", "poor / weak / fair / good", "errors", "target"),
        [
            (
                s.run.run_id,
                s.run.started_at[:16].replace("T", " "),
                _part(s.passed),
                _part(s.improved) + (" *" if s.evaluators_changed else "") if s.improved else "–",
                f"{s.regressions.count} of {s.regressions.total}" if s.regressions else "–",
                " / ".join(str(share.count) for _, share in s.grades),
                str(s.errors),
                s.run.target,
            )
            for s in steps
        ],
    )
    if any(s.evaluators_changed for s in steps):
        terminal.say("* evaluators changed since the run before: what differs may be the ruler")
    newest = steps[-1]
    if newest.improved and newest.improved.interval:
        low, high = newest.improved.interval
        terminal.say(
            f"improvement rate of the last run: {newest.improved.count} of {newest.improved.total} regression cases "
            f"pass that did not before (95 % interval {percent(low)} to {percent(high)})"
        )
    passing = newest.failures_passing
    if passing.interval:
        low, high = passing.interval
        terminal.say(
            f"regression cases that pass now: {passing.count} of {passing.total} "
            f"(95 % interval {percent(low)} to {percent(high)})"
        )
    if not newest.passed.is_enough:
        terminal.say(f"insufficient data: the last run has fewer than {MIN_CASES} cases with a verdict")


def _part(share: Share) -> str:
    if share.rate is None:
        return "–"
    return f"{share.count}/{share.total}" + (f" {percent(share.rate)}" if share.is_enough else "")
