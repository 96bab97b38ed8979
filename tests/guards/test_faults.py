"""The table of faults says what the fault tests say, and no row of the matrix is forgotten."""

from __future__ import annotations

from typing import TYPE_CHECKING
from xml.etree import ElementTree as ET

import pytest

from tests.faults.matrix import IDS, NOT_YET, faults, missing, read
from tests.faults.run import Result, count, summary
from tests.faults.table import PAGE, cell, table, with_table

if TYPE_CHECKING:
    from pathlib import Path

MODULE = '''"""K1: it ends.

Injected: a kill,
at once.
Holds: all.
Figure: 1 | 2.
"""
'''


def test_the_page_has_the_table_that_the_tests_tell() -> None:
    page = PAGE.read_text("utf-8")
    assert page == with_table(page, table(faults())), "run: python tests/faults/table.py --write"


def test_what_waits_is_in_the_matrix_and_has_no_test() -> None:
    assert set(NOT_YET) <= set(IDS)
    assert not set(NOT_YET) & {f.id for f in faults()}


def test_a_module_tells_its_row(tmp_path: Path) -> None:
    path = tmp_path / "test_k1.py"
    path.write_text(MODULE)
    fault = read(path)
    assert (fault.id, fault.title, fault.injected, fault.holds) == ("K1", "it ends", "a kill, at once.", "all.")
    assert cell(fault.figure) == "1 \\| 2."
    assert not fault.alone
    assert missing([fault]) == [i for i in IDS if i not in NOT_YET and i != "K1"]


@pytest.mark.parametrize(
    ("name", "text", "says"),
    [
        ("test_k2.py", MODULE, "does not begin with its id"),
        ("test_k1.py", MODULE.replace("Holds", "Keeps"), "no line Holds:"),
    ],
)
def test_a_module_that_tells_no_row_is_an_error(tmp_path: Path, name: str, text: str, says: str) -> None:
    (tmp_path / name).write_text(text)
    with pytest.raises(ValueError, match=says):
        read(tmp_path / name)


def test_a_test_that_measures_times_is_known_as_one(tmp_path: Path) -> None:
    path = tmp_path / "test_k1.py"
    path.write_text(MODULE + "import pytest\n\npytestmark = [pytest.mark.alone, pytest.mark.timeout(90)]\n")
    assert read(path).alone
    assert read(path).longest_s == 90


def test_the_summary_counts_every_outcome_and_keeps_the_figures() -> None:
    report = ET.fromstring(  # noqa: S314 - written here
        "<testsuite>"
        "<testcase name='test_a[server]'><properties><property name='figure' value='a: 12 spans acknowledged'/>"
        "<property name='kills' value='7'/></properties></testcase>"
        "<testcase name='test_b'><failure/></testcase><testcase name='test_c'><skipped/></testcase>"
        "</testsuite>"
    )
    result = Result("K1", "failed", 2.0)
    count(report, result)
    assert (result.passed, result.failed, result.skipped, result.figures) == (
        1,
        1,
        1,
        ["server: a: 12 spans acknowledged"],
    )
    assert summary([result], 61.0).splitlines()[-1] == "1 passed, 1 failed, 1 skipped"
    assert "K1 failed: .cache/faults/k1.log" in summary([result], 61.0)
    result.failed = 0
    assert "7 kills survived; 12 spans acknowledged, 0 lost, 0 twice" in summary([result], 61.0)
