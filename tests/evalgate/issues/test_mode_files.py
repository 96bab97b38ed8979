"""Evaluator files that name a failure mode which is called something else."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from evalgate.evals.mode_files import mentions, rewrite

if TYPE_CHECKING:
    from pathlib import Path


@pytest.mark.parametrize(
    ("text", "new", "expected"),
    [
        ("failure_mode: tone\r\nid: a\r\n", "x y", "failure_mode: x y\r\nid: a\r\n"),
        ("{id: a, failure_mode: 'tone', applies_to: {failure_mode: [other, tone]}}", "a, b",
         '{id: a, failure_mode: "a, b", applies_to: {failure_mode: [other, "a, b"]}}'),
        ("failure_mode:   tone\ndescription: tone\ncoverage_target: tone", "null",
         'failure_mode:   "null"\ndescription: tone\ncoverage_target: "null"'),
        ("failure_mode: other\n# tone\n", "x", "failure_mode: other\n# tone\n"),
        ("failure_mode: [tone\n", "x", "failure_mode: [tone\n"),
        ("- tone\n", "x", "- tone\n"),
    ],
)  # fmt: skip
def test_of_an_evaluator_file_nothing_but_the_name_changes(tmp_path: Path, text: str, new: str, expected: str) -> None:
    path = tmp_path / "e.yaml"
    path.write_bytes(text.encode())
    shown = mentions(tmp_path, "tone", new)
    assert bool(shown) is (text != expected)
    assert path.read_bytes() == text.encode(), "showing changes nothing"
    assert bool(rewrite(tmp_path, "tone", new)) is (text != expected)
    assert path.read_bytes() == expected.encode()
