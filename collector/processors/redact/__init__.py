"""The processor `redact`: secrets are masked before anything is stored, sent on or printed.

    batch ─▶ texts of attributes, names, messages, bodies ─▶ extents of secrets ─▶ a new buffer, where there are any

It comes first in a pipeline: what the processors behind it derive is derived of masked text. The journal has requests
as they came; see docs/privacy.md.
"""

from __future__ import annotations

from collections import Counter
from threading import Lock
from typing import TYPE_CHECKING

from pydantic import Field

from collector.processors.compiled import are_ready
from collector.processors.redact.apply import NAMED, Redaction, Rules
from collector.processors.redact.detectors import DETECTORS, NAMES_OF_DETECTORS
from collector.processors.redact.names import SecretNames
from collector.processors.redact.patterns import any_matches, checked
from collector.processors.redact.search import OVERFULL_NAME, Search
from schema.component import ComponentConfig, component
from schema.errors import ConfigError
from schema.fields import did_you_mean

if TYPE_CHECKING:
    from schema.batch import SpanBatch
    from schema.component import Context


class RedactConfig(ComponentConfig):
    """Settings of the processor."""

    detectors: dict[str, bool] = Field(default_factory=dict)
    """Detectors to switch on or off, by name. All are on but `email`."""

    secret_names: bool = True
    """Whether values are masked whose key names a secret, such as `authorization` or `api_key`."""

    keys: tuple[str, ...] = ()
    """More such keys, or their last parts; case does not matter."""

    patterns: dict[str, str] = Field(default_factory=dict)
    """More to mask: a name for each, and a regular expression of RE2's syntax. A pattern costs some µs a span."""

    allow: tuple[str, ...] = ()
    """What is never masked: regular expressions of RE2's syntax, for the whole of what was found."""


class RedactProcessor:
    """Masks secrets. `redactions` has how many of each detector, since the start."""

    def __init__(self, config: RedactConfig | None = None, *, compiled: bool | None = None) -> None:
        """`compiled` says whether the kernel is used; by default where it is ready. The result is the same.

        Raises:
            ConfigError: an unknown detector; a pattern that RE2 does not take.

        """
        config = config or RedactConfig()
        for name in config.detectors:
            if name not in NAMES_OF_DETECTORS:
                raise ConfigError(f"redact: there is no detector {name!r}.{did_you_mean(name, NAMES_OF_DETECTORS)}")
        if taken := sorted({NAMED, OVERFULL_NAME, *NAMES_OF_DETECTORS} & config.patterns.keys()):
            raise ConfigError(f"redact: a pattern cannot be called {taken[0]!r}: a detector is")
        checked({f"allow[{i}]": p for i, p in enumerate(config.allow)})
        on = [d for d in DETECTORS if config.detectors.get(d.name, d.default)]
        names = SecretNames(config.keys) if config.secret_names else SecretNames.none()
        self._rules = Rules(
            Search(on, any_key=bool(config.keys)),
            names,
            checked(config.patterns),
            (lambda text: any_matches(config.allow, text)) if config.allow else (lambda _: False),
        )
        self._compiled = compiled
        self.redactions: Counter[str] = Counter()
        self._counting = Lock()  # each exporter's lane calls from a thread of its own

    def __call__(self, batch: SpanBatch) -> SpanBatch:
        """Return the batch with masks where secrets were."""
        compiled = are_ready() if self._compiled is None else self._compiled
        work = Redaction(self._rules, compiled)
        redacted = work.batch(batch)
        with self._counting:
            self.redactions += work.counts
        return redacted


@component("processor", "redact", RedactConfig)
def redact(config: RedactConfig, context: Context) -> RedactProcessor:  # noqa: ARG001 - the shape of a factory
    """Make the processor."""
    return RedactProcessor(config)


__all__ = ["RedactConfig", "RedactProcessor", "redact"]
