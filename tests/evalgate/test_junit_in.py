"""JUnit XML of test runners: every test is a case, every rerun an attempt, and nothing in the file can act."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from evalgate.errors import BadInput
from evalgate.gate import junit_in
from evalgate.gate.junit_in import Outcome, read_junit
from evalgate.gate.process import Ended
from evalgate.gate.tests_run import EXIT_CODE, results_of, run_from_exit_code, run_from_tests

if TYPE_CHECKING:
    from schema.run import Run

ALONE = '<testcase name="t"/>'
PYTEST = """\
<?xml version="1.0" encoding="utf-8"?>
<testsuites name="pytest tests"><testsuite name="pytest" errors="1" failures="1" skipped="1" tests="5" time="0.1">
<testcase classname="tests.test_a" name="test_good" time="0.25"><system-out>noise</system-out></testcase>
<testcase classname="tests.test_a" name="test_bad[x-1]" time="1,000.5">
  <failure message="assert 1 == 2">def test_bad():\n&gt;   assert 1 == 2</failure></testcase>
<testcase classname="tests.test_a" name="test_setup" time="0">
  <error message="failed on setup">no database</error></testcase>
<testcase classname="tests.test_a" name="test_skip"><skipped type="pytest.skip" message="not here"/></testcase>
<testcase name="alone" time="nonsense"/>
</testsuite></testsuites>
"""


def write(folder: Path, text: str | bytes) -> Path:
    path = folder / "results.xml"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return path


def suite(*cases: str, name: str = "s") -> str:
    return f'<testsuite name="{name}">{"".join(cases)}</testsuite>'


def test_a_file_of_pytest(tmp_path: Path) -> None:
    tests = read_junit(write(tmp_path, PYTEST))
    assert [(t.test_id, t.attempts[0].outcome) for t in tests] == [
        ("tests.test_a > test_good", Outcome.PASSED),
        ("tests.test_a > test_bad[x-1]", Outcome.FAILED),
        ("tests.test_a > test_setup", Outcome.ERROR),
        ("tests.test_a > test_skip", Outcome.SKIPPED),
        ("alone", Outcome.PASSED),
    ]
    assert [t.attempts[0].duration_s for t in tests] == [0.25, 1000.5, 0, 0, 0]
    assert tests[0].attempts[0].message == ""
    assert tests[1].attempts[0].message == "assert 1 == 2\ndef test_bad():\n>   assert 1 == 2"


def test_reruns_are_attempts(tmp_path: Path) -> None:
    text = suite(
        '<testcase name="flaky"><flakyFailure message="first"/><flakyError message="second"/></testcase>',
        '<testcase name="lost"><failure message="last"/><rerunFailure message="again"/></testcase>',
        '<testcase name="twice"><failure message="no"/></testcase><testcase name="twice"/>',
    )
    found = {t.test_id: [(a.outcome, a.message) for a in t.attempts] for t in read_junit(write(tmp_path, text))}
    assert found == {
        "flaky": [(Outcome.FAILED, "first"), (Outcome.ERROR, "second"), (Outcome.PASSED, "")],
        "lost": [(Outcome.FAILED, "again"), (Outcome.FAILED, "last")],
        "twice": [(Outcome.FAILED, "no"), (Outcome.PASSED, "")],
    }


def test_one_name_in_two_suites_is_two_tests(tmp_path: Path) -> None:
    both = "".join(suite(ALONE, name=name) for name in ("chromium", "webkit"))
    found = read_junit(write(tmp_path, f"<testsuites>{both}</testsuites>"))
    assert [t.test_id for t in found] == ["chromium > t", "webkit > t"]


def test_namespaces_and_nested_suites_are_read(tmp_path: Path) -> None:
    inner = suite('<testcase name="t" classname="c"/>')
    text = f'<j:testsuites xmlns:j="urn:x"><testsuite name="a">{inner}</testsuite></j:testsuites>'
    assert [t.test_id for t in read_junit(write(tmp_path, text))] == ["c > t"]


def test_what_a_test_says_is_bounded(tmp_path: Path) -> None:
    text = suite(f'<testcase name="{"n" * 9000}"><failure message="m">{"x" * 90_000}END</failure></testcase>')
    (test,) = read_junit(write(tmp_path, text))
    assert len(test.test_id) == junit_in.MAX_NAME_CHARS
    assert len(test.attempts[0].message) == junit_in.MAX_TEXT_CHARS
    assert test.attempts[0].message.endswith("END")


LAUGHS = (
    '<!DOCTYPE x [<!ENTITY a "aaaa"><!ENTITY b "&a;&a;&a;&a;">]><testsuite name="&b;"><testcase name="t"/></testsuite>'
)
OUTSIDE = '<!DOCTYPE x [<!ENTITY a SYSTEM "file:///etc/passwd">]><testsuite><testcase name="&a;"/></testsuite>'


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (LAUGHS, "declares a document type"),
        (OUTSIDE, "declares a document type"),
        ('<!DOCTYPE testsuite SYSTEM "http://127.0.0.1/x.dtd"><testsuite/>', "declares a document type"),
        ("", "no element found"),
        ("<testsuite>", "is not JUnit XML"),
        ("<html/>", "begins with <html>"),
        ('<testsuite><testcase name="&undefined;"/></testsuite>', "undefined entity"),
        ("<testsuite><testcase/></testsuite>", "has no name"),
        ('<testsuite><testcase name="a"><testcase name="b"/></testcase></testsuite>', "stands in another"),
        ("<testsuite>" + "<x>" * 100, "nested deeper than 64"),
        (b"\xff\xfe\x00bad", "is not JUnit XML"),
        (b'<?xml version="1.0" encoding="martian"?><testsuite/>', "is not JUnit XML"),
        ('{"not": "xml"}', "is not JUnit XML"),
    ],
)
def test_hostile_or_broken_xml_is_refused(text: str | bytes, words: str, tmp_path: Path) -> None:
    with pytest.raises(BadInput, match=r"results\.xml") as caught:
        read_junit(write(tmp_path, text))
    assert words in str(caught.value)


def test_size_and_number_are_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write(tmp_path, suite(*(f'<testcase name="{n}"/>' for n in range(5))))
    monkeypatch.setattr(junit_in, "MAX_TESTS", 4)
    with pytest.raises(BadInput, match="more than 4 tests"):
        read_junit(path)
    monkeypatch.setattr(junit_in, "MAX_FILE_BYTES", 20)
    with pytest.raises(BadInput, match="larger than 20 bytes"):
        read_junit(path)
    with pytest.raises(BadInput, match="cannot read"):
        read_junit(tmp_path / "absent.xml")


def run_of_tests(folder: Path, text: str, exit_code: int | None = 0) -> Run:
    return run_from_tests(
        read_junit(write(folder, text)),
        None if exit_code is None else Ended(exit_code, 1.0),
        command=("pytest", "-q"),
        results=Path("results.xml"),
        name="tests",
        threshold=1.0,
        run_id="r",
        times=("2026-11-20T09:00:00+00:00", "2026-11-20T09:00:01+00:00"),
    )


def test_tests_become_cases(tmp_path: Path) -> None:
    run = run_of_tests(tmp_path, PYTEST, exit_code=1)
    assert {r.case_id: r.passed for r in run.results} == {
        "tests.test_a > test_good": True,
        "tests.test_a > test_bad[x-1]": False,
        "tests.test_a > test_setup": None,
        "tests.test_a > test_skip": None,
        "alone": True,
        EXIT_CODE: True,  # a failing test explains it
    }
    broken = run.results[2]
    assert broken.error is not None
    assert broken.error.message == "failed on setup\nno database"
    assert run.results[3].error is None
    assert run.results[1].scores[0].reason == "assert 1 == 2"
    assert run.target == "cmd:pytest -q"


def test_an_exit_code_that_no_test_explains_fails(tmp_path: Path) -> None:
    run = run_of_tests(tmp_path, suite('<testcase name="t"/>'), exit_code=1)
    (row,) = [r for r in run.results if r.case_id == EXIT_CODE]
    assert row.passed is False
    assert row.scores[0].reason == "the command ended with 1, which no failing test explains"
    flaky = suite('<testcase name="t"><flakyFailure message="x"/></testcase>')
    assert [r.passed for r in run_of_tests(tmp_path, flaky, exit_code=1).results] == [False, False]


def test_a_flaky_test_is_flaky(tmp_path: Path) -> None:
    text = suite('<testcase name="t"><flakyFailure message="a"/></testcase>')
    assert run_of_tests(tmp_path, text).results[0].flaky


def test_without_an_exit_code_there_is_no_case_for_it(tmp_path: Path) -> None:
    run = run_of_tests(tmp_path, suite('<testcase name="t"/>'), exit_code=None)
    assert [r.case_id for r in run.results] == ["t"]


def test_no_tests_prove_nothing(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="holds no tests, so nothing was proved; the command ended with 5"):
        run_of_tests(tmp_path, "<testsuites/>", exit_code=5)


@pytest.mark.parametrize(("exit_code", "passed"), [(0, True), (3, False), (-9, False)])
def test_a_command_without_results_is_one_case(exit_code: int, *, passed: bool) -> None:
    run = run_from_exit_code(
        Ended(exit_code, 1.0), command=("make",), name="tests", path="p", run_id="r", times=("a", "b")
    )
    assert [(r.case_id, r.passed) for r in run.results] == [(EXIT_CODE, passed)]


@pytest.mark.parametrize(
    ("command", "path"),
    [
        (["pytest", "--junitxml=a.xml"], "a.xml"),
        (["pytest", "--junit-xml", "b.xml", "-q"], "b.xml"),
        (["gotestsum", "--junitfile", "c.xml"], "c.xml"),
        (["pytest", "-q"], None),
        (["pytest", "--junitxml"], None),
        (["pytest", "--junitxml="], None),
    ],
)
def test_the_file_of_results_is_read_from_the_command(command: list[str], path: str | None) -> None:
    assert results_of(command) == (None if path is None else Path(path))
