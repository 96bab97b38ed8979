"""The options of `evalgate gate`, in the groups in which its help shows them."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from typer.core import TyperCommand

from evalgate.errors import BadInput
from evalgate.gate.compatible.checks import DEFAULT_REGRESSION_THRESHOLD

if TYPE_CHECKING:
    from collections.abc import Mapping

BOTH = "Options"
WHAT = "What is judged (our own gate)"
POLICY = "How it is judged (our own gate)"
SHOWN = "What is shown and written (our own gate)"
COMPATIBLE = "Reports of evaly: everything below needs --report"
PANELS = (WHAT, POLICY, SHOWN, BOTH, COMPATIBLE)


class Format(StrEnum):
    """How a report is rendered."""

    TEXT = "text"
    JSON = "json"
    GITHUB = "github"
    JUNIT = "junit"
    SARIF = "sarif"
    MARKDOWN = "markdown"
    HTML = "html"


class Inconclusive(StrEnum):
    """What an inconclusive decision does."""

    WARN = "warn"
    FAIL = "fail"


class GroupedCommand(TyperCommand):
    """A command whose help shows options by their panel; typer does that only with markup, which we keep off."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Read the command line. A command to run stands behind `--`: a word that is there by mistake is not run."""
        behind = args[args.index("--") + 1 :] if "--" in args else []
        first = args[0] if args else ""
        try:
            rest = super().parse_args(ctx, args)
        except Exception as e:
            if type(e).__name__ == "NoSuchOption" and not first.startswith("-"):  # that of the command, typed too early
                raise _stray(first) from None
            raise
        words = ctx.params.get("command") or []
        if len(words) != len(behind):
            raise _stray(words[0])
        return rest

    def collect_usage_pieces(self, ctx: Any) -> list[str]:
        """Return what stands behind the name in the usage line."""
        del ctx
        return ["[OPTIONS]", "[-- COMMAND...]"]

    def format_options(self, ctx: Any, formatter: Any) -> None:
        """Write one section for each panel."""
        sections: dict[str, list[tuple[str, str]]] = {"Arguments": [], **{p: [] for p in PANELS}}
        for parameter in self.get_params(ctx):
            if record := parameter.get_help_record(ctx):
                panel = getattr(parameter, "rich_help_panel", None) or BOTH
                name = "Arguments" if parameter.param_type_name == "argument" else panel
                sections.setdefault(name, []).append(record)
        for title, records in sections.items():
            if records:
                with formatter.section(title):
                    formatter.write_dl(records)


def _stray(word: str) -> BadInput:
    return BadInput(f"{word!r} is no option of evalgate gate. To run a command: evalgate gate -- COMMAND")


Command = Annotated[
    list[str] | None,
    typer.Argument(
        metavar="COMMAND...",
        help="Run the project's own tests first and judge them: evalgate gate -- pytest "
        "--junitxml=.evalgate/tests.xml. Without a file of results the exit code is the one check.",
        show_default=False,
    ),
]
Run = Annotated[
    str | None,
    typer.Option(
        "--run",
        rich_help_panel=WHAT,
        help="A run: 'latest', its id, or a .json file.  [default: what evals/gate.yaml says, else latest]",
        show_default=False,
    ),
]
Results = Annotated[
    Path | None,
    typer.Option(
        rich_help_panel=WHAT,
        metavar="XML",
        help="The JUnit file that COMMAND writes.  [default: what its --junitxml says]",
        show_default=False,
    ),
]
Config = Annotated[
    Path | None,
    typer.Option(
        rich_help_panel=WHAT,
        metavar="YAML",
        help="What to run and how to judge it.  [default: evals/gate.yaml, if it is there]",
        show_default=False,
    ),
]
Base = Annotated[
    str | None,
    typer.Option(
        "--base",
        rich_help_panel=POLICY,
        metavar="RUN|git:REF",
        help="Compare with a run (id or .json file), or with evals/baseline.json as of a commit: git:origin/main.",
        show_default=False,
    ),
]
AllowErrors = Annotated[
    int | None,
    typer.Option(
        min=0,
        rich_help_panel=POLICY,
        metavar="N",
        help="How many cases may break without a verdict.  [default: 0]",
        show_default=False,
    ),
]
OnInconclusive = Annotated[
    Inconclusive | None,
    typer.Option(
        "--inconclusive",
        rich_help_panel=POLICY,
        help="Whether too little evidence is a warning (exit 0) or stops the change (exit 1).  [default: warn]",
        show_default=False,
    ),
]
TimeoutS = Annotated[
    float | None,
    typer.Option(
        "--timeout-s",
        rich_help_panel=WHAT,
        metavar="SECONDS",
        help="Longest time that COMMAND may take.  [default: 3600]",
        show_default=False,
    ),
]
ReportFormat = Annotated[
    Format | None,
    typer.Option("--format", rich_help_panel=SHOWN, help="How to print.  [default: text]", show_default=False),
]
Output = Annotated[
    list[str] | None,
    typer.Option(
        "--output",
        rich_help_panel=SHOWN,
        metavar="KIND=PATH",
        help="Also write the report as json, junit, sarif, markdown or html to PATH; may be repeated.",
        show_default=False,
    ),
]
Threshold = Annotated[
    float | None,
    typer.Option(
        metavar="FLOAT",
        help="Least pass rate of an evaluator that names none, 0 to 1.  [default: 0.8]  "
        "With --report: minimum overall score, bench reports only.",
        show_default=False,
    ),
]
Baseline = Annotated[
    str | None,
    typer.Option(
        metavar="PATH",
        help="The accepted state to compare with.  [default: evals/baseline.json, if it is there]  "
        "With --report: a baseline report of the same kind.",
        show_default=False,
    ),
]
JsonOutput = Annotated[
    str | None,
    typer.Option(metavar="PATH", help="Write the outcome as JSON to this file; '-' is stdout.", show_default=False),
]
Report = Annotated[
    str | None,
    typer.Option(
        "--report",
        metavar="PATH",
        rich_help_panel=COMPATIBLE,
        help="Check this report (bench, rag, text or agent) as `evaly gate` does: same flags, payload and exit codes.",
        show_default=False,
    ),
]
DimensionThreshold = Annotated[
    list[str] | None,
    typer.Option(
        "--dimension-threshold",
        metavar="DIM:VALUE",
        rich_help_panel=COMPATIBLE,
        help="Minimum of one dimension, such as visual_quality:4.0; bench only; may be repeated.",
        show_default=False,
    ),
]
MetricThreshold = Annotated[
    list[str] | None,
    typer.Option(
        "--metric-threshold",
        metavar="METRIC:VALUE",
        rich_help_panel=COMPATIBLE,
        help="Minimum of one metric, such as faithfulness:0.8; rag, text and agent only; may be repeated.",
        show_default=False,
    ),
]
MinConfidence = Annotated[
    float | None,
    typer.Option(
        metavar="FLOAT",
        rich_help_panel=COMPATIBLE,
        help="Minimum average confidence, 0 to 1; bench only.",
        show_default=False,
    ),
]
RegressionThreshold = Annotated[
    float | None,
    typer.Option(
        metavar="FLOAT",
        rich_help_panel=COMPATIBLE,
        help="Largest drop against --baseline that passes: dimensions and single items of bench, else metrics.  "
        f"[default: {DEFAULT_REGRESSION_THRESHOLD}]",
        show_default=False,
    ),
]


def given(options: Mapping[str, Any]) -> list[str]:
    """Return the names of the options that were typed."""
    return [name for name, value in options.items() if value is not None and value is not False and value != []]
