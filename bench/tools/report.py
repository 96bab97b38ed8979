"""What a bench says in the end: figures beside their targets, and tables in Markdown for bench/README.md."""

from __future__ import annotations

import json
import math
import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, Protocol

from rich.console import Console
from rich.table import Table

from bench.tools.machine import keep

if TYPE_CHECKING:
    import argparse
    from collections.abc import Iterable, Mapping, Sequence

    from rich.console import RenderableType

Document = dict[str, Any]
"""The raw results of one run of a bench, as they are kept."""
WORDS: Final = {True: "met", False: "missed"}


@dataclass(frozen=True, slots=True)
class Check:
    """One figure that has a target."""

    what: str
    value: float
    limit: float
    """The target: no more than this; with `at_least`, no less."""
    unit: str = ""
    at_least: bool = False

    @property
    def is_met(self) -> bool:
        """Whether the figure is within the target; what is no number is not."""
        return self.value >= self.limit if self.at_least else self.value <= self.limit

    def cells(self) -> tuple[str, str, str, str]:
        """Return what, the figure, the target, and the verdict."""
        sign = "≥" if self.at_least else "≤"
        unit = f" {self.unit}" if self.unit else ""
        return self.what, f"{number(self.value)}{unit}", f"{sign} {number(self.limit)}{unit}", WORDS[self.is_met]


class Bench(Protocol):
    """A module of bench/ that can be run with the others."""

    def checks(self, document: Document, /) -> list[Check]:
        """Return the figures that have targets."""

    def markdown(self, document: Document, /) -> str:
        """Return its tables."""


def table_of(header: Sequence[str], rows: Iterable[Sequence[str]]) -> Table:
    """Return a table for people."""
    table = Table(*header)
    for row in rows:
        table.add_row(*row)
    return table


def finish(
    name: str, document: Document, checks: Iterable[Check], told: RenderableType, options: argparse.Namespace
) -> int:
    """Print what was found, with `--json` the document, and keep it, but not of `--smoke`.

    Returns:
        1 where a check is missed.

    """
    if options.json:
        print(json.dumps(document))
    else:
        Console(width=120).print(told)
    if options.smoke:
        return 0
    print(f"raw results: {keep(name, document, options.results)}", file=sys.stderr)
    return 0 if all(c.is_met for c in checks) else 1


def number(value: float) -> str:
    """Return a figure with as many digits as it deserves: three."""
    if not math.isfinite(value):
        return str(value)
    size = abs(value)
    if size >= 100 or value == int(value):
        return f"{value:.0f}"
    return f"{value:.1f}" if size >= 10 else f"{value:.2f}" if size >= 0.1 else f"{value:.2g}"


def checks_table(found: Sequence[Check]) -> Table:
    """Return the figures and their targets for a terminal."""
    table = Table(title="targets")
    for name in ("what", "figure", "target", ""):
        table.add_column(name, justify="left" if name == "what" else "right")
    for one in found:
        table.add_row(*one.cells(), style="" if one.is_met else "yellow")
    return table


def checks_markdown(found: Sequence[Check]) -> str:
    """Return the figures and their targets as Markdown."""
    return markdown_table(("what", "figure", "target", ""), [one.cells() for one in found])


def markdown_table(header: Sequence[str], rows: Sequence[Sequence[object]]) -> str:
    """Return a table as Markdown, a line break at its end."""
    lines = [header, ["---"] * len(header), *rows]
    return "".join("| " + " | ".join(str(cell) for cell in line) + " |\n" for line in lines)


def where_and_when(machine: Mapping[str, Any]) -> str:
    """Return one line on the machine, the moment and the commit."""
    changed = " with uncommitted changes" if machine["uncommitted"] else ""
    load = ", ".join(f"{one:.1f}" for one in machine["load_average"])
    return (
        f"{machine['at']}, commit {machine['commit']}{changed}; {machine['cores']} × {machine['processor']}, "
        f"{machine['memory_mib'] / 1024:.0f} GiB, Python {machine['python']}, Linux {machine['kernel']}; "
        f"load averages {load}; 1 MiB written and synced in {machine['fdatasync_ms']['p50']} ms "
        f"(at most {machine['fdatasync_ms']['max']}).\n"
    )
