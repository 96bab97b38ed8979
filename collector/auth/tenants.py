"""What one tenant may take of a receiver, so that a flood of one does not stop the others.

    rate     bytes a second, as they come: a bucket that may go into debt, so one large request passes and is paid for
             afterwards. Known from the head of a request, a refusal costs no body.
    share    the part of the bytes in flight, over all protocols, that one tenant may have

Both refuse with RATE_LIMITED and a delay. Tenants come from keys, so there are at most `schema.identity.MAX_TENANTS`.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Final, Protocol

from pydantic import Field, field_validator

from schema.component import ComponentConfig
from schema.errors import Reason, Refused
from schema.identity import check_tenant

if TYPE_CHECKING:
    from collections.abc import Callable

BURST_S: Final = 2.0
"""So many seconds of its rate a tenant may send at once after a quiet time."""
LONGEST_DELAY_S: Final = 60.0


class TenantsConfig(ComponentConfig):
    """`tenants` of a receiver, with auth.mode keys."""

    max_bytes_per_s: int | None = Field(default=None, ge=1)
    """Of each tenant, of bodies as they come, compressed or not; of each worker. Unset: no limit."""
    max_in_flight_share: float = Field(default=0.5, gt=0, le=1)
    """Of max_in_flight_bytes. Half, so that one tenant alone never fills it."""
    bytes_per_s_of: dict[str, int] = Field(default_factory=dict)
    """Tenants with a rate of their own: name → bytes a second."""

    @field_validator("bytes_per_s_of")
    @classmethod
    def _named(cls, rates: dict[str, int]) -> dict[str, int]:
        for tenant, rate in rates.items():
            check_tenant(tenant)
            if rate < 1:
                raise ValueError(f"{tenant}: {rate} is no rate; 1 at least")
        return rates


class Bytes(Protocol):
    """A budget of bytes in flight (`collector.receivers.intake.Budget`)."""

    def take(self, n_bytes: int) -> None:
        """Count bytes in. Raises Refused when that would be too many; nothing is counted then."""

    def give(self, n_bytes: int) -> None:
        """Count bytes out."""


class Account:
    """What one tenant has now. Used on the event loop alone."""

    def __init__(self, budget: Bytes, *, limit_bytes: int | None, rate: int | None, now_s: float) -> None:
        self._budget = budget
        self._limit_bytes = limit_bytes
        self._in_flight_bytes = 0
        self._rate = rate
        self._balance = 0.0 if rate is None else rate * BURST_S
        self._at_s = now_s

    def charge(self, n_bytes: int, now_s: float) -> None:
        """Pay for a request.

        Raises:
            Refused: RATE_LIMITED, with the time until the tenant is out of debt. Nothing is paid then.

        """
        if self._rate is None:
            return
        self._balance = min(self._rate * BURST_S, self._balance + (now_s - self._at_s) * self._rate)
        self._at_s = now_s
        if self._balance <= 0:
            raise Refused(
                Reason.RATE_LIMITED,
                f"this tenant sends more than {self._rate} bytes a second (tenants.max_bytes_per_s); slow down",
                retry_after_s=min(LONGEST_DELAY_S, 0.1 - self._balance / self._rate),
            )
        self._balance -= n_bytes

    def take(self, n_bytes: int) -> None:
        """Count bytes in flight in.

        Raises:
            Refused: RATE_LIMITED where the tenant has its share, UNAVAILABLE where all have too much.

        """
        if self._limit_bytes is not None and self._in_flight_bytes + n_bytes > self._limit_bytes:
            raise Refused(
                Reason.RATE_LIMITED,
                f"{self._in_flight_bytes} bytes of this tenant are in flight; its share is {self._limit_bytes}; wait",
                retry_after_s=1.0,
            )
        self._budget.take(n_bytes)
        self._in_flight_bytes += n_bytes

    def give(self, n_bytes: int) -> None:
        """Count bytes in flight out."""
        self._budget.give(n_bytes)
        self._in_flight_bytes -= n_bytes


class Accounts:
    """The accounts of all tenants of a receiver. Used on the event loop alone."""

    def __init__(
        self,
        budget: Bytes,
        *,
        config: TenantsConfig | None = None,
        max_in_flight_bytes: int = 0,
        clock_s: Callable[[], float] = time.monotonic,
    ) -> None:
        """Without a configuration nobody is limited beyond the budget of all."""
        self._budget = budget
        self._config = config
        self._max_in_flight_bytes = max_in_flight_bytes
        self._accounts: dict[str, Account] = {}
        self.now_s = clock_s

    def of(self, tenant: str) -> Account:
        """Return the account of a tenant whose credentials were good."""
        account = self._accounts.get(tenant)
        if account is None:
            account = self._accounts[tenant] = self._open(tenant)
        return account

    def _open(self, tenant: str) -> Account:
        config = self._config
        if config is None:
            return Account(self._budget, limit_bytes=None, rate=None, now_s=self.now_s())
        return Account(
            self._budget,
            limit_bytes=int(config.max_in_flight_share * self._max_in_flight_bytes),
            rate=config.bytes_per_s_of.get(tenant, config.max_bytes_per_s),
            now_s=self.now_s(),
        )
