"""What a person sees of estimates: lines of words, a line for each rate with its bar and whiskers."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final

from evalgate.stats.numbers import amount, count, share
from evalgate.stats.picture import WIDTH, axis, axis_end, said, whisker
from evalgate.terminal import count_of, one_line

if TYPE_CHECKING:
    from collections.abc import Sequence

    from evalgate.stats.figure import Figure
    from evalgate.stats.rare import Traffic, Yield
    from evalgate.stats.report import Labels, Mean, Population
    from evalgate.terminal import Terminal

NAME_CHARS: Final = 32
SOME: Final = 6
LEAST_WIDTH: Final = 12
"""Cells of the narrowest bar."""
UNITS: Final = {"cost_usd": ("cost", "$"), "duration_ms": ("duration", "ms")}


def print_population(terminal: Terminal, p: Population) -> None:
    """Say how many traces there were, how many are stored, and what that means for the figures."""
    if p.exact:
        terminal.say(f"traces    {p.stored:,}, every one of them stored: shares of this window are exact")
    else:
        terminal.say(f"traces    about {count(p.traces)} ({count(p.low)} to {count(p.high)}), {p.stored:,} stored")
    terminal.say(f"failing   {p.failing:,} stored")
    terminal.say(f"from      {_minute(p.first_unix_s)} to {_minute(p.last_unix_s)} UTC")
    for note in population_notes(p):
        terminal.say(f"note      {note}")


def population_notes(p: Population) -> list[str]:
    """Return what is to be known of how the traces were kept."""
    notes = []
    if p.thinned:
        rest = p.stored - p.thinned
        whole = f"; the other {rest:,} are of a time of which everything is stored" if rest else ""
        notes.append(
            f"{p.thinned:,} traces stand for {count(p.thinned_for)} of a time of which only failing and "
            f"sampled ones are left{whole}"
        )
        notes.append(
            f"failures that came when the others were gone are seen in the sample only: {p.late:,} seen, up to "
            f"{share(p.late_unseen)} of all traces may have failed so unseen"
        )
    if p.arrival_rate < 1:
        notes.append(
            f"samplers before us let through {share(p.arrival_rate)} at the least; figures count the rest, too"
        )
    if p.leans_on_one:
        notes.append(
            f"one trace alone stands for {count(p.heaviest_weight)} of about {count(p.traces)}, and figures lean on "
            f"it. Without it: --where 'trace_id != {p.heaviest_trace_id}'"
        )
    if p.apart:
        notes.append(
            f"{count_of(p.apart, 'trace')} kept for a person, not by chance, stand for nothing and do not count"
        )
    if p.rate_0:
        notes.append(
            f"{count_of(p.rate_0, 'failing trace')} of a time of which others of their kind were not sampled (rate 0) "
            "do not count: give them a baseline_rate"
        )
    return notes


def print_figures(terminal: Terminal, title: str, figures: Sequence[Figure]) -> None:
    """Print a line for each rate, under one axis."""
    if not figures:
        return
    names = [_name(f.name) for f in figures]
    told = [said(f) for f in figures]
    resting = [f"{f.events:,} of {f.traces:,}" for f in figures]
    effective = [count(f.effective_n) for f in figures]
    heads = (title, "rate", "95 % interval", "seen", "effective n")
    columns = [names, [t[0] for t in told], [t[1] for t in told], resting, effective]
    widths = [max(len(head), *map(len, column)) for head, column in zip(heads, columns, strict=True)]
    width = _bar_width(terminal, sum(widths) + 2 * len(widths))
    end = axis_end(figures)
    terminal.say()
    terminal.say(f"{_line(heads, widths)}  {axis(end, width)}", style="bold")
    for i, figure in enumerate(figures):
        terminal.say(f"{_line([column[i] for column in columns], widths)}  {whisker(figure, end, width)}".rstrip())
    lacking: dict[str, list[str]] = {}
    for figure in figures:
        if figure.why:
            lacking.setdefault(figure.why, []).append(_name(figure.name).strip())
    for why, whose in lacking.items():
        more = f" and {len(whose) - SOME} more" if len(whose) > SOME else ""
        terminal.say(f"  insufficient: {why} ({', '.join(whose[:SOME])}{more})")


def print_means(terminal: Terminal, means: Sequence[Mean]) -> None:
    """Print a line for each mean."""
    if not means:
        return
    terminal.say()
    for m in means:
        name, unit = UNITS[m.name]
        text, low, high = (
            f"{unit}{amount(x)}" if unit == "$" else f"{amount(x)} {unit}" for x in (m.mean, m.low, m.high)
        )
        few = "; few traces, and means of long tails need many" if m.effective_n < 100 else ""
        terminal.say(f"{name} of a trace, mean  {text} ({low} to {high}){few}")


def print_labels(terminal: Terminal, labels: Labels, population: Population, sampled: int) -> None:
    """Print the rates of failure modes."""
    if labels.failing + labels.others + labels.unsampled == 0:
        terminal.say()
        terminal.say("No trace of this window is labelled, so nothing is known of failure modes: evalgate label")
        return
    print_figures(terminal, "labelled failure modes", [*labels.modes, *([labels.bad] if labels.bad else [])])
    terminal.say(
        f"  of {population.failing:,} failing traces {labels.failing:,} are labelled, of {sampled:,} sampled others "
        f"{labels.others:,}; which ones is taken to be chance"
    )
    if labels.unsampled:
        terminal.say(f"  {count_of(labels.unsampled, 'labelled trace')} neither failing nor sampled: not counted")


def print_modes(terminal: Terminal, yields: Sequence[Yield], traffic: Traffic, enough: float) -> None:
    """Print for each mode how many examples of it there are and are seen a week, and what it takes to have enough."""
    t = traffic
    terminal.say(
        f"{count(t.traces_per_week)} traces a week, {count(t.flagged_per_week)} of them flagged: all of "
        f"{count(t.failing_per_week)} that fail and {share(t.rate)} of the others; {share(t.labelled)} are labelled"
    )
    terminal.say()
    terminal.table(
        ("mode", "kind", "rate", "95 % interval", "a week", "flagged", f"for {enough:g} a week"),
        [
            (
                y.mode.name,
                y.mode.kind,
                *(("asked for", "") if y.mode.figure is None else said(y.mode.figure)),
                "" if y.there is None else count(y.there),
                "" if y.flagged is None else count(y.flagged),
                y.advice,
            )
            for y in yields
        ],
    )


def _bar_width(terminal: Terminal, used: int) -> int:
    if not terminal.is_rich:
        return WIDTH
    from rich.console import Console  # noqa: PLC0415 - rich costs 0.1 s and is needed on terminals only

    return max(LEAST_WIDTH, min(WIDTH, Console(file=terminal.out).width - used - 1))


def _line(cells: Sequence[str], widths: Sequence[int]) -> str:
    """Return cells in columns; numbers stand at the right."""
    first = cells[0].ljust(widths[0])
    return "  ".join([first, *(c.rjust(w) for c, w in zip(cells[1:], widths[1:], strict=True))])


def _name(name: str) -> str:
    """Return a name as it is shown; reasons stand under what fails."""
    if name.startswith("reason:"):
        return "  " + one_line(name.removeprefix("reason:"), NAME_CHARS)
    return one_line(name.replace("thumbs_down", "thumbs down"), NAME_CHARS) or "(none)"


def _minute(unix_s: int) -> str:
    return f"{datetime.fromtimestamp(unix_s, UTC):%Y-%m-%d %H:%M}"
