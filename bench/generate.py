"""Count how often `evals generate` finds a rule where there is none, and one that holds where there is one.

    python bench/generate.py [--sets 200] [--shuffles 99] [--seed 1] [--smoke] [--json]

A set is so many labelled answers, half of them bad, in words drawn with Zipf's frequencies, with a number, a link or a
list now and then, as answers have. In a world without a pattern the labels are drawn; in the others a phrase stands in
so many of the bad answers and in so many of the good ones.

    promising   a rule that chance finds in less than 1 of 20 shuffles, and that cross-validation bears out
    kept        the same, and MCC of at least 0.4 on the untouched test: what is written to a file
    blocks      the same, and it may block a release
    MCC         of what was kept, on 400 answers of the same world that nobody searched: mean and tenth percentile
"""

from __future__ import annotations

import argparse
import json
import random
import sys
import time
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np
from rich.console import Console
from rich.table import Table

from bench.tools.machine import RESULTS, keep, machine, settings
from bench.tools.measure import work_folder
from bench.tools.report import Check, Document, markdown_table
from evalgate.align.measure import confusion_of, judge_all
from evalgate.evaluators.rules import RuleEvaluator
from evalgate.generate.examples import choose_examples
from evalgate.generate.pipeline import generate
from evalgate.generate.request import Method, Request
from evalgate.generate.write import Place
from schema.alignment import Permission
from schema.case import Case, CaseInput, Observed
from schema.verdict import Verdict

if TYPE_CHECKING:
    from collections.abc import Sequence

MODE: Final = "planted"
AT: Final = datetime(2026, 11, 20, tzinfo=UTC)
VOCABULARY: Final = 400
UNSEEN: Final = 400
FALSE_RULES: Final = 0.05


@dataclass(frozen=True, slots=True)
class World:
    """Where answers are drawn from."""

    labels: int
    in_bad: float = 0.0
    """Share of bad answers that hold the phrase."""
    in_good: float = 0.0

    @property
    def name(self) -> str:
        """What the table calls it."""
        if not self.in_bad:
            return "no pattern"
        return f"in {self.in_bad:.0%} of the bad, {self.in_good:.0%} of the good"


SIZES: Final = (20, 40, 80, 160)
WORLDS: Final = tuple(
    World(n, bad, good) for bad, good in ((0.0, 0.0), (1.0, 0.0), (0.9, 0.05), (0.7, 0.1)) for n in SIZES
)


def cases_of(world: World, count: int, draw: random.Random) -> list[Case]:
    """Return labelled cases of a world."""
    words = [f"{draw_word(n)}" for n in range(VOCABULARY)]
    weights = [1 / (n + 2) for n in range(VOCABULARY)]
    cases = []
    for number in range(count):
        is_bad = number % 2 == 0
        text = draw.choices(words, weights, k=draw.randrange(15, 60))
        if draw.random() < 0.3:
            text.insert(draw.randrange(len(text)), f"{draw.randrange(1, 400)} days")
        if draw.random() < (world.in_bad if is_bad else world.in_good):
            text.insert(draw.randrange(len(text)), "entirely free of charge")
        answer = " ".join(text) + draw.choice((".", "!", "?", " https://example.com/help", ""))
        verdict = Verdict.BAD if is_bad else Verdict.GOOD
        asked = CaseInput((), " ".join(draw.choices(words, k=9)))
        mode = MODE if is_bad else None
        cases.append(Case(f"case-{number:05}", asked, Observed(answer), verdict=verdict, failure_mode=mode))
    return cases


def draw_word(number: int) -> str:
    """Return the n-th word of the vocabulary: always the same, pronounceable, unlike its neighbours."""
    draw = random.Random(number)  # noqa: S311 - a draw, no secret
    return "".join(draw.choice("bdfglmnprst") + draw.choice("aeiou") for _ in range(draw.randrange(2, 5)))


