"""What is asked for, and the evaluator file that answers it."""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import StrEnum
from importlib.metadata import version
from typing import TYPE_CHECKING

from evalgate.generate.chance import SHUFFLES
from evalgate.generate.write import keep_wishes
from schema.alignment import DEFAULT_POLICY
from schema.evaluator import AppliesTo, EvalType, EvaluatorSpec, Generated, Judge

if TYPE_CHECKING:
    from datetime import datetime

    from evalgate.generate.examples import Examples
    from evalgate.generate.write import Place
    from schema.alignment import PermissionPolicy
    from schema.evaluator import Rule


class Method(StrEnum):
    """How evaluators are generated."""

    AUTO = "auto"
    """A rule, or else a judge."""
    RULE = "rule"
    JUDGE = "judge"


@dataclass(frozen=True, slots=True)
class Request:
    """What is asked for."""

    place: Place
    at: datetime
    method: Method = Method.AUTO
    issue: int | None = None
    seed: int = 0
    shuffles: int = SHUFFLES
    force: bool = False
    """Replace a file that a person edited, or one that is better."""
    dry_run: bool = False
    """Write nothing that is committed."""
    policy: PermissionPolicy = DEFAULT_POLICY
    """The project's rule of permission."""


def build_spec(
    body: Rule | Judge, words: str, examples: Examples, request: Request, before: EvaluatorSpec | None
) -> EvaluatorSpec:
    """Return the evaluator with this body, and with what people decided in the file before."""
    is_judge = isinstance(body, Judge)
    bare = EvaluatorSpec(
        id=request.place.evaluator_id,
        failure_mode=examples.failure_mode,
        eval_type=EvalType.LLM_JUDGE if is_judge else EvalType.RULE,
        body=body,
        applies_to=AppliesTo(failure_modes=(examples.failure_mode,)),
        coverage_target=None if request.issue is None else str(request.issue),
        description=words or None,
    )
    spec = keep_wishes(bare, before)
    made = Generated(
        by=f"otel-evalgate {version('otel-evalgate')}",
        at=request.at.isoformat(timespec="seconds"),
        method="gepa" if is_judge else "rule_search",
        issue=request.issue,
        data_version=examples.data_version,
        version=spec.version,
    )
    return replace(spec, generated=made)
