"""From labels to files: what is written, what is left alone, and what a person is told."""

from __future__ import annotations

import json
import re
import sys
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from evalgate.align.measure import judge_all
from evalgate.align.store import latest, made_from, read_measurements
from evalgate.app import run
from evalgate.errors import BadInput
from evalgate.evaluators.load import load_evaluator, load_evaluators
from evalgate.files import to_json_line
from evalgate.generate.examples import choose_examples
from evalgate.generate.pipeline import _why_failed, generate
from evalgate.generate.request import Method, Request, build_spec
from evalgate.generate.split import split_examples
from evalgate.generate.write import Place, slug_of, write_evaluator
from schema.alignment import Confusion, Permission, PermissionPolicy
from schema.case import CaseInput, case_to_json
from schema.evaluator import ID, EvalType, Judge, Regex, Score, spec_to_yaml
from tests.evalgate.generate.planted import LEARNT, MODE, Learner, noise, planted, seemingly_polite
from tests.evalgate.generate.test_judging import tools
from tests.evalgate.generate.test_search import promise
from tests.tools.fake_openai import FakeOpenAI, Status

if TYPE_CHECKING:
    import random
    from collections.abc import Iterator

    from evalgate.generate.outcome import Outcome
    from schema.case import Case

AT = datetime(2026, 11, 20, 9, tzinfo=UTC)
ID_OF_MODE = "policy-hallucination"


@pytest.fixture
def place(tmp_path: Path) -> Place:
    return Place(ID_OF_MODE, tmp_path)


def generated(place: Place, cases: list[Case], **settings: Any) -> Outcome:
    return generate(choose_examples(cases, MODE), replace(Request(place, AT, shuffles=39), **settings))


def test_a_rule_is_written_measured_on_its_test_and_may_block(place: Place) -> None:
    outcome = generated(place, planted(60, promise), issue=3)
    assert outcome.written
    evaluator = load_evaluator(place.file)
    spec = evaluator.spec
    assert (spec.failure_mode, spec.eval_type, spec.coverage_target) == (MODE, EvalType.RULE, "3")
    assert spec.generated is not None
    assert (spec.generated.method, spec.generated.issue, spec.generated.version) == ("rule_search", 3, spec.version)
    measurement = latest(spec.id, spec.version, place.alignment)
    assert measurement is not None
    assert measurement.confusion.n == len(outcome.split.test)
    assert measurement.confusion.mcc == spec.mcc_score == 1
    assert outcome.grant is not None
    assert outcome.grant.permission is Permission.BLOCK
    assert set(made_from(spec.id, place.alignment)) == {e.case.case_id for e in outcome.split.search}
    again = judge_all(evaluator, outcome.split.test)
    assert all(isinstance(j.verdict, Score) and j.is_right for j in again)


def test_permission_is_by_the_projects_rule(place: Place) -> None:
    outcome = generated(place, planted(60, promise), policy=PermissionPolicy(min_labels=1000))
    assert outcome.written
    assert outcome.grant is not None
    assert outcome.grant.permission is Permission.MONITOR


def test_near_copies_of_a_few_questions_count_as_those_questions(place: Place) -> None:
    """Each cluster of the split counts once in the bound, however many labels it holds."""
    cases = planted(120, promise)
    asked = [c.input.text for c in cases[:13]]
    copies = [replace(c, input=CaseInput((), f"{asked[n % 13]} {n // 13}")) for n, c in enumerate(cases)]
    outcome = generated(place, copies)
    assert outcome.chosen is not None
    measured = latest(ID_OF_MODE, outcome.chosen.spec.version, place.alignment)
    assert measured is not None
    assert (measured.clusters, measured.confusion.mcc) == (len({e.cluster for e in outcome.split.test}), 1)
    assert (measured.clusters or 99) < 13 < measured.confusion.n
    assert outcome.grant is not None
    assert outcome.grant.permission is Permission.MONITOR


def test_noise_gives_no_evaluator(place: Place) -> None:
    for seed in range(4):
        outcome = generated(place, planted(30, noise, seed=seed), seed=seed)
        assert outcome.chosen is None
        assert outcome.rule is not None
        assert outcome.rule.rejected
    assert not place.file.exists()
    assert not place.alignment.exists()


