"""Compare ways to pick traces on one synthetic stream, in which half of the failures are noticed late.

    python bench/sampling.py [--traces 60000] [--burst 60000] [--seed 1] [--picture] [--json]

    ours                  the real code: requests, every processor, an embedded database, its view of traces; a batch of
                          spans at a time is in memory, and what is flagged is decided in what is stored
    sidecar               the real decisions of `asymmetric_sampler`, which forwards flagged traces only, 30 s behind;
                          the time between its two sides is the stream's (bench/tools/forwarded.py)
    tail sampler          a SIMULATION of the OpenTelemetry Collector's tail_sampling by its documented algorithm, with
                          status_code ERROR and probabilistic 10 %, decision_wait 30 s, num_traces 50 000
    tail sampler, cached  the same with both decision caches at 500 000 traces
    coin flip             a SIMULATION of a random number per trace and request, failures always; nothing remembered

The stream: bench/tools/arrivals.py; the simulations and what they leave out: bench/tools/samplers.py. Two crashes are
in it: a sampler in memory forgets, ours opens its database again. When the holding time is over, our retention removes
what nobody flagged. A failing trace is *missed* when it is not stored in the end, or when what tells of its failure is
not; *in part* when spans of it are gone. Traces whose failure is noticed only after the holding time are told apart:
ours has only what the baseline kept of them. Rates are told of all failing traces, those included.
"""

from __future__ import annotations

import argparse
import json
import sys
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, get_args

import numpy as np
from rich.console import Console
from rich.table import Table

from bench.stages import BASELINE_RATE, SPANS_PER_REQUEST, processors
from bench.tools.arrivals import DAY_S, NAMES, Mode, Plan, stream
from bench.tools.forwarded import Sidecar
from bench.tools.limits import best_cpu_us
from bench.tools.machine import keep, machine, settings
from bench.tools.measure import work_folder
from bench.tools.payloads import Kind, stamper
from bench.tools.pictures import IMAGES, shares
from bench.tools.report import Check, Document, markdown_table, number
from bench.tools.samplers import Kept, TailSampler, coin_flips
from bench.tools.stored import BEGIN_UNIX_NS, span_bytes, store, verdicts
from collector.decode import decode
from collector.journal.record import Record
from collector.process import tune
from collector.processors.sample import Sample
from collector.retention.decide import Moment
from collector.retention.expire import Retention, accept
from collector.retention.settings import Holding, Settings
from exporters.clickhouse.connect import connect
from exporters.clickhouse.migrate import migrate
from schema.failure.rules import FailureRules
from schema.policy import Policy
from schema.policy.rates import Rates

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from numpy.typing import NDArray

    from bench.tools.arrivals import Stream
    from exporters.clickhouse.connect import Database
    from schema.batch import SpanBatch

CACHE_TRACES: Final = 500_000
"""Ten times num_traces: "much greater", says the README."""
CRASHES: Final = (0.25, 0.75)
"""Parts of the stream after which the process dies."""
COST_POLICIES: Final[dict[str, dict[str, Any]]] = {
    "default": {},
    "5 rules of each": {
        "failure": {
            "rules": [
                {"name": "slow", "when": "span_kind = 'llm' AND duration_ms > 30000"},
                {"name": "long", "when": "output_tokens > 4000 OR length(finish_reasons) > 1"},
                {"name": "model", "when": "request_model IN ('a', 'b') AND environment = 'prod'"},
                {"name": "costly", "when": "cost_usd > 0.5 AND NOT has(tags, 'batch')"},
                {"name": "tier", "when": "span_attributes['app.tier'] = 'gold'"},
            ]
        },
        "sample": {
            "rules": [
                {"name": "svc", "when": "service_name = 'svc-1' AND environment = 'prod'", "rate": 1.0},
                {"name": "acme", "when": "tenant = 'acme'", "rate": 0.25},
                {"name": "tools", "when": "span_kind = 'tool'", "rate": 0.3},
                {"name": "feature", "when": "feature LIKE 'search%'", "rate": 0.5},
                {"name": "mini", "when": "request_model ILIKE '%mini%'", "rate": 0.05},
            ]
        },
    },
}
COST_SPANS: Final = 16_384
COST_ROUNDS: Final = 25
COST_LIMIT_US: Final = 0.2
OURS: Final = "ours"
SIDECAR: Final = "sidecar"
TAIL: Final = "tail sampler"
CACHED: Final = "tail sampler, cached"
FLIP: Final = "coin flip"


