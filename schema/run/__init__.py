"""A run: one target's outputs on one dataset version, and what the evaluators say of them.

The file is `evalgate/run/2`; a gate needs nothing else. A case is attempted once or several times. An attempt passes
when every evaluator that applies to it passes; where none applies it is unscored, and where the target or an evaluator
broke it is an error. Neither is ever a pass. A case passes when most of its attempts with a verdict do.
"""

from __future__ import annotations

from schema.run.file import (
    SCHEMA,
    attempt_to_json,
    output_to_json,
    parse_attempt,
    parse_output,
    parse_run,
    result_to_json,
    run_to_json,
)
from schema.run.summary import count_attempts, summarise, weighted_json
from schema.run.values import (
    Attempt,
    DatasetUsed,
    ErrorKind,
    EvaluatorUsed,
    Output,
    Result,
    Run,
    RunError,
    RunSettings,
    SetAside,
    observed_output,
)

__all__ = [
    "SCHEMA",
    "Attempt",
    "DatasetUsed",
    "ErrorKind",
    "EvaluatorUsed",
    "Output",
    "Result",
    "Run",
    "RunError",
    "RunSettings",
    "SetAside",
    "attempt_to_json",
    "count_attempts",
    "observed_output",
    "output_to_json",
    "parse_attempt",
    "parse_output",
    "parse_run",
    "result_to_json",
    "run_to_json",
    "summarise",
    "weighted_json",
]