def test_too_few_labels_are_told_by_class(place: Place) -> None:
    outcome = generated(place, planted(16, promise, bad=lambda n: n < 6))
    assert (outcome.missing_bad, outcome.missing_good) == (2, 0)
    assert outcome.not_written == "there are too few labels to hold any out"
    assert outcome.rule is None


def test_a_dry_run_commits_nothing(place: Place) -> None:
    outcome = generated(place, planted(40, promise), dry_run=True)
    assert outcome.chosen is not None
    assert outcome.not_written == "this is a dry run"
    assert not place.file.exists()
    assert not place.split.exists()


@pytest.mark.parametrize(
    ("edit", "told"),
    [
        (lambda text: text.replace("days", "weeks").replace("week", "year"), "changed what it judges"),
        (lambda text: text + "# seen by Legal\n", "edited it"),
        (lambda text: text[: text.index("generated:")], "a person wrote it"),
    ],
)
def test_a_file_that_a_person_touched_is_left_alone(place: Place, edit: Any, told: str) -> None:
    assert generated(place, planted(40, promise)).written
    text = edit(place.file.read_text())
    place.file.write_text(text)
    outcome = generated(place, planted(60, promise))
    assert not outcome.written
    assert outcome.not_written is not None
    assert told in outcome.not_written
    assert place.file.read_text() == text
    forced = generated(place, planted(60, promise), force=True)
    assert forced.written
    earlier = list((place.work / "earlier").glob("*.yaml"))
    assert text in [p.read_text() for p in earlier]


def test_generating_again_keeps_wishes_and_history_and_compares_on_the_same_test(place: Place) -> None:
    first = generated(place, planted(40, promise))
    spec = load_evaluator(place.file).spec
    place.file.write_text(spec_to_yaml(replace(spec, threshold=0.95, must_not_break=True)))
    second = generated(place, planted(80, promise))
    assert second.written
    assert second.before is not None
    assert second.before.confusion is not None
    assert second.before.confusion.n == len(second.split.test)
    assert {e.case.case_id for e in first.split.test} <= {e.case.case_id for e in second.split.test}
    kept = load_evaluator(place.file).spec
    assert (kept.threshold, kept.must_not_break) == (0.95, True)
    assert len(read_measurements(ID_OF_MODE, place.alignment)) == 2


def rare_names(is_bad: bool, rng: random.Random) -> str:  # noqa: FBT001 - the seam of `planted`
    """Answer badly with one word mostly, and else with a name that never comes twice."""
    if not is_bad:
        return noise(is_bad, rng)
    name = "zq" + "".join(rng.choices("abcdefgh", k=9)) + "q"
    return f"{noise(is_bad, rng)} {'Guaranteed' if rng.random() < 0.7 else name}."


def test_a_worse_one_does_not_replace_a_better_one(place: Place) -> None:
    cases = planted(80, rare_names)
    wise = build_spec(
        Regex(r"\bGuaranteed\b|\bzq\w+q\b", negated=True), "", choose_examples(cases, MODE), Request(place, AT), None
    )
    write_evaluator(place, wise, split_examples(MODE, choose_examples(cases, MODE).items), None)
    outcome = generated(place, cases)
    assert outcome.before is not None
    assert outcome.before.hand_edited is None
    assert outcome.before.confusion is not None
    assert outcome.chosen is not None
    assert outcome.before.confusion.mcc == 1
    assert (outcome.chosen.mcc or 0) < 1
    assert outcome.not_written is not None
    assert "the one before agrees better on the same test" in outcome.not_written
    assert load_evaluator(place.file).spec == wise
    assert generated(place, cases, force=True).written
    assert load_evaluator(place.file).spec != wise


