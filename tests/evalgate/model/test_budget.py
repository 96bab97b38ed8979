"""Money and calls are counted before they are spent, by all threads together."""

from __future__ import annotations

import threading
import time

import pytest

from evalgate.model import Budget, Completion, ModelError, ModelErrorKind
from evalgate.model.budget import NoBudget, Reservation
from evalgate.model.options import spent
from evalgate.model.price import Price, Prices, parse_price, parse_prices, price_of_library
from evalgate.model.transport import NoAnswer
from tests.evalgate.model.moving import ASKED, Script, model_of, ok, refuse

DEAR = Price(10_000.0, 10_000.0)
"""A cent a token: 1.20 for an answer of 100 + 20 tokens."""


def reserved(budget: Budget, usd: float | None = 0.0) -> Reservation:
    found = budget.reserve(usd, "m")
    assert isinstance(found, Reservation)
    return found


def test_answers_are_paid_and_counted() -> None:
    budget = Budget()
    answer = model_of(Script([ok()]), budget=budget, price=DEAR).complete(ASKED, max_tokens=20)
    assert isinstance(answer, Completion)
    assert answer.cost_usd == pytest.approx(1.2)
    assert budget.usd == pytest.approx(1.2)
    assert (budget.calls, budget.unpriced) == (1, 0)


def test_input_that_the_provider_had_kept_costs_what_it_charges_for_that() -> None:
    usage = {"prompt_tokens": 100, "completion_tokens": 20, "prompt_tokens_details": {"cached_tokens": 60}}
    for cached_usd, cost in ((1_000.0, 0.66), (None, 1.2)):
        price = Price(10_000.0, 10_000.0, cached_usd)
        answer = model_of(Script([ok(usage=usage)]), price=price).complete(ASKED)
        assert isinstance(answer, Completion)
        assert answer.cost_usd == pytest.approx(cost)


def test_a_call_that_might_go_over_is_not_made() -> None:
    budget, script = Budget(max_usd=2.0), Script([ok()])
    model = model_of(script, budget=budget, price=DEAR)
    assert isinstance(model.complete(ASKED, max_tokens=20), Completion)
    answer = model.complete(ASKED, max_tokens=200)
    assert isinstance(answer, ModelError)
    assert (answer.kind, answer.attempts, len(script.bodies)) == (ModelErrorKind.BUDGET, 0, 1)
    assert "$0.8000 of $2 is left" in answer.message


def test_calls_have_an_end() -> None:
    budget, script = Budget(max_calls=2), Script([ok()])
    model = model_of(script, budget=budget)
    kinds = [type(model.complete(ASKED)) for _ in range(3)]
    assert kinds == [Completion, Completion, ModelError]
    assert len(script.bodies) == 2
    assert (budget.calls, budget.refused) == (2, 1)
    assert isinstance(Budget(max_calls=0).reserve(0.0), NoBudget)


def test_a_model_without_a_price_is_not_called_on_a_budget_of_money() -> None:
    script = Script([ok()])
    refused = model_of(script, budget=Budget(max_usd=1.0)).complete(ASKED)
    assert isinstance(refused, ModelError)
    assert "--allow-unpriced" in refused.message
    assert script.bodies == []
    allowed = Budget(max_usd=1.0, allow_unpriced=True)
    assert isinstance(model_of(script, budget=allowed).complete(ASKED), Completion)
    assert (allowed.calls, allowed.unpriced, allowed.usd, allowed.unpriced_models) == (1, 1, 0.0, ("m",))


def test_an_answer_without_tokens_has_no_price_and_none_is_made_up() -> None:
    budget = Budget()
    answer = model_of(Script([ok(usage=None)]), budget=budget, price=DEAR).complete(ASKED)
    assert isinstance(answer, Completion)
    assert (answer.cost_usd, budget.usd, budget.unpriced) == (None, 0.0, 1)


def test_what_the_endpoint_did_not_take_costs_nothing_and_what_was_lost_may_have() -> None:
    budget = Budget()
    script = Script([refuse(429), NoAnswer(ModelErrorKind.CONNECTION, "refused", was_sent=False), ok()])
    model_of(script, budget=budget, price=DEAR).complete(ASKED, max_tokens=20)
    assert (budget.calls, budget.usd_in_doubt) == (1, 0.0)
    budget = Budget()
    script = Script([NoAnswer(ModelErrorKind.TIMEOUT, "late"), ok()])
    model_of(script, budget=budget, price=DEAR).complete(ASKED, max_tokens=20)
    assert budget.calls == 2
    assert budget.usd_in_doubt > 0.2
    assert "for answers that never came" in spent(budget)


