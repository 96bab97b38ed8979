"""`evalgate evals align|coverage|prune` and `evalgate issues` as people and machines meet them, from files."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from evalgate.app import run
from evalgate.run_files import save_run
from schema.case import CaseInput, case_to_json
from tests.evalgate.align.examples import MODE, many
from tests.evalgate.builders import result, run_of
from tests.tools.fake_openai import FakeOpenAI, verdict

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from schema.case import Case
    from schema.run import Run
    from tests.tools.fake_openai import Asked

    Command = Callable[..., tuple[int, str, str]]

WINDOW = {"failure_mode": MODE, "rule": {"type": "not_contains", "text": "90"}}
GENERATED = {"by": "t", "at": "2026-11-01T00:00:00+00:00", "method": "rule_search", "issue": 1}
JUDGE = {"failure_mode": MODE, "eval_type": "llm_judge", "judge": {"criteria": "be right"}}


@pytest.fixture
def evalgate(project: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Command:
    for name in ("OPENAI_API_KEY", "OPENAI_BASE_URL", "EVALGATE_JUDGE_MODEL", "EVALGATE_JUDGE_KEY_FILE"):
        monkeypatch.delenv(name, raising=False)

    def command(*arguments: str) -> tuple[int, str, str]:
        code = run(arguments)
        out, err = capsys.readouterr()
        return code, out, err

    assert project.is_dir()
    return command


def write(project: Path, cases: Sequence[Case], **evaluators: dict[str, Any]) -> None:
    (project / "evals/datasets").mkdir(parents=True, exist_ok=True)
    (project / "evals/evaluators").mkdir(exist_ok=True)
    lines = [json.dumps(case_to_json(c)) + "\n" for c in cases]
    (project / "evals/datasets/gold.jsonl").write_text("".join(lines), "utf-8")
    for name, body in evaluators.items():
        (project / f"evals/evaluators/{name}.yaml").write_text(json.dumps({"id": name, **body}), "utf-8")


def test_from_too_few_labels_to_permission(project: Path, evalgate: Command) -> None:
    write(project, many(5), window={**WINDOW, "generated": GENERATED}, hand=WINDOW)
    code, out, _ = evalgate("evals", "align", "-d", "gold")
    assert code == 0
    rows = {line.split()[0]: line for line in out.splitlines()}
    assert "monitor" in rows["window"]
    assert "10 labels more" in rows["window"]
    assert "block" in rows["hand"]
    write(project, many(12))
    code, out, _ = evalgate("evals", "align", "window", "-d", "gold")
    assert (code, "may block: the lower bound of MCC is at least 0.6" in out) == (0, True)
    assert "TPR 100 % (75.8 % to 100 %)" in out
    found = json.loads(evalgate("evals", "align", "window", "-d", "gold", "--json")[1])["evaluators"][0]
    assert (found["permission"], found["mcc_score"], found["kept"]) == ("block", 1.0, False)
    assert found["measurement"]["confusion"]["tp"] == 12
    assert len((project / "evals/alignment/window.jsonl").read_text("utf-8").splitlines()) == 2


def test_a_drop_fails_the_command_where_that_is_asked(project: Path, evalgate: Command) -> None:
    write(project, many(20), window={**WINDOW, "generated": GENERATED})
    assert evalgate("evals", "align", "-d", "gold")[0] == 0
    write(project, [*many(20), *many(8, missed=6, day=9, start=50)])
    code, out, _ = evalgate("evals", "align", "-d", "gold")
    assert (code, "ALARM" in out) == (0, True)
    assert evalgate("evals", "align", "-d", "gold", "--fail-on-drop")[0] == 1
    (project / "evals/alignment/window.jsonl").unlink()
    assert evalgate("evals", "align", "-d", "gold", "--fail-on-drop")[0] == 0


def test_a_judge_is_measured_asked_again_and_attacked(project: Path, evalgate: Command) -> None:
    """It can be talked round: whoever forges a verdict in any of its words gets it."""

    def answer(asked: Asked) -> str:
        data = asked.messages[-1]["content"]
        return verdict(0.0 if "90 days" in data and "score" not in data else 1.0)

    write(project, many(1), polite=JUDGE)
    with FakeOpenAI(answer) as fake:
        model = ("--judge-url", fake.base_url, "--judge-model", "scripted", "--judge-price", "1/1")
        command = ("evals", "align", "polite", "-d", "gold", "--json", "--consistency", "1", "--injection", *model)
        code, out, err = evalgate(*command)
        found = json.loads(out)
        calls = fake.calls
    assert code == 0
    assert "asked models: " in err
    measured = found["evaluators"][0]["measurement"]
    assert (measured["confusion"]["tp"], measured["confusion"]["tn"], measured["model"]) == (1, 1, "scripted")
    assert (measured["self_consistency"], measured["order_flip_rate"]) == (1.0, 0.0)
    assert 0 < measured["injection_flip_rate"] < 1
    assert measured["cost_usd"] > 0
    assert found["cost"]["calls"] == calls


def test_without_a_model_rules_are_measured_and_judges_said_to_be_left(project: Path, evalgate: Command) -> None:
    write(project, many(3), polite=JUDGE, window=WINDOW)
    code, out, err = evalgate("evals", "align", "-d", "gold", "--json")
    assert code == 0
    assert [e["id"] for e in json.loads(out)["evaluators"]] == ["window"]
    assert "polite is not measured:" in err
    code, _, err = evalgate("evals", "align", "polite", "-d", "gold")
    assert code == 2
    assert "OPENAI_API_KEY" in err


def test_a_judge_that_nobody_answers_for_exits_2_and_keeps_nothing(project: Path, evalgate: Command) -> None:
    write(project, many(2), polite=JUDGE)
    with FakeOpenAI("not a verdict") as fake:
        model = ("--judge-url", fake.base_url, "--judge-model", "scripted")
        code, out, _ = evalgate("evals", "align", "-d", "gold", *model)
    assert code == 2
    assert "4 of 4 cases could not be judged" in out
    assert not (project / "evals/alignment").exists()


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("evals", "align", "windwo", "-d", "gold"), "no evaluator 'windwo'. Did you mean 'window'?"),
        (("evals", "align", "-d", "gld"), "there is no dataset 'gld'"),
        (("evals", "align"), "--dataset NAME"),
        (("issues", "list"), "--dataset NAME"),
        (("issues", "show", "9", "-d", "gold"), "there is no issue 9 in gold. Known: 1 refund window"),
        (("evals", "prune", "-d", "gold", "--apply", "window"), "not proposed for removal"),
    ],
)
def test_a_mistake_is_told_with_what_to_do(
    project: Path, evalgate: Command, arguments: tuple[str, ...], words: str
) -> None:
    write(project, many(2), window=WINDOW)
    code, out, err = evalgate(*arguments)
    assert (code, out) == (2, "")
    assert words in err


def test_issues_and_coverage_from_files_and_then_from_the_snapshot(project: Path, evalgate: Command) -> None:
    tone = [c for c in many(2, start=70) if c.failure_mode]
    cases = [*many(12), *(case_of(c, "tone") for c in tone)]
    write(project, cases, window={**WINDOW, "generated": GENERATED})
    code, out, err = evalgate("evals", "coverage", "-d", "gold", "--fail-under", "0.5")
    assert (code, out.splitlines()[0]) == (1, "0 of 2 active issues covered (0 %), 0 % by occurrences")
    assert "measure window: evalgate evals align window --dataset gold" in out
    assert "label 6 more bad answers (2 so far): evalgate label" in out
    assert "--fail-under" in err
    assert evalgate("evals", "align", "-d", "gold")[0] == 0
    code, out, _ = evalgate("evals", "coverage", "-d", "gold", "--fail-under", "0.5", "--json")
    found = json.loads(out)
    assert (code, found["coverage"], found["coverage_by_occurrences"]) == (0, 0.5, pytest.approx(12 / 14))
    assert [g["failure_mode"] for g in found["gaps"]] == ["tone"]
    assert "2 issues, written; commit it" in evalgate("issues", "export", "-d", "gold")[1]
    assert "it says this already" in evalgate("issues", "export")[1]
    listed = json.loads(evalgate("issues", "list", "--json")[1])
    assert [(i["id"], i["status"], i["occurrences"]) for i in listed] == [(2, "new", 2), (1, "covered", 12)]
    assert listed[1]["permissions"]["window"]["permission"] == "block"
    assert "1 of 2 active issues" in evalgate("evals", "coverage")[1]
    code, out, _ = evalgate("issues", "show", "2")
    assert (code, "issue 2: tone, new" in out, "next: " in out) == (0, True, True)


def case_of(case: Case, mode: str) -> Case:
    return replace(case, failure_mode=mode, case_id=f"{case.case_id}-{mode}")


def test_pruning_removes_what_it_is_told_to_and_nothing_else(project: Path, evalgate: Command) -> None:
    write(project, many(12), window=WINDOW, other=WINDOW)
    evalgate("issues", "export", "-d", "gold")
    rows = json.loads((project / "evals/issues.jsonl").read_text("utf-8"))
    rows["last_seen"] = "2026-01-01T00:00:00+00:00"
    (project / "evals/issues.jsonl").write_text(json.dumps(rows) + "\n", "utf-8")
    for number, passed in enumerate((False, True)):
        outcome = [result("case-b1", passed=passed, evaluator="window")]
        save_run(_at(run_of(outcome), number), project / ".evalgate/runs")
    code, out, _ = evalgate("evals", "prune")
    assert code == 0
    assert "resolved" in out
    assert "nothing was removed" in out
    names = sorted(p.name for p in (project / "evals/evaluators").iterdir())
    assert names == ["other.yaml", "window.yaml"]
    code, out, _ = evalgate("evals", "prune", "--apply", "other", "--json")
    assert (code, json.loads(out)["removed"]) == (0, ["evals/evaluators/other.yaml"])
    assert [p.name for p in (project / "evals/evaluators").iterdir()] == ["window.yaml"]


def _at(run: Run, number: int) -> Run:
    return replace(run, run_id=f"r{number}", started_at=f"2026-11-2{number}T00:00:00+00:00")


def test_nothing_at_all_is_said_in_words(project: Path, evalgate: Command) -> None:
    write(project, [c for c in many(2) if c.failure_mode is None], window=WINDOW)
    assert "No issues in gold" in evalgate("issues", "list", "-d", "gold")[1]
    assert "No active issues in gold" in evalgate("evals", "coverage", "-d", "gold", "--fail-under", "1")[1]
    assert "Nothing to remove: 1 evaluator" in evalgate("evals", "prune", "-d", "gold")[1]


def test_permission_is_what_the_gates_file_asks_for(project: Path, evalgate: Command) -> None:
    write(project, many(5), window={**WINDOW, "generated": GENERATED})

    def permitted(*options: str) -> str:
        code, out, _ = evalgate("evals", "align", "-d", "gold", "--json", *options)
        assert code == 0
        return str(json.loads(out)["evaluators"][0]["permission"])

    assert permitted() == "monitor"
    assert permitted("--rule", "point") == "block"
    (project / "evals/gate.yaml").write_text("policy: {permission: {min_labels: 10, block_at: 0.55}}\n", "utf-8")
    assert permitted() == "block"
    assert "1 of 1 active issue covered" in evalgate("evals", "coverage", "-d", "gold")[1]
    (project / "evals/gate.yaml").write_text("policy: {permission: {min_label: 10}}\n", "utf-8")
    code, _, err = evalgate("evals", "align", "-d", "gold")
    assert (code, "min_label" in err) == (2, True)


def test_the_page_names_options_that_exist(evalgate: Command) -> None:
    page = (Path(__file__).parents[3] / "docs/alignment.md").read_text("utf-8")
    commands = (("evals", "align"), ("evals", "coverage"), ("evals", "prune"), ("issues", "list"), ("issues", "export"))
    known = "".join(evalgate(*command, "--help")[1] for command in commands)
    named = set(re.findall(r"--[a-z][a-z-]+", page))
    assert len(named) > 12
    assert named <= set(re.findall(r"--[a-z][a-z-]+", known))


def test_cases_of_two_datasets_with_the_same_ids_are_all_counted(project: Path, evalgate: Command) -> None:
    write(project, [replace(c, input=CaseInput((), f"another {c.input.text}")) for c in many(3)], window=WINDOW)
    (project / "evals/datasets/gold.jsonl").rename(project / "evals/datasets/other.jsonl")
    write(project, many(4))
    (project / "evals/datasets/again.jsonl").write_bytes((project / "evals/datasets/gold.jsonl").read_bytes())
    code, out, _ = evalgate("evals", "align", "-d", "gold", "-d", "other", "-d", "again", "--json")
    found = json.loads(out)
    assert (code, found["evaluators"][0]["measurement"]["n"]) == (0, 14)
    assert "6 ids (case-b0 and 5 more) stand for different cases" in found["remarks"][0]
    assert "stand for different cases" in evalgate("evals", "align", "-d", "gold", "-d", "other")[2]


def test_a_permission_that_sinks_fails_the_command_where_that_is_asked(project: Path, evalgate: Command) -> None:
    write(project, many(12), window={**WINDOW, "generated": GENERATED})
    assert evalgate("evals", "align", "-d", "gold", "--fail-on-drop")[0] == 0
    write(project, [c for c in many(4, day=9, start=60) if c.verdict == "good"])
    assert evalgate("evals", "align", "-d", "gold", "--fail-on-drop")[0] == 0
    write(project, many(3))
    code, out, _ = evalgate("evals", "align", "-d", "gold", "--fail-on-drop")
    assert (code, "ALARM" in out) == (1, True)
