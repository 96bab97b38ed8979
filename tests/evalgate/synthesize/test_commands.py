"""`evalgate synthesize`: from files and from the database, always into quarantine."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from evalgate.app import run as evalgate
from evalgate.dataset.quarantine import read_drafts
from evalgate.dataset.store import DATASETS
from schema.case import case_to_json
from schema.draft import Approval
from schema.verdict import Verdict
from tests.evalgate.synthesize.cases import PARAPHRASES, SOFA, TABLE, draft, failure
from tests.tools.fake_openai import FakeOpenAI, Status

OPTIONS = ("--dataset", "d", "--count", "12", "--actor", "ann")


@pytest.fixture
def dataset(project: Path) -> Path:
    (project / DATASETS).mkdir(parents=True)
    path = project / DATASETS / "d.jsonl"
    cases = [failure(1), failure(2, TABLE, failure_mode="rude"), failure(3, "Fine?", verdict="good", failure_mode=None)]
    path.write_text("".join(json.dumps(case_to_json(c)) + "\n" for c in cases))
    return path


def test_drafts_lie_beside_the_dataset_and_another_person_lets_them_in(
    dataset: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = dataset.read_bytes()
    assert evalgate(["synthesize", *OPTIONS]) == 0
    told = capsys.readouterr().out
    assert "12 new drafts of 2 labelled failures of d, quarantined beside the dataset d" in told
    assert "then somebody other than ann" in told
    assert dataset.read_bytes() == before
    drafts = read_drafts("d")
    assert len(drafts) == 12
    assert evalgate(["synthesize", *OPTIONS]) == 0
    assert "0 new drafts, 12 there already" in capsys.readouterr().out
    assert read_drafts("d") == drafts
    assert evalgate(["promote", drafts[0].case_id, "--reason", "good", "--actor", "ann"]) == 2
    assert evalgate(["promote", drafts[0].case_id, "--reason", "good", "--actor", "bea"]) == 0
    capsys.readouterr()
    assert evalgate(["synthesize", *OPTIONS]) == 0, "what was let in is there, and no source"
    assert "0 new drafts, 12 there already of 2 labelled failures" in capsys.readouterr().out


def test_a_file_is_written_whole_and_the_same_again(dataset: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = dataset.parents[2] / "drafts.jsonl"
    command = ["synthesize", *OPTIONS, "--out", str(out), "--json"]
    assert evalgate(command) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["made"] == 12 == len(out.read_text().splitlines())
    assert sum(t["made"] for t in told["dimensions"].values()) == 12
    first = {p.name: p.read_bytes() for p in out.parent.glob("drafts.*")}
    assert set(first) == {"drafts.jsonl", "drafts.meta.json"}
    assert evalgate(command) == 0
    assert {p.name: p.read_bytes() for p in out.parent.glob("drafts.*")} == first
    assert not (DATASETS / "d.quarantine.jsonl").exists()
    manifest = json.loads(first["drafts.meta.json"])
    assert (manifest["cases"], manifest["drafted_by"], set(manifest["sources"])) == (12, "ann", {"case-1", "case-2"})
    capsys.readouterr()
    assert evalgate(["run", "--dataset", str(out), "--target", "python:t:f"]) == 2, "nothing runs drafts"
    assert "a draft that nobody let in" in capsys.readouterr().err
    first_id = json.loads(first["drafts.jsonl"].decode().splitlines()[0])["case_id"]
    let_in = ["promote", first_id, "--from", str(out), "--dataset", "d", "--reason", "r", "--actor", "bea"]
    assert evalgate(let_in) == 0
    assert len(out.read_text().splitlines()) == 11


def test_a_draft_is_shown_whole_beside_its_source(dataset: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert evalgate(["synthesize", *OPTIONS, "--dimensions", "numbers", "--failure-mode", "policy_hallucination"]) == 0
    capsys.readouterr()
    assert evalgate(["promote", "--list", read_drafts("d")[0].case_id]) == 0
    told = capsys.readouterr().out
    assert "variant of  case-1, numbers=" in told
    assert "the answer  is not that of its source: nobody knows it yet" in told
    assert f"its source asked\n  │ {SOFA}" in told
    assert "and was answered wrongly\n  │ 90 days" in told


def test_an_endpoint_is_asked_once_and_the_file_is_the_same_again(
    dataset: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    said = json.dumps({"variants": [{"text": t} for t in PARAPHRASES]})
    command = ["synthesize", *OPTIONS, "--dimensions", "paraphrase,typos", "--out", "m.jsonl", "--model", "writer"]
    with FakeOpenAI(said) as fake:
        command += ["--judge-url", fake.base_url]
        assert evalgate(command) == 0
        assert "asked models: 2 calls" in capsys.readouterr().err
        assert {r.body["model"] for r in fake.requests} == {"writer"}
        first = {p.name: p.read_bytes() for p in dataset.parents[2].glob("m.*")}
        assert evalgate(command) == 0
        assert fake.calls == 2, "answers are kept"
    assert {p.name: p.read_bytes() for p in dataset.parents[2].glob("m.*")} == first
    drafts = [json.loads(line) for line in first["m.jsonl"].decode().splitlines()]
    by_model = [d for d in drafts if d["provenance"]["synthesis"].get("model") == "writer"]
    assert {d["input"]["text"] for d in by_model} == set(PARAPHRASES), "one source lost its facts, and was refused"
    assert {d["provenance"]["synthesis"]["method"] for d in drafts} == {"model", "template"}


def test_an_endpoint_that_refuses_is_an_error_where_nothing_else_is_made(
    dataset: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with FakeOpenAI([Status(401, message="no such key")]) as fake:
        asked = ["synthesize", *OPTIONS, "--model", "m", "--judge-url", fake.base_url, "--dimensions"]
        assert evalgate([*asked, "paraphrase"]) == 2
        assert "could not be asked" in capsys.readouterr().err
        assert fake.calls == 1, "the first call says enough"
        assert evalgate([*asked, "paraphrase,typos"]) == 0
        assert "no further call was made" in capsys.readouterr().err
    assert {d.tags[1] for d in read_drafts("d")} == {"synthetic:template"}


def test_nothing_is_lost_by_writing_a_file(dataset: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before = dataset.read_bytes()
    Path("cases.jsonl").write_bytes(before)
    Path("linked").symlink_to("evals/datasets")
    for out, words in (
        ("cases.jsonl", "holds cases that are no drafts"),
        ("evals/datasets/d.jsonl", "what lies in evals/datasets"),
        ("evals/datasets/fresh.jsonl", "what lies in evals/datasets"),
        ("evals/golden/labels.jsonl", "what lies in evals/golden"),
        ("linked/fresh.jsonl", "what lies in evals/datasets"),
        ("evals/datasets/d.quarantine.jsonl", "is added to, not replaced"),
        ("d.txt", "ends in .jsonl"),
    ):
        assert evalgate(["synthesize", *OPTIONS, "--out", out]) == 2
        assert words in capsys.readouterr().err
    assert dataset.read_bytes() == before
    assert [p.name for p in Path("evals").rglob("*.jsonl")] == ["d.jsonl"]


def test_a_dry_run_writes_nothing(dataset: Path, capsys: pytest.CaptureFixture[str]) -> None:
    there = sorted(dataset.parents[2].rglob("*"))
    assert evalgate(["synthesize", *OPTIONS, "--dry-run", "--model", "m", "--judge-url", "http://127.0.0.1:1/v1"]) == 0
    said = capsys.readouterr()
    assert "written nowhere (they would be quarantined beside the dataset d)" in said.out
    assert "with m there would be 2 calls" in said.err
    assert sorted(dataset.parents[2].rglob("*")) == there


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ([*OPTIONS, "--failure-mode", "slow"], "There are: policy_hallucination, rude"),
        ([*OPTIONS, "--dimensions", "paraphrase"], "--model NAME"),
        ([*OPTIONS, "--dimensions", "typo"], "Did you mean 'typos'?"),
        ([*OPTIONS, "--dimensions", "./no.yaml"], "cannot read no.yaml"),
        (["--dataset", "none"], "there is no dataset 'none'"),
        ([], "Name files: --dataset NAME"),
    ],
)
def test_what_cannot_be_done_is_told(
    dataset: Path, arguments: list[str], words: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert evalgate(["synthesize", *arguments]) == 2
    assert words in capsys.readouterr().err


def test_one_failure_mode_is_asked_for_by_name(dataset: Path) -> None:
    assert evalgate(["synthesize", *OPTIONS, "--failure-mode", "rude"]) == 0
    assert {d.failure_mode for d in read_drafts("d")} == {"rude"}


def test_a_variant_is_no_source_of_others_whatever_is_said_of_it(dataset: Path) -> None:
    variant = replace(draft(7), provenance=replace(draft(7).provenance, promoted=Approval("bea", "2026-11-20", "r")))
    labelled = replace(variant, verdict=Verdict.BAD, failure_mode="rude")
    dataset.write_text(dataset.read_text() + json.dumps(case_to_json(labelled)) + "\n")
    assert evalgate(["synthesize", *OPTIONS]) == 0
    made = {d.provenance.synthesis.case_id for d in read_drafts("d") if d.provenance.synthesis}
    assert made == {"case-1", "case-2"}


def test_an_issue_is_its_failure_mode(dataset: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert evalgate(["synthesize", *OPTIONS, "--issue", "2"]) == 0, "numbers follow the names where no file has them"
    assert {d.failure_mode for d in read_drafts("d")} == {"rude"}
    capsys.readouterr()
    assert evalgate(["dataset", "list"]) == 0
    assert "drafts wait beside them: evalgate promote --list" in capsys.readouterr().out
    assert evalgate(["synthesize", *OPTIONS, "--issue", "9"]) == 2
    assert "there is no issue 9" in capsys.readouterr().err
