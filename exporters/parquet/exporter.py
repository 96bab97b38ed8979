"""Writes one file for each block: temporary file, sync, rename, sync of the folder."""

from __future__ import annotations

import asyncio
import errno
import hashlib
import os
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Final, Literal

import pyarrow as pa
import pyarrow.parquet as pq

from exporters.clickhouse.rows import DAY_NS, blocks
from schema.component import ComponentConfig, Context, component
from schema.errors import ConfigError, Permanent, Retryable

if TYPE_CHECKING:
    from schema.batch import SpanBatch

UNFINISHED: Final = ".unfinished"
NEVER: Final = frozenset({errno.ENAMETOOLONG, errno.EFBIG})


class ParquetConfig(ComponentConfig):
    """Where files go."""

    path: Path | None = None
    """A folder. Unset: `parquet` in the data directory."""
    compression: Literal["zstd", "snappy", "none"] = "zstd"


class ParquetExporter:
    """One file per table, day of receipt and batch."""

    def __init__(self, folder: Path, compression: Literal["zstd", "snappy", "none"]) -> None:
        self._folder = folder
        self._compression = compression

    async def start(self) -> None:
        """Make the folder, and remove what an earlier process did not finish.

        Raises:
            ConfigError: the folder cannot be used.

        """
        await asyncio.to_thread(self._prepare)

    def _prepare(self) -> None:
        try:
            self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            for left in self._folder.glob(f"*/*/*{UNFINISHED}"):
                left.unlink(missing_ok=True)
        except OSError as e:
            raise ConfigError(
                f"the folder {self._folder} cannot be used: {e.strerror}. "
                "Make it writable, or name another as path of the exporter parquet."
            ) from None

    async def export(self, batch: SpanBatch, token: str) -> None:
        """Write the files of a batch; done when they are on disk under their names.

        Raises:
            Retryable: the disk refuses; call again with the same batch and token.
            Permanent: Arrow cannot write these rows.

        """
        await asyncio.to_thread(self._write_all, batch, token)

    def _write_all(self, batch: SpanBatch, token: str) -> None:
        name = hashlib.blake2b(token.encode(), digest_size=16).hexdigest()
        for block in blocks(batch):
            day = datetime.fromtimestamp(block.day * DAY_NS / 1e9, UTC).date().isoformat()
            try:
                self._write(self._folder / block.table / f"day={day}" / f"{name}.parquet", block.rows)
            except OSError as e:
                what = f"the file cannot be written below {self._folder}: {e.strerror or e}"
                raise (Permanent(what) if e.errno in NEVER else Retryable(what)) from None
            except pa.ArrowException as e:
                raise Permanent(f"Arrow cannot write these rows: {type(e).__name__}") from None

    def _write(self, path: Path, rows: pa.Table) -> None:
        new_folders = [p for p in (path.parent, *path.parents) if not p.exists()]
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        for made in new_folders:
            _sync_folder(made.parent)
        unfinished = path.with_name(path.name + UNFINISHED)
        with os.fdopen(os.open(unfinished, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600), "wb") as out:
            pq.write_table(_plain(rows), out, compression=self._compression)
            out.flush()
            os.fsync(out.fileno())
        unfinished.replace(path)
        _sync_folder(path.parent)

    async def shutdown(self) -> None:
        """Do nothing: every file is finished or absent."""


def _sync_folder(folder: Path) -> None:
    fd = os.open(folder, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


def _plain(rows: pa.Table) -> pa.Table:
    """Return the table with types that every reader of Parquet knows: no dictionaries in maps, no views."""
    return rows.cast(pa.schema([(field.name, _plain_type(field.type)) for field in rows.schema]))


def _plain_type(kind: pa.DataType) -> pa.DataType:
    if pa.types.is_dictionary(kind):
        return _plain_type(kind.value_type)
    if pa.types.is_string_view(kind):
        return pa.string()
    if pa.types.is_map(kind):
        return pa.map_(_plain_type(kind.key_type), _plain_type(kind.item_type))
    if pa.types.is_list(kind):
        return pa.list_(_plain_type(kind.value_type))
    return kind


@component("exporter", "parquet", ParquetConfig)
def parquet(config: ParquetConfig, context: Context) -> ParquetExporter:
    """Make the exporter; nothing is written yet."""
    return ParquetExporter((config.path or context.data_dir / "parquet").absolute(), config.compression)
