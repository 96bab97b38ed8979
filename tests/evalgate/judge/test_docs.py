"""The page of judges says what the program does."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING

import yaml

from evalgate.app import run
from evalgate.evaluators.fence import MAX_FIELD_CHARS, MAX_WIDE_CHARS
from evalgate.evaluators.injection import load_attacks
from evalgate.evaluators.prompt import judge_prompt
from evalgate.model.cache import DEFAULT_MAX_BYTES
from evalgate.model.retry import RetryPolicy
from evalgate.model.settings import DEFAULT_ATTEMPT_TIMEOUT_S, DEFAULT_DEADLINE_S
from schema.evaluator import Judge, JudgeExample, parse_evaluator
from schema.evaluator.spec import JUDGE_FRAME
from schema.hashing import short_hash
from schema.run import Output
from tests.evalgate.judge.judges import case_of

if TYPE_CHECKING:
    import pytest

PAGE = (Path(__file__).parents[3] / "docs/judges.md").read_text(encoding="utf-8")


def test_every_option_exists(capsys: pytest.CaptureFixture[str]) -> None:
    for command in (["model", "check"], ["evals", "attack"], ["evals", "align"]):
        assert run([*command, "--help"]) == 0
    known = capsys.readouterr().out
    named = set(re.findall(r"--[a-z][a-z-]+", PAGE))
    assert len(named) > 10
    assert {o for o in named if o not in known} == set()


def test_the_example_is_a_judge_and_every_field_has_its_row() -> None:
    (example,) = re.findall(r"```yaml\n(.*?)```", PAGE, re.DOTALL)
    assert isinstance(parse_evaluator(yaml.safe_load(example)).body, Judge)
    assert {name for name in Judge.__slots__ if f"| `{name}` |" not in PAGE} == set()


def test_the_numbers_are_those_of_the_program() -> None:
    spaced = f"{MAX_FIELD_CHARS:,} characters (the answer that is judged: {MAX_WIDE_CHARS:,})".replace(",", " ")
    assert spaced in PAGE
    assert f"tests with {len(load_attacks())} attacks" in PAGE
    assert f"{DEFAULT_MAX_BYTES >> 20} MiB" in PAGE
    policy = RetryPolicy()
    assert f"no answer within {DEFAULT_ATTEMPT_TIMEOUT_S:g} s" in PAGE
    assert (policy.attempts, policy.base_s, DEFAULT_DEADLINE_S) == (5, 0.5, 180)
    assert "five times" in PAGE
    assert "doubling from 0.5 s, within three minutes" in PAGE


def test_who_changes_what_a_judge_is_told_makes_its_measurements_old() -> None:
    """Measured agreement is of these words. Change JUDGE_FRAME with them, and the hash here."""
    judge = Judge("criteria", examples=(JudgeExample("o", 0.5, "r"),))
    told = judge_prompt(judge, case_of(), Output("new", ({"name": "t", "arguments": {}},)))
    assert (JUDGE_FRAME, short_hash([dict(m) for m in told.messages])) == ("judge/1", "bf9074e0a4af3cd4")