@pytest.mark.parametrize(
    ("mode", "slug"),
    [
        ("policy_hallucination", "policy-hallucination"),
        ("Tool Loop", "tool-loop"),
        ("../../etc/passwd", "etc-passwd-"),
        ("überlange Antwort", "uberlange-antwort-"),
        ("幻覚", "mode-"),
        ("x" * 120, "x" * 60 + "-"),
        ("..", "mode-"),
    ],
)
def test_a_failure_mode_becomes_a_harmless_file_name(mode: str, slug: str) -> None:
    found = slug_of(mode)
    assert found.startswith(slug)
    assert ID.fullmatch(found)
    assert (found == slug) == (not slug.endswith("-"))
    assert Place(found).file.parent.as_posix() == "evals/evaluators"


def test_a_damaged_split_is_named_with_what_to_do(place: Place) -> None:
    place.split.parent.mkdir(parents=True)
    place.split.write_text('{"schema": "evalgate/split/9"}')
    with pytest.raises(BadInput, match=r"split\.json.*remove it to start anew"):
        generated(place, planted(40, promise))


def test_without_a_model_no_judge_is_tried_and_that_is_told(place: Place) -> None:
    outcome = generated(place, planted(40, noise, seed=2), method=Method.JUDGE)
    assert outcome.judge is None
    assert any("--judge-model" in remark for remark in outcome.remarks)


# --- the command -------------------------------------------------------------------------------------------------


@pytest.fixture
def fake() -> Iterator[FakeOpenAI]:
    with FakeOpenAI(Learner()) as server:
        yield server


def write_dataset(folder: Path, cases: list[Case]) -> None:
    (folder / "evals/datasets").mkdir(parents=True, exist_ok=True)
    (folder / "evals/datasets/d.jsonl").write_text("".join(to_json_line(case_to_json(c)) + "\n" for c in cases))


def test_the_command_shows_the_rule_its_chance_and_its_test(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_dataset(project, planted(46, promise))
    (project / "evals/gate.yaml").write_text("policy: {permission: {min_labels: 1000}}")
    assert run(["evals", "generate", "--dataset", "d"]) == 0
    told = capsys.readouterr().out
    assert f"{MODE}: 23 bad and 23 good examples" in told
    assert "fails an output that" in told
    assert "with shuffled labels" in told
    assert "0 of 10 good raise a false alarm" in told
    assert "permission monitor" in told
    spec = load_evaluator(project / "evals/evaluators/policy-hallucination.yaml").spec
    assert spec.coverage_target is None  # no file says which number the issue has
    assert (project / "evals/evaluators/policy-hallucination.yaml").exists()


def test_the_command_makes_a_judge_where_no_rule_holds(
    project: Path, fake: FakeOpenAI, capsys: pytest.CaptureFixture[str]
) -> None:
    write_dataset(project, planted(44, seemingly_polite))
    models = ["--judge-model", "judge-1", "--judge-url", fake.base_url, "--judge-price", "1/2"]
    assert run(["evals", "generate", "--dataset", "d", "--json", *models]) == 0
    said = json.loads(capsys.readouterr().out)
    assert said["rule"]["rejected"]
    assert said["judge"]["stopped"] == "every validation example is judged right"
    assert said["judge"]["calls"] == fake.calls
    assert said["judge"]["cost_usd"] > 0
    assert said["permission"]["permission"] == "block"
    (evaluator,) = load_evaluators(project / "evals/evaluators", chat=lambda _: None)  # type: ignore[arg-type,return-value]  # never asked
    assert isinstance(evaluator.spec.body, Judge)
    assert evaluator.spec.body.model == "judge-1"
    assert "recompute the product" in evaluator.spec.body.criteria
    assert evaluator.spec.version == said["chosen"]["version"]


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["--failure-mode", "polcy"], "no case is labelled bad with the failure mode 'polcy'"),
        (["--issue", "7"], "no issue 7 is known of d"),
        (["--issue", "7", "--failure-mode", "x"], "say the same"),
        (["--method", "magic"], "auto, rule, judge"),
        (
            ["--judge-model", "m", "--judge-url", "http://127.0.0.1:1/v1", "--max-calls", "5", "--method", "judge"],
            "--max-calls 5 is too little",
        ),
    ],
)
def test_mistakes_are_told_with_what_to_do(
    project: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], told: str
) -> None:
    write_dataset(project, planted(40, promise))
    assert run(["evals", "generate", "--dataset", "d", *arguments]) == 2
    assert told in capsys.readouterr().err


