"""Where no trace came, the address that is told is that of the collector that runs."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from evalgate.select.nothing import RUNNING, nothing_yet

if TYPE_CHECKING:
    from pathlib import Path


def test_the_address_is_that_of_the_collector_that_runs_here(tmp_path: Path) -> None:
    usual = nothing_yet(tmp_path)
    assert "the address that it prints:\n  OTEL_EXPORTER_OTLP_ENDPOINT=http://127.0.0.1:4318\n" in usual
    running = tmp_path / RUNNING
    endpoints = {"web": "http://127.0.0.1:4319", "otlp/own": {"grpc": "127.0.0.1:5317", "http": "127.0.0.1:5318"}}
    running.write_text(json.dumps({"endpoints": endpoints}), "utf-8")
    assert "The collector runs; point an app at it:\n  OTEL_EXPORTER_OTLP_ENDPOINT=http://127.0.0.1:5318\n" in (
        nothing_yet(tmp_path)
    )
    for damaged in ("{", "[]", '{"endpoints": {"otlp": 3}}', '{"endpoints": {"otlp": {"grpc": "x"}}}'):
        running.write_text(damaged, "utf-8")
        assert nothing_yet(tmp_path) == usual
