"""`evalgate provenance verify`: every link of a report is verified from files, and any changed byte is red."""

from __future__ import annotations

import json
import os
import random
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from jsonschema import Draft202012Validator
from referencing import Registry, Resource

import schema
from evalgate.align.store import append_measurement
from evalgate.app import run as evalgate
from evalgate.dataset.chains import chains_path, write_chains
from evalgate.dataset.store import load
from evalgate.errors import BadInput
from evalgate.evaluators.load import load_evaluators
from evalgate.files import to_json, write_atomic
from evalgate.gate.base import base_of
from evalgate.gate.baseline import Accepted, Source, read_baselines, write_baselines
from evalgate.gate.decide import decide
from evalgate.gate.facts import look
from evalgate.gate.policy import GatePolicy
from evalgate.gate.report import gather, report_json, to_text
from evalgate.gate.report.payload import checksum
from evalgate.provenance.link import Standing
from evalgate.provenance.verify import read_reports, verify
from evalgate.run_files import save_run
from schema.alignment import Confusion, Measurement, Split
from schema.provenance import AnnotationLink, Chain, IssueLink, Promotion, SpanLink, case_hash
from schema.run import Attempt, DatasetUsed, EvaluatorUsed, Output, Result, Run
from tests.evalgate.builders import TRACE, refund_cases, write_project

if TYPE_CHECKING:
    from collections.abc import Callable

    from evalgate.provenance.verify import Verified
    from schema.case import Case

REPORT = Path(".evalgate/last-report.json")
EVALUATORS = Path("evals/evaluators")
MOST_SHAPES = 40


@pytest.fixture
def judged(project: Path) -> Path:
    """Fill a project with a dataset, its chains, an evaluator, a run, a baseline and the gate's report."""
    cases: list[dict[str, Any]] = refund_cases()
    for number, case in enumerate(cases):
        case["verdict"] = "bad"
        case["provenance"]["annotation_id"] = f"ann-{number}"
    cases.append({"case_id": "case-hand", "input": "By hand?", "failure_mode": "policy_hallucination"})
    write_project(project, cases)
    dataset = load("d")
    write_chains(dataset.path, [chain_of(c) for c in dataset.cases[:3]], case_ids=[c.case_id for c in dataset.cases])
    (evaluator,) = load_evaluators()
    confusion = Confusion(tp=40, fp=1, fn=2, tn=57)
    measured = Measurement(evaluator.spec.id, evaluator.spec.version, "d1", Split.TEST, "2026-11-20T08:00", confusion)
    append_measurement(measured)
    run = Run(
        run_id="20261121T090000Z-ab12cd",
        started_at="2026-11-21T09:00:00+00:00",
        finished_at="2026-11-21T09:00:01+00:00",
        dataset=DatasetUsed("d", dataset.version, str(dataset.path)),
        target="python:t:f",
        evaluators=(
            EvaluatorUsed(evaluator.spec.id, evaluator.spec.version, "policy_hallucination", measurement=measured),
        ),
        results=tuple(judge(c, evaluator) for c in dataset.cases),
    )
    path = save_run(run)
    baseline = Path("evals/baseline.json")
    source = Source(commit=None, dirty=None, evalgate="0", by="ann", reason=None, run_sha256="00")
    write_baselines(baseline, {"d": Accepted(base_of(run, "2026-11-21T09:01:00+00:00"), source)})
    base = read_baselines(baseline)["d"].base
    policy = GatePolicy()
    decision = decide(run, base, policy, (), look(run, str(baseline)))
    report = gather(
        run,
        path.with_name("latest.json"),
        decision,
        base=base,
        base_reference=f"file:{baseline}",
        baseline_path=baseline,
        policy=policy,
    )
    write_atomic(REPORT, to_text(report_json(report)))
    return project


def chain_of(case: Case) -> Chain:
    said = AnnotationLink(
        case.provenance.annotation_id or "", "ann", "2026-11-20T09:00:00+00:00", "bad", "policy_hallucination", "aa"
    )
    return Chain(
        case_id=case.case_id,
        case=case_hash(case),
        status="promoted",
        promoted=Promotion("ann", "2026-11-20T09:01:00+00:00"),
        issue=IssueLink(3, "policy_hallucination"),
        annotations=(said,),
        spans=(SpanLink(case.provenance.trace_id or "", "01" * 8, "bb"),),
    )


