"""`evalgate gate`: two gates behind one command, told apart by `--report`."""

from __future__ import annotations

from pathlib import Path

import typer

from evalgate.errors import BadInput
from evalgate.gate import accept, first, flags
from evalgate.gate.compatible.checks import DEFAULT_REGRESSION_THRESHOLD
from evalgate.options import Json  # noqa: TC001 - typer reads it at run time
from evalgate.terminal import Terminal


def register(app: typer.Typer) -> None:
    """Add the command, what accepts a state for it to compare with, and what writes its first settings."""
    app.command("gate", cls=flags.GroupedCommand)(gate)
    accept.register(app)
    first.register(app)


def gate(
    *,
    command: flags.Command = None,
    run: flags.Run = None,
    results: flags.Results = None,
    timeout_s: flags.TimeoutS = None,
    config: flags.Config = None,
    base: flags.Base = None,
    allow_errors: flags.AllowErrors = None,
    inconclusive: flags.OnInconclusive = None,
    report_format: flags.ReportFormat = None,
    output: flags.Output = None,
    threshold: flags.Threshold = None,
    baseline: flags.Baseline = None,
    json_output: flags.JsonOutput = None,
    json: Json = False,
    report: flags.Report = None,
    dimension_threshold: flags.DimensionThreshold = None,
    metric_threshold: flags.MetricThreshold = None,
    min_confidence: flags.MinConfidence = None,
    regression_threshold: flags.RegressionThreshold = None,
) -> None:
    """May a change ship? Exit 0 yes, 1 no, 2 cannot tell. Needs files only: no database, no account.

    Without options it does what evals/gate.yaml says, or judges the latest run against evals/baseline.json.
    `evalgate init` writes a first evals/gate.yaml; `evalgate baseline accept` accepts a run. With --report it is the
    gate of evaly's reports, whose recorded behaviour rules: there, a missing metric counts as 0 and nothing to check
    passes. Our own gate refuses both.
    """
    compatible = {
        "--dimension-threshold": dimension_threshold,
        "--metric-threshold": metric_threshold,
        "--min-confidence": min_confidence,
        "--regression-threshold": regression_threshold,
    }
    if report is None:
        if names := flags.given(compatible):
            raise BadInput(f"{', '.join(names)} needs --report: it is for reports of evaly. See: evalgate gate --help")
    else:
        ours = {
            "COMMAND": command,
            "--run": run,
            "--results": results,
            "--timeout-s": timeout_s,
            "--config": config,
            "--base": base,
            "--allow-errors": allow_errors,
            "--inconclusive": inconclusive,
            "--format": report_format,
            "--output": output,
        }
        if names := flags.given(ours):
            raise BadInput(f"{', '.join(names)} cannot go with --report, which checks a report of evaly and no run")
        raise typer.Exit(
            _compatible(
                report,
                json_output="-" if json else json_output,
                threshold=threshold,
                dimension_threshold=dimension_threshold,
                metric_threshold=metric_threshold,
                min_confidence=min_confidence,
                baseline=baseline,
                regression_threshold=regression_threshold,
            )
        )
    from evalgate.gate.local import Call, gate_project  # noqa: PLC0415 - each mode loads what it needs

    call = Call(
        command=tuple(command or ()),
        run=run,
        results=results,
        timeout_s=timeout_s,
        config=config,
        base=base,
        baseline=None if baseline is None else Path(baseline),
        threshold=threshold,
        allow_errors=allow_errors,
        inconclusive=inconclusive,
        shown="json" if json else report_format or "text",
        outputs=tuple(output or ()),
        json_output=json_output,
    )
    raise typer.Exit(gate_project(call, Terminal()))


def _compatible(
    report: str,
    *,
    json_output: str | None,
    threshold: float | None,
    dimension_threshold: list[str] | None,
    metric_threshold: list[str] | None,
    min_confidence: float | None,
    baseline: str | None,
    regression_threshold: float | None,
) -> int:
    from evalgate.gate.compatible.gate import Call, gate_report  # noqa: PLC0415 - each mode loads what it needs

    return gate_report(
        Call(
            report=report,
            threshold=threshold,
            dimension_thresholds=dimension_threshold or (),
            metric_thresholds=metric_threshold or (),
            min_confidence=min_confidence,
            baseline=baseline,
            regression_threshold=DEFAULT_REGRESSION_THRESHOLD if regression_threshold is None else regression_threshold,
            json_output=json_output,
        ),
        Terminal(),
    )
