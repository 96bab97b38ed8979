"""What is asked of the database for `evalgate stats`, and what is answered to people and to programs."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, Final

from evalgate.errors import BadInput
from evalgate.stats.figure import figure_of
from evalgate.stats.measures import BY_REASON, DAY, FAILING, REASON, THUMBS_DOWN
from evalgate.stats.numbers import count
from evalgate.stats.rare import Mode, yield_of
from evalgate.stats.read import read_groups, read_labels
from evalgate.stats.report import (
    known_modes,
    label_figures,
    mean_figures,
    measure_figures,
    population,
    traffic_of,
)
from evalgate.stats.show import print_figures, print_labels, print_means, print_modes, print_population
from schema.fields import did_you_mean

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from evalgate.database import TenantDatabase
    from evalgate.stats.commands import Window
    from evalgate.stats.figure import Figure
    from evalgate.stats.measures import Least
    from evalgate.stats.rare import Traffic, Yield
    from evalgate.stats.read import Group
    from evalgate.stats.report import Labels
    from evalgate.terminal import Terminal

SCHEMA: Final = "evalgate/stats/1"
MODES_SCHEMA: Final = "evalgate/stats-modes/1"
METHOD: Final = (
    "weighted by 1/inclusion probability (Hájek); 95 % intervals of the rate behind the traffic, traces of a session "
    "taken as one cluster"
)
NOTHING: Final = (
    "No traces since {start:%Y-%m-%d %H:%M} UTC. Look further back: --since 30d. What there is: evalgate traces"
)
NONE_MEETS: Final = (
    "No traces since {start:%Y-%m-%d %H:%M} UTC that meet --where. Check the condition, leave it out, or look further "
    "back: --since 30d. What there is: evalgate traces"
)
WEEK: Final = timedelta(weeks=1)
SHORTEST: Final = timedelta(hours=1)
"""Less than that is not blown up to a week."""


@dataclass(frozen=True, slots=True)
class Answer:
    """What the database says."""

    window: Window
    tenant: str
    by: str | None
    least: Least
    groups: Sequence[Group]
    """The largest first, of days the latest; none where there are no traces."""
    labels: Labels | None
    """Of the one group that there is where nothing is grouped."""


def ask(
    database: TenantDatabase, window: Window, by: str | None, least: Least, step: Callable[[], None] = lambda: None
) -> Answer:
    """Read the sums; `step` is called after each of the two statements."""
    groups = read_groups(database, window.where, by)
    if by == DAY:
        groups.sort(key=lambda g: g.name, reverse=True)
    step()
    labels = None
    if by is None and groups:
        labels = label_figures(groups[0], *read_labels(database, window.where), least)
    step()
    return Answer(window, database.tenant, by, least, groups, labels)


def stats_json(answer: Answer, limit: int) -> dict[str, Any]:
    """Return the document of `evalgate stats --json`."""
    named = answer.by not in (None, BY_REASON)
    made: dict[str, Any] = {
        "schema": SCHEMA,
        **_window_json(answer),
        "by": answer.by,
        "method": METHOD,
        "min_effective_n": answer.least.effective_n,
        "min_sessions": answer.least.events,
        "groups": [
            {
                "name": group.name if named else None,
                "traces": asdict(population(group)),
                "rates": [f.to_json() for f in measure_figures(group, answer.least)],
                "means": [asdict(m) for m in mean_figures(group)],
            }
            for group in answer.groups[:limit]
        ],
        "more_groups": max(0, len(answer.groups) - limit),
    }
    if labels := answer.labels:
        made["labels"] = {
            "failing_labelled": labels.failing,
            "sampled_labelled": labels.others,
            "unsampled_labelled": labels.unsampled,
            "modes": [f.to_json() for f in labels.modes],
            "modes_among_failing": [f.to_json() for f in labels.among_failing],
            "bad": labels.bad and labels.bad.to_json(),
        }
    return made


def print_stats(terminal: Terminal, answer: Answer, of: str, limit: int) -> None:
    """Print rates: of all traces, or one of each group.

    Raises:
        BadInput: the rate that is asked for of each group is of none.

    """
    groups = answer.groups
    if not groups:
        terminal.say(nothing_found(answer.window))
        return
    if answer.by in (None, BY_REASON):
        whole = population(groups[0])
        print_population(terminal, whole)
        print_figures(terminal, "of all traces", measure_figures(groups[0], answer.least))
        if answer.labels:
            print_labels(terminal, answer.labels, whole, int(groups[0].row["sampled"]))
            print_means(terminal, mean_figures(groups[0]))
        terminal.say()
        terminal.say(METHOD)
        terminal.say("next: evalgate stats --by feature, evalgate stats modes")
        return
    shown = group_figures(groups[:limit], of, answer.least)
    terminal.say(f"{of}, by {answer.by}")
    print_figures(terminal, str(answer.by), shown)
    if len(groups) > limit:
        terminal.say(
            f"  {len(groups) - limit:,} more, {'earlier' if answer.by == DAY else 'each with fewer traces'}: --limit"
        )
    terminal.say()
    terminal.say(METHOD)


def nothing_found(window: Window) -> str:
    """Return what to do where no trace is in a window: its time is to blame, or its conditions."""
    return (NONE_MEETS if window.is_filtered else NOTHING).format(start=window.start)


def group_figures(groups: Sequence[Group], of: str, least: Least) -> list[Figure]:
    """Return one rate of each group: failing, thumbs_down, or the name of a reason.

    Raises:
        BadInput: no trace of any group has that.

    """
    measure = of if of in (FAILING, THUMBS_DOWN) else f"{REASON}{of}"
    known = sorted({m.removeprefix(REASON) for g in groups for m in g.sums if m.startswith(REASON)})
    if measure.startswith(REASON) and of not in known:
        names = (FAILING, THUMBS_DOWN, *known)
        raise BadInput(f"--of {of!r}: no trace has that.{did_you_mean(of, names)}")
    return [figure_of(g.name, g.of(measure), least) for g in groups]


@dataclass(frozen=True, slots=True)
class Week:
    """What a week yields."""

    weeks: float
    """So many are in the window, from its first trace on."""
    enough: float
    traffic: Traffic
    yields: Sequence[Yield]


def week_of(answer: Answer, frequencies: Sequence[float], enough: float) -> Week | None:
    """Return what a week yields of each mode that is known, and of modes of these frequencies; None of no traces."""
    if not answer.groups or answer.labels is None:
        return None
    group = answer.groups[0]
    first = datetime.fromtimestamp(int(group.row["first_unix_s"]), UTC)
    length = max(answer.window.end - max(answer.window.start, first), SHORTEST)
    traffic = traffic_of(group, length / WEEK, answer.labels)
    asked = [Mode(f"one in {count(1 / f)}", "asked", None, f, 0.0) for f in frequencies]
    modes = (*known_modes(group, answer.labels, answer.least), *asked)
    return Week(length / WEEK, enough, traffic, [yield_of(m, traffic, enough) for m in modes])


def modes_json(answer: Answer, week: Week | None) -> dict[str, Any]:
    """Return the document of `evalgate stats modes --json`."""
    return {
        "schema": MODES_SCHEMA,
        **_window_json(answer),
        "weeks": week and week.weeks,
        "enough": week and week.enough,
        "traffic": week and asdict(week.traffic),
        "modes": [_yield_json(y) for y in week.yields] if week else [],
    }


def print_week(terminal: Terminal, answer: Answer, week: Week | None) -> None:
    """Print a line for each mode."""
    if week is None:
        terminal.say(nothing_found(answer.window))
        return
    print_modes(terminal, week.yields, week.traffic, week.enough)
    if answer.labels and not answer.labels.modes:
        terminal.say("no failure mode is labelled in this window: evalgate label")
    terminal.say(
        "try a rule or a rate on what is stored: evalgate sample backtest --rule 'NAME: CONDITION' --rate RATE"
    )


def _window_json(answer: Answer) -> dict[str, Any]:
    window = answer.window
    return {"since": window.start.isoformat(), "until": window.end.isoformat(), "tenant": answer.tenant}


def _yield_json(y: Yield) -> dict[str, Any]:
    return {
        "name": y.mode.name,
        "kind": y.mode.kind,
        "rate": y.mode.figure.to_json() if y.mode.figure else None,
        "frequency": y.mode.frequency,
        "shows_as_failure": y.mode.shows_as_failure,
        "per_week": y.there,
        "flagged_per_week": y.flagged,
        "weeks_for_enough": y.weeks_for_enough,
        "rate_for_enough": y.rate_for_enough,
        "advice": y.advice,
    }
