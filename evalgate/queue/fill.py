"""Which traces a queue gets: those with the highest priority, and a random share of all that its filters admit.

The random share is what keeps figures honest: the best of a list say nothing of the rest of it. Each trace has a number
from 0 to 1 out of its id and the queue (its draw). A fill that wants n random ones takes the n lowest draws of what it
can choose from, and keeps the draw of the next one: with it as inclusion probability, sums over the sample are unbiased
(bottom-k sampling with the threshold of the others; Cohen & Kaplan 2007, doi:10.1145/1281100.1281133). A trace keeps
its draw from fill to fill, so that what comes later is sampled like what came before, and the sample of a queue is
whatever of it lies below the threshold, also where its priority had brought it in before.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from evalgate.database import sql
from evalgate.errors import BadInput
from evalgate.places import EVALUATORS
from evalgate.queue.definition import weights_of
from evalgate.queue.items import ItemState, list_items, server_now
from evalgate.queue.store import remove_expired
from evalgate.select.where import parse_where
from evalgate.signals.measure import signals
from evalgate.signals.population import nobody, recent_window
from evalgate.signals.priority import prioritise
from evalgate.signals.weights import PATTERN
from evalgate.signals.words import part_words

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from evalgate.database import TenantDatabase
    from evalgate.queue.definition import Queue
    from evalgate.queue.items import Item
    from evalgate.select.where import Where
    from evalgate.signals.measure import Signals
    from evalgate.signals.population import Window
    from evalgate.signals.priority import Priority
    from evalgate.signals.weights import Weights
    from evalgate.terminal import Step

    Bools = NDArray[np.bool_]
    Floats = NDArray[np.float64]
    Rows = NDArray[np.int64]

LEAST_POINTS: Final = 0.005
"""Of a part that is kept with an item."""
MAX_WORDS_CHARS: Final = 400
FILLED: Final = "fill"
"""The actor of a fill that nobody is named for."""


@dataclass(frozen=True, slots=True)
class Filled:
    """What a fill did."""

    added: int
    waiting: int
    """Items that somebody has to look at yet, with those that were added."""
    candidates: int
    """Traces that it could choose from."""
    left_out: Mapping[str, int] = field(default_factory=dict)
    """How many traces were not added, by the reason in words."""
    random: int = 0
    """Of those added, drawn at random."""
    assigned: Mapping[str, int] = field(default_factory=dict)
    """Of those added, by reviewer."""
    looked_at: int = 0
    """Traces that were looked at: those received since `window_start`, whatever the filters say."""
    window_start: datetime | None = None
    """None: all there are, or none, where the queue was full."""


@dataclass(frozen=True, slots=True)
class Choice:
    """Rows of the candidates that are added."""

    by_score: Rows
    at_random: Rows
    """Those among the former, too, whose draw is low."""
    threshold: float
    """Every candidate whose draw is below was added: the inclusion probability of the random draw."""


def fill(
    database: TenantDatabase,
    queue: Queue,
    *,
    weights: Weights,
    now: datetime | None = None,
    seed: int = 0,
    step: Step = nobody,
    actor: str = FILLED,
    evaluators: Path = EVALUATORS,
) -> Filled:
    """Add traces to a queue until `size` of its items wait. `step` is told after each of `signals.STATEMENTS`.

    Two who fill at once choose the same traces, and each is added once.

    Raises:
        BadInput: the queue is closed, or its filters name what is not there.

    """
    if not queue.is_open:
        raise BadInput(f"the queue {queue.name} is closed. Open it again: evalgate queue edit {queue.name} --open")
    at = now or server_now(database)
    items = list_items(database, queue, now=at)
    if expired := remove_expired(database, queue, items):
        items = [i for i in items if i.trace_id not in expired]
    waiting = sum(i.is_open for i in items)
    slots = queue.size - waiting
    if slots <= 0:
        return Filled(0, waiting, 0, {f"the queue is full: {waiting} wait (--size)": 0})
    window = recent_window(database)
    found = signals(database, conditions_of(database, queue), window=window, step=step, evaluators=evaluators)
    points = weights_of(queue, weights)
    priority = prioritise(found, points)
    admitted, left_out = admitted_of(database, queue, found)
    free, taken = _free(database, items, found, admitted)
    slots = min(slots, int(free.sum()))
    wanted = random_wanted(queue.random_share, slots, [i for i in items if i.state is not ItemState.REMOVED])
    order = priority.order[free[priority.order]]
    choice = choose(order, draws(queue.name, found.population.trace, seed), slots, wanted)
    rows = np.unique(np.concatenate((choice.by_score, choice.at_random)))
    assigned = _assigned(database, queue, [str(found.population.trace[r]) for r in rows])
    inside = np.isin(found.population.trace, [i.trace_id for i in items])
    population = int((free | (admitted & inside)).sum())
    told = _Told(queue, found, priority, points, choice, population, window, at, actor)
    draw = draws(queue.name, found.population.trace[rows], seed)
    added = [told.row(int(r), float(d), assigned) for r, d in zip(rows, draw, strict=True)]
    if added:
        database.insert_rows("queue_items", added)
    beyond = {"come after these: the queue has room for no more (--size)": int(free.sum()) - len(rows)}
    reviewers = [assigned[t] for t in assigned]
    return Filled(
        added=len(rows),
        waiting=waiting + len(rows),
        candidates=int(free.sum()),
        left_out={why: n for why, n in {**left_out, **taken, **beyond}.items() if n},
        random=len(choice.at_random),
        assigned={name: reviewers.count(name) for name in sorted(set(reviewers))},
        looked_at=found.population.size,
        window_start=datetime.fromtimestamp(window.first_s, UTC) if window.first_s else None,
    )


def conditions_of(database: TenantDatabase, queue: Queue) -> Where:
    """Return the filters of a queue that are conditions of SQL: all but signals and issues."""
    where = parse_where(queue.where)
    if queue.text:
        where = where.and_("text", "~", queue.text)
    if queue.clusters:
        known = {int(r["cluster_id"]) for r in database.rows(sql(__package__, "known_clusters"))}
        if unknown := sorted(set(queue.clusters) - known):
            raise BadInput(f"there is no cluster {unknown[0]}. List them: evalgate cluster list")
        where = where.with_sql(sql(__package__, "in_clusters"), {"clusters": list(queue.clusters)})
    return where


def draws(queue: str, traces: Iterable[str], seed: int = 0) -> Floats:
    """Return the number from 0 to 1 of each trace in a queue: the same ones whenever it is asked."""
    key = f"{seed}/{queue}/".encode()
    found = [hashlib.blake2b(key + str(t).encode(), digest_size=8).digest() for t in traces]
    return np.array([int.from_bytes(digest, "big") / 2**64 for digest in found], np.float64)


def random_wanted(share: float, slots: int, items: Sequence[Item]) -> int:
    """Return how many of the next ones are random, so that they are their share of all that were ever added."""
    drawn = sum(i.is_random for i in items)
    return int(min(slots, max(0, round(share * (len(items) + slots)) - drawn)))


def choose(order: Rows, draw: Floats, slots: int, wanted: int) -> Choice:
    """Return which candidates are added; `order` has their rows, the best first, `draw` a number for each row.

    The random ones are drawn out of all candidates, and one of them may be among the best, too.
    """
    by_draw = order[np.argsort(draw[order], kind="stable")]
    at_random = by_draw[:wanted]
    threshold = 0.0 if not wanted else float(draw[by_draw[wanted]]) if len(by_draw) > wanted else 1.0
    room = slots - len(at_random)
    is_random = np.isin(order, at_random)
    # The best that are not drawn, and those drawn that stand among them.
    last = np.searchsorted(np.cumsum(~is_random), room, side="left")
    return Choice(order[: last + 1] if room else order[:0], at_random, threshold)


def admitted_of(database: TenantDatabase, queue: Queue, found: Signals) -> tuple[Bools, dict[str, int]]:
    """Return which traces the filters admit, and how many each leaves out; conditions are in `asked_for`."""
    p = found.population
    left = {"do not meet the conditions of the queue": int((~p.asked_for).sum())}
    admitted = p.asked_for.copy()
    if queue.signals:
        strong = np.any([found.columns[name].strength > 0 for name in queue.signals if name in found.columns], axis=0)
        left[f"show none of {', '.join(queue.signals)}"] = int((admitted & ~strong).sum())
        admitted &= strong
    if queue.issues:
        like = _like_issues(database, queue, found)
        left["are not like the labelled traces of the issues"] = int((admitted & ~like).sum())
        admitted &= like
    return admitted, left


def modes_of_issues(database: TenantDatabase, queue: Queue) -> list[str]:
    """Return the failure modes of the issues that a queue is of.

    Raises:
        BadInput: there is no such issue.

    """
    if not queue.issues:
        return []
    names = {int(r["number"]): str(r["failure_mode"]) for r in database.rows(sql(__package__, "issue_names"))}
    if unknown := [n for n in queue.issues if n not in names]:
        raise BadInput(f"there is no issue {unknown[0]}. List them: evalgate issues list")
    return sorted({names[n] for n in queue.issues})


def _like_issues(database: TenantDatabase, queue: Queue, found: Signals) -> Bools:
    """Tell of each trace whether it failed as one that was labelled with the issue, or is in one cluster with one."""
    rows = database.rows(sql(__package__, "like_issues"), {"modes": modes_of_issues(database, queue)})
    trace = found.population.trace
    labelled = np.isin(trace, np.array([str(r["trace_id"]) for r in rows if r["is_labelled"]], trace.dtype))
    near = np.isin(trace, np.array([str(r["trace_id"]) for r in rows], trace.dtype))
    patterns = np.unique(found.pattern[labelled])
    return near | np.isin(found.pattern, patterns[patterns >= 0])


def _free(
    database: TenantDatabase, items: Sequence[Item], found: Signals, admitted: Bools
) -> tuple[Bools, dict[str, int]]:
    trace = found.population.trace
    gone = [i.trace_id for i in items if i.state is ItemState.REMOVED]
    inside = [i.trace_id for i in items if i.state is not ItemState.REMOVED]
    labelled = [str(r["trace_id"]) for r in database.rows(sql(__package__, "labelled"))]
    free, left = admitted.copy(), {}
    for words, ids in (
        ("were removed from the queue, and stay out", gone),
        ("are in the queue already", inside),
        ("are labelled already", labelled),
    ):
        those = np.isin(trace, np.array(ids, trace.dtype)) if ids else np.zeros(len(trace), bool)
        left[words] = int((free & those).sum())
        free &= ~those
    return free, left


def _assigned(database: TenantDatabase, queue: Queue, trace_ids: Sequence[str]) -> dict[str, str]:
    """Return who looks first at which: the first rule that fits."""
    found: dict[str, str] = {}
    for rule in queue.rules:
        rest = [t for t in trace_ids if t not in found]
        if not rest:
            break
        where = parse_where(rule.where)
        text = sql(__package__, "fitting").replace("/* conditions */", where.sql)
        rows = database.rows(text, {**where.parameters, "trace_ids": rest})
        found |= {str(r["trace_id"]): rule.reviewer for r in rows}
    return found


@dataclass(frozen=True, slots=True)
class _Told:
    """Makes rows of what was chosen."""

    queue: Queue
    found: Signals
    priority: Priority
    weights: Weights
    choice: Choice
    population: int
    window: Window
    at: datetime
    actor: str

    def row(self, row: int, draw: float, assigned: Mapping[str, str]) -> dict[str, Any]:
        p = self.found.population
        trace = str(p.trace[row])
        return {
            "queue": self.queue.name,
            "trace_id": trace,
            "at": self.at,
            "event": "added",
            "actor": self.actor,
            "score": float(self.priority.score[row]),
            "parts": json.dumps(self._parts(row), ensure_ascii=False),
            "is_priority": bool(np.isin(row, self.choice.by_score)),
            "is_random": bool(np.isin(row, self.choice.at_random)),
            "draw": draw,
            "inclusion_probability": self.choice.threshold,
            "population": self.population,
            "version": self.queue.version,
            "window_start": datetime.fromtimestamp(self.window.first_s, UTC),
            "start_time": datetime.fromtimestamp(int(p.start_ns[row]) // 1_000_000_000, UTC),
            "assigned_to": assigned.get(trace, ""),
        }

    def _parts(self, row: int) -> list[dict[str, Any]]:
        return [
            {
                "signal": name,
                "points": round(points, 3),
                "strength": round(self._strength(name, row, points), 4),
                "words": part_words(self.found, self.priority, name, row)[:MAX_WORDS_CHARS],
            }
            for name, points in self.priority.parts_of(row).items()
            if abs(points) >= LEAST_POINTS
        ]

    def _strength(self, name: str, row: int, points: float) -> float:
        """Return how strong a part is, 0 to 1; of one that only takes away, 0."""
        if name in self.found.columns:
            return float(self.found.columns[name].strength[row])
        return points / self.weights.of(name) if name == PATTERN else 0.0
