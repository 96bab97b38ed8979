"""What the container image holds, made by the script of the Dockerfile in a clean folder, and started as there.

Takes minutes, as everything is installed anew: it runs with --faults, or when this file is named (`make image`).
"""

from __future__ import annotations

import contextlib
import http.client as http_client
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Final

import pytest

from exporters.clickhouse.connect import connect
from tests.clickhouse.otlp import span, spans_record
from tests.fixtures_clickhouse import free_port

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

ROOT: Final = Path(__file__).resolve().parents[2]
UID: Final = 65532
DEADLINE_S: Final = 120.0
MAX_MB: Final = 530
"""MiB in files; 482 of them on 2026-11-21, 171 being LLVM, with Python 3.11."""

CONFIG: Final = """
receivers:
  otlp:
    protocols:
      http: {{endpoint: "127.0.0.1:{http}"}}
processors: {{normalise: , cost: , failure: , sample: , redact: , limits: }}
exporters:
  clickhouse: {{dsn: "{dsn}"}}
extensions:
  health_check: {{endpoint: "127.0.0.1:{health}"}}
service:
  data_dir: "{data}"
  extensions: [health_check]
  pipelines:
    traces: &pipeline
      receivers: [otlp]
      processors: [redact, normalise, cost, failure, sample, limits]
      exporters: [clickhouse]
    logs: *pipeline
"""
# A root that nobody can write but for two folders, and a user without any right, as a cluster would start it. The user
# is one of a namespace: of the files, he has the rights of whoever runs the test, and no capability.
START: Final = """
set -e
mount --bind {tmp} {tmp}
mount --bind {data} {data}
mount -o remount,bind,ro /
cd /
exec unshare --user --map-user={uid} --map-group={uid} \\
    env -i PATH=/usr/bin:/bin TMPDIR={tmp} $(cat {image}/environment) \\
    {image}/bin/evalgate-collector run --config {config}
"""

pytestmark = [pytest.mark.thorough, pytest.mark.server, pytest.mark.timeout(900)]


@pytest.fixture(scope="module")
def image(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the folder that the script makes, after the way of an image's layers: packed, and times cut to seconds."""
    folder = tmp_path_factory.mktemp("image")
    made = folder / "opt"
    environment = {k: v for k, v in os.environ.items() if not k.startswith(("NUMBA_", "VIRTUAL_ENV", "PYTHONPATH"))}
    subprocess.run(
        ["sh", str(ROOT / "deploy/image/install.sh"), str(made)],
        check=True,
        cwd=folder,
        env={**environment, "PYTHON": sys.executable},
    )
    subprocess.run(["tar", "--format=ustar", "-cf", "layer.tar", "opt"], check=True, cwd=folder)
    shutil.rmtree(made)
    subprocess.run(["tar", "-xf", "layer.tar"], check=True, cwd=folder)
    (folder / "layer.tar").unlink()
    return made


@pytest.fixture
def collector(image: Path, server_dsn: str, tmp_path: Path) -> Iterator[tuple[subprocess.Popen[bytes], int, int]]:
    """Start it as the image does; return the process and its ports of OTLP and of the health check."""
    if subprocess.run(["unshare", "-m", "true"], capture_output=True, check=False).returncode:
        pytest.skip("this machine lets nobody make a root that cannot be written (unshare -m)")
    http, health = free_port(), free_port()
    folders = {name: tmp_path / name for name in ("tmp", "data")}
    for folder in folders.values():
        folder.mkdir()
    config, start = tmp_path / "collector.yaml", tmp_path / "start.sh"
    config.write_text(CONFIG.format(http=http, health=health, dsn=server_dsn, data=folders["data"]))
    start.write_text(START.format(**folders, uid=UID, image=image, config=config))
    with (tmp_path / "log").open("wb") as log:
        process = subprocess.Popen(["unshare", "-m", "sh", str(start)], stdout=log, stderr=log)
    try:
        yield process, http, health
    finally:
        process.kill()
        process.wait(10)


def test_there_is_nothing_to_build_or_install_with_and_it_is_as_small_as_it_was(image: Path) -> None:
    names = {p.name for p in image.rglob("*")}
    assert not names & {"pip", "hatchling", "setuptools", "scipy", "chdb", "pytest", "gcc", "uv"}
    assert sum(p.stat().st_size for p in image.rglob("*") if p.is_file() and not p.is_symlink()) < MAX_MB << 20


def test_it_starts_warm_on_a_root_that_cannot_be_written_and_stores_what_is_sent(
    image: Path, collector: tuple[subprocess.Popen[bytes], int, int], tmp_path: Path, server_dsn: str
) -> None:
    process, http, health = collector
    until(lambda: is_healthy(image, health), tmp_path)
    status = Path(f"/proc/{process.pid}/status").read_text()
    assert "CapEff:\t0000000000000000" in status
    body = spans_record([span(1, n) for n in range(1, 6)]).body
    with contextlib.closing(http_client.HTTPConnection("127.0.0.1", http, timeout=30)) as connection:
        connection.request("POST", "/v1/traces", body, {"Content-Type": "application/x-protobuf"})
        assert connection.getresponse().status == 200
    with connect(server_dsn) as db:
        until(lambda: db.rows("SELECT count() AS n FROM spans") == [{"n": 5}], tmp_path)
    (kernels,) = (tmp_path / "tmp").glob("otel-evalgate-kernels-*")
    assert files(kernels) == files(image / "kernels"), "something was compiled that the image should hold"
    assert "compiled by another process" not in (tmp_path / "log").read_text()
    process.send_signal(signal.SIGTERM)
    assert process.wait(30) == 0
    assert not is_healthy(image, health)


def files(folder: Path) -> set[str]:
    return {str(p.relative_to(folder)) for p in folder.rglob("*.nb?")}


def is_healthy(image: Path, port: int) -> bool:
    environment = {"EVALGATE_HEALTH_ENDPOINT": f"127.0.0.1:{port}", "PATH": f"{image}/bin:{os.environ['PATH']}"}
    return (
        subprocess.run([image / "bin/healthcheck"], env=environment, capture_output=True, check=False).returncode == 0
    )


def until(is_so: Callable[[], bool], tmp_path: Path) -> None:
    deadline_s = time.monotonic() + DEADLINE_S
    while time.monotonic() < deadline_s:
        if is_so():
            return
        time.sleep(0.1)
    pytest.fail((tmp_path / "log").read_text())