def half_spoken(is_bad: bool, rng: random.Random) -> str:  # noqa: FBT001 - as above
    """Answer with a wrong total, and mostly, not always, with a word that gives it away."""
    return seemingly_polite(is_bad, rng) + (" Gladly." if rng.random() < (0.75 if is_bad else 0.2) else "")


def test_a_judge_is_tried_beside_a_weak_rule_and_kept_where_it_agrees_better(
    place: Place, fake: FakeOpenAI, tmp_path: Path
) -> None:
    examples = choose_examples(planted(110, half_spoken, seed=1), MODE)
    outcome = generate(examples, Request(place, AT, shuffles=39, dry_run=True), lambda: tools(fake, tmp_path))
    assert outcome.rule is not None
    assert outcome.rule.found is not None
    assert (outcome.rule.found.words, outcome.rule.rejected) == ('says "gladly"', None)
    assert 0.4 <= outcome.rule.held_out < 0.6
    assert outcome.chosen is not None
    assert outcome.chosen.spec.eval_type is EvalType.LLM_JUDGE


def test_a_judge_without_gepa_is_told_what_to_install(
    project: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    write_dataset(project, planted(40, promise))
    for name in [n for n in sys.modules if n.startswith(("gepa", "evalgate.generate.judging", "evalgate.generate.ad"))]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "gepa", None)
    assert run(["evals", "generate", "--dataset", "d", "--method", "judge", "--judge-model", "m"]) == 2
    assert "pip install 'otel-evalgate[gepa,judge]'" in capsys.readouterr().err


