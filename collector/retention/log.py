"""The log of retention (exporters/clickhouse/retention_log.py), and the settings in it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from collector.retention.settings import Settings
from exporters.clickhouse.retention_log import (
    Entry,
    append,
    append_last,
    is_erasing,
    last_number,
    read,
    unfinished,
)

if TYPE_CHECKING:
    from collections.abc import Sequence


def in_force(entries: Sequence[Entry]) -> Settings | None:
    """Return the settings in force; None: nobody ever set any, and nothing goes."""
    bodies = [e.body for e in entries if e.kind == "settings"]
    return Settings.read(bodies[-1]) if bodies else None


__all__ = ["Entry", "append", "append_last", "in_force", "is_erasing", "last_number", "read", "unfinished"]
