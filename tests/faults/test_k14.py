"""K14: a request ends the process that reads it, as the kernel's OOM killer would.

Injected: a processor that kills its process on one span, in a real collector that is started again each time; and in
the child process alone: a kill, a hang, and memory without end against the child's limit.
Holds: on the third attempt the batch is read in a child process first; the request is quarantined with the reason, all
others are stored once, and there is no crash loop.
Figure: starts until everything is delivered.
"""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
import urllib.request
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from collector.components import Registry
from collector.delivery.suspect import Child, Recipe
from collector.journal import Record
from schema.component import ENTRY_POINTS
from tests.collector.conftest import STRANGERS, spans_request
from tests.faults.harness import until

if TYPE_CHECKING:
    from collections.abc import Callable

ROOT = Path(__file__).parents[2]
CONFIG = """
receivers: {{otlp: {{protocols: {{http: {{endpoint: "127.0.0.1:0"}}}}}}}}
processors: {{deadly: }}
exporters: {{count: {{path: {folder}/out}}}}
service:
  data_dir: {folder}/data
  journal: {{max_bytes: 16777216, batch_linger_s: 0.5}}
  pipelines: {{traces: {{receivers: [otlp], processors: [deadly], exporters: [count]}}}}
"""
RUN = """
import asyncio, sys
from importlib.metadata import entry_points
from collector.components import Registry
from collector.config import parse
from collector.service import Service
from tests.collector.conftest import STRANGERS
async def main():
    registry = Registry([*entry_points(group="otel_evalgate.components"), *STRANGERS])
    service = Service(parse(open(sys.argv[1]).read(), "c.yaml", registry, {}))
    await service.start()
    print(service.endpoints()["otlp"]["http"], flush=True)
    await asyncio.to_thread(sys.stdin.read)
    await service.stop()
asyncio.run(main())
"""
assert ENTRY_POINTS == "otel_evalgate.components"


def post(address: str, body: bytes) -> int:
    request = urllib.request.Request(f"http://{address}/v1/traces", body, {"Content-Type": "application/x-protobuf"})
    with urllib.request.urlopen(request, timeout=10) as answer:  # noqa: S310 - as above
        return int(answer.status)


@pytest.mark.usefixtures("kernels")
def test_a_request_that_kills_is_set_aside_on_the_third_attempt(
    tmp_path: Path, record_property: Callable[[str, object], None]
) -> None:
    (tmp_path / "c.yaml").write_text(CONFIG.format(folder=tmp_path))
    command = [sys.executable, "-c", RUN, str(tmp_path / "c.yaml")]
    quarantine = tmp_path / "data" / "journal" / "quarantine"
    for start in range(1, 4):
        with subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
            assert process.stdout is not None
            try:
                address = process.stdout.readline().decode().strip()
                if start == 1:
                    bodies = [spans_request(1), spans_request(2), spans_request(666, name="kill"), spans_request(3)]
                    assert [post(address, body) for body in bodies] == [200] * 4
                if start < 3:
                    assert process.wait(30) == -9
                else:
                    until(lambda: (tmp_path / "out").read_text() != "", "the others are stored")
                    assert post(address, spans_request(4)) == 200
                    until(lambda: f"{4:016x}" in (tmp_path / "out").read_text(), "a fresh span flows")
                    process.communicate(timeout=30)
                    assert process.returncode == 0
            finally:
                process.kill()
    stored = [s for line in (tmp_path / "out").read_text().splitlines() for s in json.loads(line)["spans"]]
    assert sorted(stored) == [f"{i:016x}" for i in (1, 2, 3, 4)]
    kept = [p for p in quarantine.iterdir() if p.suffix == ".seg"]
    assert len(kept) == 1
    about = json.loads(kept[0].with_name(kept[0].name + ".json").read_text())
    assert "ends the process that reads it" in about["reason"]
    record_property("figure", "1 of 4 requests quarantined at the third start, 3 stored once")


@pytest.mark.parametrize(
    ("word", "range_timeout_s", "says"),
    [("kill", 30, "signal 9"), ("hang", 2, "took longer than 2 s"), ("swell", 30, "ends the process")],
)
@pytest.mark.usefixtures("kernels")
def test_the_child_finds_what_kills_hangs_and_swells(
    tmp_path: Path, word: str, range_timeout_s: float, says: str
) -> None:
    registry = Registry(STRANGERS)
    recipes = []
    for name in ("deadly", "tripping"):
        component = registry.load("processor", name)
        recipes.append(Recipe.of(component, component.config(), name, tmp_path))
    bodies = [spans_request(1), spans_request(2, name=word), spans_request(3, name="trip")]
    records = [
        Record(i, "default", "traces", "protobuf", gzip=False, received_unix_ns=1, body=b, members=1)
        for i, b in enumerate(bodies)
    ]
    found = asyncio.run(Child(tuple(recipes), range_timeout_s=range_timeout_s).killers(records))
    assert [i for i, _ in found] == [1]
    assert says in found[0][1]


@pytest.mark.usefixtures("kernels")
def test_what_can_be_read_kills_nobody(tmp_path: Path) -> None:
    record = Record(1, "d", "traces", "protobuf", gzip=False, received_unix_ns=1, body=spans_request(1), members=1)
    assert asyncio.run(Child(()).killers([record, record])) == []
