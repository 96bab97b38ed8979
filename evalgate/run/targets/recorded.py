"""Targets: outputs that were made elsewhere, or in production."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from evalgate.errors import BadInput
from evalgate.files import read_jsonl
from evalgate.run.targets.answer import to_output
from evalgate.terminal import one_line
from schema.run import ErrorKind, Output, RunError, observed_output

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from pathlib import Path

    from schema.case import Case


@dataclass(frozen=True, slots=True)
class RecordedTarget:
    """Outputs that were made elsewhere."""

    where: str
    outputs: Mapping[str, Output | RunError]

    def __call__(self, request: Mapping[str, Any], timeout_s: float) -> Output | RunError:  # noqa: ARG002 - the seam
        """Look the case up."""
        case_id = request["case_id"]
        return self.outputs.get(case_id) or RunError(ErrorKind.TARGET, f"{self.where} has no output for {case_id}")


def recorded(cases: Iterable[Case]) -> RecordedTarget:
    """Return what production answered."""
    return RecordedTarget("production", {c.case_id: o for c in cases if (o := observed_output(c)) is not None})


def load_outputs(path: Path) -> RecordedTarget:
    """Read outputs from a file.

    Raises:
        BadInput: naming the line that is none.

    """
    outputs: dict[str, Output | RunError] = {}
    for number, value in read_jsonl(path):
        try:
            if isinstance(value, ValueError):
                raise value
            if not isinstance(value, dict) or not isinstance(value.get("case_id"), str):
                raise ValueError("each line must be an object with a 'case_id'")  # noqa: TRY004, TRY301 - as above
            error = value.get("error")
            output = RunError(ErrorKind.TARGET, one_line(str(error), 300)) if error else to_output(value)
        except ValueError as e:
            raise BadInput(f"{path} line {number}: {e}") from None
        if value["case_id"] in outputs:
            raise BadInput(f"{path} line {number}: the case {value['case_id']} stands there twice")
        outputs[value["case_id"]] = output
    return RecordedTarget(str(path), outputs)