@dataclass(frozen=True, slots=True)
class Pick:
    """What one way kept, and what it holds to know that."""

    name: str
    is_simulated: bool
    kept: Kept


def measure(plan: Plan, cost_spans: int = COST_SPANS) -> dict[str, Any]:
    """Send one stream to all of them, and measure what deciding costs ours for each span."""
    made = stream(plan)
    crashes = [plan.seconds * part for part in CRASHES]
    lucky = np.random.default_rng(plan.seed + 1).random(len(made.mode)) < BASELINE_RATE
    size = span_bytes()
    picks = [
        Pick(OURS, is_simulated=False, kept=ours(made, plan, crashes)),
        Pick(SIDECAR, is_simulated=False, kept=_sidecar(made, crashes)),
        Pick(TAIL, is_simulated=True, kept=_tail(made, size, lucky, crashes, cached=False)),
        Pick(CACHED, is_simulated=True, kept=_tail(made, size, lucky, crashes, cached=True)),
        Pick(FLIP, is_simulated=True, kept=coin_flips(made, BASELINE_RATE, plan.seed + 2)),
    ]
    return {
        "traces": len(made.mode),
        "spans": int(made.spans.sum()),
        "span_bytes": size,
        "failing": {NAMES[m]: int((made.mode == m).sum()) for m in Mode if m is not Mode.FINE},
        "failing_rate": round(float(made.failing.mean()), 5),
        "ways": [_figures(p, made) for p in picks],
        "costs": [c for kind in get_args(Kind) for c in costs(kind, cost_spans, COST_ROUNDS)],
    }


def ours(made: Stream, plan: Plan, crashes_s: Sequence[float]) -> Kept:
    """Return what our own code has of the stream; a crash is a database opened anew.

    When the holding time is over, retention takes what nobody flagged; what is said later comes after that.
    """
    process = _processing()
    over_s = (plan.holding_days + 1.9) * DAY_S
    moments = [float("-inf"), *crashes_s, over_s, float("inf")]
    largest, spans_at_first = 0, 0
    with work_folder() as folder:
        for since, until in pairwise(moments):
            with connect(f"chdb://{folder}/db") as db:
                migrate(db)
                largest = max(largest, store(db, made, process, since_s=since, until_s=until))
                if until == over_s:
                    spans_at_first = int(db.rows("SELECT count() AS n FROM spans")[0]["n"])
                    _retain(db, plan, over_s)
                said = verdicts(db, made) if until == moments[-1] else None
    assert said is not None  # noqa: S101 - the last moment
    flagged = said.flagged
    return Kept(
        spans=np.where(flagged, said.spans, 0),
        shows_failure=said.failing & flagged,
        weight=np.where(flagged, said.weight, 0.0),
        spans_at_first=spans_at_first,
        peak_bytes=largest,
    )


def _retain(db: Database, plan: Plan, at_s: float) -> None:
    """Remove what nobody flagged, as the collector does."""
    now = datetime.fromtimestamp(BEGIN_UNIX_NS / 1e9 + at_s, UTC)
    accept(db, "bench", "", Settings(Holding(90, plan.holding_days)).document())
    # By the clock of the database all of it came just now: it counts as quiet all the same.
    Retention(db, "bench", lambda: Moment(now, quiet_s=-1e8)).run()


def _processing() -> Callable[[SpanBatch], SpanBatch]:
    """Return all processors in one."""
    stages = list(processors().values())

    def process(batch: SpanBatch) -> SpanBatch:
        for stage in stages:
            batch = stage(batch)
        return batch

    return process


def _sidecar(made: Stream, crashes_s: Sequence[float]) -> Kept:
    with work_folder() as folder:
        return Sidecar(made, _processing(), folder).run(crashes_s)


def _tail(made: Stream, size: int, lucky: NDArray[np.bool_], crashes_s: Sequence[float], *, cached: bool) -> Kept:
    caches = CACHE_TRACES if cached else 0
    return TailSampler(made, size, lucky, rate=BASELINE_RATE, cache_traces=caches).run(crashes_s)


