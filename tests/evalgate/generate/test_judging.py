"""A judge's criteria are optimised by the gepa library itself, against a scripted server of chat completions."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from evalgate.generate.examples import choose_examples
from evalgate.generate.judging import JudgeTools, optimise_judge
from evalgate.generate.split import split_examples
from evalgate.model import Budget
from evalgate.model.cache import ModelCache
from evalgate.model.client import open_models
from evalgate.model.rate import RateLimit
from evalgate.model.settings import ModelSettings
from schema.evaluator import AppliesTo, EvalType, EvaluatorSpec, Judge
from tests.evalgate.generate.planted import LEARNT, MODE, Learner, planted, seemingly_polite
from tests.tools.fake_openai import FakeOpenAI

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from evalgate.generate.outcome import JudgeAttempt


@pytest.fixture
def fake() -> Iterator[FakeOpenAI]:
    with FakeOpenAI(Learner()) as server:
        yield server


def make_spec(body: Judge, words: str) -> EvaluatorSpec:
    return EvaluatorSpec("m", MODE, EvalType.LLM_JUDGE, body, AppliesTo(failure_modes=(MODE,)), description=words)


def tools(fake: FakeOpenAI, folder: Path, *, calls: int | None = None, **settings: Any) -> JudgeTools:
    cache = ModelCache(folder / "answers")
    budget, test_budget = Budget(calls), Budget()
    searching = open_models(
        ModelSettings(fake.base_url, "judge-1"), budget=budget, cache=cache, rate=RateLimit(None, None)
    )
    testing = open_models(
        ModelSettings(fake.base_url, "judge-1"), budget=test_budget, cache=cache, rate=RateLimit(None, None)
    )
    return JudgeTools(
        judge=searching(None),
        reflection=searching(None),
        test_judge=testing(None),
        budget=budget,
        test_budget=test_budget,
        folder=folder,
        **settings,
    )


def attempt(fake: FakeOpenAI, folder: Path, count: int = 44, **settings: Any) -> JudgeAttempt:
    examples = choose_examples(planted(count, seemingly_polite), MODE)
    return optimise_judge(examples, split_examples(MODE, examples.items), tools(fake, folder, **settings), make_spec)


def test_criteria_improve_until_all_of_validation_is_judged_right(fake: FakeOpenAI, tmp_path: Path) -> None:
    found = attempt(fake, tmp_path)
    assert found.candidates[0].validation.balanced_accuracy == 0.5
    assert found.chosen == 1
    assert LEARNT in found.candidates[1].criteria
    assert found.candidates[1].validation.mcc == 1
    assert found.measured is not None
    assert found.measured.confusion.mcc == 1
    assert found.stopped == "every validation example is judged right"
