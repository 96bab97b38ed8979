"""Run the main benches one after another, keep their raw results, and say in one table which targets are met.

    python bench/everything.py [--only NAME ...] [--smoke]          (or `make bench`: about half an hour)

Each runs as its own command would. In the end there is bench/results/<date>-<commit>-summary.md: the targets, then the
tables, in Markdown, ready for bench/README.md. Exit code 0 says that all ran, not that every target is met.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Final

from rich.console import Console

from bench import embedded, growth, ingest, latency, sampling, stages, start
from bench.tools.machine import RESULTS
from bench.tools.report import checks_markdown, checks_table, where_and_when

if TYPE_CHECKING:
    from collections.abc import Sequence

    from bench.tools.report import Bench, Check, Document

HERE: Final = Path(__file__).parent


@dataclass(frozen=True, slots=True)
class Run:
    """One bench and how it is run here."""

    name: str
    title: str
    script: str
    bench: Bench
    options: tuple[str, ...] = ()
    drawn: bool = False
    """Whether it draws a picture."""


RUNS: Final = (
    Run("ingest", "Into a sink, beside Rotel", "ingest.py", ingest, ("--peer", "rotel")),
    Run("server", "Into ClickHouse, beside Rotel", "ingest.py", ingest, ("--peer", "rotel", "--sink", "server")),
    Run("embedded", "With the embedded database, beside Phoenix", "embedded.py", embedded, ("--peer", "phoenix")),
    Run("stages", "Where the time goes", "stages.py", stages, ("--server",), drawn=True),
    Run("growth", "As things grow", "growth.py", growth, drawn=True),
    Run("latency", "How long an acknowledgement takes", "latency.py", latency, ("--peer", "rotel")),
    Run("sampling", "Which traces are picked, beside samplers in memory", "sampling.py", sampling, drawn=True),
    Run("start", "From exec to the first acknowledgement", "start.py", start),
)
SMOKE_WITHOUT: Final = frozenset({"--peer", "rotel", "phoenix", "--server", "--sink", "server"})
"""Options that fetch something; a smoke run does without."""


def run(one: Run, results: Path, *, smoke: bool, full: bool) -> Document | None:
    """Run one bench; None when it could not say anything."""
    options = [o for o in one.options if o not in SMOKE_WITHOUT] + ["--smoke"] if smoke else list(one.options)
    options += ["--picture"] if one.drawn and not smoke else []
    options += ["--full"] if full and one.name == "growth" else []
    command = [sys.executable, str(HERE / one.script), *options, "--json", "--results", str(results)]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=False)
    try:
        found: Document = json.loads(done.stdout)
    except ValueError:
        return None
    return found


def summary(found: dict[str, Document]) -> tuple[list[Check], str]:
    """Return every figure that has a target, and the whole as Markdown."""
    told = [one for one in RUNS if one.name in found]
    checks = [check for one in told for check in one.bench.checks(found[one.name])]
    parts = ["# What was measured\n", checks_markdown(checks)]
    for one in told:
        parts += [f"## {one.title}\n", where_and_when(found[one.name]["machine"]), one.bench.markdown(found[one.name])]
    return checks, "\n".join(parts)


def parse(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", 1)[0])
    parser.add_argument("--only", choices=[one.name for one in RUNS], action="append", help="repeatable. Default: all")
    parser.add_argument("--full", action="store_true", help="growth up to ten million spans")
    parser.add_argument("--smoke", action="store_true", help="very short, without peers: does everything run?")
    parser.add_argument("--results", type=Path, default=RESULTS, help="folder for the results")
    return parser.parse_args(arguments)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run them; 1 when one said nothing."""
    options = parse(arguments)
    console = Console(width=140)
    found: dict[str, Document] = {}
    wanted = [one for one in RUNS if options.only is None or one.name in options.only]
    if options.smoke:  # without its peer and server this is `ingest` once more
        wanted = [one for one in wanted if one.name != "server"]
    for one in wanted:
        console.rule(one.name)
        document = run(one, options.results, smoke=options.smoke, full=options.full)
        if document is None:
            console.print(f"[red]{one.name} said nothing")
        else:
            found[one.name] = document
    checks, text = summary(found)
    console.print(checks_table(checks))
    if found:
        commit = next(iter(found.values()))["machine"]["commit"] or "unknown"
        options.results.mkdir(parents=True, exist_ok=True)
        path = options.results / f"{datetime.now(UTC):%Y-%m-%d}-{commit}-summary.md"
        path.write_text(text)
        console.print(f"summary: {path}", highlight=False)
    return 0 if len(found) == len(wanted) else 1


if __name__ == "__main__":
    sys.exit(main())
