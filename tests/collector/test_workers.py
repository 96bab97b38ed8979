"""Several processes share the ports, each with a journal; whatever their number, every span is stored once."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import urllib.request
from functools import partial
from typing import TYPE_CHECKING, Any

import grpc
import pytest

from collector.config import parse
from collector.journal.inspect import inspect
from collector.workers.plan import extensions_of_the_whole, leftovers, part_of, require_sharable
from collector.workers.whole import of_the_past, together
from exporters.clickhouse.connect import connect
from schema.errors import ConfigError
from tests.collector.conftest import BIN, running, spans_request
from tests.collector.test_service import post, until

if TYPE_CHECKING:
    from pathlib import Path

    from collector.components import Registry
    from collector.config import Config
    from tests.collector.conftest import Running

CONFIG = """\
receivers:
  otlp:
    protocols: {{grpc: {{endpoint: "127.0.0.1:{grpc}"}}, http: {{endpoint: "127.0.0.1:{http}"}}}}
processors: {{normalise: , failure: , sample: }}
exporters:
  clickhouse: {{dsn: "{dsn}"}}
extensions:
  health_check: {{endpoint: "127.0.0.1:0"}}
  settle:
service:
  data_dir: {folder}/data
  shutdown_timeout_s: {drain_s}
  extensions: [health_check, settle]
  workers: {workers}
  journal: {{max_bytes: 16777216, batch_linger_s: 0.02}}
  telemetry: {{logs: {{level: warn}}}}
  pipelines:
    traces: {{receivers: [otlp], processors: [normalise, failure, sample], exporters: [clickhouse]}}
