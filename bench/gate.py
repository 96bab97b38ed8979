"""Simulate changes that change nothing, and changes that do harm, and count what the gate says of them.

    python bench/gate.py [--gates 2000] [--seed 1] [--json]

A world is a number of cases, in clusters or not, judged by some evaluators that are sometimes wrong, once or several
times. Base and head are drawn from it, and the paired checks of the gate (evalgate/gate/paired.py) judge them; nothing
here computes a p-value of its own for ours. Beside it stand gates as people build them:

    ours                 Holm over all paired checks, clusters, a least drop
    any drop             red when the pass rate of any evaluator is lower than before
    5 points             red when one is lower by more than 5 points
    10 points            red when one is lower by more than 10 points
    a test each          McNemar's exact test, or a paired t test, of each evaluator at 5 %, cases taken as independent
    must not break       our policy for deterministic evaluators: red when a case that passed fails, and no attempt of
                         it says otherwise. These worlds answer by chance, which that policy is not made for

False alarms are red gates of unchanged worlds. Power is counted at the drop that the gate itself states as its minimum
detectable effect: the median of what it printed in the unchanged worlds.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np
from rich.console import Console
from rich.table import Table

from bench.tools.machine import RESULTS, keep, machine, settings
from bench.tools.measure import work_folder
from bench.tools.report import Check, Document, markdown_table
from evalgate.gate.base import Base, BaseCase
from evalgate.gate.decision import CheckStatus, EvalResult
from evalgate.gate.paired import CASES, Pairs, paired_checks, regressed
from evalgate.gate.policy import GatePolicy
from schema.alignment import Grant, Permission, Reason
from schema.evaluator import EvalType, Evidence
from schema.statistics import Z_95, mcnemar_p

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from numpy.random import Generator
    from numpy.typing import NDArray

    from evalgate.gate.decision import Check as GateCheck

    Scores = NDArray[np.float64]

ALPHA: Final = 0.05
Z_95_ONE_SIDED: Final = 1.6448536269514722
OURS: Final = "ours"
MUST_NOT_BREAK: Final = "must not break"
OTHERS: Final = ("any drop", "5 points", "10 points", "a test each", MUST_NOT_BREAK)
PASS_CHANCES: Final = (0.98, 0.6, 0.05)
"""Of a case to pass: nearly always, now and then, hardly ever."""
HARM_DRAWS: Final = 200
MIX: Final = (0.7, 0.15, 0.15)


@dataclass(frozen=True, slots=True)
class World:
    """Where runs are drawn from."""

    name: str
    cases: int
    cluster: int = 1
    """Cases of one cluster."""
    shared: float = 0.0
    """How often a cluster's cases are lucky or unlucky together."""
    evaluators: int = 1
    graded: bool = False
    """Scores between 0 and 1, in steps of a tenth, as a judge gives them; else verdicts."""
    repeats: int = 1
    wrong: float = 0.0
    """How often a judge says the opposite."""


WORLDS: Final = (
    World("20 cases", 20),
    World("100 cases", 100),
    World("100 cases, a judge that is wrong in 15 %", 100, wrong=0.15),
    World("100 cases, the same, three attempts", 100, wrong=0.15, repeats=3),
    World("200 cases in clusters of 5", 200, cluster=5, shared=0.8),
    World("200 cases in clusters of 20", 200, cluster=20, shared=0.8),
    World("100 cases, five evaluators", 100, evaluators=5, wrong=0.05),
    World("100 cases, graded", 100, graded=True),
    World("20 cases, graded", 20, graded=True),
    World("200 cases in clusters of 5, three graded evaluators", 200, cluster=5, shared=0.8, evaluators=3, graded=True),
    World("500 cases", 500),
)
SMOKE: Final = (WORLDS[0], WORLDS[4], WORLDS[7])


