"""Yield for people and for machines."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from evalgate.figures import percent
from evalgate.layout import Fit
from evalgate.queue.reweight import diff
from evalgate.terminal import count_of

if TYPE_CHECKING:
    from evalgate.queue.reweight import Reweighted
    from evalgate.queue.yields import Rate, Yield
    from evalgate.terminal import Terminal


def print_yield(terminal: Terminal, found: Yield, *, more: bool = True) -> None:
    """Print what reviewing came to; `more`: and what to ask next."""
    if not found.of_all.reviewed:
        terminal.say("Nothing is reviewed yet: no item is done. Review some: evalgate label --queue NAME")
        return
    terminal.say(f"reviewed  {count_of(found.of_all.reviewed, 'trace')}: {_rate_words(found.of_all)}")
    terminal.say(f"priority  {found.of_priority.reviewed} of them: {_rate_words(found.of_priority)}")
    if found.of_random.reviewed:
        terminal.say(f"random    {found.of_random.reviewed} of them: {_rate_words(found.of_random)}, of all traffic")
    else:
        terminal.say("random    none of them, so nothing is known of what nobody looks at (--random)")
    if found.lift is not None:
        high = f" to {found.lift_high:.1f}" if found.lift_high is not None else " or more"
        terminal.say(f"lift      {found.lift:.1f} times what random review finds ({found.lift_low:.1f}{high})")
    if found.failures is not None and found.candidates is not None:
        between = f"{_whole(found.failures_low)} to {_whole(found.failures_high)}"
        if found.of_random.bad:
            terminal.say(f"failures  about {found.failures:.0f} among {found.candidates:.0f} traces ({between})")
        else:
            seen = "none of the random ones is bad: review more of them to know more"
            terminal.say(f"failures  {between} among {found.candidates:.0f} traces; {seen}")
    if found.recall_low is not None and found.recall_high is not None:
        said = f"{percent(found.recall)} of them " if found.of_random.bad else ""
        spread = f"{percent(found.recall_low)} to {percent(found.recall_high)}"
        terminal.say(f"found     {f'{said}({spread})' if said else f'{spread} of them'}")
    if found.signals:
        cells = [
            (
                s.signal,
                str(s.of.reviewed),
                str(s.of.bad),
                str(s.of.partial) if s.of.partial else "",
                percent(s.of.rate),
                f"{percent(s.of.low)} to {percent(s.of.high)}",
                f"{s.lift:.1f}" if s.lift is not None else "",
            )
            for s in found.signals
        ]
        header = ("signal", "reviewed", "bad", "partial", "yield", "95 %", "times random")
        terminal.table(header, cells, fits=dict.fromkeys(header[1:], Fit.WHOLE))
    if more:
        terminal.say("next: evalgate queue yield --reweight")


def print_reweighted(
    terminal: Terminal, proposed: Reweighted, before: str, after: str, name: str, *, is_written: bool
) -> None:
    """Print a proposal of points as a diff of the file."""
    if proposed.why_not:
        terminal.say(f"No points are proposed: {proposed.why_not}.")
        return
    if all(c.before == c.after for c in proposed.changes):
        terminal.say(f"The points of {name} are what {count_of(proposed.reviewed, 'reviewed item')} speak for.")
        return
    cells = [
        (c.signal, f"{c.before:g}", f"{c.after:g}", str(c.items), str(c.bad), f"{c.raises:+.1f}")
        for c in proposed.changes
        if c.before != c.after
    ]
    terminal.table(("signal", "points", "proposed", "reviewed", "bad", "log-odds"), cells)
    for line in diff(before, after, name):
        terminal.say(line)
    if before != after:
        terminal.say(f"{name} is written" if is_written else "next: evalgate queue yield --reweight --write")


def yield_json(found: Yield) -> dict[str, Any]:
    """Return what reviewing came to as JSON; without the single items."""
    document = asdict(found)
    document.pop("looked")
    return {**document, "own_points": sorted(found.own_points)}


def reweighted_json(proposed: Reweighted) -> dict[str, Any]:
    """Return a proposal as JSON."""
    return {
        "weights": proposed.weights.model_dump(),
        "changes": [asdict(c) for c in proposed.changes],
        "reviewed": proposed.reviewed,
        "why_not": proposed.why_not or None,
    }


def _rate_words(rate: Rate) -> str:
    partial = f", {rate.partial} partial" if rate.partial else ""
    return f"{rate.bad} bad{partial}; {percent(rate.rate)} ({percent(rate.low)} to {percent(rate.high)})"


def _whole(number: float | None) -> str:
    return "?" if number is None else f"{number:.0f}"
