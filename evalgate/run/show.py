"""What `evalgate run` prints of a run."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any

from evalgate.figures import percent
from evalgate.terminal import count_of, one_line
from schema.evaluator import EvalType
from schema.run import summarise
from schema.statistics import weighted_share

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from evalgate.run.suite import Suite
    from evalgate.terminal import Terminal
    from schema.run import Result, Run

LOW_SCORERS = 5
LISTED = 10
"""Of errors and of lines set aside; the rest is counted."""
TEXT_CHARS = 160
BARS = " ▁▂▃▄▅▆▇█"


def print_run(terminal: Terminal, run: Run, suite: Suite) -> None:
    """Print a run: counts, errors, evaluators, scores, the worst cases."""
    summary = summarise(run)
    terminal.say(f"{run.dataset.name} version {run.dataset.version}: {counts(summary)}")
    if words := _weighted(run):
        terminal.say(f"weighted: {words}")
    _print_set_aside(terminal, run)
    _print_errors(terminal, run.results)
    passed = {e.evaluator: e for e in suite.eval_results}
    rows = []
    for used in run.evaluators:
        of, said = summary["evaluators"][used.id], passed[used.id]
        result = f"skipped: {said.skipped}" if said.skipped else "passed" if said.passed else "failed"
        watched = "" if said.skipped or said.permission == "block" else ", watched"
        mean = "–" if of["mean_score"] is None else f"{of['mean_score']:.2f}"
        rows.append(
            (
                used.id,
                used.failure_mode,
                f"{of['passed']}/{of['scored']}",
                percent(of["pass_rate"]),
                mean,
                percent(said.threshold),
                result + watched,
            )
        )
    terminal.table(("evaluator", "failure mode", "passed", "pass rate", "score", "needs", "result"), rows)
    if picture := histogram_line(summary["score_histogram"]):
        terminal.say(f"scores: {picture}, mean {summary['mean_score']:.2f}")
    _print_low(terminal, run.results)
    if noted := [r for r in run.results if any(a.notes for a in r.attempts)]:
        first = next(n for a in noted[0].attempts for n in a.notes)
        terminal.say(f"notes on {count_of(len(noted), 'case')} in the run file, the first: {one_line(first, 200)}")
    if words := spent(run, summary):
        terminal.say(words)


def counts(summary: dict[str, Any]) -> str:
    """Return how many cases passed, failed, broke, in words."""
    words = [
        count_of(summary["total"], "case"),
        f"{summary['passed']} passed",
        f"{summary['failed']} failed",
        count_of(summary["errors"], "error"),
    ]
    if summary["unscored"]:
        words.append(f"{summary['unscored']} without an evaluator")
    if summary["flaky"]:
        words.append(f"{summary['flaky']} flaky")
    if summary["set_aside"]:
        words.append(f"{summary['set_aside']} set aside")
    return ", ".join(words)


def histogram_line(counted: Sequence[int]) -> str | None:
    """Return the distribution of scores as a small picture: 0 ▂     ▁▇ 1; None where there is none."""
    most = max(counted, default=0)
    if most == 0:
        return None
    # any case at all shows: -(-a // b) rounds up
    bars = "".join(BARS[-(-(len(BARS) - 1) * n // most)] for n in counted)
    return f"0 {bars} 1"


def low_scorers(results: Iterable[Result], limit: int | None = LOW_SCORERS) -> list[Result]:
    """Return the failing cases, those with the lowest scores first."""
    failed = [r for r in results if r.passed is False]
    return sorted(failed, key=lambda r: (r.mean_score or 0.0, r.case_id))[:limit]


def spent(run: Run, summary: dict[str, Any]) -> str | None:
    """Return what the run took, in words."""
    words = []
    took = summary["duration_ms"]
    if took["median"] is not None:
        words.append(f"an answer took {seconds(took['median'])} (95 % within {seconds(took['p95'])})")
    if cached := summary["attempts"]["cached"]:
        words.append(f"{cached} from the cache")
    attempts = [a for r in run.results for a in r.attempts]
    judges = {e.id for e in run.evaluators if e.eval_type is EvalType.LLM_JUDGE}
    scores = [s for a in attempts for s in a.scores if s.evaluator in judges and not s.cached]
    outputs = [a.output for a in attempts if a.output is not None and not a.cached]
    if run.cost_usd is not None:  # else it is no model of ours to ask, and costs what it costs
        words += _price("target", run.cost_usd, sum(o.cost_usd is None for o in outputs))
    words += _price("judges", run.judge_cost_usd, sum(s.cost_usd is None for s in scores))
    return ", ".join(words) or None


def _price(name: str, cost_usd: float | None, unknown: int) -> list[str]:
    """Return what one side cost; what nobody knows is no 0, and only said where answers were asked for."""
    known = [f"${cost_usd:.4f}"] if cost_usd is not None and (cost_usd > 0 or not unknown) else []
    told = [*known, f"unknown for {count_of(unknown, 'answer')}"] if unknown else known
    return [f"{name} {' and '.join(told)}"] if told else []


def seconds(ms: float) -> str:
    """Return a time as people read it."""
    return f"{ms:.0f} ms" if ms < 1000 else f"{ms / 1000:.1f} s"


def _print_set_aside(terminal: Terminal, run: Run) -> None:
    for aside in run.set_aside[:LISTED]:
        name = f" ({aside.case_id})" if aside.case_id else ""
        terminal.say(f"set aside: {run.dataset.path} line {aside.line}{one_line(name)}: {one_line(aside.reason)}")
    if (more := len(run.set_aside) - LISTED) > 0:
        terminal.say(f"set aside: {more} more")


def _print_errors(terminal: Terminal, results: Sequence[Result]) -> None:
    broken = [(r, r.error) for r in results if r.error is not None]
    for r, error in broken[:LISTED]:
        terminal.say(f"! {one_line(r.case_id)}  {error.kind}: {one_line(error.message)}")
    if (more := len(broken) - LISTED) > 0:
        terminal.say(f"! {more} more")


def _print_low(terminal: Terminal, results: Sequence[Result]) -> None:
    low = low_scorers(results, None)
    if not low:
        return
    terminal.say()
    shown = low[:LOW_SCORERS]
    terminal.say(f"lowest scores ({len(shown)} of {count_of(len(low), 'failing case')})")
    for r in shown:
        terminal.say(f"- {one_line(r.case_id)}  {r.mean_score or 0.0:.2f}" + ("  flaky" if r.flaky else ""))
        reasons = Counter((s.evaluator, s.reason) for s in r.scores if not s.passed)
        for (evaluator, reason), times in reasons.items():
            often = f" ({times} of {count_of(len(r.attempts), 'attempt')})" if len(r.attempts) > 1 else ""
            terminal.say(f"    {one_line(evaluator)}{often}: {one_line(reason, 300)}")
        for note in dict.fromkeys(n for a in r.attempts for n in a.notes):
            terminal.say(f"    note: {one_line(note, 300)}")
        for name, text in (("asked", r.input_text), ("production", r.observed_output), ("now", r.output)):
            if text is not None:
                terminal.say(f"    {name:<10}  {one_line(text, TEXT_CHARS)}")
    terminal.say()


def _weighted(run: Run) -> str | None:
    share = weighted_share([(v, r.provenance.sample_weight) for r in run.results if (v := r.passed) is not None])
    if share is None or share.equal:
        return None
    told = "insufficient data" if share.rate is None else percent(share.rate)
    return (
        f"{told} (95 % interval {percent(share.low)} to {percent(share.high)}), each case by what its trace stands "
        f"for; effective n {share.effective_n:.3g}. A rate of production is evalgate stats"
    )
