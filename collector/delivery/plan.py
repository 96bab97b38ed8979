"""Which exporters must have everything, and how far behind the others may be."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from collector.journal import ReaderOptions
from collector.journal.journal import FULL_AT
from collector.processors.asymmetric_sampler import NAME, AsymmetricSamplerConfig
from schema.errors import ConfigError

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


def sampler(config: Config) -> tuple[str, AsymmetricSamplerConfig] | None:
    """Return id and settings of the processor that says which traces are forwarded, None where all are."""
    for i, configured in config.processors.items():
        if isinstance(configured.settings, AsymmetricSamplerConfig):
            return i, configured.settings
    return None


def max_wait_bytes(settings: AsymmetricSamplerConfig, journal_bytes: int) -> int:
    """Return how much of a journal may wait for decisions.

    Raises:
        ConfigError: more than the journal may hold before it refuses senders.

    """
    most = int(FULL_AT * journal_bytes)
    if settings.max_wait_bytes is not None and settings.max_wait_bytes > most:
        raise ConfigError(
            f"{NAME}.max_wait_bytes is {settings.max_wait_bytes}, but the journal refuses senders from "
            f"{most} bytes on ({FULL_AT:.0%} of service.journal.max_bytes): make one smaller or the other larger"
        )
    return settings.max_wait_bytes or journal_bytes // PART_OF_JOURNAL


def readers(config: Config, journal_bytes: int) -> tuple[ReaderOptions, ...]:
    """Return the readers of a journal of this size: one for each exporter, and one that looks ahead for a sampler."""
    ahead = sampler(config)
    found = list(exporter_readers(config, journal_bytes))
    if ahead is not None:
        found.append(ReaderOptions(ahead[0], is_addressed=False))
    return tuple(found)


def exporter_readers(config: Config, journal_bytes: int) -> tuple[ReaderOptions, ...]:
    """Return the readers for the exporters; what waits for a decision is not behind."""
    needed, ahead = required(config), sampler(config)
    waiting = max_wait_bytes(ahead[1], journal_bytes) if ahead is not None else 0
    found = []
    for i in config.exporters:
        told = config.service.delivery.get(i)
        limit = told.max_lag_bytes if told is not None else None
        lag = (limit or journal_bytes // PART_OF_JOURNAL) + waiting
        found.append(ReaderOptions(i, None if i in needed else lag))
    return tuple(found)
