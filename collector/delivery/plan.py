"""Which exporters must have everything, and how far behind the others may be."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from collector.journal import ReaderOptions

if TYPE_CHECKING:
    from collector.config import Config

DATABASE: Final = "clickhouse"
PART_OF_JOURNAL: Final = 4
"""An exporter that is not required may be behind by a quarter of the journal."""


def required(config: Config) -> frozenset[str]:
    """Return the exporters for which the journal waits, whatever that takes: as configured, else the databases.

    Where no exporter is a database, all are.
    """
    databases = {i for i, c in config.exporters.items() if c.component.name == DATABASE} or set(config.exporters)
    told = {i: o.required for i, o in config.service.delivery.items() if o.required is not None}
    return frozenset(i for i in config.exporters if told.get(i, i in databases))


def leading(config: Config) -> str:
    """Return the exporter whose counts stand for the collector: the first database, else the first required one."""
    needed = required(config)
    ranked = sorted(config.exporters, key=lambda i: (i not in needed, config.exporters[i].component.name != DATABASE))
    return ranked[0]


def readers(config: Config, journal_bytes: int) -> tuple[ReaderOptions, ...]:
    """Return the readers of a journal of this size: one for each exporter."""
    needed = required(config)
    found = []
    for i in config.exporters:
        told = config.service.delivery.get(i)
        limit = told.max_lag_bytes if told is not None else None
        found.append(ReaderOptions(i, None if i in needed else limit or journal_bytes // PART_OF_JOURNAL))
    return tuple(found)
