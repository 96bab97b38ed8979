"""A comparison of two policies for people, and for machines."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, Final

from evalgate.terminal import count_of

if TYPE_CHECKING:
    from collections.abc import Iterator
    from datetime import datetime

    from evalgate.sample.compare import Change, Comparison, Example
    from evalgate.terminal import Terminal

DAY_S: Final = 86_400
TRACES_PER_EXPERT_WEEK: Final = (50, 150)
HOURS_PER_EXPERT_WEEK: Final = 2
"""What one person reads in a week of two hours a week: docs/sampling.md says where this is from."""
SHOWN_EXAMPLES: Final = 20
SHOWN_GROUPS: Final = 20


@dataclass(frozen=True, slots=True)
class Holding:
    """For how many days traces are kept."""

    flagged_days: int = 90
    other_days: int = 7


@dataclass(frozen=True, slots=True)
class Report:
    """What a back-test says."""

    then: str
    """What is tried, in a few words."""
    now: str
    """What it is compared with."""
    since: datetime
    until: datetime
    whole_since: datetime | None
    """From when on every trace is there that was received; None: nothing is."""
    counted: Comparison
    holding: Holding
    notes: tuple[str, ...] = ()

    @property
    def days(self) -> float:
        """How long the time is that was looked at."""
        return max((self.until - self.since).total_seconds(), 1.0) / DAY_S

    def per_week(self, traces: float) -> float:
        """Return how many in a week."""
        return traces * 7 / self.days

    def kept_bytes(self, flagged: float) -> tuple[float, float]:
        """Return what is on disk when this has gone on for the holding times: of flagged traces, and of all others."""
        per_day = flagged / self.days, (self.counted.bytes - flagged) / self.days
        return per_day[0] * self.holding.flagged_days, per_day[1] * self.holding.other_days

    def review_hours(self, flagged: float) -> tuple[float, float]:
        """Return how long reading all that is flagged of a week takes, at best and at worst."""
        slow, fast = TRACES_PER_EXPERT_WEEK
        a_week = self.per_week(flagged)
        return a_week / fast * HOURS_PER_EXPERT_WEEK, a_week / slow * HOURS_PER_EXPERT_WEEK


def print_report(terminal: Terminal, report: Report) -> None:
    """Print the whole: what would be lost first."""
    found = report.counted
    terminal.say(f"{report.then}, instead of {report.now}: {_scope(report)}")
    for note in report.notes:
        terminal.say(note)
    terminal.say()
    if found.stored == 0:
        terminal.say("There is nothing to try it on. A longer time: --since 30d")
        return
    _print_examples(terminal, found.lost, found.failing.lost, "LOST: failing now, and not any more", style="bold red")
    terminal.table(["traces", "now", "then", "gained", "lost"], list(_totals(found)))
    terminal.say()
    _print_groups(terminal, report)
    _print_examples(terminal, found.gained, found.failing.gained, "Gained: failing then, and not now", shown=5)
    _print_load(terminal, report)


def report_json(report: Report) -> dict[str, Any]:
    """Return the same as a document."""
    found = report.counted

    def load(flagged: float, size: float) -> dict[str, Any]:
        long, short = report.kept_bytes(size)
        best, worst = report.review_hours(flagged)
        return {
            "flagged_bytes": round(long),
            "other_bytes": round(short),
            "flagged_per_week": round(report.per_week(flagged), 1),
            "review_hours_per_week": [round(best, 1), round(worst, 1)],
        }

    return {
        "then": report.then,
        "now": report.now,
        "since": report.since.isoformat(),
        "until": report.until.isoformat(),
        "whole_since": report.whole_since and report.whole_since.isoformat(),
        "stored_traces": found.stored,
        "traces": found.traces,
        "failing": asdict(found.failing),
        "baseline_only": asdict(found.baseline),
        "flagged": asdict(found.flagged),
        "reasons": {name: asdict(change) for name, change in sorted(found.reasons.items())},
        "groups": [
            {"service_name": service, "feature": feature, **asdict(group)}
            for (service, feature), group in sorted(found.groups.items())
        ],
        "lost_failing": [asdict(e) for e in found.lost],
        "gained_failing": [asdict(e) for e in found.gained],
        "holding": asdict(report.holding),
        "load": {
            "now": load(found.flagged.now, found.flagged_bytes.now),
            "then": load(found.flagged.then, found.flagged_bytes.then),
        },
        "notes": list(report.notes),
    }


def _scope(report: Report) -> str:
    found = report.counted
    since = f"received since {report.since:%Y-%m-%d %H:%M} UTC ({_duration(report.days)})"
    if found.stored == 0:
        return f"nothing is stored that was {since}"
    stored = count_of(found.stored, "stored trace")
    if report.whole_since is None or report.whole_since > report.since:
        whole = "nothing whole" if report.whole_since is None else f"all of it since {report.whole_since:%Y-%m-%d} only"
        return f"{stored}, standing for {_n(found.traces)}, {since}; {whole}, before that the flagged ones"
    return f"{stored} {since}, all of them there"


def _duration(days: float) -> str:
    return f"{days:.1f} days" if days >= 2 else f"{days * 24:.1f} hours"


def _totals(found: Comparison) -> Iterator[list[str]]:
    yield ["failing", *_cells(found.failing)]
    for name, change in sorted(found.reasons.items(), key=lambda item: -max(item[1].now, item[1].then)):
        yield [f"· {name}", *_cells(change)]
    yield ["in the baseline alone", *_cells(found.baseline)]
    yield ["flagged", *_cells(found.flagged)]
    yield ["not flagged", _n(found.traces - found.flagged.now), _n(found.traces - found.flagged.then), "", ""]


def _print_examples(
    terminal: Terminal,
    some: list[Example],
    total: float,
    title: str,
    *,
    style: str = "",
    shown: int = SHOWN_EXAMPLES,
) -> None:
    if not some:
        return
    terminal.say(f"{title} ({_n(total)})", style=style)
    rows = [[e.trace_id, e.service, ", ".join(e.reasons), "yes" if e.baseline else ""] for e in some[:shown]]
    terminal.table(["trace", "service", "reasons", "in the baseline"], rows)
    if len(rows) < total:
        terminal.say(f"… {_n(total - len(rows))} more: --json has {len(some)} of them")
    terminal.say()


def _print_groups(terminal: Terminal, report: Report) -> None:
    groups = sorted(report.counted.groups.items(), key=lambda item: -item[1].flagged.then)
    if len(groups) < 2:
        return
    rows = [
        [service, feature, _n(g.traces), f"{_n(g.failing.now)} → {_n(g.failing.then)}",
         f"{_n(g.flagged.now)} → {_n(g.flagged.then)}"]
        for (service, feature), g in groups[:SHOWN_GROUPS]
    ]  # fmt: skip
    terminal.table(["service", "feature", "traces", "failing", "flagged"], rows)
    if len(groups) > SHOWN_GROUPS:
        terminal.say(f"… {len(groups) - SHOWN_GROUPS} more: --json has all")
    terminal.say()


def _print_load(terminal: Terminal, report: Report) -> None:
    found, holding = report.counted, report.holding
    rows = []
    for name, flagged, size in (
        ("now", found.flagged.now, found.flagged_bytes.now),
        ("then", found.flagged.then, found.flagged_bytes.then),
    ):
        long, short = report.kept_bytes(size)
        best, worst = report.review_hours(flagged)
        rows.append(
            [name, _size(long), _size(short), _size(long + short), _n(report.per_week(flagged)),
             f"{best:.0f} to {worst:.0f} h"]
        )  # fmt: skip
    terminal.table(
        ["", f"flagged, {holding.flagged_days} days", f"others, {holding.other_days} days", "stored in the long run",
         "flagged a week", "to read all of them"],
        rows,
    )  # fmt: skip
    low, high = TRACES_PER_EXPERT_WEEK
    terminal.say(f"A person reads {low} to {high} traces in {HOURS_PER_EXPERT_WEEK} hours a week.")


def per_day_text(value: float) -> str:
    """Return a number of traces a day."""
    return f"{value:.0f}" if value >= 10 or value == 0 else f"{value:.1f}"


def _cells(change: Change) -> list[str]:
    return [_n(change.now), _n(change.then), _n(change.gained, "+"), _n(change.lost, "-")]


def _n(value: float, sign: str = "") -> str:
    """Return a number of traces: whole ones, or what stands for others with one decimal while it is small."""
    if sign and value == 0:
        return ""
    text = f"{value:.0f}" if value == int(value) or value >= 100 else f"{value:.1f}"
    return f"{sign}{text}"


def _size(bytes_: float) -> str:
    for unit in ("B", "kB", "MB", "GB"):
        if bytes_ < 1000:
            return f"{bytes_:.0f} {unit}" if unit == "B" else f"{bytes_:.1f} {unit}"
        bytes_ /= 1000
    return f"{bytes_:.1f} TB"