def judge(case: Case, evaluator: Any) -> Result:
    output = Output("You have 90 days.")
    return Result(
        case_id=case.case_id,
        content_hash=case.content_hash,
        context_hash=case.context_hash,
        failure_mode=case.failure_mode,
        feature=None,
        cluster=None,
        provenance=case.provenance,
        input_text=case.input.text,
        observed_output=None,
        expected_output=None,
        attempts=(Attempt(1, output, (evaluator(case, output),)),),
    )


def verified() -> Verified:
    (payload,) = read_reports(REPORT)
    return verify(payload, evaluators=EVALUATORS)


def broken() -> dict[str, str]:
    return {x.name: x.sentence for x in verified().broken}


def change_report(change: Callable[[dict[str, Any]], None]) -> None:
    """Change the report and give it the checksum that fits: what is left are the links."""
    payload = json.loads(REPORT.read_text())
    change(payload)
    write_atomic(REPORT, to_text({**payload, "checksum": checksum(payload)}))


def test_every_link_of_an_untouched_report_holds(judged: Path) -> None:
    found = verified()
    assert not found.broken
    holds = {x.name for x in found.links if x.standing is Standing.HOLDS}
    assert holds == {
        "report",
        "run",
        "dataset",
        "evaluator:refund-window",
        "alignment:refund-window",
        "baseline",
        "base",
        "decision",
        "chains",
        *(f"chain:case-{n}" for n in range(3)),
    }
    (absent,) = [x for x in found.links if x.standing is Standing.ABSENT]
    assert (absent.name, absent.sentence) == ("chain:case-hand", "it came from no trace: it rests on its author's word")


def test_a_report_names_the_run_by_its_own_file_not_by_the_latest(judged: Path) -> None:
    payload = json.loads(REPORT.read_text())
    assert payload["sources"]["run"]["path"] == ".evalgate/runs/20261121T090000Z-ab12cd.json"


def test_a_failing_line_names_its_chain(judged: Path) -> None:
    failing = {c["case_id"]: c for c in json.loads(REPORT.read_text())["failing_cases"]}
    chain = failing["case-1"]["chain"]
    assert chain["issue"] == 3
    assert chain["annotations"] == ["ann-1"]
    assert chain["spans"] == [{"trace_id": "01" + TRACE[2:], "span_id": "01" * 8}]
    assert failing["case-hand"]["chain"] is None


FILES = {
    "report": ".evalgate/last-report.json",
    "run": ".evalgate/runs/20261121T090000Z-ab12cd.json",
    "dataset": "evals/datasets/d.jsonl",
    "chains": "evals/datasets/d.provenance.jsonl",
    "baseline": "evals/baseline.json",
    "evaluator": "evals/evaluators/window.yaml",
    "alignment": "evals/alignment/refund-window.jsonl",
}


def is_red(path: Path) -> bool:
    """Return whether a change is told: as a broken link, or as a report that is none."""
    try:
        return bool(broken())
    except BadInput:
        return path == REPORT


@pytest.mark.parametrize("name", FILES)
def test_one_changed_byte_anywhere_is_red(judged: Path, name: str) -> None:
    path = Path(FILES[name])
    whole = path.read_bytes()
    lot = random.Random(name)  # noqa: S311 - a fixed draw of places
    for place in sorted(lot.sample(range(len(whole)), min(8, len(whole)))):
        for changed in (whole[place] ^ 1, whole[place] ^ 0x20):
            path.write_bytes(whole[:place] + bytes([changed]) + whole[place + 1 :])
            if not is_red(path):
                assert means_the_same(name, whole, path.read_bytes()), (place, whole[place - 20 : place + 20], changed)
    path.write_bytes(whole)
    assert not broken()


def means_the_same(name: str, before: bytes, after: bytes) -> bool:
    """Return whether a change is none: white space between the words of a report or an evaluator."""
    if name == "report":
        return bool(json.loads(before) == json.loads(after))
    if name == "alignment":
        return bool(json.loads(before) == json.loads(after))
    return name == "evaluator" and before.split() == after.split()


@pytest.mark.parametrize("name", [n for n in FILES if n not in ("report", "evaluator", "alignment")])
def test_a_file_that_is_gone_is_named(judged: Path, name: str) -> None:
    Path(FILES[name]).unlink()
    assert any(x == name and FILES[name] in told for x, told in broken().items())


