"""CVE-2025-4565: protobuf in pure Python, which recurses with its input.

Injected: the environment variable that asks for that implementation.
Holds: a collector does not start with it, and says why; the floors of protobuf and gRPC are above every known advisory
 (CVE-2026-0994: protobuf 6.33.5; CVE-2023-1428, CVE-2023-33953, CVE-2023-44487, CVE-2024-7246: gRPC 1.65).
Figure: ends with 2 and one line.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
START = """
import asyncio, pathlib, sys
from collector.receivers.otlp import OtlpConfig, OtlpReceiver
from schema.component import Context
from schema.errors import ConfigError
from google.protobuf.internal import api_implementation
print(api_implementation.Type())
config = OtlpConfig.model_validate({"protocols": {"http": {"endpoint": "127.0.0.1:0"}}})
receiver = OtlpReceiver(config, Context("otlp", pathlib.Path("."), object()))
try:
    asyncio.run(receiver.start())
except ConfigError as e:
    print(e)
    sys.exit(2)
"""


@pytest.mark.quick
def test_a_receiver_does_not_start_with_protobuf_in_pure_python() -> None:
    environment = {**os.environ, "PROTOCOL_BUFFERS_PYTHON_IMPLEMENTATION": "python"}
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", START],
        cwd=ROOT,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    backend, _, error = done.stdout.partition("\n")
    if backend != "python":
        pytest.skip(f"this protobuf has no implementation in pure Python: {backend!r}")
    assert done.returncode == 2, done.stderr
    assert "pure Python" in error
    assert "PROTOCOL_BUFFERS_PYTHON_IMPLEMENTATION" in error


@pytest.mark.quick
def test_the_floors_of_what_parses_are_above_the_advisories() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    floors = {
        m[1]: tuple(int(n) for n in m[2].split("."))
        for line in project["optional-dependencies"]["collector"]
        if (m := re.match(r"([\w-]+)>=([\d.]+)", line))
    }
    assert floors["protobuf"] >= (6, 33, 5)
    assert floors["grpcio"] >= (1, 65)
    assert floors["httptools"] >= (0, 6, 4)
