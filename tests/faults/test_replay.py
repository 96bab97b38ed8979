"""REPLAY: kill -9 and power cuts while a quarantine is replayed.

Injected: SIGKILL of a collector before and behind the sync of what it replays; on a simulated disk, kill -9 and a power
cut behind every system call of a replay of some steps, into a journal without room for the whole of it.
Holds: each log record is in the table once, also without an id; in the ledger it is stored, once, and quarantined no
more; nobody has to ask again. A journal without room takes what fits, and never the same twice.
Figure: some 600 ends on the simulated disk, 0 records lost, 0 twice.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest

from collector.journal import requests
from collector.journal.fs import Fs
from collector.journal.quarantine import find
from tests.faults.content import post
from tests.faults.harness import until
from tests.journal.test_replay import hold

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.faults.harness import Collector, Launch

RECORDS = 3
STATES = "SELECT state, sum(count) AS n FROM ledger WHERE signal = 'logs' GROUP BY state HAVING n != 0 ORDER BY state"


def log_record(n: int) -> ExportLogsServiceRequest:
    request = ExportLogsServiceRequest()
    request.resource_logs.add().scope_logs.add().log_records.add().body.string_value = f"number {n}"
    return request


def states(collector: Collector) -> dict[str, int]:
    return {row["state"]: int(row["n"]) for row in collector.rows(STATES)}


@pytest.mark.parametrize(
    "place", [pytest.param("journal.before_sync", marks=pytest.mark.thorough), "journal.after_sync"]
)
def test_a_collector_that_is_killed_within_a_replay_stores_each_once(launch: Launch, place: str) -> None:
    collector = launch().start(failpoints="delivery.after_decode=raise@1+")
    for n in range(RECORDS):
        post(collector, "logs", log_record(n))
    folder = collector.journal / "quarantine"
    until(lambda: sum(k.as_row()["records"] for k in find(folder)) == RECORDS, "all are in quarantine")
    until(lambda: states(collector) == {"quarantined": RECORDS}, "the ledger says so")
    collector.terminate()
    collector.start(failpoints=f"{place}=exit@1")
    for kept in find(folder):
        requests.ask(Fs(), collector.journal, "replay", id=kept.id)
    assert collector.wait() == -9
    collector.start()
    until(lambda: not find(folder), "what was asked for is done")
    until(lambda: states(collector) == {"stored": RECORDS}, "the ledger says so")
    (row,) = collector.rows("SELECT count() AS n, uniqExact(body) AS different FROM events")
    assert (int(row["n"]), int(row["different"])) == (RECORDS, RECORDS)
    assert not list(folder.iterdir())


def test_no_end_within_a_replay_loses_a_record_or_makes_it_twice(
    tmp_path: Path, record_property: Callable[[str, object], None]
) -> None:
    ends = hold(tmp_path, ["kill", None, 1])
    assert ends > 300
    record_property("figure", f"{ends} ends, 0 lost, 0 twice")
