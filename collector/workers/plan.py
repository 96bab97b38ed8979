"""Which worker does what: each one's part of the configuration, and the journals that another number left behind."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final

from collector.config import ASYMMETRIC_SAMPLER, MIB, JournalConfig
from collector.journal_options import SEGMENTS_IN_BUDGET, journal_options
from exporters.clickhouse.dsn import EmbeddedDsn, default_dsn, parse_dsn
from schema.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from collector.config import Config, Configured
    from schema.component import PortSharing

OF_THE_WHOLE: Final = "health_check"
"""The extension that the supervisor runs; worker 0 runs the others."""


@dataclass(frozen=True, slots=True)
class Part:
    """What one process runs."""

    config: Config
    port_sharing: PortSharing
    leftovers: tuple[Path, ...]


def require_sharable(config: Config) -> None:
    """Check that several processes can do what one would.

    Raises:
        ConfigError: the database is embedded, the journal is too small to be divided, or traces are forwarded whole.

    """
    workers = config.service.workers
    for configured in config.processors.values():
        if configured.component.name == ASYMMETRIC_SAMPLER:
            raise ConfigError(
                f"service.workers is {workers}, but {configured.id!r} decides on whole traces, and workers see parts "
                "of them. Set service.workers to 1, or take the processor away"
            )
    for configured in config.exporters.values():
        if configured.component.name != "clickhouse":
            continue
        dsn = parse_dsn(getattr(configured.settings, "dsn", None) or default_dsn(config.service.data_dir))
        if isinstance(dsn, EmbeddedDsn):
            raise ConfigError(
                f"service.workers is {workers}, but {dsn} is an embedded database, which one process owns. "
                f"Set exporters.{configured.id}.dsn to a server, http://user:password@host:port/database, "
                "or service.workers to 1"
            )
    max_bytes = journal_options(config.service.journal, config.service.data_dir.absolute()).max_bytes
    if max_bytes // workers < MIB:
        raise ConfigError(
            f"service.journal.max_bytes {max_bytes} is divided among {workers} workers; each needs {MIB} at least"
        )


def part_of(config: Config, number: int, *, first_start: bool) -> Part:
    """Return what worker `number` runs; `first_start` of worker 0 finds out whether the ports are free."""
    service, base = config.service, journal_folder(config)
    sharing: PortSharing = "first" if number == 0 and first_start else "more"
    options = journal_options(service.journal, service.data_dir.absolute())
    max_bytes = options.max_bytes // service.workers
    journal = service.journal.model_copy(
        update={
            "directory": base / str(number),
            "max_bytes": max_bytes,
            "segment_bytes": min(options.segment_bytes, max_bytes // SEGMENTS_IN_BUDGET),
            "quarantine_max_bytes": (options.quarantine_max_bytes or 0) // service.workers,
        }
    )
    extensions = {i: c for i, c in config.extensions.items() if number == 0 and not _is_of_the_whole(c)}
    own = replace(config, service=service.model_copy(update={"journal": journal}), extensions=extensions)
    return Part(own, sharing, leftovers(base, service.workers) if number == 0 else ())


def extensions_of_the_whole(config: Config) -> Mapping[str, Configured]:
    """Return the extensions that speak for all workers."""
    return {i: c for i, c in config.extensions.items() if _is_of_the_whole(c)}


def journal_folder(config: Config) -> Path:
    """Return the folder of the journal, or that of the workers' journals."""
    journal: JournalConfig = config.service.journal
    return (journal.directory or config.service.data_dir / "journal").absolute()


def leftovers(base: Path, workers: int) -> tuple[Path, ...]:
    """Return the journals below `base` that belong to none of `workers` workers, and may hold undelivered requests.

    Without workers the journal lies in `base` itself, with workers in `base/0`, `base/1`, ….
    """
    if not base.is_dir():
        return ()
    numbered = sorted((int(p.name), p) for p in base.iterdir() if p.name.isdecimal() and p.is_dir())
    beyond = [p for number, p in numbered if workers == 1 or number >= workers]
    own = [base] if workers > 1 and any(not p.is_dir() for p in base.iterdir()) else []
    return (*own, *beyond)


def _is_of_the_whole(configured: Configured) -> bool:
    return configured.component.name == OF_THE_WHOLE
