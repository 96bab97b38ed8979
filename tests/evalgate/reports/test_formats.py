"""Each format is what its readers take it for: JSON by our schema, JUnit by Jenkins', SARIF by OASIS'."""

from __future__ import annotations

import io
import json
import re
import xml.etree.ElementTree as ET
from dataclasses import replace
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from evalgate.gate.decision import CheckStatus, Status
from evalgate.gate.junit_in import read_junit
from evalgate.gate.report import Kind, print_text, render, render_error
from evalgate.gate.report.html.page import CONTENT_BUDGET_CHARS, MOST_CASES, MOST_CHARS
from evalgate.gate.report.payload import checksum
from evalgate.gate.report.words import MARKS
from evalgate.terminal import Terminal
from schema.draft import Method, Synthesis
from tests.evalgate.reports.samples import green_report, red_report

ROOT = Path(__file__).resolve().parents[3]


def lines_of(text: str) -> list[str]:
    return [x for x in text.splitlines() if x.strip()]


def schema(path: str) -> jsonschema.protocols.Validator:
    document = json.loads((ROOT / path).read_text("utf-8"))
    kind = jsonschema.validators.validator_for(document)
    kind.check_schema(document)
    return kind(document)


@pytest.mark.parametrize(
    "text",
    [render(Kind.JSON, red_report()), render(Kind.JSON, green_report()), render_error(Kind.JSON, "there is no run")],
    ids=["red", "green", "error"],
)
def test_json_is_as_its_schema_says(text: str) -> None:
    payload = json.loads(text)
    assert not [e.message for e in schema("schema/gate.schema.json").iter_errors(payload)]
    assert payload["checksum"] == checksum(payload)


def test_the_schema_of_json_refuses_what_it_does_not_name() -> None:
    payload = json.loads(render(Kind.JSON, red_report()))
    valid = schema("schema/gate.schema.json")
    faults: list[dict[str, Any]] = [{"status": "maybe"}, {"surprise": 1}, {"evidence": []}, {"checksum": "x"}]
    for wrong in faults:
        assert list(valid.iter_errors({**payload, **wrong})), wrong
    del payload["failing_cases"]
    assert list(valid.iter_errors(payload))


def test_json_has_what_the_requirements_name() -> None:
    payload = json.loads(render(Kind.JSON, red_report()))
    assert payload["deployment_blocked"] is True
    assert payload["blocking_reason"] == "refund-window passed 9 of 15, needs 80 %"
    rated, _, skipped = payload["eval_results"]
    assert {"pass_rate", "passed", "failure_mode", "sample_count"} <= rated.keys()
    assert (skipped["skipped"], skipped["reason"]) == (True, "low_mcc")
    first = payload["failing_cases"][0]
    assert (first["regression"], first["known"], first["issue"], first["line"]) == (True, False, 3, 4)
    assert first["chain"]["annotations"] == ["ann-1"]
    assert first["commands"] == [
        "evalgate traces show 4bf92f3577b34da6",
        "evalgate issues show 3",
        "evalgate provenance show case-0000",
    ]
    green = json.loads(render(Kind.JSON, green_report()))
    assert (green["deployment_blocked"], green["blocking_reason"]) == (False, None)


TESTCASE = {"name", "classname", "time"}
SUITE = {"name", "tests", "failures", "errors", "time", "skipped", "timestamp"}
"""Of the attributes that junit-10.xsd of Jenkins' xunit plugin allows, the ones we use."""


def test_junit_is_what_jenkins_takes() -> None:
    root = ET.fromstring(render(Kind.JUNIT, red_report()))  # noqa: S314 - our own document
    assert set(root.attrib) == {"name", "tests", "failures", "errors", "time"}
    outcomes = []
    for suite in root:
        assert suite.tag == "testsuite"
        assert set(suite.attrib) <= SUITE
        cases = suite.findall("testcase")
        assert len(cases) == len(list(suite)) == int(suite.attrib["tests"])
        for tag, name in (("failure", "failures"), ("error", "errors"), ("skipped", "skipped")):
            assert len(suite.findall(f"testcase/{tag}")) == int(suite.attrib[name])
        for case in cases:
            assert set(case.attrib) == TESTCASE
            float(case.attrib["time"])
            assert [child.tag for child in case] in ([], ["failure"], ["error"], ["skipped"], ["system-out"])
            outcomes.append((case.attrib["name"], [child.tag for child in case]))
    found = dict(outcomes)
    assert found["verdict"] == ["failure"]
    assert found["rate:refund-window"] == ["failure"]
    assert found["paired:cases"] == ["skipped"]
    assert found["rate:kind-tone"] == ["skipped"]
    assert found["case-0000"] == ["failure"]
    assert found["broken-1"] == ["error"]
    assert found["good-0"] == []
    assert found["rude-1"] == ["system-out"]


