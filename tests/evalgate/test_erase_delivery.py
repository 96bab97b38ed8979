"""An erasure waits as long as it must for what is being delivered, and says so where it may not."""

from __future__ import annotations

from dataclasses import dataclass, field

from evalgate.erase.delivery import SAY_EVERY_S, await_delivery
from schema.erasure import Waiting

HOUR_S = 3600.0


@dataclass
class Journal:
    """One that delivers at a time of a clock that moves when somebody sleeps."""

    delivered_s: float
    is_stuck: bool = False
    now_s: float = 0.0
    said: list[str] = field(default_factory=list)

    def waiting(self) -> list[Waiting]:
        return (
            [] if self.now_s >= self.delivered_s else [Waiting("journal", 3, "not delivered", is_stuck=self.is_stuck)]
        )

    def sleep(self, seconds: float) -> None:
        self.now_s += seconds

    def wait(self, timeout_s: float) -> list[Waiting]:
        found = await_delivery(self.waiting, timeout_s, self.said.append, sleep=self.sleep, now_s=lambda: self.now_s)
        return [*found]


def test_an_hour_is_waited_and_it_is_said_meanwhile() -> None:
    journal = Journal(delivered_s=HOUR_S)
    assert journal.wait(2 * HOUR_S) == []
    assert journal.now_s >= HOUR_S
    assert HOUR_S / SAY_EVERY_S * 0.9 < len(journal.said) <= HOUR_S / SAY_EVERY_S + 1
    assert "3 requests that came before" in journal.said[0]


def test_when_the_time_is_up_what_waits_is_told() -> None:
    journal = Journal(delivered_s=HOUR_S)
    (left,) = journal.wait(60)
    assert (left.requests, journal.now_s >= 60, journal.now_s < 61) == (3, True, True)


def test_what_nobody_delivers_is_not_waited_for() -> None:
    journal = Journal(delivered_s=HOUR_S, is_stuck=True)
    assert len(journal.wait(60)) == 1
    assert journal.now_s == 0


def test_nothing_under_way_costs_no_time() -> None:
    journal = Journal(delivered_s=0)
    assert (journal.wait(60), journal.now_s, journal.said) == ([], 0, [])
