"""A baseline is accepted on purpose, from a committed tree, whole, and is believed only as it was written."""

from __future__ import annotations

import json
import subprocess
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from evalgate.errors import BadInput
from evalgate.gate.accept import losses_of
from evalgate.gate.base import base_of
from evalgate.gate.baseline import Accepted, Source, parse_baselines, read_baselines, write_baselines
from evalgate.git import file_at, tree_of
from evalgate.run_files import save_run
from schema.evaluator import Score
from schema.run import Attempt, DatasetUsed, ErrorKind
from tests.evalgate.builders import result, run_of
from tests.evalgate.gate_command import gate_command

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from schema.run import Run

BASELINE = Path("evals/baseline.json")
SOURCE = Source(commit="c0ffee", dirty=False, evalgate="0", by="Ann", reason=None, run_sha256="00")


def git(*arguments: str) -> str:
    command = ["git", "-c", "user.name=Ann", "-c", "user.email=ann@example.com", *arguments]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()


@pytest.fixture
def repository(project: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Enter a project whose tree is committed."""
    for name in ("GIT_DIR", "GIT_WORK_TREE", "GIT_INDEX_FILE"):  # of a hook that runs these tests
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", "/dev/null")
    git("init", "-q", "-b", "main")
    git("config", "user.name", "Ann")
    Path("app.py").write_text("x = 1\n")
    Path("evals").mkdir()
    git("add", "-A")
    git("commit", "-qm", "first")
    return project


@pytest.fixture(scope="module")
def run() -> Callable[[Sequence[str]], int]:
    return gate_command()


@pytest.fixture
def evalgate(
    run: Callable[[Sequence[str]], int], capsys: pytest.CaptureFixture[str]
) -> Callable[..., tuple[int, str, str]]:
    def command(*arguments: str) -> tuple[int, str, str]:
        code = run(arguments)
        return code, *capsys.readouterr()

    return command


def made(*results: Any, name: str = "d", run_id: str = "r1") -> Run:
    done = run_of(results)
    done = replace(done, run_id=run_id, dataset=DatasetUsed(name, done.dataset.version, f"evals/datasets/{name}.jsonl"))
    save_run(done)
    return done


def test_an_accepted_run_is_what_the_next_gate_compares_with(repository: Path, evalgate: Any) -> None:
    made(result("a"), result("b", passed=False))
    code, out, err = evalgate("baseline", "accept", "--reason", "the first")
    assert (code, err) == (0, "")
    commit = git("rev-parse", "HEAD")
    assert "1 of 2 cases pass in the accepted state (run r1)" in out
    assert f"written to evals/baseline.json (commit {commit[:12]}); commit it" in out
    accepted = read_baselines(BASELINE)["d"]
    assert accepted.base == base_of(made(result("a"), result("b", passed=False)), accepted.base.accepted_at)
    assert (accepted.source.commit, accepted.source.dirty, accepted.source.by) == (commit, False, "Ann")
    assert accepted.source.reason == "the first"
    made(result("a", passed=False), result("b", passed=False), run_id="r2")
    code, out, _ = evalgate("gate", "--threshold", "0")
    assert code == 1
    assert "REGRESSION" in out


def test_what_it_was_is_shown(repository: Path, evalgate: Any) -> None:
    assert "there is no baseline" in evalgate("baseline", "show")[2]
    made(result("a"), result("b", passed=False))
    evalgate("baseline", "accept", "--by", "Bea", "--reason", "because")
    code, out, _ = evalgate("baseline", "show")
    assert code == 0
    assert [w in out for w in ("1/2", "Bea", "because", git("rev-parse", "HEAD")[:12])] == [True] * 4
    shown = json.loads(evalgate("baseline", "show", "--json")[1])["datasets"]["d"]
    assert (shown["cases"], shown["passed"], shown["by"]) == (2, 1, "Bea")
    code, out, _ = evalgate("baseline", "verify")
    assert (code, out) == (0, "evals/baseline.json is as it was written: 1 dataset\n")
    assert json.loads(evalgate("baseline", "verify", "--json")[1])["intact"] is True


def test_a_dirty_tree_is_refused(repository: Path, evalgate: Any) -> None:
    made(result("a"))
    Path("app.py").write_text("x = 2\n")
    Path("new.py").touch()
    code, _, err = evalgate("baseline", "accept")
    assert code == 2
    assert "2 files not as committed (app.py, new.py)" in err
    assert "--allow-dirty" in err
    assert not BASELINE.exists()
    code, out, _ = evalgate("baseline", "accept", "--allow-dirty")
    assert code == 0
    assert "with changes that are not committed" in out
    assert read_baselines(BASELINE)["d"].source.dirty is True
    assert "DIRTY" in evalgate("baseline", "show")[1]
    assert "not committed: d" in evalgate("baseline", "verify")[1]


def test_what_we_write_ourselves_is_no_dirt(repository: Path, evalgate: Any) -> None:
    made(result("a"))  # .evalgate/ is not ignored here
    assert evalgate("baseline", "accept")[0] == 0
    made(result("b"), name="other", run_id="r2")
    assert evalgate("baseline", "accept")[0] == 0  # the baseline itself has changed and is not committed
    assert sorted(read_baselines(BASELINE)) == ["d", "other"]


def test_the_results_that_a_run_was_made_of_are_no_dirt(repository: Path, evalgate: Any) -> None:
    tests = '<testsuite><testcase classname="t" name="a"/></testsuite>'
    (repository / "results.xml").write_text(tests)
    assert evalgate("gate", "--results", "results.xml")[0] == 0
    assert evalgate("baseline", "accept")[0] == 0
    (repository / "other.xml").write_text(tests)
    code, _, err = evalgate("baseline", "accept")
    assert (code, "1 file not as committed (other.xml)" in err) == (2, True)


def test_without_a_repository_it_has_to_be_said(project: Path, evalgate: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(project.parent))
    made(result("a"))
    assert "--no-git" in evalgate("baseline", "accept")[2]
    assert evalgate("baseline", "accept", "--no-git")[0] == 0
    monkeypatch.setenv("PATH", str(project))  # no git at all
    assert "--no-git" in evalgate("baseline", "accept")[2]
    assert evalgate("baseline", "accept", "--no-git")[0] == 0


def test_regressions_are_accepted_only_on_purpose(repository: Path, evalgate: Any) -> None:
    made(result("a"), result("b"), result("c", passed=False))
    evalgate("baseline", "accept")
    before = BASELINE.read_bytes()
    made(result("a", passed=False), result("c"), run_id="r2")
    code, _, err = evalgate("baseline", "accept")
    assert code == 2
    assert "would accept what got worse in 'd': a passed, b has no verdict" in err
    assert before == BASELINE.read_bytes()
    assert evalgate("baseline", "accept", "--accept-regressions", "--reason", "new policy")[0] == 0
    assert read_baselines(BASELINE)["d"].source.reason == "new policy (worse on purpose: a passed, b has no verdict)"


def test_a_reworded_case_is_no_loss_and_an_evaluator_that_is_gone_is_one() -> None:
    base = base_of(run_of([result("a", content_hash="h1"), result("b")]))
    assert losses_of(run_of([result("a", passed=False, content_hash="h2"), result("b")]), base) == []
    gone = run_of([result("a", content_hash="h1", evaluator="f"), result("b", evaluator="f")])
    assert losses_of(gone, base) == ["e judged"]


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"results": (result("a", error=ErrorKind.TARGET),)}, "has no verdicts"),
        (
            {"results": (result("a"), result("b", error=ErrorKind.TIMEOUT))},
            "1 case of the run r1 ended in an error (b)",
        ),
        ({"results": ()}, "has no verdicts"),
    ],
)
def test_a_run_that_proves_nothing_is_refused(
    change: dict[str, Any], words: str, repository: Path, evalgate: Any
) -> None:
    save_run(replace(run_of([result("a")]), **change))
    code, _, err = evalgate("baseline", "accept")
    assert (code, words in err) == (2, True), err
    assert not BASELINE.exists()


def test_two_runs_of_one_dataset_at_once_are_refused(repository: Path, evalgate: Any) -> None:
    made(result("a"))
    made(result("a"), run_id="r2")
    assert "two of these runs are of the dataset 'd'" in evalgate("baseline", "accept", "--run", "r1", "--run", "r2")[2]


def test_what_the_last_gate_judged_is_accepted(repository: Path, evalgate: Any) -> None:
    assert "no gate has judged anything here" in evalgate("baseline", "accept", "--last-gate")[2]
    evalgate("gate")
    assert "the last gate judged nothing" in evalgate("baseline", "accept", "--last-gate")[2]
    made(result("a"))
    evalgate("gate")
    made(result("b"), name="other", run_id="r2")
    assert evalgate("baseline", "accept", "--last-gate")[0] == 0
    assert list(read_baselines(BASELINE)) == ["d"]
    assert "not both" in evalgate("baseline", "accept", "--last-gate", "--run", "r2")[2]


def test_a_run_that_may_be_lucky_is_remarked_and_accepted(repository: Path, evalgate: Any) -> None:
    tried = [Attempt(n, None, (Score("e", p, passed=p > 0, reason=""),)) for n, p in ((1, 1.0), (2, 0.0), (3, 1.0))]
    made(result("a", attempts=tried), run_id="r0")
    made(result("a"))
    for form in ((), ("--json",)):
        code, out, err = evalgate("baseline", "accept", *form)
        assert code == 0
        assert "1 did not always come to the same" in (json.loads(out)["notes"][0] if form else err)
    evalgate("baseline", "accept", "--run", "r0", "--accept-regressions")
    assert "did not always" not in evalgate("baseline", "accept", "--run", "r0")[2]


def written(tmp_path: Path) -> Path:
    path = tmp_path / "baseline.json"
    write_baselines(path, {"d": Accepted(base_of(run_of([result("a")]), "2026-11-20T09:00:00+00:00"), SOURCE)})
    return path


def test_any_change_by_hand_is_seen(tmp_path: Path) -> None:
    text = written(tmp_path).read_text()
    assert list(parse_baselines(text, "f")) == ["d"]
    assert list(parse_baselines(json.dumps(json.loads(text)), "f")) == ["d"]  # layout is not content
    for old, new in (('"passed": true', '"passed": false'), ('"Ann"', '"Bob"'), ('"r1"', '"r2"'), ("1.0", "0.5")):
        assert old in text
        with pytest.raises(BadInput, match=r"f is not as it was written: its checksum is sha256:[0-9a-f]{64}"):
            parse_baselines(text.replace(old, new), "f")


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "is not JSON"),
        ("[]", "must be an object"),
        ('{"schema": "evalgate/baseline/1"}', "its schema is 'evalgate/baseline/1'"),
        ('{"schema": "evalgate/baseline/2"}', "lacks 'checksum'"),
        ('{"schema": "evalgate/baseline/2", "checksum": "x", "datasets": {"d": 1}}', "must be an object"),
        ('{"schema": "evalgate/baseline/2", "checksum": "x", "more": 1}', "unknown field 'more'"),
        ("{" * 100_000, "is not JSON"),
    ],
)
def test_what_is_no_baseline_is_said(text: str, words: str) -> None:
    with pytest.raises(BadInput) as caught:
        parse_baselines(text, "f")
    assert words in str(caught.value)


def test_a_gate_with_an_edited_baseline_says_nothing(repository: Path, evalgate: Any) -> None:
    made(result("a", passed=False))
    evalgate("baseline", "accept")
    BASELINE.write_text(BASELINE.read_text().replace("false", "true", 1))
    for command in (("gate", "--threshold", "0"), ("baseline", "verify"), ("baseline", "accept")):
        code, _, err = evalgate(*command)
        assert code == 2
        assert "is not as it was written" in err
        assert "evalgate baseline accept" in err


def test_a_dataset_can_be_removed(repository: Path, evalgate: Any) -> None:
    made(result("a"))
    evalgate("baseline", "accept")
    assert "has nothing for the dataset 'x'. It has: d" in evalgate("baseline", "remove", "x")[2]
    assert evalgate("baseline", "remove", "d")[0] == 0
    assert read_baselines(BASELINE) == {}


def test_a_failed_write_leaves_the_old_baseline(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = written(tmp_path)
    before = path.read_bytes()

    def full(_handle: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("evalgate.files.os.fsync", full)
    with pytest.raises(BadInput, match="No space left"):
        write_baselines(path, {"e": Accepted(base_of(run_of([result("a")]), "2026-11-20T09:00:00+00:00"), SOURCE)})
    assert path.read_bytes() == before
    assert [p.name for p in tmp_path.iterdir()] == ["baseline.json"]


def test_git_tells_what_is_changed_and_what_a_file_was(repository: Path) -> None:
    clean = tree_of(repository)
    assert clean is not None
    assert (clean.commit, clean.changed) == (git("rev-parse", "HEAD"), ())
    Path("sub").mkdir()
    Path("sub/ü \n.txt").touch()
    dirty = tree_of(repository / "sub")
    assert dirty is not None
    assert dirty.changed == ("sub/ü \n.txt",)
    assert tree_of(repository, besides=[Path("sub")]) == clean
    assert file_at(repository, "main", Path("app.py"), 100) == (clean.commit, b"x = 1\n")
    for ref, words in (
        ("nowhere", "knows no commit"),
        ("--all", "knows no commit"),
        ("main:app.py", "knows no commit"),
    ):
        with pytest.raises(BadInput, match=words):
            file_at(repository, ref, Path("app.py"), 100)
    with pytest.raises(BadInput, match="is not in the commit"):
        file_at(repository, "HEAD", Path("absent"), 100)
    with pytest.raises(BadInput, match="larger than 3 bytes"):
        file_at(repository, "HEAD", Path("app.py"), 3)


def test_the_baseline_of_a_commit_is_a_base(repository: Path, evalgate: Any) -> None:
    made(result("a"))
    evalgate("baseline", "accept")
    git("add", "evals")
    git("commit", "-qm", "baseline")
    evalgate("baseline", "remove", "d")  # whatever a branch does to the file
    made(result("a", passed=False), run_id="r2")
    code, out, _ = evalgate("gate", "--threshold", "0", "--base", "git:main")
    assert code == 1
    assert "REGRESSION" in out
    assert evalgate("gate", "--threshold", "0")[0] == 0
    assert "knows no commit 'nowhere'" in evalgate("gate", "--base", "git:nowhere")[2]