class Asking:
    """Another thread that reserves a call; it is made once that thread has its answer, or waits."""

    def __init__(self, budget: Budget, usd: float) -> None:
        self.got: list[Reservation | NoBudget] = []
        self._thread = threading.Thread(target=lambda: self.got.append(budget.reserve(usd, "m")))
        self._thread.start()
        deadline = time.monotonic() + 10
        while not self.got and not budget._changed._waiters:  # type: ignore[attr-defined]  # of a Condition
            assert time.monotonic() < deadline
            time.sleep(0.001)

    def answer(self) -> Reservation | NoBudget:
        self._thread.join(10)
        return self.got[0]


@pytest.mark.parametrize(("max_calls", "max_usd", "usd"), [(1, None, 0.0), (None, 2.0, 1.5)])
def test_a_call_waits_while_others_on_their_way_may_use_up_the_budget(
    max_calls: int | None, max_usd: float | None, usd: float
) -> None:
    budget = Budget(max_calls, max_usd)
    first = reserved(budget, usd)
    second = Asking(budget, usd)
    assert second.got == []
    first.release()
    granted = second.answer()
    assert isinstance(granted, Reservation)
    third = Asking(budget, usd)
    assert third.got == []
    granted.spend(usd)
    assert isinstance(third.answer(), NoBudget)


def test_many_threads_do_not_go_over_together() -> None:
    budget = Budget(max_usd=10.0)
    model = model_of(Script([ok()]), budget=budget, price=DEAR)  # 1.20 each, reserved at more
    answers: list[object] = []

    def work() -> None:
        answers.extend(model.complete(ASKED, max_tokens=50) for _ in range(5))

    threads = [threading.Thread(target=work) for _ in range(8)]
    for t in threads:
        t.start()
    for t in threads:
        t.join(30)
    made = [a for a in answers if isinstance(a, Completion)]
    assert len(answers) == 40
    assert budget.calls == len(made)
    assert 5 <= len(made) <= 8
    assert budget.usd <= 10.0


def test_a_reservation_is_settled_once() -> None:
    budget = Budget()
    one = reserved(budget, 1.0)
    one.spend(0.25)
    one.release()
    one.spend(7.0)
    assert (budget.calls, budget.usd) == (1, 0.25)


def test_prices_are_the_users_then_the_lists_then_nobodys() -> None:
    asked: list[str] = []

    def look_up(model: str, url: str) -> Price | None:
        asked.append(f"{model} at {url}")
        return None

    prices = Prices("http://u", {"a": Price(1, 2)}, look_up=look_up)
    assert prices.of("a") == Price(1, 2)
    assert prices.of("b") is None
    assert prices.of("b") is None
    assert asked == ["b at http://u"]
    assert Prices("http://u", {"*": Price(0, 0)}).of("anything") == Price(0, 0)


def test_the_price_list_knows_models_by_where_they_are_served() -> None:
    price = price_of_library("gpt-4o-mini", "https://api.openai.com/v1")
    assert price is not None
    assert 0 < price.input_usd < price.output_usd
    assert price.cached_input_usd is not None
    assert price.cached_input_usd < price.input_usd
    assert price_of_library("gpt-4o-mini", "http://127.0.0.1:8000/v1") is None
    assert price_of_library("no-such-model", "https://api.openai.com/v1") is None


def test_a_price_is_written_as_two_numbers() -> None:
    assert parse_price("0.15/0.60") == Price(0.15, 0.60)
    for wrong in ("0.15", "a/b", "-1/2", "nan/1", "1/inf", "1/2/3", ""):
        with pytest.raises(ValueError, match="IN/OUT"):
            parse_price(wrong)


def test_a_price_is_of_the_model_that_it_names() -> None:
    assert parse_prices("1/2", "m") == {"m": Price(1, 2)}
    assert parse_prices("1/2", None) == {"*": Price(1, 2)}
    assert parse_prices("org/a=1/2, b=0/0", "m") == {"org/a": Price(1, 2), "b": Price(0, 0)}
    for wrong in ("=1/2", "a=1/2,", "a=1", "a=1/2,3/4"):
        with pytest.raises(ValueError, match="write"):
            parse_prices(wrong, "m")


def test_what_was_spent_is_told_with_what_is_not_known() -> None:
    budget = Budget()
    reserved(budget).spend(0.5)
    assert spent(budget) == "1 call, $0.5000"
    reserved(budget, None).spend(None)
    assert spent(budget) == "2 calls, $0.5000, 1 of unknown price (m)"
