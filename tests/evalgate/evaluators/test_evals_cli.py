"""`evalgate evals list`, `show` and `check`: what a person reads, what a program reads, and every mistake at once."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from evalgate.align.store import append_measurement
from evalgate.app import run
from evalgate.evaluators.files import read_evaluator
from evalgate.run_files import save_run
from schema.alignment import Confusion, Measurement, Split
from schema.run import EvaluatorUsed
from tests.evalgate.builders import refund_cases, result, run_of

if TYPE_CHECKING:
    from pathlib import Path

FILES = {
    "window.yaml": "id: refund-window\nfailure_mode: policy_hallucination\nrule: {type: not_contains, text: 90 days}\n",
    "tone.yaml": (
        "id: tone\nfailure_mode: rude\njudge: {criteria: The answer is polite.}\n"
        "coverage_target: '3'\napplies_to: all\n"
    ),
    "links.yaml": "id: links\nfailure_mode: dead_link\napplies_to: all\ncode: links.py\nmust_not_break: true\n",
    "links.py": "def evaluate(case, output):\n    return 'http:' not in output['text']\n",
}


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "evals/evaluators"
    folder.mkdir(parents=True)
    for name, text in FILES.items():
        (folder / name).write_text(text)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def measure(project: Path, name: str, confusion: Confusion) -> None:
    spec = read_evaluator(project / f"evals/evaluators/{name}.yaml").spec
    append_measurement(Measurement(spec.id, spec.version, "d1", Split.ALL, "2026-11-20T09:00:00+00:00", confusion))


def said(capsys: pytest.CaptureFixture[str], *arguments: str, code: int = 0) -> str:
    assert run(list(arguments)) == code
    return capsys.readouterr().out


def test_list_tells_kind_permission_and_last_result(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    measure(project, "tone", Confusion(tp=40, fp=0, fn=0, tn=40))
    spec = read_evaluator(project / "evals/evaluators/window.yaml").spec
    used = EvaluatorUsed(spec.id, spec.version, spec.failure_mode)
    save_run(run_of([result(f"c{n}", passed=n > 0, evaluator=spec.id) for n in range(4)], [used]))
    rows = {line.split()[0]: line for line in said(capsys, "evals", "list").splitlines()}
    assert "code" in rows["links"]
    assert "block" in rows["links"]
    assert "judge" in rows["tone"]
    assert "block" in rows["tone"]
    assert "3/4 passed" in rows["refund-window"]


def test_a_judge_that_was_not_measured_only_watches(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    del project
    (tone,) = [line for line in said(capsys, "evals", "list").splitlines() if line.startswith("tone")]
    assert "monitor" in tone


def test_the_records_have_the_fields_that_others_read(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    measure(project, "tone", Confusion(tp=40, fp=0, fn=0, tn=40))
    records = {r["id"]: r for r in json.loads(said(capsys, "evals", "list", "--json"))["evaluators"]}
    tone = records["tone"]
    assert (tone["failure_mode"], tone["eval_type"], tone["mcc_score"], tone["coverage_target"]) == (
        "rude",
        "llm_judge",
        1.0,
        "3",
    )
    assert tone["evaluator"] == {"judge": {"criteria": "The answer is polite."}}
    assert tone["permission"]["permission"] == "block"
    assert records["refund-window"]["mcc_score"] is None
    assert records["refund-window"]["last_run"] is None


def test_show_tells_what_it_judges_and_its_history(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    measure(project, "tone", Confusion(tp=10, fp=5, fn=5, tn=10))
    text = said(capsys, "evals", "show", "tone")
    assert "criteria: The answer is polite." in text
    assert "guards against  rude" in text
    assert "covers          issue 3" in text
    assert "2026-11-20T09:00:00+00:00" in text
    document = json.loads(said(capsys, "evals", "show", "tone", "--json"))
    assert document["measurements"][0]["confusion"]["tp"] == 10
    assert document["file"]["judge"]["criteria"] == "The answer is polite."


def test_show_python_prints_a_program(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    del project
    names: dict[str, Any] = {"__name__": "form"}
    exec(said(capsys, "evals", "show", "refund-window", "--python"), names)  # noqa: S102 - what is tested
    assert not names["evaluate"]({}, "You have 90 days.")["passed"]
    assert said(capsys, "evals", "show", "links", "--python") == FILES["links.py"]
    assert run(["evals", "show", "tone", "--python"]) == 2
    assert "only rules have a Python form" in capsys.readouterr().err


def test_show_of_none_says_what_was_meant(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    del project
    assert run(["evals", "show", "refund-windw"]) == 2
    assert "Did you mean 'refund-window'?" in capsys.readouterr().err


def test_a_project_without_evaluators_says_how_to_begin(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    for words in (["list"], ["show", "x"], ["check"]):
        assert run(["evals", *words]) == 2
        assert "there are no evaluators in evals/evaluators" in capsys.readouterr().err


def test_check_tells_every_mistake_of_every_file_with_its_line(
    project: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = project / "evals/evaluators"
    (folder / "a.yaml").write_text(
        "id: a b\nfailure_mode: m\nrule:\n  type: all\n  rules:\n    - {type: contain, text: x}\n"
        "    - type: regex\n      pattern: '('\nthresold: 1\n"
    )
    (folder / "b.yaml").write_text("id: [")
    (folder / "c.yaml").write_text("id: links\nfailure_mode: m\nrule: {type: valid_json}\n")
    (folder / "d.yaml").write_text("id: d\nfailure_mode: m\ncode: absent.py\n")
    (folder / "e.yaml").write_text("id: e\nfailure_mode: m\ndescription: x\ncode: e.py\n")
    (folder / "e.py").write_text("def evaluate(case): pass")
    (folder / "f.yaml").write_text("id: f\nfailure_mode: m\nuse: nobody-has-this\n")
    (folder / "g.yaml").write_text("id: &x g\nfailure_mode: *x\nrule: {type: valid_json}\n")
    out = said(capsys, "evals", "check", code=2)
    for told in (
        "a.yaml line 1: an evaluator: 'id' must be",
        "a.yaml line 6: unknown rule type 'contain'. Did you mean 'contains'?",
        "a.yaml line 8: rule 'regex': 'pattern' is not a regular expression",
        "a.yaml line 9: an evaluator: unknown field 'thresold'",
        "b.yaml line 1: is not YAML",
        "links.yaml line 1: the id 'links' is taken by",
        "d.yaml line 3: cannot read",
        "e.yaml line 4: e.py line 1: evaluate takes (case, output)",
        "f.yaml line 3: no installed package has the evaluator 'nobody-has-this'",
        "g.yaml line 2: is not YAML: an alias",
        "10 mistakes in 7 files of 10",
    ):
        assert told in out, told
    document = json.loads(said(capsys, "evals", "check", "--json", code=2))
    assert len(document["mistakes"]) == 10
    assert {"path": "evals/evaluators/a.yaml", "line": 9}.items() <= document["mistakes"][3].items()


def test_check_of_named_files_looks_at_no_other(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (project / "evals/evaluators/a.yaml").write_text("id: [")
    assert "1 file, no mistake" in said(capsys, "evals", "check", "evals/evaluators/window.yaml")


def test_check_tries_evaluators_on_a_dataset(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (project / "evals/datasets").mkdir()
    cases = refund_cases(3)
    for n, case in enumerate(cases):
        case["observed"] = {"output": "You have 90 days." if n else "You have 30 days."}
    (project / "evals/datasets/d.jsonl").write_text("".join(json.dumps(c) + "\n" for c in cases))
    lines = {x.split()[0]: x.split() for x in said(capsys, "evals", "check", "--dataset", "d").splitlines()}
    assert lines["refund-window"][1:5] == ["1", "2", "0", "0"]
    assert lines["links"][1:5] == ["3", "0", "0", "0"]
    assert lines["tone"][1] == "–"
    (project / "evals/evaluators/links.py").write_text("def evaluate(case, output):\n    return output['txt']\n")
    out = said(capsys, "evals", "check", "--dataset", "d", code=2)
    assert "it could judge none of 3 cases: case-0: its code: KeyError: 'txt' (links.py line 2)" in out


def test_check_remarks_on_patterns_that_may_explode_and_stated_mcc(
    project: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (project / "evals/evaluators/a.yaml").write_text(
        "id: a\nfailure_mode: m\nmcc_score: 0.9\nrule: {type: regex, pattern: '(a+)+$'}\n"
    )
    (project / "evals/evaluators/forgotten.py").write_text("")
    assert run(["evals", "check"]) == 0
    err = capsys.readouterr().err
    assert "forgotten.py: no evaluator names it" in err
    assert "links.py" not in err
    assert "/(a+)+$/ may take very long" in err
    assert "mcc_score grants nothing" in err


def test_check_is_silent_of_a_generated_file_whose_mcc_was_measured(
    project: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = project / "evals/evaluators/a.yaml"
    made = "generated: {by: t, at: '2026-11-01T00:00:00+00:00', method: rule_search}\n"
    path.write_text(f"id: a\nfailure_mode: m\nmcc_score: 0.6667\nrule: {{type: contains, text: x}}\n{made}")
    version = read_evaluator(path).spec.version
    measured = Measurement("a", version, "d", Split.TEST, "2026-11-01T00:00:00+00:00", Confusion(5, 1, 1, 5))
    append_measurement(measured)
    assert run(["evals", "check", str(path)]) == 0
    assert "mcc_score" not in capsys.readouterr().err
    path.write_text(path.read_text().replace("0.6667", "0.9"))
    assert run(["evals", "check", str(path)]) == 0
    assert "mcc_score grants nothing" in capsys.readouterr().err


def test_check_schema_prints_the_schema(capsys: pytest.CaptureFixture[str]) -> None:
    assert "$defs" in json.loads(said(capsys, "evals", "check", "--schema"))