"""
EXPORT = "/opentelemetry.proto.collector.trace.v1.TraceService/Export"
SERVER = "http://127.0.0.1:1/nowhere"
"""Nothing listens there."""


def free_ports() -> tuple[int, int]:
    with socket.create_server(("127.0.0.1", 0)) as one, socket.create_server(("127.0.0.1", 0)) as other:
        return one.getsockname()[1], other.getsockname()[1]


def text(folder: Path, *, workers: int, dsn: str = SERVER, drain_s: float = 10) -> str:
    grpc, http = free_ports()
    return CONFIG.format(folder=folder, workers=workers, dsn=dsn, drain_s=drain_s, grpc=grpc, http=http)


def config(folder: Path, registry: Registry, *, workers: int, dsn: str = SERVER) -> Config:
    return parse(text(folder, workers=workers, dsn=dsn), "c.yaml", registry, {})


def run(folder: Path, **settings: Any) -> list[str]:
    """Return the command line of a collector; its configuration is written anew."""
    file = folder / "collector.yaml"
    file.write_text(text(folder, **settings))
    return [str(BIN / "evalgate-collector"), "run", "--config", str(file)]


def status(ready: dict[str, Any]) -> dict[str, Any]:
    with urllib.request.urlopen(ready["health_check"], timeout=10) as answer:  # noqa: S310 - loopback
        found: dict[str, Any] = json.load(answer)
        return found


def stored(dsn: str) -> list[int]:
    """Return the span ids that the database holds, in order, each as often as it is there."""
    with connect(dsn) as db:
        found = db.rows("SELECT reinterpretAsUInt64(reverse(toString(span_id))) AS id FROM spans ORDER BY id")
        return [row["id"] for row in found]


def waiting(folder: Path) -> int:
    """Return how many requests wait in all journals, as the command says."""
    command = [str(BIN / "evalgate-collector"), "journal", "status", "--json"]
    command += ["--directory", str(folder / "data" / "journal")]
    found = json.loads(subprocess.run(command, capture_output=True, check=True).stdout)
    return sum(one["backlog_records"] for one in found.get("journals", [found]))


def ended(service: Running) -> int:
    """Tell it to stop; return its exit code."""
    service.process.terminate()
    return service.wait()


# -- who does what -----------------------------------------------------------------------------------------------


def test_each_worker_has_a_journal_of_its_own_and_its_part_of_the_room(tmp_path: Path, registry: Registry) -> None:
    whole = config(tmp_path, registry, workers=3)
    parts = [part_of(whole, n, first_start=True) for n in range(3)]
    journals = [p.config.service.journal for p in parts]
    assert [j.directory for j in journals] == [tmp_path / "data" / "journal" / str(n) for n in range(3)]
    assert sum(j.max_bytes or 0 for j in journals) <= 16777216
    assert [p.port_sharing for p in parts] == ["first", "more", "more"]
    assert part_of(whole, 0, first_start=False).port_sharing == "more"


def test_what_is_there_once_runs_once(tmp_path: Path, registry: Registry) -> None:
    whole = config(tmp_path, registry, workers=2)
    first, second = (part_of(whole, n, first_start=True).config.extensions for n in range(2))
    assert (set(first), set(second), set(extensions_of_the_whole(whole))) == ({"settle"}, set(), {"health_check"})


def test_journals_of_another_number_of_workers_are_found(tmp_path: Path) -> None:
    assert leftovers(tmp_path / "nothing", 2) == ()
    for name in ("0", "1", "2", "10", "quarantine"):
        (tmp_path / name).mkdir()
    names = [p.name for p in leftovers(tmp_path, 2)]
    assert names == ["2", "10"]
    assert [p.name for p in leftovers(tmp_path, 1)] == ["0", "1", "2", "10"]
    (tmp_path / "cursor").touch()
    assert leftovers(tmp_path, 2)[0] == tmp_path
    assert tmp_path not in leftovers(tmp_path, 1)


def test_an_embedded_database_has_one_process(tmp_path: Path, registry: Registry) -> None:
    whole = config(tmp_path, registry, workers=2, dsn=f"chdb://{tmp_path}/db")
    with pytest.raises(ConfigError, match=r"embedded database, which one process owns. Set exporters.clickhouse.dsn"):
        require_sharable(whole)
    require_sharable(config(tmp_path, registry, workers=2))


def test_a_journal_too_small_to_be_divided_is_refused(tmp_path: Path, registry: Registry) -> None:
    with pytest.raises(ConfigError, match=r"max_bytes 16777216 is divided among 32 workers"):
        require_sharable(config(tmp_path, registry, workers=32))


def test_the_status_of_the_whole_adds_counts_and_keeps_the_worst() -> None:
    one = {
        "journal": {"backlog_records": 2, "failed": False, "directory": "a"},
        "delivery": {"spans": 5, "oldest_unix_ns": 30, "waiting_for": None, "last_stored_unix_ns": 7},
        "receivers": {"otlp": {"traces": {"accepted": 5, "refused_requests": {"unavailable": 1}}}},
    }
    other = {
        "journal": {"backlog_records": 3, "failed": True, "directory": "b"},
        "delivery": {"spans": 6, "oldest_unix_ns": 20, "waiting_for": "exporter", "last_stored_unix_ns": 9},
        "receivers": {"otlp": {"traces": {"accepted": 1, "refused_requests": {"bad_data": 4}}}},
        "tenants": {"default": {"requests": 2}},
    }
    whole = together([one, other])
    assert whole["journal"] == {"backlog_records": 5, "failed": True, "directory": "a"}
    assert whole["delivery"] == {
        "spans": 11,
        "oldest_unix_ns": 20,
        "waiting_for": "exporter",
        "last_stored_unix_ns": 9,
    }
    assert whole["receivers"]["otlp"]["traces"] == {
        "accepted": 6,
        "refused_requests": {"unavailable": 1, "bad_data": 4},
    }
    assert whole["tenants"] == {"default": {"requests": 2}}
    assert whole["baseline_rates"] == []
    rates = [{"tenant": "acme", "rule": "", "rate": 0.5}]
    assert together([{**one, "baseline_rates": rates}, other])["baseline_rates"] == rates, "worker 0 computes them"
    with_past = together([one, of_the_past(other)])
    assert with_past["journal"]["backlog_records"] == 2
    assert (with_past["delivery"]["spans"], with_past["delivery"]["waiting_for"]) == (11, None)


def test_the_ledger_of_the_whole_adds_what_was_booked_and_a_worker_that_ended_waits_for_nothing() -> None:
    def status(stored: int, waits: int) -> dict[str, Any]:
        booked = {"acme": {"traces": {"stored": {"": {"count": stored, "uncounted_requests": 0}}}}}
        return {"ledger": {"booked": booked, "in_journal": {"acme": {"traces": waits}}, "failing": ""}}

    whole = together([status(5, 1), status(7, 2)])["ledger"]
    assert whole["in_journal"] == {"acme": {"traces": 3}}
    assert whole["booked"]["acme"]["traces"]["stored"][""]["count"] == 12
    with_past = together([status(5, 1), of_the_past(status(7, 2))])["ledger"]
    assert with_past["in_journal"] == {"acme": {"traces": 1}}
    assert with_past["booked"]["acme"]["traces"]["stored"][""]["count"] == 12


# -- as processes ------------------------------------------------------------------------------------------------


def test_an_embedded_database_is_refused_at_the_start(tmp_path: Path) -> None:
    command = run(tmp_path, workers=2, dsn=f"chdb://{tmp_path}/db")
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=30, check=False)
    assert done.returncode == 2
    assert "embedded database, which one process owns" in done.stderr


@pytest.mark.server
def test_every_span_is_stored_once_though_a_worker_is_killed(tmp_path: Path, clickhouse_server: str) -> None:
    dsn = f"{clickhouse_server}/workers_{os.getpid()}_kill"
    connect(dsn, create_database=True).close()
    with running(run(tmp_path, workers=2, dsn=dsn), tmp_path) as service:
        http = service.ready["http"]
        for i in range(1, 41):  # each over a connection of its own, which the kernel gives to one of the workers
            assert post(http, spans_request(i)) == 200
        victim = status(service.ready)["workers"][1]["pid"]
        os.kill(victim, signal.SIGKILL)
        until(lambda: status(service.ready)["workers"][1]["starts"] == 2, "the worker is started again")
        for i in range(41, 61):
            until(partial(_posted, http, i), "the other worker takes it")
        until(lambda: status(service.ready)["workers"][1]["state"] == "running", "the worker runs again")
        assert ended(service) == 0
    assert stored(dsn) == list(range(1, 61))
    assert not list((tmp_path / "data" / "journal").glob("*/quarantine/*"))


def _posted(http: str, span_id: int) -> bool:
    """Send until it is taken: a connection that a killed worker held is reset."""
    try:
        return post(http, spans_request(span_id)) == 200
    except OSError:
        return False


@pytest.mark.server
@pytest.mark.thorough
def test_workers_whose_parent_is_killed_drain_and_end(tmp_path: Path, clickhouse_server: str) -> None:
    dsn = f"{clickhouse_server}/workers_{os.getpid()}_orphans"
    connect(dsn, create_database=True).close()
    with running(run(tmp_path, workers=2, dsn=dsn), tmp_path) as service:
        pids = [w["pid"] for w in status(service.ready)["workers"]]
        for i in range(1, 11):
            assert post(service.ready["http"], spans_request(i)) == 200
        service.process.kill()
        until(lambda: not any(_is_alive(pid) for pid in pids), "the workers end")
    assert stored(dsn) == list(range(1, 11))
    assert waiting(tmp_path) == 0


def _is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


@pytest.mark.server
@pytest.mark.thorough
def test_grpc_is_shared_too_and_each_worker_takes_its_part(tmp_path: Path, clickhouse_server: str) -> None:
    dsn = f"{clickhouse_server}/workers_{os.getpid()}_grpc"
    connect(dsn, create_database=True).close()
    with running(run(tmp_path, workers=2, dsn=dsn), tmp_path) as service:
        sent = 0

        def both_have_some() -> bool:
            nonlocal sent
            sent += 1
            with grpc.insecure_channel(service.ready["grpc"], options=[("grpc.use_local_subchannel_pool", 1)]) as one:
                export: grpc.UnaryUnaryMultiCallable[bytes, bytes] = one.unary_unary(EXPORT)
                export(spans_request(sent), timeout=10, wait_for_ready=True)
            journals = [inspect(tmp_path / "data" / "journal" / str(n)) for n in range(2)]
            return all(j["next_sequence"] > 1 for j in journals)

        until(both_have_some, "each worker takes a connection")
        assert ended(service) == 0
    assert stored(dsn) == list(range(1, sent + 1))


@pytest.mark.server
@pytest.mark.parametrize(
    ("before", "after"),
    [
        pytest.param(2, 1, marks=pytest.mark.thorough),
        pytest.param(3, 1, marks=pytest.mark.thorough),
        pytest.param(3, 2, marks=pytest.mark.thorough),
        pytest.param(1, 2, marks=pytest.mark.thorough),
    ],
)
def test_what_another_number_of_workers_left_is_delivered(
    tmp_path: Path, clickhouse_server: str, before: int, after: int
) -> None:
    dsn = f"{clickhouse_server}/workers_{os.getpid()}_{before}_{after}"
    connect(dsn, create_database=True).close()
    with running(run(tmp_path, workers=before, drain_s=0), tmp_path) as service:
        for i in range(1, 31):
            assert post(service.ready["http"], spans_request(i)) == 200
        assert ended(service) == 0
    assert waiting(tmp_path) == 30
    with running(run(tmp_path, workers=after, dsn=dsn), tmp_path) as service:
        assert post(service.ready["http"], spans_request(31)) == 200
        until(lambda: status(service.ready)["delivery"]["spans"] == 31, "all is delivered")
        assert ended(service) == 0
    assert stored(dsn) == list(range(1, 32))
    assert waiting(tmp_path) == 0
