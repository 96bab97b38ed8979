"""Evaluators that are code: a Python file beside the YAML file, run in a sandbox."""

from __future__ import annotations

import ast
import math
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from evalgate.evaluators.sandbox import Limits, Sandbox
from evalgate.terminal import one_line
from schema.case import case_to_json
from schema.evaluator import PASS_AT, EvaluatorError, EvaluatorSpec, Score
from schema.fields import did_you_mean, json_name

if TYPE_CHECKING:
    from schema.case import Case
    from schema.run import Output

REASON_CHARS = 300
RESULT_FIELDS = ("score", "passed", "reason")
NOT_SHOWN = ("verdict", "failure_mode", "provenance", "content_hash")
"""Of the case: an evaluator that may read people's verdict would agree with it."""


@dataclass(frozen=True, slots=True)
class CodeEvaluator:
    """Judges by code. Safe from many threads: one case at a time."""

    spec: EvaluatorSpec
    sandbox: Sandbox

    def __call__(self, case: Case, output: Output) -> Score | EvaluatorError:
        """Judge one output; whatever the code does that is no verdict is an error."""
        try:
            result = self.sandbox.evaluate(shown_case(case), asdict(output))
            return to_score(self.spec.id, result)
        except (ValueError, TypeError, RecursionError) as e:
            return EvaluatorError(self.spec.id, one_line(f"its code: {e}", REASON_CHARS))


def code_evaluator(spec: EvaluatorSpec, source: str, name: str, limits: Limits | None = None) -> CodeEvaluator:
    """Return the evaluator of a source; nothing of it is run yet.

    Raises:
        ValueError: it is not Python, or has no `evaluate(case, output)`.

    """
    check_source(source, name)
    return CodeEvaluator(spec, Sandbox(source, name, limits or Limits()))


def check_source(source: str, name: str) -> None:
    """Find what can be seen without running it.

    Raises:
        ValueError: in words for its author.

    """
    try:
        tree = ast.parse(source, name)
    except (SyntaxError, ValueError, RecursionError, MemoryError) as e:
        line = getattr(e, "lineno", None)
        raise ValueError(f"{name} is not Python: {getattr(e, 'msg', e)}{f' (line {line})' if line else ''}") from None
    for node in tree.body:
        if isinstance(node, ast.FunctionDef) and node.name == "evaluate":
            given = node.args.posonlyargs + node.args.args
            if len(given) == 2 or (len(given) < 2 and node.args.vararg):
                return
            raise ValueError(f"{name} line {node.lineno}: evaluate takes (case, output), not {len(given)} arguments")
        if isinstance(node, ast.AsyncFunctionDef) and node.name == "evaluate":
            raise ValueError(f"{name} line {node.lineno}: evaluate must not be async")
    raise ValueError(f"{name} has no function evaluate(case, output)")


def shown_case(case: Case) -> dict[str, Any]:
    """Return what code sees of a case: all but what people say of the observed output, and where it came from."""
    return {name: value for name, value in case_to_json(case).items() if name not in NOT_SHOWN}


def to_score(evaluator: str, result: Any) -> Score:
    """Return the score in what code returned: true or false, a number from 0 to 1, or {score, passed, reason}.

    Raises:
        ValueError: it is none.

    """
    reason = ""
    score: Any = result
    passed: Any = None
    if isinstance(result, dict):
        for name in result:
            if name not in RESULT_FIELDS:
                raise ValueError(f"it returned the field {name!r}.{did_you_mean(str(name), RESULT_FIELDS)}")
        score, passed, reason = result.get("score"), result.get("passed"), result.get("reason", "")
        if not isinstance(reason, str):
            raise ValueError(f"its reason must be a text, not {json_name(reason)}")  # noqa: TRY004 - a value
        if passed is not None and not isinstance(passed, bool):
            raise ValueError(f"'passed' must be true or false, not {json_name(passed)}")
        if score is None and passed is not None:
            score = passed
    if isinstance(score, bool):
        score, passed = float(score), score if passed is None else passed
    if not isinstance(score, (int, float)) or not math.isfinite(score) or not 0 <= score <= 1:
        raise ValueError(
            f"it must return true or false, a score from 0 to 1, or {{score, passed, reason}}, not {_shown(result)}"
        )
    passed = score >= PASS_AT if passed is None else passed
    return Score(evaluator, float(score), passed, one_line(reason, REASON_CHARS) or f"its code gave {score:g}")


def _shown(value: Any) -> str:
    return one_line(repr(value), 60) if isinstance(value, (int, float, str)) else json_name(value)