def measure(world: World, sets: int, shuffles: int, seed: int, folder: Path) -> dict[str, Any]:
    """Generate from so many sets of one world, and count what came of it."""
    promising = kept = blocks = 0
    mcc: list[float] = []
    began = time.process_time()
    for number in range(sets):
        draw = random.Random(f"{seed}:{world}:{number}")  # noqa: S311 - as above
        cases = cases_of(world, world.labels, draw)
        request = Request(Place(MODE, folder), AT, method=Method.RULE, seed=number, shuffles=shuffles, dry_run=True)
        outcome = generate(choose_examples(cases, MODE), request)
        found = outcome.rule.found if outcome.rule else None
        promising += found is not None and found.is_promising
        if outcome.chosen is None:
            continue
        kept += 1
        blocks += outcome.grant is not None and outcome.grant.permission is Permission.BLOCK
        unseen = choose_examples(cases_of(world, UNSEEN, draw), MODE).items
        mcc.append(confusion_of(judge_all(RuleEvaluator(outcome.chosen.spec), unseen)).mcc or 0.0)
    return {
        **asdict(world),
        "world": world.name,
        "sets": sets,
        "promising": promising / sets,
        "kept": kept / sets,
        "blocks": blocks / sets,
        "mcc_mean": float(np.mean(mcc)) if mcc else None,
        "mcc_tenth": float(np.quantile(mcc, 0.1)) if mcc else None,
        "cpu_s": (time.process_time() - began) / sets,
    }


def checks(document: Document) -> list[Check]:
    """Return the targets."""
    nothing = [w["kept"] for w in document["worlds"] if not w["in_bad"]]
    return [Check("a rule in labels without a pattern", max(nothing), FALSE_RULES)]


def table_of(document: Document) -> tuple[Sequence[str], Sequence[Sequence[str]]]:
    """Return header and rows."""
    rows = [
        (
            w["world"],
            str(w["labels"]),
            f"{w['promising']:.1%}",
            f"{w['kept']:.1%}",
            f"{w['blocks']:.1%}",
            "–" if w["mcc_mean"] is None else f"{w['mcc_mean']:.2f} ({w['mcc_tenth']:.2f})",
            f"{w['cpu_s']:.2f}",
        )
        for w in document["worlds"]
    ]
    return ("the phrase stands", "labels", "promising", "kept", "blocks", "MCC unseen (10 %)", "CPU s"), rows


def markdown(document: Document) -> str:
    """Return the table of docs/generating.md."""
    return markdown_table(*table_of(document))


def parse(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", 1)[0])
    parser.add_argument("--sets", type=int, default=200, help="sets of labels without a pattern; a quarter with one")
    parser.add_argument("--shuffles", type=int, default=99)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--smoke", action="store_true", help="few sets: does everything run?")
    parser.add_argument("--json", action="store_true", help="print the raw results instead of a table")
    parser.add_argument("--results", type=Path, default=RESULTS, help="folder for the raw results")
    return parser.parse_args(arguments)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the bench; 1 when a target is missed."""
    options = parse(arguments)
    sets = 2 if options.smoke else options.sets
    worlds = WORLDS[::4] if options.smoke else WORLDS
    with work_folder() as folder:
        kept: Document = {
            "options": settings(options),
            "worlds": [
                measure(w, max(1, sets // 4) if w.in_bad else sets, options.shuffles, options.seed, folder)
                for w in worlds
            ],
            "machine": machine(folder),
        }
    if options.json:
        print(json.dumps(kept, indent=1))
    else:
        header, rows = table_of(kept)
        table = Table(*header)
        for row in rows:
            table.add_row(*row)
        Console(width=130).print(table)
    if not options.smoke:
        print(f"raw results: {keep('generate', kept, options.results)}", file=sys.stderr)
    return 0 if options.smoke or all(c.is_met for c in checks(kept)) else 1


if __name__ == "__main__":
    sys.exit(main())