def _figures(pick: Pick, made: Stream) -> dict[str, Any]:
    kept, truth = pick.kept, made.failing
    in_time = truth & (made.mode != Mode.AFTER_HOLDING)
    has = kept.spans > 0
    found = has & kept.shows_failure
    whole = found & (kept.spans == made.span_count)
    picked = int(kept.spans.sum())
    true_rate = float(truth.mean())
    unweighted = _rate(found, has.astype(float))
    weighted = None if kept.weight is None else _rate(found, kept.weight)
    return {
        "way": pick.name,
        "simulated": pick.is_simulated,
        "missed": int((in_time & ~found).sum()),
        "missed_share": round(float((in_time & ~found).sum() / max(in_time.sum(), 1)), 5),
        "in_part": int((in_time & found & ~whole).sum()),
        "missed_by_mode": {NAMES[m]: int(((made.mode == m) & ~found).sum()) for m in Mode if m is not Mode.FINE},
        "wrongly_failing": int((found & ~truth).sum()),
        "traces_kept": int(has.sum()),
        "spans_picked": picked,
        "spans_at_first": picked if kept.spans_at_first is None else kept.spans_at_first,
        "spans_at_last": picked if kept.spans_at_last is None else kept.spans_at_last,
        "peak_bytes": kept.peak_bytes,
        "peak_traces": kept.peak_traces,
        "lost_early": kept.lost_early,
        "lost_in_crash": kept.lost_in_crash,
        "rate_unweighted": round(unweighted, 5),
        "rate_weighted": None if weighted is None else round(weighted, 5),
        "error_unweighted": round(unweighted / true_rate - 1, 4),
        "error_weighted": None if weighted is None else round(weighted / true_rate - 1, 4),
    }


def _rate(failing: NDArray[np.bool_], weight: NDArray[np.float64]) -> float:
    """Return the failing rate that these weights tell, as a Hájek estimate."""
    return float(weight[failing].sum() / max(weight.sum(), 1e-12))