def test_junit_calls_an_inconclusive_gate_that_blocks_a_failure() -> None:
    red = red_report()
    undecided = tuple(
        replace(c, status=CheckStatus.INCONCLUSIVE) if c.status is CheckStatus.FAIL else c for c in red.decision.checks
    )
    for code, tag in ((0, "skipped"), (1, "failure")):
        decision = replace(red.decision, status=Status.INCONCLUSIVE, exit_code=code, checks=undecided)
        root = ET.fromstring(render(Kind.JUNIT, replace(red, decision=decision)))  # noqa: S314 - our own document
        assert root.find(f".//testcase[@name='paired:cases']/{tag}") is not None


def test_sarif_is_as_its_schema_says() -> None:
    valid = schema("tests/evalgate/reports/sarif/sarif-2.1.0-rtm.5.json")
    for text in (
        render(Kind.SARIF, red_report()),
        render(Kind.SARIF, green_report()),
        render_error(Kind.SARIF, "there is no run"),
    ):
        document = json.loads(text)
        assert not [e.message for e in valid.iter_errors(document)]
    assert list(valid.iter_errors({**document, "version": "2.0.0"}))


def sarif_results(text: str) -> list[dict[str, Any]]:
    results: list[dict[str, Any]] = json.loads(text)["runs"][0]["results"]
    return results


def test_a_sarif_result_leads_to_the_line_of_its_case() -> None:
    first = sarif_results(render(Kind.SARIF, red_report()))[0]
    (location,) = first["locations"]
    assert location["physicalLocation"] == {
        "artifactLocation": {"uri": "evals/datasets/refunds.jsonl"},
        "region": {"startLine": 4},
    }
    assert (first["ruleId"], first["ruleIndex"], first["level"]) == ("refund-window", 0, "error")
    assert first["baselineState"] == "new"


def test_a_fingerprint_outlives_what_was_said_and_where_the_case_stands() -> None:
    def prints(text: str) -> set[str]:
        return {r["partialFingerprints"]["evalgateCase/v1"] for r in sarif_results(text)}

    one = red_report()
    moved = replace(one, lines={"case-0000": 40})
    other = red_report(reason="another reason")
    assert len(prints(render(Kind.SARIF, one))) == 7
    assert prints(render(Kind.SARIF, one)) == prints(render(Kind.SARIF, moved)) == prints(render(Kind.SARIF, other))
    assert prints(render(Kind.SARIF, red_report(failing=2))) < prints(render(Kind.SARIF, one))


def test_text_has_the_verdict_first_and_last() -> None:
    for report, words in ((red_report(), "GATE FAILED: refund-window"), (green_report(), "GATE PASSED: 9 of 9")):
        lines = lines_of(render(Kind.TEXT, report))
        assert lines[0] == lines[-1]
        assert lines[0].startswith(words)


@pytest.mark.parametrize("kind", [Kind.TEXT, Kind.MARKDOWN, Kind.JUNIT, Kind.HTML])
def test_what_production_answered_is_called_so(kind: Kind) -> None:
    told = re.sub(r"\s+", " ", re.sub("<[^>]*>|[`-]", " ", render(kind, red_report())))
    assert re.search("(production|Production.s response) (text )?Yes, you have 30 days", told)
    assert "before Yes, you have 30 days" not in told


def test_text_says_of_a_variant_what_it_was_made_of() -> None:
    report = red_report(failing=1)
    (failing,) = report.decision.failing
    made = Synthesis("case-7", "hash", Method.TEMPLATE, "typos", "many", "1", 0, keeps_meaning=True)
    provenance = replace(failing.result.provenance, synthesis=made)
    variant = replace(failing, result=replace(failing.result, provenance=provenance))
    told = render(Kind.TEXT, replace(report, decision=replace(report.decision, failing=(variant,))))
    assert "variant     of case-7, typos=many" in told
    assert "variant" not in render(Kind.TEXT, report)


