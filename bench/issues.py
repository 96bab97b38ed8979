"""Measure what is told of issues: false alarms and delay of "rising", and what reading all issues costs.

    python bench/issues.py [--draws 2000] [--traces 1000000] [--json]

Days are drawn: Poisson, negative binomial (variance three times the mean), five working days and a quiet weekend, and a
sample in which each trace stands for ten. Then nothing changes, or the rate doubles or triples on some day. A day is a
false alarm when it lies above its range and nothing changed; the delay is the number of days until one lies above it.

The cost is CPU of this process, all threads, embedded: 5 000 labels of 50 failure modes on so many traces.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np
from rich.console import Group

from bench.tools.machine import RESULTS, machine
from bench.tools.report import Check, Document, finish, markdown_table, table_of
from evalgate.database import TenantDatabase
from evalgate.evals.issue_views import issue_views
from evalgate.review.numbers import open_issues
from exporters.clickhouse.connect import connect
from exporters.clickhouse.migrate import migrate
from schema.statistics.counts import expected_count

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

DRAWS: Final = 2000
TRACES: Final = 1_000_000
LABELS: Final = 5000
MODES: Final = 50
HISTORY_DAYS: Final = 28
WATCHED_DAYS: Final = 7
WEEK: Final = np.array([1.3, 1.3, 1.3, 1.3, 1.3, 0.25, 0.25])
MAX_FALSE: Final = 0.05
HEADER: Final = ("days", "mean", "false alarms", "doubled: seen in 7 days", "tripled: seen in 7 days")
FILL: Final = """
INSERT INTO spans (tenant, trace_id, span_id, parent_span_id, received_at, start_time, end_time, duration_ns, name,
    status_code, service_name, span_kind, counted, user_id, session_id, failing, baseline, baseline_rate)
SELECT 'default', MD5(toString(number)), unhex('0000000000000001'), unhex('0000000000000000'),
    toDateTime64('2026-11-01 09:00:00', 9, 'UTC') + INTERVAL {day:UInt32} DAY AS at, at, at + INTERVAL 1 SECOND, 1000,
    'chat', 'unset', 'shop', 'llm', true, concat('u', toString(number % 1000)), concat('s', toString(number % 5000)),
    number % 30 = 0, true, 0.1
FROM numbers({first:UInt64}, {count:UInt64})
"""


def drawn(kind: str, mean: float, days: NDArray[np.float64], seed: int) -> NDArray[np.float64]:
    """Return counts of days; `days`: how many times the mean each has."""
    random = np.random.default_rng(seed)
    rates = mean * days
    if kind == "uneven":
        return np.asarray(random.negative_binomial(rates / 2, 1 / 3), np.float64)
    if kind == "weighted":
        return np.asarray(random.poisson(rates / 10), np.float64) * 10
    week = WEEK[np.arange(days.shape[1]) % 7] if kind == "weekly" else 1.0
    return np.asarray(random.poisson(rates * week), np.float64)


def above(counts: NDArray[np.float64]) -> NDArray[np.bool_]:
    """Return which of the watched days lie above their range."""
    found = np.zeros((len(counts), WATCHED_DAYS), bool)
    for row, days in enumerate(counts):
        for n in range(WATCHED_DAYS):
            band = expected_count([float(x) for x in days[n : n + HISTORY_DAYS]])
            found[row, n] = band is not None and days[n + HISTORY_DAYS] > band.high
    return found


def alarms(draws: int) -> list[dict[str, Any]]:
    """Return how often a day is called above, by kind of day and by what changed."""
    found = []
    for seed, (kind, mean) in enumerate(
        [("poisson", 1.0), ("poisson", 5.0), ("poisson", 30.0), ("uneven", 10.0), ("weekly", 10.0), ("weighted", 50.0)]
    ):
        told: dict[str, Any] = {"kind": kind, "mean": mean}
        for name, factor in (("false", 1.0), ("doubled", 2.0), ("tripled", 3.0)):
            days = np.ones((draws, HISTORY_DAYS + WATCHED_DAYS))
            days[:, HISTORY_DAYS:] = factor
            seen = above(drawn(kind, mean, days, seed))
            told[name] = float(seen.mean() if name == "false" else seen.any(axis=1).mean())
        found.append(told)
    return found


def cost(traces: int, folder: Path) -> dict[str, Any]:
    """Return what reading all issues costs."""
    with connect(f"chdb://{folder}/db", create_database=True) as opened:
        migrate(opened)
        for day in range(20):
            opened.command(FILL, {"day": day, "first": day * traces // 20, "count": traces // 20})
        ids = opened.rows(
            "SELECT trace_id FROM traces WHERE failing ORDER BY cityHash64(trace_id) LIMIT {n:UInt32}", {"n": LABELS}
        )
        database = TenantDatabase(opened, "default")
        label = {"created_at": datetime.now(UTC), "span_id": "", "verdict": "bad", "comment": "", "annotator": "a"}
        rows = [{**label, "annotation_id": f"{n:032x}", "trace_id": r["trace_id"]} for n, r in enumerate(ids)]
        database.insert_rows("annotations", [{**r, "failure_mode": f"mode {n % MODES}"} for n, r in enumerate(rows)])
        open_issues(database, [f"mode {n}" for n in range(MODES)], actor="bench")
        found = []
        for _ in range(3):
            cpu, wall = time.process_time(), time.monotonic()
            issues = len(issue_views(database, folder))
            found.append((time.process_time() - cpu, time.monotonic() - wall))
    cpu_s, wall_s = min(found)
    return {"traces": traces, "labels": len(rows), "issues": issues, "cpu_s": cpu_s, "wall_s": wall_s}


def checks(document: Document) -> list[Check]:
    """Return the figures that have targets."""
    worst = max(a["false"] for a in document["alarms"])
    return [Check("days called above though nothing changed", worst, MAX_FALSE)]


def _rows(document: Document) -> list[tuple[str, ...]]:
    return [
        (a["kind"], f"{a['mean']:.0f}", f"{a['false']:.1%}", f"{a['doubled']:.0%}", f"{a['tripled']:.0%}")
        for a in document["alarms"]
    ]


def markdown(document: Document) -> str:
    """Return the table."""
    return markdown_table(HEADER, _rows(document))


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the bench."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--draws", type=int, default=DRAWS)
    parser.add_argument("--traces", type=int, default=TRACES)
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--smoke", action="store_true", help="few draws, no database; nothing is kept")
    parser.add_argument("--results", type=Path, default=RESULTS)
    options = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory() as folder:
        document: Document = {
            "machine": machine(Path(folder)),
            "alarms": alarms(20 if options.smoke else options.draws),
        }
        if not options.smoke:
            document["cost"] = cost(options.traces, Path(folder))
    found = Group(table_of(HEADER, _rows(document)), str(document.get("cost", "")))
    return finish("issues", document, checks(document), found, options)


if __name__ == "__main__":
    sys.exit(main())