@pytest.mark.parametrize(
    ("reference", "link", "words"),
    [
        ("run:.evalgate/runs/20261121T090000Z-ab12cd.json", "base", "is another base now"),
        ("run:absent.json", "base", "absent.json is not here, or is no file"),
        ("mail:ann", "base", "is no place of a base"),
    ],
)
def test_what_was_compared_with_is_looked_for(judged: Path, reference: str, link: str, words: str) -> None:
    change_report(lambda p: p["sources"]["base"].update({"reference": reference}))
    assert words in broken()[link]


def test_a_base_of_a_commit_is_read_from_git_and_told_where_the_clone_lacks_it(judged: Path) -> None:
    def git(*words: str) -> str:
        settings = ("-c", "user.name=t", "-c", "user.email=t@example.com", "-c", "commit.gpgsign=false")
        done = subprocess.run(["git", *settings, *words], check=True, capture_output=True, text=True, cwd=judged)
        return done.stdout.strip()

    git("init", "--quiet")
    git("add", "evals")
    git("commit", "--quiet", "-m", "accepted")
    commit = git("rev-parse", "HEAD")
    change_report(lambda p: p["sources"]["base"].update({"reference": f"git:{commit}:evals/baseline.json"}))
    found = {x.name: x for x in verified().links}
    assert found["base"].standing is Standing.HOLDS
    assert found["decision"].standing is Standing.HOLDS
    change_report(lambda p: p["sources"]["base"].update({"reference": f"git:{'0' * 40}:evals/baseline.json"}))
    found = {x.name: x for x in verified().links}
    assert found["base"].standing is Standing.ABSENT
    assert found["decision"].standing is Standing.ABSENT
    assert not verified().broken


def test_a_measurement_that_no_file_has_is_named(judged: Path) -> None:
    Path(FILES["alignment"]).unlink()
    assert broken().keys() == {"alignment:refund-window"}


def test_a_report_that_forges_its_checksum_still_has_to_fit_its_sources(judged: Path) -> None:
    def forge(payload: dict[str, Any]) -> None:
        payload["failing_cases"][0]["chain"]["hash"] = "0" * 64

    change_report(forge)
    assert broken().keys() == {"chain:case-0"}


@pytest.mark.parametrize(
    ("change", "link"),
    [
        (lambda p: p["sources"]["evaluators"].update({"refund-window": "0" * 16}), "evaluator:refund-window"),
        (lambda p: p["sources"]["evaluators"].update({"strange": "0" * 16}), "evaluator:strange"),
        (lambda p: p["sources"].update({"chains_head": "0" * 64}), "chains"),
        (lambda p: p["run"].update({"run_id": "other"}), "run"),
        (lambda p: p["dataset"].update({"version": "0" * 16}), "dataset"),
        (lambda p: p["sources"].update({"run": None}), "run"),
        (lambda p: p.update({"status": "pass", "exit_code": 0}), "decision"),
        (lambda p: p.update({"exit_code": 0}), "decision"),
        (lambda p: p["policy"].update({"threshold": 0.0, "must_not_break": "none"}), "decision"),
        (lambda p: p["policy"].update({"threshold": "high"}), "decision"),
        (lambda p: p.update(checks=[c for c in p["checks"] if not c["id"].startswith("rate:")]), "decision"),
    ],
)
def test_each_link_is_looked_at_by_itself(judged: Path, change: Callable[[dict[str, Any]], None], link: str) -> None:
    change_report(change)
    assert link in broken()


def rewrite_chains(change: Callable[[dict[str, Any]], None], *, honest: bool) -> None:
    """Change the chain of case-0, with the hash that fits or without, and let the report name the new file."""
    import hashlib  # noqa: PLC0415 - only here

    from schema.hashing import content_hash  # noqa: PLC0415 - as above

    path = chains_path(Path(FILES["dataset"]))
    lines = [json.loads(x) for x in path.read_text().splitlines()]
    change(lines[0])
    if honest:
        lines[0]["hash"] = content_hash({k: v for k, v in lines[0].items() if k != "hash"})
    path.write_text("".join(json.dumps(x) + "\n" for x in lines))

    def name_it(payload: dict[str, Any]) -> None:
        payload["sources"]["chains"]["sha256"] = hashlib.sha256(path.read_bytes()).hexdigest()
        payload["failing_cases"][0]["chain"]["hash"] = lines[0]["hash"]

    change_report(name_it)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda c: c.update({"status": "quarantined"}), "its case was quarantined, not promoted"),
        (lambda c: c.update({"case": "0" * 64}), "its case was changed since the chain was written"),
        (lambda c: c["annotations"].clear(), "the case rests on annotation ann-0, which the chain lacks"),
    ],
)
def test_a_chain_with_hashes_that_fit_still_has_to_be_true(
    judged: Path, change: Callable[[dict[str, Any]], None], words: str
) -> None:
    rewrite_chains(change, honest=True)
    assert words in broken()["chain:case-0"]