def draw(world: World, harm: float, chances: Scores, random: Generator) -> Scores:
    """Return scores of one run: evaluators × cases × attempts. `harm` is the chance that what passes is broken."""
    shape = (world.evaluators, world.cases, world.repeats)
    clusters = -(-world.cases // world.cluster)
    together = np.repeat(random.random((1, clusters, world.repeats)), world.cluster, 1)[:, : world.cases]
    alone = random.random((1, world.cases, world.repeats))
    luck = np.where(random.random((1, world.cases, world.repeats)) < world.shared, together, alone)
    passes = (luck < chances[None, :, None]) & (random.random((1, world.cases, world.repeats)) >= harm)
    if not world.graded:
        said = np.broadcast_to(passes, shape) ^ (random.random(shape) < world.wrong)
        return np.asarray(said, np.float64)
    quality = np.where(passes, 0.9, 0.3) + random.normal(0, 0.12, shape)
    return np.asarray(np.round(np.clip(quality, 0, 1), 1))


def chances_of(world: World, random: Generator) -> Scores:
    """Return how likely each case passes; cases of a cluster are alike."""
    clusters = -(-world.cases // world.cluster)
    kinds = random.choice(len(MIX), clusters, p=MIX)
    return np.repeat(np.asarray(PASS_CHANCES)[kinds], world.cluster)[: world.cases]


def results_of(world: World) -> list[EvalResult]:
    """Return evaluators that may block."""
    given = Grant(Permission.BLOCK, Reason.MEASURED, 0.9, 0.8, 0.95, 100)
    return [
        EvalResult(
            evaluator=f"judge-{n}",
            failure_mode="m",
            eval_type=EvalType.LLM_JUDGE,
            evidence=Evidence.JUDGE,
            grant=given,
            threshold=0.0,
            passed_count=0,
            sample_count=world.cases,
            mean_score=None,
            mcc_score=None,
            skipped=None,
        )
        for n in range(world.evaluators)
    ]


def side_of(world: World, scores: Scores) -> dict[str, BaseCase]:
    """Return the cases of one run."""
    passed = scores >= 0.8
    names = [f"judge-{n}" for n in range(world.evaluators)]
    return {
        f"case-{i}": BaseCase(
            content_hash=f"content of {i}",
            passed=None,
            scores={name: float(scores[e, i].mean()) for e, name in enumerate(names)},
            failed_by=tuple(
                tuple(name for e, name in enumerate(names) if not passed[e, i, a]) for a in range(world.repeats)
            ),
            cluster=f"cluster {i // world.cluster}" if world.cluster > 1 else None,
        )
        for i in range(world.cases)
    }


def gates(
    world: World, harm: float, count: int, random: Generator, policy: GatePolicy
) -> Iterator[tuple[list[GateCheck], bool, Scores, Scores]]:
    """Yield the paired checks of so many gates, whether a case broke surely, and the scores of base and head."""
    results = results_of(world)
    for _ in range(count):
        chances = chances_of(world, random)
        then, now = draw(world, 0.0, chances, random), draw(world, harm, chances, random)
        base = Base("base", "v", None, {}, side_of(world, then))
        pairs = Pairs(base, side_of(world, now), frozenset(), tuple(base.cases))
        broken, _ = regressed(pairs, pairs.same, [r.evaluator for r in results])
        yield paired_checks(pairs, results, policy), bool(broken), then, now


def naive(then: Scores, now: Scores, *, graded: bool) -> dict[str, bool]:
    """Return what gates as people build them say: whether they are red."""
    before, after = then.mean(2), now.mean(2)
    passed = ((then >= 0.8).mean(2) > 0.5), ((now >= 0.8).mean(2) > 0.5)
    drop = (passed[0].mean(1) - passed[1].mean(1)).max() + 0.0
    return {
        "any drop": bool(drop > 0),
        "5 points": bool(drop > 0.05 + 1e-9),
        "10 points": bool(drop > 0.1 + 1e-9),
        "a test each": any(
            _t_test(b - a) if graded else _mcnemar(p, q) for b, a, p, q in zip(before, after, *passed, strict=True)
        ),
    }


def _mcnemar(then: NDArray[np.bool_], now: NDArray[np.bool_]) -> bool:
    return mcnemar_p(int((then & ~now).sum()), int((~then & now).sum())) < ALPHA


def _t_test(drops: Scores) -> bool:
    error = drops.std(ddof=1) / np.sqrt(len(drops))
    return bool(error > 0 and drops.mean() / error > Z_95_ONE_SIDED)


Point = dict[str, Any]
"""world, cases, false alarms by gate, stated effect, power by gate, inconclusive of unchanged and of harmed worlds."""


def measure(world: World, count: int, seed: int, policy: GatePolicy) -> Point:
    """Return what the gates say of one world, unchanged and harmed."""
    random = np.random.default_rng(seed)
    red: dict[str, int] = {OURS: 0, MUST_NOT_BREAK: 0}
    stated: list[float] = []
    unsure = settled = 0
    for checks, broken, then, now in gates(world, 0.0, count, random, policy):
        blocking = [c for c in checks if c.blocking]
        red[OURS] += any(c.status is CheckStatus.FAIL for c in blocking)
        red[MUST_NOT_BREAK] += broken
        unsure += any(c.status is CheckStatus.INCONCLUSIVE for c in blocking)
        settled += all(c.status is CheckStatus.PASS for c in blocking)
        effect = next(c for c in checks if c.id == CASES).minimum_detectable_effect
        stated += [] if effect is None else [effect]
        for name, is_red in naive(then, now, graded=world.graded).items():
            red[name] = red.get(name, 0) + is_red
    effect = statistics.median(stated)
    rate, harm = _harm_of(world, effect, random)
    caught: dict[str, int] = dict.fromkeys(red, 0)
    tries = max(1, count // 2)
    for checks, broken, then, now in gates(world, harm, tries, random, policy):
        caught[MUST_NOT_BREAK] += broken
        caught[OURS] += any(c.status is CheckStatus.FAIL for c in checks if c.blocking)
        for name, is_red in naive(then, now, graded=world.graded).items():
            caught[name] += is_red
    return {
        "world": world.name,
        "cases": world.cases,
        "gates": count,
        "pass_rate": round(rate, 4),
        "false_alarms": {name: n / count for name, n in red.items()},
        "inconclusive": unsure / count,
        "passed": settled / count,
        "stated_effect": round(effect, 4),
        "power": {name: n / tries for name, n in caught.items()},
    }


def _harm_of(world: World, effect: float, random: Generator) -> tuple[float, float]:
    """Return the pass rate of cases, and the chance of breaking an answer that lowers it by the effect."""

    def passing(harm: float) -> float:
        found = []
        for _ in range(HARM_DRAWS):
            scores = draw(world, harm, chances_of(world, random), random) >= 0.8
            found.append(float(scores.all(0).mean()))
        return float(np.mean(found))

    whole, broken = passing(0.0), passing(1.0)
    return whole, min(1.0, effect / max(1e-9, whole - broken))


HEADER: Final = (
    "world",
    "false alarms",
    *OTHERS,
    "passes",
    "inconclusive",
    "states",
    "finds it",
)


def _lines(document: Document) -> list[list[str]]:
    lines = []
    for p in document["points"]:
        alarms = [f"{p['false_alarms'][name]:.1%}" for name in (OURS, *OTHERS)]
        lines.append(
            [
                p["world"],
                *alarms,
                f"{p['passed']:.0%}",
                f"{p['inconclusive']:.0%}",
                f"{p['stated_effect'] * 100:.1f} points",
                f"{p['power'][OURS]:.0%}",
            ]
        )
    return lines


def checks(document: Document) -> list[Check]:
    """Return the worst figures of ours; what is simulated may lie beside the truth by two standard errors."""
    points = document["points"]
    count = min(p["gates"] for p in points)
    slack = Z_95 * (ALPHA * (1 - ALPHA) / count) ** 0.5
    short = Z_95 * (0.8 * 0.2 / max(1, count // 2)) ** 0.5
    return [
        Check("gate: most false alarms", max(p["false_alarms"][OURS] for p in points), ALPHA + slack),
        Check(
            "gate: least power at the stated effect", min(p["power"][OURS] for p in points), 0.8 - short, at_least=True
        ),
    ]


def markdown(document: Document) -> str:
    """Return a line for each world."""
    return markdown_table(HEADER, _lines(document))


def parse(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", 1)[0])
    parser.add_argument(
        "--gates", type=int, default=2_000, help="unchanged ones in each world, and half as many harmed"
    )
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--smoke", action="store_true", help="few worlds: does everything run?")
    parser.add_argument("--json", action="store_true", help="print the raw results instead of a table")
    parser.add_argument("--results", type=Path, default=RESULTS, help="folder for the raw results")
    return parser.parse_args(arguments)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the bench; 1 when the gate cries wolf, or misses what it says it finds."""
    options = parse(arguments)
    if options.smoke:
        options.gates = 60
    policy = GatePolicy(resamples=2000)
    worlds = SMOKE if options.smoke else WORLDS
    points = [measure(w, options.gates, options.seed + n, policy) for n, w in enumerate(worlds)]
    with work_folder() as folder:
        kept: Document = {"machine": machine(folder), "options": settings(options), "points": points}
    if options.json:
        print(json.dumps(kept, indent=1))
    else:
        table = Table(*HEADER)
        for line in _lines(kept):
            table.add_row(*line)
        Console(width=170).print(table)
    if not options.smoke:
        print(f"raw results: {keep('gate', kept, options.results)}", file=sys.stderr)
    return 0 if options.smoke or all(c.is_met for c in checks(kept)) else 1


if __name__ == "__main__":
    sys.exit(main())
