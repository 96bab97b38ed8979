"""The sink looks like a database with our schema to whoever inserts."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pyarrow as pa
import pytest

from bench.tools.databases import Endpoint, sink
from bench.tools.sink import native_strings
from exporters.clickhouse.connect import connect
from exporters.clickhouse.exporter import ClickHouseExporter
from exporters.clickhouse.migrate import migrate
from schema.policy import Policy

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture
def endpoint(tmp_path: Path) -> Iterator[Endpoint]:
    with sink(tmp_path) as running:
        yield running


def test_our_exporter_finds_its_schema_and_every_insert_is_counted(endpoint: Endpoint) -> None:
    with connect(endpoint.url) as db:
        assert migrate(db, dry_run=True) == []
        before = endpoint.insert_bytes()
        db.insert_arrow("spans", pa.table({"name": ["a"]}), "one")
        first = endpoint.insert_bytes()
        db.insert_arrow("spans", pa.table({"name": ["a" * 100_000] * 10}), "two")
    assert before == 0
    assert first is not None
    assert 0 < first < (endpoint.insert_bytes() or 0)
    assert endpoint.rows(peer=False) is None


def test_our_exporter_starts_in_front_of_it(endpoint: Endpoint) -> None:
    """With everything that it asks for at the start."""

    async def work() -> None:
        exporter = ClickHouseExporter(endpoint.url, create_schema=False, policy=Policy())
        await exporter.start()
        await exporter.shutdown()

    asyncio.run(work())
    assert endpoint.insert_bytes() == 0


def test_a_block_has_the_layout_of_native() -> None:
    assert native_strings([("n", ["a", "bc"])], bytes_columns=[("r", b"\x00\x01")]) == (
        b"\x02\x02" + b"\x01n\x06String\x01a\x02bc" + b"\x01r\x05UInt8\x00\x01"
    )
    long = native_strings([("n", ["x" * 300])])
    assert long.endswith(b"\xac\x02" + b"x" * 300)
