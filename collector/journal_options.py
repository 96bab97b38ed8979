"""The options of a journal, from what is configured and from the disk that it lies on."""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING, Final

from collector.journal import JournalOptions
from schema.errors import ConfigError

if TYPE_CHECKING:
    from pathlib import Path

    from collector.config import JournalConfig

GIB: Final = 1 << 30
LARGEST_DEFAULT_BYTES: Final = 10 * GIB
PART_OF_DISK: Final = 10
DEFAULT_SEGMENT_BYTES: Final = 64 << 20
SEGMENTS_IN_BUDGET: Final = 8


def journal_options(config: JournalConfig, data_dir: Path) -> JournalOptions:
    """Return the options of the journal, with the defaults that depend on the disk and on each other.

    Raises:
        ConfigError: the sizes contradict each other.

    """
    directory = (config.directory or data_dir / "journal").absolute()
    max_bytes = config.max_bytes or min(LARGEST_DEFAULT_BYTES, _disk_bytes(directory) // PART_OF_DISK)
    segment_bytes = config.segment_bytes or min(DEFAULT_SEGMENT_BYTES, max_bytes // SEGMENTS_IN_BUDGET)
    if SEGMENTS_IN_BUDGET * segment_bytes > max_bytes:
        raise ConfigError(
            f"service.journal.segment_bytes {segment_bytes} is more than an eighth of max_bytes {max_bytes}; "
            "lower the one or raise the other"
        )
    return JournalOptions(
        directory=directory,
        max_bytes=max_bytes,
        segment_bytes=segment_bytes,
        quarantine_max_bytes=max_bytes // 10 if config.quarantine_max_bytes is None else config.quarantine_max_bytes,
        sync=config.sync,
        batch_bytes=config.batch_bytes,
        batch_records=config.batch_records,
        batch_linger_s=config.batch_linger_s,
    )


def _disk_bytes(directory: Path) -> int:
    existing = next(p for p in (directory, *directory.parents) if p.exists())
    return shutil.disk_usage(existing).total
