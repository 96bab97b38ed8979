"""The page on labelling says what the program does."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import TYPE_CHECKING

from evalgate.app import run
from evalgate.label.judging import HELP, PROMPT
from evalgate.review.guidance import FIRST_PASS, MODES, PER_MODE, TOP_MODES, WEEKLY
from schema.statistics import MIN_ITEMS, MIN_RARE, RELIABLE, TENTATIVE
from schema.verdict import Role, Severity, parse_label

if TYPE_CHECKING:
    import pytest

PAGE = (Path(__file__).parents[3] / "docs/labelling.md").read_text("utf-8")


def test_every_option_that_it_names_is_there(capsys: pytest.CaptureFixture[str]) -> None:
    known = ""
    for command in (["label"], ["agreement"], ["golden", "export"], ["queue", "create"], ["evals", "align"]):
        assert run([*command, "--help"]) == 0
        known += capsys.readouterr().out
    named = set(re.findall(r"--[a-z]+", PAGE))
    assert {"--queue", "--adjudicate", "--progress", "--golden"} <= named
    assert {option for option in named if option not in known} == set()


def test_every_key_of_the_help_is_in_its_table() -> None:
    keys = {key for line in HELP.split("\n") for key in re.findall(r"(?<= )[a-zA-Z?](?=  )", line)}
    assert {"g", "b", "p", "v", "c", "e", "a", "j", "k", "s", "x", "u", "o", "q"} <= keys
    table = PAGE[PAGE.index("## Keys") : PAGE.index("## What a label says")]
    assert {key for key in keys if f"`{key}`" not in table} == set()
    assert PROMPT.strip() in PAGE


def test_its_label_is_one() -> None:
    (shown,) = re.findall(r"(    \{\"trace_id\".*?\})\n\n", PAGE, re.DOTALL)
    label = parse_label(json.loads(shown))
    assert (label.severity, label.role, label.anchors[0].quote) == (Severity.HIGH, Role.LABEL, "90 days")
    assert label.anchors[0].end == label.anchors[0].start + len("90 days")  # type: ignore[operator]  # the example has both


def test_its_figures_are_ours() -> None:
    for low, high, words in (
        (*FIRST_PASS, "traces and name"),
        (*MODES, "ways in which they fail"),
        (*PER_MODE, "labels of each"),
        (*TOP_MODES, "most frequent modes"),
        (*WEEKLY, "traces."),
    ):
        assert f"{low} to {high} {words}" in PAGE
    assert f"fewer than {MIN_ITEMS} common traces, or where fewer than {MIN_RARE} of them" in PAGE
    assert f"lower limit of {RELIABLE}" in PAGE
    assert f"one of {TENTATIVE}" in PAGE