def test_a_chain_whose_hash_does_not_fit_is_named(judged: Path) -> None:
    rewrite_chains(lambda c: c["spans"][0].update({"hash": "cc"}), honest=False)
    assert "its links make the hash" in " ".join(x.sentence for x in verified().broken if x.name == "chain:case-0")


def test_chains_of_cases_that_passed_are_verified_too(judged: Path) -> None:
    def forget(payload: dict[str, Any]) -> None:
        payload["failing_cases"] = []
        payload["sources"]["chains_head"] = None

    change_report(forget)
    assert "chain:case-0" not in broken()
    rewrite = Path(FILES["chains"])
    rewrite.write_text(rewrite.read_text().replace('"promoted", "promoted"', '"quarantined", "promoted"', 1))
    found = {x.name: x.sentence for x in verified().broken if x.name.startswith("chain:")}
    assert found["chain:case-0"].startswith("its case was quarantined")
    rewrite.write_text("".join(rewrite.read_text().splitlines(keepends=True)[1:]))
    told = [x.sentence for x in verified().links if x.name == "chains" and x.standing is Standing.ABSENT]
    assert told == ["1 case from a trace without one, so nobody vouches for a promotion: case-0"]


def test_a_case_edited_by_hand_is_told_apart_from_its_chain(judged: Path) -> None:
    path = Path(FILES["dataset"])
    path.write_text(path.read_text().replace("Question 1?", "Question 7?"))
    found = broken()
    assert "its cases make version" in found["dataset"]
    assert "what was run is not what the dataset says" in found["case:case-1"]
    assert "build the dataset again" in found["chain:case-1"]


