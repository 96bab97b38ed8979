"""The evaluator alone: a specification and settings in, scores out."""

from __future__ import annotations

import pytest
from evalgate_acme.glossary import glossary

from schema.case import Case, CaseInput
from schema.evaluator import Score, parse_evaluator
from schema.run import Output

SPEC = parse_evaluator({"id": "our-words", "failure_mode": "wrong_word", "use": "glossary"})
CASE = Case("case-1", CaseInput((), "?"))


def test_a_word_that_should_be_another_is_named() -> None:
    judge = glossary(SPEC, {"say": {"client": "customer"}})
    answer = judge(CASE, Output("Our client is a Client and a customer."))
    assert isinstance(answer, Score)
    assert not answer.passed
    assert answer.score == pytest.approx(1 / 3)
    assert answer.reason == "it says 'client' instead of 'customer'"
    good = judge(CASE, Output("Dear customer"))
    assert isinstance(good, Score)
    assert good.passed


@pytest.mark.parametrize("settings", [{}, {"say": ["client"]}, {"say": {"a": "b"}, "tell": 1}])
def test_wrong_settings_are_told(settings: dict[str, object]) -> None:
    with pytest.raises(ValueError, match="say"):
        glossary(SPEC, settings)
