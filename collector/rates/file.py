"""The rates in use, in a file of the data folder: one process writes it, every processor of every worker reads it.

    {"format": 1, "rates": [{"tenant": "acme", "rule": "", "rate": 0.5}, …]}

It is replaced as a whole, so a reader sees the old rates or the new ones. A start finds those of the last run.
"""

from __future__ import annotations

import json
import logging
import os
from typing import TYPE_CHECKING, Final

from schema.policy.rates import NONE

if TYPE_CHECKING:
    from pathlib import Path

    from schema.policy.rates import Raised

log = logging.getLogger(__name__)

NAME: Final = "baseline_rates.json"
FORMAT: Final = 1

Seen = tuple[int, int, int]


class RatesFile:
    """One reader's, or the writer's, view of the file."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._seen: Seen | None = None
        """What the file was like when it was read: inode, size, time."""
        self._rates: Raised = NONE

    @classmethod
    def of(cls, data_dir: Path) -> RatesFile:
        """Return the file of a data folder."""
        return cls(data_dir / NAME)

    def current(self) -> Raised:
        """Return the rates in use. A file that cannot be read changes nothing: the last rates hold."""
        try:
            found = self.path.stat()
        except OSError:
            return self._rates
        seen = (found.st_ino, found.st_size, found.st_mtime_ns)
        if seen != self._seen:
            self._seen = seen
            try:
                self._rates = _read(self.path.read_text(encoding="utf-8"))
            except (OSError, ValueError, KeyError, TypeError) as e:
                log.warning("%s cannot be read: the rates before hold (%s)", self.path, e)
        return self._rates

    def write(self, rates: Raised) -> None:
        """Replace the file, durably. Raises OSError."""
        rows = [{"tenant": tenant, "rule": rule, "rate": rate} for (tenant, rule), rate in sorted(rates.items())]
        new = self.path.with_suffix(".new")
        with new.open("w", encoding="utf-8") as file:
            json.dump({"format": FORMAT, "rates": rows}, file)
            file.flush()
            os.fsync(file.fileno())
        new.replace(self.path)


def _read(text: str) -> Raised:
    document = json.loads(text)
    if document["format"] != FORMAT:
        raise ValueError(f"format {document['format']!r} is not {FORMAT}")
    rates = {(str(r["tenant"]), str(r["rule"])): float(r["rate"]) for r in document["rates"]}
    if not all(0 <= rate <= 1 for rate in rates.values()):
        raise ValueError("a rate is not between 0 and 1")
    return rates
