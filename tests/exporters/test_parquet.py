"""The exporter `parquet`: whole files, named by their batch."""

from __future__ import annotations

import asyncio
import os
from typing import TYPE_CHECKING, Any

import pyarrow.parquet as pq
import pytest
from opentelemetry.proto.logs.v1.logs_pb2 import LogRecord

from exporters.parquet import ParquetExporter, parquet
from schema.component import Context
from schema.errors import ConfigError, Retryable
from tests.clickhouse.otlp import DAY, NOON, batch_of, logs_record, span, spans_record, with_feedback

if TYPE_CHECKING:
    from pathlib import Path

    from schema.batch import SpanBatch


def traffic() -> SpanBatch:
    one = span(1, 1, attributes={"k": "v", "n": 5})
    one.events.add(name="e", time_unix_nano=NOON)
    batch = batch_of(
        spans_record([one, span(1, 2)]),
        spans_record([span(2, 3)], received=NOON + DAY),
        logs_record([LogRecord(time_unix_nano=NOON)]),
        columns={"tags": [["a", "b"], [], []], "input_tokens": [1, None, 3], "input_text": ["x", None, ""]},
    )
    return with_feedback(batch, {"trace_id": f"{1:032x}"})


def export(folder: Path, *tokens: str) -> list[str]:
    async def run() -> None:
        exporter = ParquetExporter(folder, "zstd")
        await exporter.start()
        for token in tokens:
            await exporter.export(traffic(), token)
        await exporter.shutdown()

    asyncio.run(run())
    return sorted(str(p.relative_to(folder)) for p in folder.rglob("*") if p.is_file())


def test_rows_are_in_files_by_table_and_day(tmp_path: Path) -> None:
    files = export(tmp_path / "out", "t1")
    assert [f.rpartition("/")[0] for f in files] == [
        "events/day=2026-09-21",
        "feedback/day=2026-09-21",
        "spans/day=2026-09-21",
        "spans/day=2026-09-22",
    ]
    rows = pq.ParquetFile(tmp_path / "out" / files[2]).read().to_pylist()
    assert [r["name"] for r in rows] == ["span 1", "span 2"]
    assert dict(rows[0]["span_attributes"]) == {"k": "v", "n": "5"}
    assert (rows[0]["tags"], rows[0]["input_tokens"], rows[1]["input_tokens"]) == (["a", "b"], 1, None)
    assert rows[0]["events.name"] == ["e"]
    assert (tmp_path / "out" / files[2]).stat().st_mode & 0o777 == 0o600


def test_a_replay_replaces_the_same_files(tmp_path: Path) -> None:
    once = export(tmp_path, "t1")
    assert export(tmp_path, "t1", "t1") == once
    assert len(export(tmp_path, "t2")) == 2 * len(once)


def test_what_an_earlier_process_did_not_finish_is_removed(tmp_path: Path) -> None:
    [first, *_] = export(tmp_path, "t1")
    left = (tmp_path / first).with_name("x.parquet.unfinished")
    left.write_bytes(b"content")
    export(tmp_path)
    assert not left.exists()


def test_a_file_has_its_name_only_once_it_is_synced(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    steps: list[str] = []
    sync, replace = os.fsync, type(tmp_path).replace

    def synced(fd: int) -> None:
        steps.append("folder" if os.path.isdir(f"/proc/self/fd/{fd}") else "file")  # noqa: PTH112 - a link to it
        sync(fd)

    def renamed(self: Path, target: Path) -> Any:
        steps.append("rename")
        return replace(self, target)

    folders = tmp_path / "spans" / "day=2026-09-21"
    folders.mkdir(parents=True)
    monkeypatch.setattr(os, "fsync", synced)
    monkeypatch.setattr(type(tmp_path), "replace", renamed)
    exporter = ParquetExporter(tmp_path, "zstd")
    asyncio.run(exporter.export(batch_of(spans_record([span(1, 1)])), "t"))
    assert steps == ["file", "rename", "folder"]


def test_a_full_disk_is_retryable_and_a_folder_that_cannot_be_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    exporter = ParquetExporter(tmp_path, "zstd")
    with monkeypatch.context() as patched:
        patched.setattr(pq, "write_table", lambda *_, **__: (_ for _ in ()).throw(OSError(28, "No space left")))
        with pytest.raises(Retryable, match="No space left"):
            asyncio.run(exporter.export(traffic(), "t"))
    (tmp_path / "file").touch()
    with pytest.raises(ConfigError, match="cannot be used"):
        asyncio.run(ParquetExporter(tmp_path / "file", "zstd").start())


def test_files_go_to_the_data_directory_where_nothing_else_is_said(tmp_path: Path) -> None:
    made = parquet(parquet.config(), Context("parquet", tmp_path))
    assert made._folder == tmp_path / "parquet"
