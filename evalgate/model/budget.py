"""What may be spent on models: calls and US dollars, counted before they are spent, by all threads together.

    reserve(estimate) ──▶ Reservation ──▶ spend(cost) | lose() | release()
          └────────────▶ NoBudget: why the call must not be made

A call is reserved at the most that it may cost, so that many calls at once do not go over together. Where only calls
on their way stand between a call and the budget, it waits until they are settled. Whoever reserves settles, always.
"""

from __future__ import annotations

import threading
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class NoBudget:
    """The call must not be made."""

    message: str
    cure: str
    """The option that would let it be made."""


class Budget:
    """Counts calls and money. All amounts are US dollars."""

    def __init__(
        self, max_calls: int | None = None, max_usd: float | None = None, *, allow_unpriced: bool = False
    ) -> None:
        self.max_calls = max_calls
        self.max_usd = max_usd
        self.allow_unpriced = allow_unpriced
        self._calls = 0
        self._usd = 0.0
        self._usd_in_doubt = 0.0
        self._unpriced = 0
        self._unpriced_models: set[str] = set()
        self._refused = 0
        self._cure: str | None = None
        self._pending_calls = 0
        self._pending_usd = 0.0
        self._changed = threading.Condition()

    @property
    def calls(self) -> int:
        """Calls that were made: answered, or lost on the way after they were sent."""
        with self._changed:
            return self._calls

    @property
    def usd(self) -> float:
        """What the answers cost whose price is known."""
        with self._changed:
            return self._usd

    @property
    def usd_in_doubt(self) -> float:
        """The most that lost calls may have cost: the provider may have answered when nobody listened any longer."""
        with self._changed:
            return self._usd_in_doubt

    @property
    def unpriced(self) -> int:
        """Calls whose price nobody knows; they are in `calls` and not in `usd`."""
        with self._changed:
            return self._unpriced

    @property
    def unpriced_models(self) -> tuple[str, ...]:
        """Their models, sorted."""
        with self._changed:
            return tuple(sorted(self._unpriced_models))

    @property
    def refused(self) -> int:
        """Calls that were not made because of the budget."""
        with self._changed:
            return self._refused

    @property
    def cure(self) -> str | None:
        """The option that was in the way of the first call that was not made, None where all were made."""
        with self._changed:
            return self._cure

    def reserve(self, estimate_usd: float | None, model: str = "") -> Reservation | NoBudget:
        """Put one call aside that costs at most `estimate_usd` (None: nobody knows), or say why it must not be made."""
        reserved = self._reserve(estimate_usd, model)
        if isinstance(reserved, NoBudget):
            with self._changed:
                self._refused += 1
                self._cure = self._cure or reserved.cure
        return reserved

    def _reserve(self, estimate_usd: float | None, model: str) -> Reservation | NoBudget:
        if estimate_usd is None and self.max_usd is not None and not self.allow_unpriced:
            return NoBudget(
                f"no price is known of the model {model!r}, so --max-usd cannot be kept. "
                "Give it with --judge-price IN/OUT (US dollars per million tokens), or allow it: --allow-unpriced",
                "--allow-unpriced",
            )
        cost = estimate_usd or 0.0
        with self._changed:
            while True:
                if self.max_calls is not None and self._calls >= self.max_calls:
                    return NoBudget(f"the budget of {self.max_calls} calls is spent (--max-calls)", "--max-calls N")
                spent = self._usd + self._usd_in_doubt
                if self.max_usd is not None and cost > 0 and spent + cost > self.max_usd:
                    return NoBudget(
                        f"this call may cost ${cost:.4f} and ${max(0.0, self.max_usd - spent):.4f} "
                        f"of ${self.max_usd:g} is left (--max-usd)",
                        "--max-usd USD",
                    )
                calls_fit = self.max_calls is None or self._calls + self._pending_calls < self.max_calls
                money_fits = self.max_usd is None or cost == 0 or spent + self._pending_usd + cost <= self.max_usd
                if calls_fit and money_fits:
                    self._pending_calls += 1
                    self._pending_usd += cost
                    return Reservation(self, estimate_usd, model)
                self._changed.wait()

    def _settle(
        self, reserved_usd: float | None, *, calls: int, usd: float | None, in_doubt: float, model: str
    ) -> None:
        with self._changed:
            self._pending_calls -= 1
            self._pending_usd -= reserved_usd or 0.0
            if self._pending_calls == 0:
                self._pending_usd = 0.0  # no dust of floats
            self._calls += calls
            self._usd_in_doubt += in_doubt
            if usd is not None:
                self._usd += usd
            elif calls:
                self._unpriced += calls
                self._unpriced_models.add(model)
            self._changed.notify_all()


class Reservation:
    """One call that was put aside. Exactly one of its methods is called, once; a second one does nothing."""

    def __init__(self, budget: Budget, estimate_usd: float | None, model: str) -> None:
        self._budget = budget
        self._estimate_usd = estimate_usd
        self._model = model
        self._is_open = True

    def spend(self, cost_usd: float | None) -> None:
        """Count an answer that cost so much; None: nobody knows."""
        self._settle(calls=1, usd=cost_usd, in_doubt=0.0)

    def lose(self) -> None:
        """Count a call that was sent and not answered: it may have cost all that was reserved."""
        known = self._estimate_usd is not None
        self._settle(calls=1, usd=0.0 if known else None, in_doubt=self._estimate_usd or 0.0)

    def release(self) -> None:
        """Give it back: the endpoint did not take the call, so it cost nothing."""
        self._settle(calls=0, usd=0.0, in_doubt=0.0)

    def _settle(self, *, calls: int, usd: float | None, in_doubt: float) -> None:
        if self._is_open:
            self._is_open = False
            self._budget._settle(self._estimate_usd, calls=calls, usd=usd, in_doubt=in_doubt, model=self._model)  # noqa: SLF001 - one idea in two classes
