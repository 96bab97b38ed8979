"""Queues for people and for machines."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Any, Final

from evalgate.figures import percent
from evalgate.layout import Fit
from evalgate.queue.definition import rule_words
from evalgate.queue.items import ItemState
from evalgate.terminal import count_of, one_line

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from evalgate.queue.definition import Queue
    from evalgate.queue.fill import Filled
    from evalgate.queue.items import Item
    from evalgate.queue.progress import Progress
    from evalgate.queue.store import Change
    from evalgate.terminal import Terminal

SHORT_ID: Final = 16
LEAST_SHOWN: Final = 0.5
"""Points of a part that a list names; one item and JSON have all."""
STATES: Final[Mapping[ItemState, str]] = {ItemState.IN_REVIEW: "in review"}


def queue_json(queue: Queue) -> dict[str, Any]:
    """Return the definition as JSON."""
    return {**asdict(queue), "rules": [{"where": list(r.where), "reviewer": r.reviewer} for r in queue.rules]}


def item_json(item: Item) -> dict[str, Any]:
    """Return an item as JSON."""
    entry = item.entry
    return {
        "queue": item.queue,
        "trace_id": item.trace_id,
        "state": str(item.state),
        "score": round(item.score, 3),
        "parts": [
            {"signal": name, "points": points, "words": item.words.get(name, "")} for name, points in item.parts.items()
        ],
        "is_random": item.is_random,
        "inclusion_probability": entry.inclusion_probability if entry and item.is_random else None,
        "assigned_to": item.assigned_to,
        "reserved_by": item.reserved_by,
        "reserved_until": item.reserved_until and item.reserved_until.isoformat(),
        "labelled_by": list(item.labelled_by),
        "is_disputed": item.is_disputed,
        "verdict": item.verdict or None,
        "failure_mode": item.failure_mode or None,
        "added_at": item.added_at.isoformat(),
    }


def print_queues(terminal: Terminal, rows: Iterable[tuple[Queue, Progress]]) -> None:
    """Print a table of queues."""
    cells = [
        (
            q.name,
            "open" if q.is_open else "closed",
            str(p.open),
            str(p.done),
            str(p.this_week),
            str(q.reviewers),
            "; ".join(filter_words(q)) or "all traces",
        )
        for q, p in rows
    ]
    fits = {"filters": Fit.WORDS, "state": Fit.WHOLE}
    terminal.table(("queue", "state", "to do", "done", "labels in 7 days", "reviewers", "filters"), cells, fits=fits)


def filter_words(queue: Queue) -> list[str]:
    """Return what narrows a queue, in words."""
    words = list(queue.where)
    if queue.signals:
        words.append(f"signal {' or '.join(queue.signals)}")
    if queue.issues:
        words.append(f"like issue {' or '.join(map(str, queue.issues))}")
    if queue.clusters:
        words.append(f"in cluster {' or '.join(map(str, queue.clusters))}")
    if queue.text:
        words.append(f"text ~ {queue.text}")
    return words


def print_queue(terminal: Terminal, queue: Queue, progress: Progress, changes: Sequence[Change]) -> None:
    """Print one queue: what it is, how far it is, who changed it."""
    terminal.say(f"queue {queue.name}{'' if queue.is_open else ' (closed)'}", style="bold")
    lines = {
        "filters": "; ".join(filter_words(queue)) or "all traces",
        "size": f"{queue.size} wait at most, {percent(queue.random_share)} drawn at random",
        "reviewers": _reviewer_words(queue),
        "reserved": f"for {queue.reserve_s / 60:g} minutes",
        "weights": ", ".join(f"{name} {points:g}" for name, points in queue.weights.items()),
        "assigned": "; ".join(rule_words(r) for r in queue.rules),
        "note": queue.instructions,
    }
    for name, text in lines.items():
        if text:
            terminal.say(f"  {name:<10}{one_line(text)}")
    print_progress(terminal, progress)
    if changes:
        last = changes[-1]
        why = f": {last.reason}" if last.reason else ""
        terminal.say(f"  {last.event:<10}{last.at:%Y-%m-%d %H:%M} UTC by {one_line(last.actor)}{one_line(why)}")


def print_progress(terminal: Terminal, progress: Progress) -> None:
    """Print how far a queue is."""
    p = progress
    states = (
        (p.waiting, "waiting"),
        (p.reserved, "reserved"),
        (p.in_review, "in review"),
        (p.disputed, "disputed"),
        (p.done, "done"),
        (p.removed, "removed"),
    )
    terminal.say(f"  {'items':<10}{', '.join(f'{n} {name}' for n, name in states if n) or 'none yet'}")
    for name, counts in (("verdicts", p.verdicts), ("modes", p.labels_per_mode), ("labelled", p.by_reviewer)):
        if counts:
            said = [f"{one_line(of, 60) or '(nobody)'} {n}" for of, n in counts.items()]
            terminal.say(f"  {name:<10}{', '.join(said)}")
    if p.labels:
        terminal.say(f"  {'labels':<10}{p.labels}, {p.this_week} in the last 7 days")


def print_items(terminal: Terminal, items: Sequence[Item], limit: int) -> None:
    """Print a table of items in the order of review."""
    cells = [
        (i.trace_id[:SHORT_ID], _points(i.score), STATES.get(i.state, str(i.state)), _who(i), _why(i))
        for i in items[:limit]
    ]
    fits = {"points": Fit.WHOLE, "state": Fit.WHOLE, "who": Fit.CUT, "why": Fit.WORDS}
    terminal.table(("trace", "points", "state", "who", "why"), cells, fits=fits)
    more = "" if len(items) <= limit else f", {limit} shown (--limit)"
    terminal.say(f"{count_of(len(items), 'item')}{more}")


def print_item(terminal: Terminal, item: Item) -> None:
    """Print one item: where it stands, and what its score is the sum of."""
    terminal.say(f"trace {item.trace_id}", style="bold")
    terminal.say(f"  {'state':<10}{STATES.get(item.state, str(item.state))}{_outcome(item)}")
    terminal.say(f"  {'points':<10}{_points(item.score)} when it was added, {item.added_at:%Y-%m-%d %H:%M} UTC")
    if item.is_random and item.entry:
        chance = percent(item.entry.inclusion_probability)
        terminal.say(f"  {'random':<10}drawn out of all that the filters admit; each had a chance of {chance}")
    for name, text in (("who", _who(item)), ("assigned", item.assigned_to), ("by", ", ".join(item.labelled_by))):
        if text:
            terminal.say(f"  {name:<10}{one_line(text)}")
    cells = [(name, _signed(points), one_line(item.words.get(name, ""), 200)) for name, points in item.parts.items()]
    if cells:
        terminal.table(("signal", "points", "found"), cells, fits={"points": Fit.WHOLE})


def print_filled(terminal: Terminal, queue: Queue, filled: Filled) -> None:
    """Say what a fill did, and what it left out, and why."""
    if filled.added:
        drawn = f", {filled.random} of them drawn at random" if filled.random else ""
        terminal.say(f"{count_of(filled.added, 'trace')} added to {queue.name}{drawn}; {filled.waiting} wait")
    else:
        terminal.say(f"Nothing was added to {queue.name}; {filled.waiting} wait")
    if filled.assigned:
        terminal.say("assigned: " + ", ".join(f"{one_line(who)} {n}" for who, n in filled.assigned.items()))
    for why, n in filled.left_out.items():
        terminal.say(f"  left out: {n} {why}" if n else f"  {why}")
    if filled.window_start:
        since = f"{filled.window_start:%Y-%m-%d %H:%M} UTC"
        terminal.say(f"  looked at were the latest {filled.looked_at} traces, received since {since}")
    elif not filled.added and not filled.left_out:
        terminal.say("  there are no traces yet. Start here: evalgate up")


def _reviewer_words(queue: Queue) -> str:
    if queue.reviewers == 1:
        return "1 label for each trace"
    who = ", ".join(queue.adjudicators) or "anybody who has not labelled it"
    return f"{queue.reviewers} labels for each trace, given blind; where they differ decides {who}"


def _who(item: Item) -> str:
    if item.reserved_by and item.reserved_until:
        return f"{one_line(item.reserved_by, 30)} until {item.reserved_until:%H:%M}"
    if item.labelled_by:
        return one_line(", ".join(item.labelled_by), 40)
    return f"for {one_line(item.assigned_to, 30)}" if item.assigned_to else ""


def _why(item: Item) -> str:
    said = ["drawn at random"] if item.is_random else []
    for name, points in item.parts.items():
        if abs(points) >= LEAST_SHOWN:
            found = one_line(item.words.get(name, ""), 70)
            said.append(f"{name} {_signed(points)}{f' ({found})' if points > 0 and found else ''}")
    return ", ".join(said) or "nothing unusual"


def _outcome(item: Item) -> str:
    return f": {', '.join(filter(None, (item.verdict, one_line(item.failure_mode, 80))))}" if item.verdict else ""


def _points(points: float) -> str:
    return f"{points:.1f}".removesuffix(".0")


def _signed(points: float) -> str:
    return f"{'+' if points > 0 else ''}{_points(points)}"


def progress_json(progress: Progress) -> dict[str, Any]:
    """Return how far a queue is as JSON."""
    return {**asdict(progress), "open": progress.open}


def filled_json(filled: Filled) -> dict[str, Any]:
    """Return what a fill did as JSON."""
    return {**asdict(filled), "window_start": filled.window_start and filled.window_start.isoformat()}