def test_text_is_short_when_all_is_well() -> None:
    assert len(lines_of(render(Kind.TEXT, green_report()))) <= 15


def test_text_says_what_would_settle_an_inconclusive_check_and_what_is_known() -> None:
    text = render(Kind.TEXT, red_report())
    assert "detectable drop 20.1 points with 15 cases; 61 cases would settle it" in text
    assert "issue 3, policy_hallucination (6 cases, 2 regressions): evalgate issues show 3" in text
    assert "✗ case-0000  policy_hallucination  REGRESSION: it passed before" in text
    assert "✗ case-0003  policy_hallucination  known open issue; flaky: its attempts disagree" in text
    assert "Behaviour   no evidence" in text


class Screen(io.StringIO):
    """A terminal."""

    def isatty(self) -> bool:
        return True


@pytest.mark.parametrize("columns", [80, 100])
def test_text_keeps_to_the_width_of_a_terminal(monkeypatch: pytest.MonkeyPatch, columns: int) -> None:
    monkeypatch.setenv("COLUMNS", str(columns))
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("NO_COLOR", "1")
    screen = Screen()
    print_text(Terminal(screen, screen), red_report())
    plain = re.sub(r"\x1b\[[0-9;]*m", "", screen.getvalue())
    widest = max(lines_of(plain), key=len)
    assert len(widest) <= columns, widest


def test_annotations_name_the_line_of_a_case() -> None:
    lines = render(Kind.GITHUB, red_report()).splitlines()
    assert any(
        x.startswith(
            "::error file=evals/datasets/refunds.jsonl,line=4,title=case-0000 issue 3%2C policy_hallucination::"
        )
        for x in lines
    )
    assert any(x.startswith("::warning file=evals/datasets/refunds.jsonl,title=paired%3Acases::") for x in lines)
    assert not [x for x in render(Kind.GITHUB, green_report()).splitlines() if x.startswith("::")]


def test_an_inconclusive_gate_that_lets_pass_is_a_warning() -> None:
    red = red_report()
    decision = replace(red.decision, status=Status.INCONCLUSIVE, exit_code=0, failing=(), errors=())
    lines = render(Kind.GITHUB, replace(red, decision=decision)).splitlines()
    assert not [x for x in lines if x.startswith("::error")]
    assert [x for x in lines if x.startswith("::warning file=evals/datasets/refunds.jsonl,title=evalgate gate::")]


def test_the_answer_that_is_shown_is_one_that_failed() -> None:
    """The first attempt passed, and the case failed: what one reads must fit the reasons."""
    red = red_report(failing=1)
    (failing,) = red.decision.failing
    bad = failing.result.first
    good = replace(
        bad,
        output=replace(bad.output, text="You have thirty days.") if bad.output else None,
        scores=tuple(replace(s, score=1.0, passed=True, reason="right") for s in bad.scores),
    )
    several = replace(failing.result, attempts=(good, replace(bad, number=2), replace(bad, number=3)))
    told = replace(red, decision=replace(red.decision, failing=(replace(failing, result=several),)))
    for kind in (Kind.TEXT, Kind.MARKDOWN, Kind.HTML):
        text = render(kind, told)
        assert "90 days to bring them back" in text
        assert "thirty" not in text
    assert "Attempts: 1 passed, 2 failed, 3 failed. Shown is attempt 2." in render(Kind.HTML, told)


def test_the_page_of_reports_names_every_kind_and_every_mark() -> None:
    page = (ROOT / "docs/reports.md").read_text("utf-8")
    for kind in Kind:
        assert f"| `{kind}` |" in page
    for status, mark in MARKS.items():
        assert status is CheckStatus.SKIPPED or f"| {mark} |" in page
    for figure in (f"{MOST_CHARS:,}", f"{CONTENT_BUDGET_CHARS // 1_000_000} million", f"{MOST_CASES:,}"):
        assert figure.replace(",", " ") in page


def test_our_own_reader_of_junit_reads_it(tmp_path: Path) -> None:
    path = tmp_path / "gate.xml"
    path.write_text(render(Kind.JUNIT, red_report()), "utf-8")
    tests = read_junit(path)
    assert len(tests) == 1 + 6 + 21 + 1
