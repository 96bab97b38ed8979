"""What the gate really decides can be rendered, whatever became of the run: nothing, errors, flakes, judges."""

from __future__ import annotations

import json
import os
import xml.etree.ElementTree as ET
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import jsonschema
import pytest

from evalgate.dataset.reading import read_leniently
from evalgate.gate.base import base_of
from evalgate.gate.decide import decide
from evalgate.gate.decision import Status
from evalgate.gate.report import Kind, gather, render, step_summary
from evalgate.gate.report.model import case_lines, source
from schema.alignment import Confusion, Measurement, Split
from schema.evaluator import EvalType, Evidence
from schema.issue import Issue
from schema.run import ErrorKind, EvaluatorUsed, SetAside
from tests.evalgate.builders import attempt, result, run_of

if TYPE_CHECKING:
    from schema.run import Run

MEASURED = Measurement("e", "ev1", "d1", Split.TEST, "2026-11-20T09:00:00+00:00", Confusion(40, 3, 4, 53))
JUDGE = EvaluatorUsed("e", "ev1", "m", EvalType.LLM_JUDGE, Evidence.JUDGE, pass_at=0.8, measurement=MEASURED)


def flaky_run() -> Run:
    tries = [attempt(1, passed=True), attempt(2, passed=False), attempt(3, passed=False)]
    return run_of([result("flaky", attempts=tries), *(result(f"c{n}") for n in range(9))])


RUNS = {
    "nothing": run_of([]),
    "all errors": run_of([result("a", error=ErrorKind.TARGET), result("b", error=ErrorKind.TIMEOUT)]),
    "all pass": run_of([result(f"c{n}", sample_weight=float(n + 1)) for n in range(40)]),
    "all fail": run_of([result(f"c{n}", passed=False, trace_id="ab" * 16) for n in range(7)]),
    "unscored": run_of([result("a", passed=None), result("b")]),
    "flaky": flaky_run(),
    "judge": run_of([result(f"c{n}", passed=n > 4, score=0.2 if n < 5 else 0.9) for n in range(30)], [JUDGE]),
    "set aside": replace(run_of([result("a")]), set_aside=(SetAside(None, 3, "this is not JSON"),)),
    "without a mode": run_of([result("a", failure_mode=None, passed=False)]),
}


@pytest.mark.parametrize("name", RUNS)
@pytest.mark.parametrize("compared", [False, True])
def test_every_decision_can_be_rendered(project: Path, name: str, compared: bool) -> None:  # noqa: FBT001 - a parameter
    run = RUNS[name]
    base = base_of(run_of([result(f"c{n}") for n in range(30)])) if compared else None
    issues = [Issue(3, "m")]
    decision = decide(run, base, issues=issues)
    report = gather(run, "run.json", decision, base=base)
    payload = json.loads(render(Kind.JSON, report))
    schema = json.loads((Path(__file__).resolve().parents[3] / "schema/gate.schema.json").read_text("utf-8"))
    assert not [e.message for e in jsonschema.Draft202012Validator(schema).iter_errors(payload)]
    assert payload["deployment_blocked"] is (payload["exit_code"] != 0)
    root = ET.fromstring(render(Kind.JUNIT, report))  # noqa: S314 - our own document
    verdict = root.find(".//testcase[@name='verdict']")
    assert verdict is not None
    told = {Status.ERROR: "error", Status.FAIL: "failure"}.get(decision.status, "system-out")
    assert [x.tag for x in verdict] == [told]
    json.loads(render(Kind.SARIF, report))
    for kind in (Kind.TEXT, Kind.GITHUB, Kind.MARKDOWN, Kind.HTML):
        assert render(kind, report)
    assert step_summary(report).startswith("<!-- evalgate gate -->")


def test_what_is_beside_a_decision_is_read_only_where_it_is_a_file(project: Path) -> None:
    """A run file names the dataset; it may come from anywhere, and its paths are not to be trusted."""
    pipe = project / "pipe.jsonl"
    os.mkfifo(pipe)
    for path in ("pipe.jsonl", "/dev/zero", "/dev/stdin", ".", "a\x00b", "x" * 5000, "absent.jsonl"):
        assert source(Path(path)) is None
        assert case_lines(Path(path), {"a"}) == {}


def test_lines_are_those_of_the_cases_by_id_or_by_content(project: Path) -> None:
    path = project / "d.jsonl"
    path.write_text('{"input": "by hand"}\n\n{"broken\n{"case_id": "b", "input": "x"}\n[1]\n')
    cases, _ = read_leniently(path)
    by_hand = cases[0].case_id
    assert case_lines(path, {"b", by_hand, "absent"}) == {by_hand: 1, "b": 4}
