"""Reads a report of `evaly`: bench, or metrics first (rag, text, agent and whatever else is not bench)."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from evalgate.errors import BadInput
from schema.fields import json_name

if TYPE_CHECKING:
    from pathlib import Path

MAX_REPORT_BYTES = 256 * 1024 * 1024
"""Beyond any report of text and scores; a limit, so that a wrong path cannot fill the memory."""
BENCH = "bench"


@dataclass(frozen=True, slots=True)
class Report:
    """A report as it was written; nothing in it is trusted to be of its type."""

    path: Path
    content: dict[str, Any]

    @property
    def eval_type(self) -> str:
        """Return the kind as it is written; what is absent or empty means bench."""
        return str(self.content.get("eval_type") or BENCH)

    @property
    def is_bench(self) -> bool:
        """Whether models are checked, by dimension; otherwise metrics are."""
        return self.eval_type == BENCH

    def summary(self) -> dict[str, Any]:
        """Return the summary.

        Raises:
            BadInput: it is no object.

        """
        return mapping(self.content["summary"], f"the summary of {self.path}")


def read_report(path: Path) -> Report:
    """Read a report; bare NaN and infinities are numbers in it, because the tool that writes reports writes them.

    Raises:
        BadInput: there is none, it is too large, or it is no report.

    """
    text = _read(path)
    try:
        content = json.loads(text)
    except RecursionError:
        raise BadInput(f"Invalid JSON in {path}: it is nested too deep") from None
    except ValueError as e:
        raise BadInput(f"Invalid JSON in {path}: {e}") from None
    if not isinstance(content, dict):
        raise BadInput(f"Invalid report format: missing 'summary' in {path}, which holds {json_name(content)}")
    if "summary" not in content:
        raise BadInput(f"Invalid report format: missing 'summary' in {path}")
    return Report(path, content)


def mapping(value: Any, what: str) -> dict[str, Any]:
    """Return an object.

    Raises:
        BadInput: it is none.

    """
    if not isinstance(value, dict):
        raise BadInput(f"Invalid report format: {what} must be an object, not {json_name(value)}")
    return value


def number(value: Any, what: str) -> float:
    """Return a number as it is written, true and false included.

    Raises:
        BadInput: it is none, or beyond the floats.

    """
    if not isinstance(value, (int, float)):
        raise BadInput(f"Invalid report format: {what} must be a number, not {json_name(value)}")
    as_float(value, what)
    return value


def as_float(value: Any, what: str) -> float:
    """Return a metric as a float; a number in a string is one too.

    Raises:
        BadInput: it says no number.

    """
    try:
        return float(value)
    except (TypeError, ValueError, OverflowError):
        raise BadInput(f"Invalid report format: {what} must be a number, not {json_name(value)}") from None


def _read(path: Path) -> str:
    try:
        with path.open("rb") as file:
            data = file.read(MAX_REPORT_BYTES + 1)
    except FileNotFoundError:
        raise BadInput(f"Report file not found: {path}") from None
    except (OSError, ValueError) as e:
        reason = e.strerror if isinstance(e, OSError) else e
        raise BadInput(f"cannot read the report {path}: {reason}") from None
    if len(data) > MAX_REPORT_BYTES:
        raise BadInput(f"the report {path} is larger than {MAX_REPORT_BYTES} bytes")
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError as e:
        raise BadInput(f"Invalid JSON in {path}: not UTF-8: byte {e.start} is {data[e.start]:#04x}") from None
