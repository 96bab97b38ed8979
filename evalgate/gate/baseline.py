"""The accepted state: which cases passed, per dataset. A file that is committed and changes only on purpose.

{"schema": "evalgate/baseline/1",
 "datasets": {"refunds": {"version", "run_id", "accepted_at", "evaluators": {id: version},
                          "cases": {case_id: {"content_hash", "passed"}}}}}
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from evalgate.errors import BadInput
from evalgate.files import read_json, to_json, write_atomic
from schema.fields import Fields, Malformed

if TYPE_CHECKING:
    from collections.abc import Mapping

BASELINE = Path("evals/baseline.json")
SCHEMA = "evalgate/baseline/1"


@dataclass(frozen=True, slots=True)
class AcceptedCase:
    """A case that had a verdict."""

    content_hash: str
    passed: bool


@dataclass(frozen=True, slots=True)
class Baseline:
    """The accepted run of one dataset."""

    version: str
    run_id: str
    accepted_at: str
    evaluators: Mapping[str, str]
    """Id to version."""
    cases: Mapping[str, AcceptedCase]


def read_baselines(path: Path) -> dict[str, Baseline]:
    """Return the baseline of each dataset.

    Raises:
        BadInput: the file is no baseline.

    """
    try:
        fields = Fields(read_json(path), "a baseline")
        if (spoken := fields.any("schema")) != SCHEMA:
            raise Malformed(f"its schema is {spoken!r}, not {SCHEMA!r}")
        found = {name: _parse(value) for name, value in fields.mapping("datasets").items()}
        fields.close()
    except ValueError as e:
        raise BadInput(f"{path} is not a baseline: {e}. Write one: evalgate gate --write-baseline") from None
    return found


def write_baseline(path: Path, dataset: str, baseline: Baseline) -> None:
    """Make this the accepted state of one dataset; those of others stay."""
    baselines = {**(read_baselines(path) if path.exists() else {}), dataset: baseline}
    write_atomic(path, to_json({"schema": SCHEMA, "datasets": {n: _json(b) for n, b in sorted(baselines.items())}}))


def _json(baseline: Baseline) -> dict[str, Any]:
    return {
        "version": baseline.version,
        "run_id": baseline.run_id,
        "accepted_at": baseline.accepted_at,
        "evaluators": dict(sorted(baseline.evaluators.items())),
        "cases": {i: {"content_hash": c.content_hash, "passed": c.passed} for i, c in sorted(baseline.cases.items())},
    }


def _parse(value: Any) -> Baseline:
    fields = Fields(value, "a dataset's baseline")
    evaluators = fields.mapping("evaluators")
    if not all(isinstance(v, str) for v in evaluators.values()):
        raise Malformed("'evaluators' must give a version for each id")
    baseline = Baseline(
        version=fields.text("version"),
        run_id=fields.text("run_id"),
        accepted_at=fields.text("accepted_at"),
        evaluators=evaluators,
        cases={i: _case(c) for i, c in fields.mapping("cases").items()},
    )
    fields.close()
    return baseline


def _case(value: Any) -> AcceptedCase:
    fields = Fields(value, "a baseline's case")
    passed = fields.optional_bool("passed")
    if passed is None:
        raise Malformed("a baseline's case lacks 'passed'")
    case = AcceptedCase(fields.text("content_hash"), passed)
    fields.close()
    return case