def test_the_command_says_it_in_exit_codes(judged: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert evalgate(["provenance", "verify"]) == 0
    assert capsys.readouterr().out.startswith("PROVENANCE INTACT: .evalgate/last-report.json")
    window = Path(FILES["evaluator"])
    window.write_text(window.read_text().replace("90 days", "91 days"))
    assert evalgate(["provenance", "verify", str(REPORT)]) == 1
    out = capsys.readouterr().out
    assert out.startswith("PROVENANCE BROKEN: 1 broken link in what .evalgate/last-report.json rests on")
    assert "✗ evaluator:refund-window: its file makes version" in out
    assert evalgate(["provenance", "verify", "--json"]) == 1
    told = json.loads(capsys.readouterr().out)
    assert (told["intact"], told["broken"]) == (False, ["evaluator:refund-window"])
    assert evalgate(["provenance", "verify", "evals/baseline.json"]) == 2
    assert "is no report of the gate: its schema is 'evalgate/baseline/2'" in capsys.readouterr().err
    assert evalgate(["provenance", "verify", "absent.json"]) == 2
    assert "cannot read absent.json" in capsys.readouterr().err


def test_a_report_is_verified_from_another_folder(
    judged: Path, tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path_factory.mktemp("elsewhere"))
    assert evalgate(["provenance", "verify", str(judged / REPORT), "--root", str(judged)]) == 0
    assert evalgate(["provenance", "verify", str(judged / REPORT)]) == 1


@pytest.mark.parametrize("path", ["pipe.jsonl", "/dev/zero", "evals", "a\x00b", "x" * 5000])
def test_a_report_can_name_any_path_and_none_is_waited_for(judged: Path, path: str) -> None:
    os.mkfifo("pipe.jsonl")

    def point_elsewhere(payload: dict[str, Any]) -> None:
        for name in ("run", "dataset", "baseline", "chains"):
            payload["sources"][name]["path"] = path
        payload["sources"]["base"]["reference"] = f"file:{path}"

    change_report(point_elsewhere)
    assert {"run", "dataset", "baseline", "chains", "base"} <= broken().keys()


def test_a_report_is_read_strictly(judged: Path) -> None:
    text = REPORT.read_text()
    for wrong in (
        text.replace('"status"', '"status": "pass", "status"', 1),
        text.replace('"exit_code": 1', '"exit_code": NaN', 1),
        "[" * 100_000,
        "[]",
        '{"schema": "evalgate/gate/2", "sources": []}',
        '{"schema": "evalgate/gate/2", "sources": {}, "run": 1}',
        '{"schema": "evalgate/gate/2", "sources": {"evaluators": {}}, "run": {}, "dataset": {}, "failing_cases": [1]}',
    ):
        REPORT.write_text(wrong)
        with pytest.raises(BadInput):
            verified()


def test_a_report_of_an_error_has_nothing_behind_it(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    from evalgate.gate.report import error_payload  # noqa: PLC0415 - only here

    write_atomic(REPORT, to_text(error_payload("there is no run")))
    assert [(x.name, x.standing) for x in verified().links] == [("report", "holds"), ("sources", "absent")]
    capsys.readouterr()
    assert evalgate(["provenance", "verify"]) == 2
    out = capsys.readouterr().out
    assert out.startswith("NOTHING TO VERIFY: the gate of .evalgate/last-report.json ended in an error and decided")
    assert "there is no run" in out.splitlines()[0]
    assert "INTACT" not in out
    assert evalgate(["provenance", "verify", "--json"]) == 2
    assert json.loads(capsys.readouterr().out)["intact"] is None


def test_a_report_of_several_datasets_is_verified_one_by_one(judged: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (one,) = read_reports(REPORT)
    summed = {k: one[k] for k in ("status", "exit_code", "deployment_blocked", "blocking_reason")}
    suite = {"schema": "evalgate/gate-suite/2", **summed, "gates": [one, one]}
    write_atomic(REPORT, to_json(suite))
    assert len(read_reports(REPORT)) == 2
    described = json.loads((Path(schema.__file__).parent / "gate.schema.json").read_text())
    registry = Registry().with_resource(described["$id"], Resource.from_contents(described))
    valid = Draft202012Validator({"$ref": f"{described['$id']}#/$defs/suite"}, registry=registry)
    assert valid.is_valid(suite)
    assert not valid.is_valid({**suite, "gates": [one, {"schema": "evalgate/gate/2"}]})
    capsys.readouterr()
    assert evalgate(["provenance", "verify"]) == 0
    out = capsys.readouterr().out
    assert out.count(" d/run: ") == 2
    write_atomic(REPORT, to_json({**suite, "exit_code": 0}))
    with pytest.raises(BadInput, match="sums up its reports wrongly"):
        read_reports(REPORT)


def test_show_prints_what_a_case_rests_on(judged: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert evalgate(["provenance", "show", "case-1"]) == 0
    out = capsys.readouterr().out
    assert "issue       3  policy_hallucination  evalgate issues show 3" in out
    assert "annotation  aa  bad  policy_hallucination  by ann, 2026-11-20T09:00:00" in out
    assert f"span        bb  {'01' * 8}  evalgate traces show 01f92f3577b34da6" in out
    assert "BROKEN" not in out
    assert evalgate(["provenance", "show", "case", "--json"]) == 2
    assert "is not unique: case-0, case-1, case-2" in capsys.readouterr().err
    assert evalgate(["provenance", "show", "2", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)[0]["intact"] is True
    assert evalgate(["provenance", "show", "case-hand"]) == 2
    assert "it was written by hand" in capsys.readouterr().err


STRANGE: tuple[Any, ...] = (None, True, -1, 1e308, "", "x", "\x00", [], [1], {}, {"a": 1}, [[]], "\ud800")


def paths_of(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """Return the way to every value of a document."""
    inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return [path, *(p for key, v in inner for p in paths_of(v, (*path, key)))]


def test_a_report_of_any_shape_is_told_and_never_a_crash(judged: Path) -> None:
    """The checksum fits: somebody who can compute one may write anything else."""
    text = REPORT.read_text()
    ways = [p for p in paths_of(json.loads(text)) if p and p[0] not in ("schema", "checksum")]
    lot = random.Random(7)  # noqa: S311 - a fixed draw of places
    for way in lot.sample(ways, min(MOST_SHAPES, len(ways))):
        payload = json.loads(text)
        holder = payload
        for key in way[:-1]:
            holder = holder[key]
        before, after = holder[way[-1]], lot.choice(STRANGE)
        holder[way[-1]] = after
        REPORT.write_text(json.dumps({**payload, "checksum": checksum(payload)}))
        try:
            verified()
        except BadInput:
            continue
        except Exception as e:
            raise AssertionError(f"{way}: {before!r} -> {after!r}") from e
