"""Evaluators of other packages: found by name; whatever they do that is no verdict is an error."""

from __future__ import annotations

from importlib.metadata import EntryPoint
from typing import TYPE_CHECKING, Any

import pytest

from evalgate.errors import BadInput
from evalgate.evaluators.plugins import GROUP, PluginEvaluator, find_plugin, plugin_evaluator
from schema.case import Case, CaseInput
from schema.evaluator import EvaluatorError, EvaluatorSpec, Score, fresh, parse_evaluator
from schema.run import Output

if TYPE_CHECKING:
    from collections.abc import Callable

SPEC = parse_evaluator({"id": "e", "failure_mode": "m", "use": "it", "with": {"answer": 1}})
CASE = Case("c", CaseInput((), "?"))
HERE = "tests.evalgate.evaluators.test_plugins"


def raises(case: Case, output: Output) -> Any:
    raise RuntimeError("out of\norder")


def good(case: Case, output: Output) -> Any:
    return Score("another name", 1, passed=True, reason="so it\x1b[2J is", cost_usd=0.5)


def settled(spec: EvaluatorSpec, settings: dict[str, Any]) -> Callable[..., Any]:
    if settings != {"answer": 1}:
        raise ValueError("'answer' must be 1")
    return good


def broken(spec: EvaluatorSpec, settings: dict[str, Any]) -> Any:
    raise KeyError("x")


def nothing(spec: EvaluatorSpec, settings: dict[str, Any]) -> Any:
    return None


def point(value: str, name: str = "it") -> EntryPoint:
    return EntryPoint(name, value, GROUP)


def test_a_score_is_named_by_the_file_and_safe_to_print() -> None:
    judge = plugin_evaluator(SPEC, point(f"{HERE}:settled"))
    answer = judge(CASE, Output("x"))
    assert answer == Score("e", 1.0, passed=True, reason="so it\\x1b[2J is", cost_usd=0.5)


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        (None, "it returned NoneType"),
        (True, "it returned bool"),
        (Score("e", 1.5, passed=True, reason=""), "1.5, not a number from 0 to 1"),
        (Score("e", float("nan"), passed=True, reason=""), "nan, not a number"),
        (Score("e", 1.0, passed=None, reason=""), "passed=None"),  # type: ignore[arg-type]  # what a stranger may return
        (Score("e", "1", passed=True, reason=""), "'1', not a number"),  # type: ignore[arg-type]  # as above
        (Score("e", 1.0, passed=1, reason=""), "passed=1"),  # type: ignore[arg-type]  # as above
        (EvaluatorError("other", "no licence"), "no licence"),
    ],
)
def test_what_is_no_score_is_an_error(answer: Any, words: str) -> None:
    got = PluginEvaluator(SPEC, lambda *_: answer)(CASE, Output("x"))
    assert isinstance(got, EvaluatorError)
    assert got.evaluator == "e"
    assert words in got.message


def test_what_it_raises_is_an_error_of_the_case() -> None:
    assert PluginEvaluator(SPEC, raises)(CASE, Output("x")) == EvaluatorError("e", "RuntimeError: out of order")


@pytest.mark.parametrize(
    ("value", "words"),
    [
        (f"{HERE}:broken", "cannot be made: KeyError: 'x'"),
        (f"{HERE}:nothing", "is no function of (case, output)"),
        (f"{HERE}:absent", "cannot be made: AttributeError"),
        ("absent_package:x", "cannot be made: ModuleNotFoundError"),
    ],
)
def test_one_that_cannot_be_made_says_why(value: str, words: str) -> None:
    with pytest.raises(BadInput) as error:
        plugin_evaluator(SPEC, point(value))
    assert words in str(error.value)


def test_wrong_settings_are_told_in_its_words() -> None:
    spec = parse_evaluator({"id": "e", "failure_mode": "m", "use": "it"})
    with pytest.raises(BadInput, match="'answer' must be 1"):
        plugin_evaluator(spec, point(f"{HERE}:settled"))


def test_a_name_that_nobody_has_or_two_have_is_refused() -> None:
    points = [point("a:b"), point("c:d", "polite"), point("e:f", "polite")]
    assert find_plugin("it", points) is points[0]
    with pytest.raises(ValueError, match="Did you mean 'polite'"):
        find_plugin("polit", points)
    with pytest.raises(ValueError, match="several packages have the evaluator 'polite'"):
        find_plugin("polite", points)
    with pytest.raises(ValueError, match="No installed package has one"):
        find_plugin("it", [])


class Keeps:
    """What a package gives that keeps its verdicts."""

    def __init__(self, said: str = "kept") -> None:
        self.said = said

    def fresh(self) -> Keeps:
        if self.said == "anew":
            raise RuntimeError("out of order")
        return Keeps("anew")

    def __call__(self, case: Any, output: Any) -> Score:  # noqa: ARG002 - the seam
        return Score("e", 1.0, passed=True, reason=self.said)


def test_one_that_keeps_verdicts_gives_new_ones_for_a_repeat() -> None:
    kept = PluginEvaluator(SPEC, Keeps())
    again = fresh(kept)
    said = [e(CASE, Output("x")) for e in (kept, again)]
    assert [s.reason for s in said if isinstance(s, Score)] == ["kept", "anew"]
    plain = PluginEvaluator(SPEC, raises)
    assert fresh(plain) is plain
    with pytest.raises(BadInput, match=r"e: fresh\(\) of its package failed: RuntimeError: out of order"):
        fresh(again)
