"""What one tenant may take: a rate with debt, and a share of what is in flight."""

from __future__ import annotations

import pytest

from collector.auth.tenants import BURST_S, LONGEST_DELAY_S, Accounts, TenantsConfig
from schema.errors import Reason, Refused


class Budget:
    """What all tenants have together."""

    def __init__(self, limit: int) -> None:
        self.left = limit

    def take(self, n_bytes: int) -> None:
        if n_bytes > self.left:
            raise Refused(Reason.UNAVAILABLE, "full")
        self.left -= n_bytes

    def give(self, n_bytes: int) -> None:
        self.left += n_bytes


class Clock:
    now_s = 100.0

    def __call__(self) -> float:
        return self.now_s


def accounts(clock: Clock, limit: int = 1000, **settings: object) -> Accounts:
    config = TenantsConfig.model_validate(settings)
    return Accounts(Budget(limit), config=config, max_in_flight_bytes=limit, clock_s=clock)


def test_a_rate_lets_a_burst_through_and_then_its_bytes_a_second() -> None:
    clock = Clock()
    account = accounts(clock, max_bytes_per_s=100).of("a")
    for _ in range(2):
        account.charge(100, clock())
    with pytest.raises(Refused) as caught:
        account.charge(1, clock())
    assert caught.value.reason is Reason.RATE_LIMITED
    assert caught.value.retry_after_s == pytest.approx(0.1)
    clock.now_s += 0.1
    account.charge(100, clock())
    with pytest.raises(Refused) as caught:
        account.charge(1, clock())
    assert caught.value.retry_after_s == pytest.approx(1.0)
    clock.now_s += 1000
    account.charge(int(100 * BURST_S), clock())
    with pytest.raises(Refused):
        account.charge(1, clock())


def test_a_request_larger_than_the_burst_passes_and_is_paid_for_afterwards() -> None:
    clock = Clock()
    account = accounts(clock, max_bytes_per_s=100).of("a")
    account.charge(10_000, clock())
    with pytest.raises(Refused) as caught:
        account.charge(0, clock())
    assert caught.value.retry_after_s == LONGEST_DELAY_S
    clock.now_s += 98.1
    account.charge(0, clock())


def test_tenants_have_rates_of_their_own_and_pay_for_nobody_else() -> None:
    clock = Clock()
    all_of = accounts(clock, max_bytes_per_s=100, bytes_per_s_of={"big": 10_000})
    all_of.of("big").charge(15_000, clock())
    all_of.of("big").charge(6_000, clock())
    all_of.of("a").charge(300, clock())
    with pytest.raises(Refused):
        all_of.of("a").charge(1, clock())
    all_of.of("b").charge(1, clock())


def test_a_share_is_exact_and_leaves_room_for_the_others() -> None:
    all_of = accounts(Clock(), limit=1000, max_in_flight_share=0.5)
    a, b, c = all_of.of("a"), all_of.of("b"), all_of.of("c")
    a.take(500)
    with pytest.raises(Refused) as caught:
        a.take(1)
    assert caught.value.reason is Reason.RATE_LIMITED
    b.take(500)
    with pytest.raises(Refused) as caught:
        c.take(1)
    assert caught.value.reason is Reason.UNAVAILABLE
    a.give(500)
    c.take(500)
    assert all_of.of("a") is a


def test_without_a_configuration_only_the_budget_of_all_counts() -> None:
    account = Accounts(Budget(1000)).of("default")
    account.charge(10**12, 0.0)
    account.take(1000)
    with pytest.raises(Refused) as caught:
        account.take(1)
    assert caught.value.reason is Reason.UNAVAILABLE


@pytest.mark.parametrize("settings", [{"bytes_per_s_of": {"a/b": 1}}, {"bytes_per_s_of": {"a": 0}}, {"rate": 1}])
def test_a_wrong_setting_is_an_error(settings: dict[str, object]) -> None:
    with pytest.raises(ValueError, match=r"tenant|rate"):
        TenantsConfig.model_validate(settings)
