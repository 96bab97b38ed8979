"""T3: daylight saving time, leap seconds, another time zone.

Injected: a host in New York around the hours when its clocks change, then in Tokyo around a midnight of UTC, then in
Lord Howe (half an hour of daylight saving); times of spans in and around a leap second; senders and readers elsewhere.
Holds: times are UTC everywhere: what is stored is what was sent to the nanosecond, a row lies in the partition of its
UTC day, and `evalgate traces` says the same in every zone.
A zone that the embedded database does not know is named at the start.
Figure: 4 moments in 3 zones.
"""

from __future__ import annotations

import subprocess
import sys
import time
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from tests.faults.harness import Producer, conserve
from tests.faults.harness.producer import Requests
from tests.faults.harness.wall_clock import WallClock

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.faults.harness import Collector, Launch

EVALGATE = Path(sys.executable).with_name("evalgate")
MOMENTS = (
    ("America/New_York", "2026-03-08T06:59:59"),  # 01:59:59 is followed by 03:00:00
    ("America/New_York", "2026-11-01T05:59:59"),  # 01:59:59 is followed by 01:00:00
    ("Asia/Tokyo", "2026-06-30T23:59:59"),  # the day of UTC ends at nine in the morning
    ("Australia/Lord_Howe", "2026-04-04T14:59:59"),
)
LEAP_SECOND = 1_483_228_800
"""2017-01-01T00:00:00Z; the second before it had this number too, by POSIX."""
ROWS = """
SELECT toUnixTimestamp64Nano(start_time) AS start_unix_ns, toUnixTimestamp64Nano(received_at) AS received_unix_ns,
    toString(_partition_value.1) AS day
FROM spans WHERE hex(trace_id) LIKE {run:String} ORDER BY sequence
"""


def test_times_are_utc_whatever_the_host_thinks(
    launch: Launch, tmp_path: Path, record_property: Callable[[str, object], None]
) -> None:
    clock = WallClock(tmp_path)
    collector = launch(environment=clock.environment)
    for zone, moment in MOMENTS:
        at = datetime.fromisoformat(moment).replace(tzinfo=UTC)
        clock.move(int(at.timestamp() - time.time()) + 1)
        collector.start(environment={"TZ": zone})
        for before_s in (1, 0):  # on both sides of the change
            clock.move(int(at.timestamp() - time.time()) + 1 - before_s + (not before_s) * 2)
            producer = Producer(collector)
            producer.send(2)
            conserve(collector, producer)
            for row in rows_of(collector, producer):
                received_s = row["received_unix_ns"] / 1e9
                assert abs(received_s - at.timestamp()) < 60
                assert row["day"] == datetime.fromtimestamp(received_s, UTC).date().isoformat()
        collector.kill()
    record_property("figure", f"{len(MOMENTS)} moments in {len({z for z, _ in MOMENTS})} zones")


def test_a_leap_second_is_a_second_as_any_other(launch: Launch) -> None:
    collector = launch().start()
    for start_unix_ns in (LEAP_SECOND * 10**9 - 1, LEAP_SECOND * 10**9, LEAP_SECOND * 10**9 + 999_999_999):
        producer = Producer(collector, requests=Requests(1, 5, now_unix_ns=partial(int, start_unix_ns + 2_000_000)))
        producer.send(1)
        conserve(collector, producer)
        assert [row["start_unix_ns"] for row in rows_of(collector, producer)] == [start_unix_ns]


@pytest.mark.quick
def test_a_zone_that_the_database_does_not_know_is_named(launch: Launch) -> None:
    collector = launch().start(environment={"TZ": "Nowhere/Near"}, wait=False)
    assert collector.wait() == 2
    assert "it may not know TZ=Nowhere/Near: set TZ" in collector.log


def test_the_terminal_says_the_same_in_every_zone(launch: Launch) -> None:
    collector = launch().start()
    producer = Producer(collector)
    producer.send(2)
    conserve(collector, producer)

    def said(zone: str) -> str:
        command = [str(EVALGATE), "traces", "--json", "--dsn", collector.dsn]
        return subprocess.run(
            command, env={**collector.environment, "TZ": zone}, capture_output=True, text=True, check=True
        ).stdout

    assert said("UTC") == said("America/New_York") == said("Asia/Kolkata")
    assert producer.run in said("UTC")


def rows_of(collector: Collector, producer: Producer) -> list[dict[str, Any]]:
    return collector.rows(ROWS, {"run": f"{producer.run.upper()}%"})