def test_a_model_that_cannot_be_asked_is_told_after_the_rule_was_tried(
    project: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    write_dataset(project, planted(24, noise, seed=4))
    assert run(["evals", "generate", "--dataset", "d", "--judge-model", "m"]) == 1
    told = capsys.readouterr().out
    assert "no judge was tried: api.openai.com wants a key" in told
    assert "Nothing was written" in told
    assert "considered.jsonl" in told


def test_a_model_that_does_not_answer_exits_2(
    project: Path, fake: FakeOpenAI, capsys: pytest.CaptureFixture[str]
) -> None:
    fake.answers = lambda _: Status(401, message="wrong key")
    write_dataset(project, planted(24, noise, seed=4))
    models = ["--method", "judge", "--judge-model", "judge-1", "--judge-url", fake.base_url]
    assert run(["evals", "generate", "--dataset", "d", *models]) == 2
    told = capsys.readouterr().out
    assert "the judge does not answer" in told
    assert "Nothing was written: not tried: the judge does not answer" in told
    assert "evalgate model check --judge-model judge-1" in told
    assert "more labels" not in told
    assert len(fake.requests) == 3, "nobody waits for a whole batch of an endpoint that wants another key"


@pytest.mark.parametrize("method", ["judge", "auto"])
def test_prose_and_a_closed_port_are_told_as_a_judge_that_does_not_answer(
    project: Path, fake: FakeOpenAI, capsys: pytest.CaptureFixture[str], method: str
) -> None:
    write_dataset(project, planted(24, noise, seed=4))
    fake.answers = lambda _: "I am afraid I cannot say."
    models = ["--method", method, "--judge-model", "judge-1", "--judge-url", fake.base_url]
    assert run(["evals", "generate", "--dataset", "d", *models]) == 2
    told = capsys.readouterr().out
    assert "not tried: the judge does not answer: the judge's answer is no verdict" in told
    assert ("no rule held out, and a judge was not tried" in told) == (method == "auto")
    assert "$" not in told.split("cost")[1].splitlines()[0]
    assert "unknown for 6 calls" in told
    assert run(["evals", "generate", "--dataset", "d", *models[:-1], "http://127.0.0.1:1/v1"]) == 2
    assert "not tried: the judge does not answer: connection" in capsys.readouterr().out


OLD = Judge(criteria=f"The total must be right: {LEARNT}.", model="judge-old", repeats=2)


def stand(place: Place, cases: list[Case], body: Any = OLD) -> None:
    """Put an evaluator there as if it were generated before."""
    examples = choose_examples(cases, MODE)
    spec = build_spec(body, "", examples, Request(place, AT), None)
    write_evaluator(place, spec, split_examples(MODE, examples.items), None)


def test_a_judge_before_is_asked_of_its_own_model_within_a_budget_that_is_put_aside(
    project: Path, fake: FakeOpenAI, capsys: pytest.CaptureFixture[str]
) -> None:
    cases = planted(44, seemingly_polite)
    write_dataset(project, cases)
    stand(Place(ID_OF_MODE), cases)
    assert (
        run(
            [
                "evals",
                "generate",
                "--dataset",
                "d",
                "--json",
                "--method",
                "judge",
                "--judge-model",
                "judge-1",
                "--judge-url",
                fake.base_url,
                "--max-calls",
                "140",
            ]
        )
        == 0
    )
    said = json.loads(capsys.readouterr().out)
    test = said["split"]["test"]
    before = said["before"]["test"]
    assert said["before"]["unmeasured"] is None
    assert (before["errors"], before["caught"] + before["passed"]) == (0, test["bad"] + test["good"])
    asked = [r.body["model"] for r in fake.requests]
    assert asked.count("judge-old") == 2 * (test["bad"] + test["good"])
    assert said["judge"]["calls"] == fake.calls


@pytest.mark.parametrize("fault", ["silent", "no model"])
def test_a_judge_before_that_was_not_measured_whole_is_kept(
    project: Path, fake: FakeOpenAI, capsys: pytest.CaptureFixture[str], fault: str
) -> None:
    cases = planted(44, promise if fault == "no model" else seemingly_polite)
    write_dataset(project, cases)
    stand(Place(ID_OF_MODE), cases)
    text = Place(ID_OF_MODE).file.read_text()
    learner = Learner()
    fake.answers = lambda asked: (
        Status(400, message="no such model") if asked.body["model"] == "judge-old" else learner(asked)
    )
    models = ["--method", "judge", "--judge-model", "judge-1", "--judge-url", fake.base_url]
    arguments = ["evals", "generate", "--dataset", "d", *(models if fault == "silent" else [])]
    assert run(arguments) == 2
    told = capsys.readouterr().out
    assert "the one before could not be measured whole on the same test" in told
    assert ("no such model" if fault == "silent" else "no model is set") in told
    assert Place(ID_OF_MODE).file.read_text() == text
    assert run([*arguments, "--force"]) == 0


def test_a_test_that_says_nothing_is_not_a_zero() -> None:
    request = Request(Place(ID_OF_MODE), AT)
    assert _why_failed(Confusion(9, 0, 0, 9), request) is None
    assert _why_failed(Confusion(5, 4, 4, 5), request) == "it failed the untouched test: MCC 0.11"
    assert "says the same of every case" in (_why_failed(Confusion(0, 0, 9, 9), request) or "")
    assert "has no bad one that it judged" in (_why_failed(Confusion(0, 0, 0, 9), request) or "")


def test_an_issue_of_the_snapshot_names_the_failure_mode(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_dataset(project, planted(40, promise))
    (project / "evals/issues.jsonl").write_text(
        json.dumps({"id": 3, "failure_mode": MODE, "status": "new", "occurrences": 20}) + "\n"
    )
    assert run(["evals", "generate", "--dataset", "d", "--issue", "3", "--method", "judge"]) == 1
    assert MODE in capsys.readouterr().out


def test_the_page_names_options_that_exist(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["evals", "generate", "--help"]) == 0
    known = capsys.readouterr().out
    page = (Path(__file__).parents[3] / "docs/generating.md").read_text(encoding="utf-8")
    named = set(re.findall(r"--[a-z][a-z-]+", page))
    assert {"--issue", "--judge-model", "--force"} <= named
    assert {o for o in named if o not in known} == set()


def test_issues_without_cases_send_to_the_datasets(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_dataset(project, planted(40, promise))
    issue = {"id": 3, "failure_mode": MODE, "status": "new", "occurrences": 20}
    (project / "evals/issues.jsonl").write_text(json.dumps(issue) + "\n")
    assert run(["evals", "generate", "--issue", "3"]) == 2
    assert "--dataset NAME (here: d)" in capsys.readouterr().err
