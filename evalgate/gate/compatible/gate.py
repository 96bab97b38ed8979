"""One call of the compatible gate, from flags to exit code: 0 every check passed, 1 one failed, 2 error."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from evalgate.errors import BadInput
from evalgate.gate.compatible.checks import DEFAULT_REGRESSION_THRESHOLD, Thresholds, check_report, parse_thresholds
from evalgate.gate.compatible.report import read_report
from evalgate.gate.compatible.show import (
    STDOUT,
    error_payload,
    payload_of,
    print_payload,
    unconfigured_payload,
    write_payload,
)
from evalgate.terminal import one_line

if TYPE_CHECKING:
    from collections.abc import Sequence

    from evalgate.terminal import Terminal

PASS, FAIL, ERROR = 0, 1, 2


@dataclass(frozen=True, slots=True)
class Call:
    """The flags of one call, as they were typed."""

    report: str
    threshold: float | None = None
    dimension_thresholds: Sequence[str] = ()
    metric_thresholds: Sequence[str] = ()
    min_confidence: float | None = None
    baseline: str | None = None
    regression_threshold: float = DEFAULT_REGRESSION_THRESHOLD
    json_output: str | None = None


def gate_report(call: Call, terminal: Terminal) -> int:
    """Check a report, print or write the outcome; return the exit code. An error is one line, and a payload."""
    try:
        payload = _answer(call)
        write_payload(terminal, payload, call.json_output)
    except BadInput as e:
        return _refuse(call, terminal, str(e))
    if call.json_output != STDOUT:
        print_payload(terminal, payload)
    return FAIL if payload["status"] == "fail" else PASS


def _answer(call: Call) -> dict[str, Any]:
    """Return the payload; errors come in the order report, thresholds, baseline, kinds, flags."""
    report = read_report(Path(call.report))
    asked = Thresholds(
        overall=call.threshold,
        dimensions=parse_thresholds(call.dimension_thresholds),
        metrics=parse_thresholds(call.metric_thresholds),
        confidence=call.min_confidence,
        regression=call.regression_threshold,
    )
    baseline = None if call.baseline is None else read_report(Path(call.baseline))
    if asked.is_empty and baseline is None:
        return unconfigured_payload()
    return payload_of(report.eval_type, check_report(report, baseline, asked))


def _refuse(call: Call, terminal: Terminal, message: str) -> int:
    terminal.note(f"Error: {one_line(message)}")
    try:
        write_payload(terminal, error_payload(message), call.json_output)
    except BadInput as e:
        if str(e) != message:
            terminal.note(f"Error: {one_line(str(e))}")
    return ERROR