def costs(kind: Kind, spans: int, rounds: int) -> list[dict[str, Any]]:
    """Measure the processors that decide what is flagged: CPU microseconds a span, the best of several rounds."""
    made = stamper(kind, SPANS_PER_REQUEST, start=1)
    found = [
        Record(i, "default", "traces", "protobuf", gzip=False, received_unix_ns=BEGIN_UNIX_NS, body=bytes(made.next()))
        for i in range(max(1, spans // SPANS_PER_REQUEST))
    ]
    batch = decode(found)
    for name, stage in processors().items():
        if name == "failure":
            break
        batch = stage(batch)
    return [
        {"kind": kind, "policy": name, **_cost(Policy.model_validate(policy), batch, rounds)}
        for name, policy in COST_POLICIES.items()
    ]


def _cost(policy: Policy, batch: SpanBatch, rounds: int) -> dict[str, float]:
    failure = FailureRules.of(policy.failure)
    sample = Sample(Rates.of(policy.sample), policy_version=policy.version)
    steps = {"failure_us": partial(failure, batch, compiled=True), "sample_us": partial(sample, batch)}
    us: dict[str, float] = {}
    for name, step in steps.items():
        step()
        us[name] = round(best_cpu_us(step, rounds) / len(batch), 3)
    return us


def checks(document: Document) -> list[Check]:
    """Return what ours must hold."""
    (own,) = (w for w in document["ways"] if w["way"] == OURS)
    return [
        Check("sampling: failing traces missed", own["missed"], 0),
        Check("sampling: failing traces kept in part", own["in_part"], 0),
        Check("sampling: weighted failing rate, off by", abs(own["error_weighted"]), 0.05),
        *(
            Check(f"sampling, {c['kind']}: failure and sample", c["failure_us"] + c["sample_us"], COST_LIMIT_US, "µs")
            for c in document["costs"]
            if c["policy"] == "default"
        ),
    ]


HEADER: Final = (
    "", "failing missed", "in part", "traces picked", "spans stored", "held in memory", "failing rate as told",
    "weighted",
)  # fmt: skip


def _percent(value: float | None) -> str:
    return "—" if value is None else f"{value * 100:.2f} %"


def _name(w: dict[str, Any]) -> str:
    return f"{w['way']} (simulated)" if w["simulated"] else str(w["way"])


def _line(w: dict[str, Any]) -> list[str]:
    memory = f"{number(w['peak_bytes'] / 1e6)} MB" if w["peak_bytes"] else "nothing"
    stored = str(w["spans_at_last"])
    if w["spans_at_first"] != w["spans_at_last"]:
        stored = f"{w['spans_at_first']}, then {stored}"
    return [
        _name(w),
        f"{w['missed']} ({_percent(w['missed_share'])})",
        str(w["in_part"]),
        str(w["traces_kept"]),
        stored,
        memory,
        _percent(w["rate_unweighted"]),
        _percent(w["rate_weighted"]),
    ]


def _modes(document: Document) -> list[list[str]]:
    return [
        [name, str(count), *(str(w["missed_by_mode"][name]) for w in document["ways"])]
        for name, count in document["failing"].items()
    ]


def _cost_lines(document: Document) -> list[list[str]]:
    return [[c["kind"], c["policy"], f"{c['failure_us']:.2f}", f"{c['sample_us']:.2f}"] for c in document["costs"]]


def markdown(document: Document) -> str:
    """Return the figures of all ways, and what each missed by how it was noticed."""
    names = [w["way"] for w in document["ways"]]
    told = f"{document['traces']} traces, {document['spans']} spans; {_percent(document['failing_rate'])} fail.\n"
    ways = markdown_table(HEADER, [_line(w) for w in document["ways"]])
    modes = markdown_table(("failures", "there are", *(f"missed: {n}" for n in names)), _modes(document))
    cost = markdown_table(("CPU µs a span", "policy", "failure", "sample"), _cost_lines(document))
    return f"{told}\n{ways}\n{modes}\n{cost}"


def picture(document: Document, folder: Path = IMAGES) -> Path:
    """Draw what each way missed."""
    rows = [
        {"way": _name(w), "mode": name, "share": w["missed_by_mode"][name] / count, "text": w["missed_by_mode"][name]}
        for w in document["ways"]
        for name, count in document["failing"].items()
        if count
    ]
    where = document["machine"]
    title = f"Failing traces that are missed · {where['at'][:10]} · {where['commit']}"
    return shares(rows, folder / "sampling.svg", title=title)


def parse(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", 1)[0])
    parser.add_argument("--traces", type=int, default=Plan().traces, help="that come evenly, within the hour")
    parser.add_argument("--burst", type=int, default=Plan().burst_traces, help="that come within 20 s of it")
    parser.add_argument("--seed", type=int, default=Plan().seed)
    parser.add_argument("--picture", nargs="?", type=Path, const=IMAGES, help="draw sampling.svg")
    parser.add_argument("--smoke", action="store_true", help="few traces: does everything run?")
    parser.add_argument("--json", action="store_true", help="print the raw results instead of a table")
    parser.add_argument("--results", type=Path, help="keep the raw results, in this folder")
    return parser.parse_args(arguments)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the bench; 1 when ours missed a failing trace."""
    options = parse(arguments)
    tune()
    if options.smoke:
        options.traces, options.burst = 1_500, 500
    plan = Plan(traces=options.traces, burst_traces=options.burst, seed=options.seed)
    with work_folder() as folder:
        kept: Document = {
            "machine": machine(folder),
            "options": settings(options),
            **measure(plan, 1024 if options.smoke else COST_SPANS),
        }
    if options.json:
        print(json.dumps(kept, indent=1))
    else:
        console = Console(width=150)
        table = Table(*HEADER, title=f"{kept['traces']} traces, {_percent(kept['failing_rate'])} fail")
        for w in kept["ways"]:
            table.add_row(*_line(w))
        console.print(table)
        modes = Table("failures", "there are", *(f"missed: {w['way']}" for w in kept["ways"]))
        for line in _modes(kept):
            modes.add_row(*line)
        console.print(modes)
        cost = Table("CPU µs a span", "policy", "failure", "sample")
        for line in _cost_lines(kept):
            cost.add_row(*line)
        console.print(cost)
    if options.picture:
        print(f"picture: {picture(kept, options.picture)}", file=sys.stderr)
    if options.results and not options.smoke:
        print(f"raw results: {keep('sampling', kept, options.results)}", file=sys.stderr)
    return 0 if all(c.is_met for c in checks(kept)[:2]) else 1


if __name__ == "__main__":
    sys.exit(main())
