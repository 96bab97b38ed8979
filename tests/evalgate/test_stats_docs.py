"""docs/statistics.md says what the program does."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING

from evalgate.app import run
from evalgate.stats.commands import DEFAULT_SINCE, DEFAULT_SINCE_OF_MODES
from evalgate.stats.measures import BY_REASON, GROUPS, MIN_EVENTS, MIN_GREATEST
from evalgate.stats.strata import NARROW, RELATIVE, TIMES, WIDE
from schema.statistics import MIN_EFFECTIVE_N

if TYPE_CHECKING:
    import pytest

PAGE = Path(__file__).parents[2] / "docs" / "statistics.md"


def test_every_option_named_on_the_page_exists(capsys: pytest.CaptureFixture[str]) -> None:
    known = ""
    for command in (["stats"], ["stats", "modes"]):
        assert run([*command, "--help"]) == 0
        known += capsys.readouterr().out
    named = set(re.findall(r"--[a-z][a-z-]+", PAGE.read_text(encoding="utf-8")))
    assert len(named) >= 10
    assert {o for o in named if o not in known} == set()


def test_every_group_is_listed() -> None:
    (row,) = re.findall(r"\| `--by FIELD` \| (.*) \|\n", PAGE.read_text(encoding="utf-8"))
    assert {name for name in (*GROUPS, BY_REASON) if name not in row} == set()


def test_the_numbers_are_those_of_the_program() -> None:
    text = PAGE.read_text(encoding="utf-8")
    assert f"| effective n | {MIN_EFFECTIVE_N:g} (`--min-n`) |" in text
    assert f"| sessions that have it, and that do not | {MIN_EVENTS:g} |" in text
    assert f"| Σw over the greatest weight | {MIN_GREATEST:g} |" in text
    widths = f"narrower than {NARROW * 100:g} points, or than {WIDE * 100:g} and {RELATIVE:g} times the rate"
    assert f"{widths}; its upper limit below {TIMES:g} times the rate" in text
    assert (DEFAULT_SINCE, DEFAULT_SINCE_OF_MODES) == ("7d", "4w")
    assert "Default: 7 days; `modes`: 4 weeks" in text
