"""What to label next, and how much is enough.

    first pass     read 50 to 100 traces and name the 3 to 5 ways in which they fail
    examples       10 to 20 labels of each of the 5 to 10 most frequent failure modes
    weekly         from then on a sitting a week: 2 hours, 50 to 150 traces

The steps are those that practitioners of error analysis agree on: open coding until nothing new turns up, a handful of
categories, ten good examples before an evaluator is worth generating. `guidance` is pure.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from itertools import pairwise
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Final

from evalgate.database import sql

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from evalgate.database import TenantDatabase

FIRST_PASS: Final = (50, 100)
"""Traces to read before the failure modes are settled: enough at the first number, the second is better."""
MODES: Final = (3, 5)
"""Failure modes to name in the first pass."""
PER_MODE: Final = (10, 20)
"""Labels of one failure mode: enough for a first evaluator, and for one that may be trusted."""
TOP_MODES: Final = (5, 10)
"""Failure modes to have examples of, the most frequent ones first."""
WEEKLY: Final = (50, 150)
"""Traces of one week."""
WEEKLY_MINUTES: Final = 120
PAUSE: Final = timedelta(minutes=5)
"""A longer time between two labels is a pause: it is not counted as work."""
FIRST_LABEL: Final = timedelta(minutes=1)
"""What the first label after a pause is taken to have cost."""


class Stage(StrEnum):
    """Where a project stands with its labels."""

    FIRST_PASS = "first_pass"  # noqa: S105 - a stage
    EXAMPLES = "examples"
    WEEKLY = "weekly"


@dataclass(frozen=True, slots=True)
class Counts:
    """What has been labelled so far; labels that stand."""

    traces: int = 0
    """Traces that somebody labelled."""
    modes: Mapping[str, int] = field(default_factory=lambda: MappingProxyType({}))
    """Traces of each failure mode."""
    this_week: int = 0
    """Traces that somebody labelled since Monday, UTC."""
    minutes_this_week: float = 0.0
    """About as long as that took all who labelled, without pauses."""


@dataclass(frozen=True, slots=True)
class Step:
    """How far one step has come."""

    name: str
    done: int
    enough: int
    better: int
    """More is better up to here."""

    @property
    def is_done(self) -> bool:
        """Whether it is enough."""
        return self.done >= self.enough


@dataclass(frozen=True, slots=True)
class Guidance:
    """What to do next, in sentences, and how far each step has come."""

    stage: Stage
    sentences: tuple[str, ...]
    """The first one is the next thing to do."""
    first_pass: Step
    named: Step
    """Failure modes."""
    modes: tuple[Step, ...]
    """Labels of each of the most frequent failure modes, at most `TOP_MODES[1]` of them."""
    week: Step
    minutes_this_week: float


def guidance(counts: Counts) -> Guidance:
    """Return what to label next."""
    first = Step("traces read", counts.traces, *FIRST_PASS)
    named = Step("failure modes named", len(counts.modes), *MODES)
    ranked = sorted(counts.modes.items(), key=lambda item: (-item[1], item[0]))[: TOP_MODES[1]]
    modes = tuple(Step(mode, count, *PER_MODE) for mode, count in ranked)
    week = Step("traces this week", counts.this_week, *WEEKLY)
    lacking = [m for m in modes[: TOP_MODES[0]] if not m.is_done]
    is_read = first.is_done and (named.is_done or first.done >= first.better)
    stage = Stage.FIRST_PASS if not is_read else Stage.EXAMPLES if lacking else Stage.WEEKLY
    say = {Stage.FIRST_PASS: _first_pass, Stage.EXAMPLES: _examples, Stage.WEEKLY: _weekly}[stage]
    sentences = tuple(say(first, named, lacking, week, counts.minutes_this_week))
    return Guidance(stage, sentences, first, named, modes, week, counts.minutes_this_week)


def guidance_json(found: Guidance) -> dict[str, Any]:
    """Return the JSON object of `label --progress --json`."""

    def step(s: Step) -> dict[str, Any]:
        return {"name": s.name, "done": s.done, "enough": s.enough, "better": s.better, "is_done": s.is_done}

    return {
        "stage": str(found.stage),
        "next": found.sentences[0],
        "sentences": list(found.sentences),
        "first_pass": step(found.first_pass),
        "named": step(found.named),
        "modes": [step(m) for m in found.modes],
        "week": step(found.week),
        "minutes_this_week": round(found.minutes_this_week, 1),
    }


def read_counts(database: TenantDatabase, now: datetime) -> Counts:
    """Read what has been labelled so far. `now` says which week it is."""
    monday = _monday(now)
    (row,) = database.rows(sql(__package__, "counts"), {"monday_us": round(monday.timestamp() * 1e6)})
    modes = database.rows(sql(__package__, "counts_by_mode"))
    times: dict[str, list[datetime]] = {}
    for r in database.rows(sql(__package__, "label_times"), {"monday_us": round(monday.timestamp() * 1e6)}):
        times.setdefault(r["annotator"], []).append(datetime.fromtimestamp(r["created_unix_us"] / 1e6, UTC))
    return Counts(
        traces=int(row["traces"]),
        modes=MappingProxyType({str(r["failure_mode"]): int(r["traces"]) for r in modes}),
        this_week=int(row["this_week"]),
        minutes_this_week=sum(minutes_spent(t) for t in times.values()),
    )


def minutes_spent(times: Sequence[datetime]) -> float:
    """Return about how long it took to give labels at these times, pauses left out.

    Labels of one moment are a file that was imported: they took nobody's time.
    """
    moments = Counter(t.replace(microsecond=0) for t in times)
    typed = sorted(t for t, count in moments.items() if count <= 2)
    if not typed:
        return 0.0
    spent = FIRST_LABEL
    for before, after in pairwise(typed):
        spent += after - before if after - before <= PAUSE else FIRST_LABEL
    return spent.total_seconds() / 60


def _monday(now: datetime) -> datetime:
    today = now.astimezone(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
    return today - timedelta(days=today.weekday())


def _first_pass(first: Step, named: Step, _lacking: Sequence[Step], _week: Step, _minutes: float) -> Iterable[str]:
    if not first.done:
        yield (
            f"First pass: read {first.enough} to {first.better} traces and name the {named.enough} to {named.better} "
            "ways in which they fail, in your own words."
        )
        yield "Read before you judge: say what goes wrong first, and pick from the list once names come back."
        return
    yield f"First pass: {first.done} of {first.enough} traces read, {_modes(named)}."
    if first.is_done:
        yield (
            f"Enough is read, and only {named.done} of {named.enough} failure modes have a name: name what goes wrong, "
            f"or go on to {first.better} traces."
        )
    elif named.done > named.better:
        yield f"More than {named.better} failure modes: merge those that mean the same (evalgate modes merge)."


def _examples(_first: Step, _named: Step, lacking: Sequence[Step], _week: Step, _minutes: float) -> Iterable[str]:
    shown = ", ".join(f"{m.name} {m.done}" for m in lacking)
    yield f"Next: {lacking[0].enough} to {lacking[0].better} labels of each frequent failure mode; too few: {shown}."
    yield "Label good answers to the same requests, too: an evaluator learns from both."


def _weekly(_first: Step, _named: Step, _lacking: Sequence[Step], week: Step, minutes: float) -> Iterable[str]:
    spent = f" in about {minutes:.0f} of {WEEKLY_MINUTES} minutes" if minutes >= 1 else ""
    if week.is_done:
        yield f"This week: {week.done} traces{spent}. That is enough for a week."
    else:
        yield f"This week: {week.done} of {week.enough} traces{spent}."
    yield "The frequent failure modes have their examples: evalgate evals generate --issue N"


def _modes(named: Step) -> str:
    if not named.done:
        return "no failure mode named yet"
    return f"{named.done} failure mode{'' if named.done == 1 else 's'} named (aim at {named.enough} to {named.better})"
