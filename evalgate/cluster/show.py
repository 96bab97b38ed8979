"""How clusters read on a terminal, and as JSON."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from evalgate.cluster.match import EventKind
from evalgate.figures import percent
from evalgate.select.traces import iso_time
from evalgate.terminal import count_of, one_line

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from evalgate.cluster.gaps import Coverage, Covered
    from evalgate.cluster.store import Run, Stored
    from evalgate.terminal import Terminal

NOTHING_YET = "No clusters yet. Group what failed: evalgate cluster run"


def print_clusters(terminal: Terminal, clusters: Sequence[Stored], run: Run, limit: int) -> None:
    """Print the clusters of a run, the heaviest first, and those that it saw no more."""
    seen = [s for s in clusters if s.number == run.number]
    if seen:
        terminal.table(
            ("cluster", "traces", "failing", "share", "trend", "first", "last", "what"),
            [_cells(s) for s in seen[:limit]],
        )
    body = run.body
    more = f", {min(limit, len(seen))} shown (--limit)" if len(seen) > limit else ""
    terminal.say(
        f"{count_of(len(seen), 'cluster')} of {count_of(body['traces'], 'trace')}{more}; "
        f"{body['novel']} like no others ({percent(_share(body['novel_weight'], body['weight']))}): "
        "evalgate cluster show novel"
    )
    if body["found"] > body["traces"]:
        terminal.say(
            f"only the latest {body['traces']} of {body['found']} traces were grouped, from {body['from'][:16]} UTC on "
            "(--limit-traces)"
        )
    if gone := [s for s in clusters if s.number < run.number]:
        terminal.say(f"seen no more: {', '.join(str(s.cluster.id) for s in gone[:20])}")
    if seen:
        terminal.say("next: evalgate cluster show ID, evalgate cluster gaps")


def print_cluster(
    terminal: Terminal, stored: Stored, members: Sequence[Mapping[str, Any]], history: Sequence[Mapping[str, Any]]
) -> None:
    """Print everything that is known of one cluster."""
    c = stored.cluster
    terminal.say(f"cluster {c.id}: {c.name}", style="bold")
    terminal.say(
        f"{count_of(c.traces, 'trace')}, {c.failing} failing, {percent(stored.share)} of the weighted traffic of run "
        f"{stored.number}; seen by {count_of(stored.runs, 'run')}"
    )
    terminal.say(f"{_day(stored.first_unix_ns)} to {_day(stored.last_unix_ns)}, {c.trend}: {_halves(stored)}")
    for name, values in (
        ("words", c.terms),
        ("reasons", c.failure_reasons),
        ("tools", c.tool_paths),
        ("roots", c.root_names),
        ("features", c.features),
    ):
        if values:
            terminal.say(f"{name}: {'; '.join(values)}")
    for event in history:
        terminal.say(event_words(event))
    standing = [m for m in members if m["representative"]]
    if standing:
        terminal.say("stands for it:")
        terminal.table(
            ("trace", "started (UTC)", "strength"),
            [(m["trace_id"], _minute(m), f"{m['strength']:.2f}") for m in standing],
        )
    if not members:
        terminal.say("its traces are no longer stored, or are in other clusters now")
    terminal.say(f"next: evalgate traces show ID, evalgate cluster plan {c.id}")


def print_novel(terminal: Terminal, members: Sequence[Mapping[str, Any]], limit: int) -> None:
    """Print the traces of a run that are like no others."""
    window = [m for m in members if m["in_window"]]
    if not window:
        terminal.say("No trace is like no others.")
        return
    terminal.table(("trace", "started (UTC)"), [(m["trace_id"], _minute(m)) for m in window[:limit]])
    more = f", {limit} shown (--limit)" if len(window) > limit else ""
    terminal.say(f"{count_of(len(window), 'trace')} like no others{more}: what is new shows here first")


def print_gaps(terminal: Terminal, coverage: Coverage, limit: int) -> None:
    """Print what is not covered, the heaviest first."""
    if coverage.gaps:
        terminal.table(
            ("cluster", "share", "traces", "failing", "cases", "evaluators", "lacks", "what"),
            [_gap_cells(g) for g in coverage.gaps[:limit]],
        )
    total = len(coverage.gaps) + len(coverage.covered)
    more = f", {limit} shown (--limit)" if len(coverage.gaps) > limit else ""
    terminal.say(
        f"{len(coverage.covered)} of {count_of(total, 'cluster')} lack nothing: {percent(coverage.share)} of clustered "
        f"traffic, weighted{more}"
    )
    if coverage.cases_elsewhere:
        terminal.say(
            f"{count_of(coverage.cases_elsewhere, 'case')} of no cluster: no trace, or one that was not grouped"
        )
    if coverage.gaps:
        terminal.say(f"next: evalgate cluster plan {coverage.gaps[0].stored.cluster.id}")


def stored_json(stored: Stored) -> dict[str, Any]:
    """Return the JSON object of a cluster."""
    c = stored.cluster
    values = {k: v for k, v in asdict(c).items() if not k.endswith("_unix_ns")}
    return {
        **values,
        "scope": stored.scope,
        "run": stored.number,
        "share": stored.share,
        "total_weight": stored.total_weight,
        "early_total": stored.early_total,
        "late_total": stored.late_total,
        "runs": stored.runs,
        "first_seen": iso_time(stored.first_unix_ns),
        "last_seen": iso_time(stored.last_unix_ns),
    }


def run_json(run: Run) -> dict[str, Any]:
    """Return the JSON object of a run."""
    return {"number": run.number, "at": iso_time(run.at_unix_us * 1000), "scope": run.scope, **run.body}


def gap_json(covered: Covered) -> dict[str, Any]:
    """Return the JSON object of a cluster and what looks after it."""
    return {
        **stored_json(covered.stored),
        "cases": list(covered.cases),
        "failure_modes": dict(covered.modes),
        "evaluators": list(covered.evaluators),
        "unwatched": list(covered.unwatched),
        "lacks": list(covered.lacks),
    }


def member_json(row: Mapping[str, Any]) -> dict[str, Any]:
    """Return the JSON object of a trace in a cluster."""
    kept = ("trace_id", "representative", "strength", "in_window", "sample_weight")
    return {**{k: row[k] for k in kept}, "start_time": iso_time(row["start_unix_us"] * 1000)}


def _cells(s: Stored) -> tuple[str, ...]:
    c = s.cluster
    first, last = _day(s.first_unix_ns), _day(s.last_unix_ns)
    return str(c.id), str(c.traces), str(c.failing), percent(s.share), str(c.trend), first, last, c.name


def _gap_cells(g: Covered) -> tuple[str, ...]:
    c = g.stored.cluster
    counts = (str(c.traces), str(c.failing), str(len(g.cases)), str(len(g.evaluators)))
    return (str(c.id), percent(g.stored.share), *counts, ", ".join(g.lacks), c.name)


def _halves(s: Stored) -> str:
    c = s.cluster
    parts = ((c.early, s.early_total, "first"), (c.late, s.late_total, "second"))
    return ", ".join(f"{n} of {total} in the {half} half of the window" for n, total, half in parts)


def event_words(event: Mapping[str, Any]) -> str:
    """Return a row of `store.history` as a sentence."""
    own, other, where = event["cluster_id"], event["other_id"], f"run {event['number']}"
    match EventKind(event["event"]):
        case EventKind.BORN:
            return f"{where}: cluster {own} is new"
        case EventKind.SPLIT_FROM:
            return f"{where}: cluster {own} split from {other} with {percent(event['share'])} of its known traces"
        case EventKind.MERGED_INTO:
            return f"{where}: {percent(event['share'])} of the known traces of cluster {own} went into {other}"


def _share(part: float, whole: float) -> float:
    return part / whole if whole else 0.0


def _day(unix_ns: int) -> str:
    return iso_time(unix_ns)[:10]


def _minute(member: Mapping[str, Any]) -> str:
    return one_line(iso_time(member["start_unix_us"] * 1000)[:16].replace("T", " "))
