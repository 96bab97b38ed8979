"""Keep the rates in use where the target is reached: count, compute, write."""

from __future__ import annotations

import logging
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from collector.rates.count import count_traces
from collector.rates.ladder import next_rate
from schema.errors import Permanent, Retryable

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from collector.rates.count import Count
    from collector.rates.file import RatesFile
    from exporters.clickhouse.connect import Database
    from schema.policy.rates import Raised, Rates

log = logging.getLogger(__name__)

MAX_RATES: Final = 10_000
"""Of tenants and rules. Beyond it, those of whom nothing came in a day fall back to what is set."""


@dataclass(frozen=True, slots=True)
class Keeper:
    """What is needed for a pass; the rates themselves are in the file."""

    rates: Rates
    target_per_day: float
    file: RatesFile
    clock_unix_ns: Callable[[], int] = time.time_ns

    def count(self, db: Database) -> list[Count]:
        """Count the traces of the last day. Raises Retryable, Permanent: the last rates hold."""
        return count_traces(db, self.rates, self.clock_unix_ns())

    def keep(self, db: Database, counted: Sequence[Count]) -> list[dict[str, Any]]:
        """Put the rates in use that follow; return the rows of `baseline_rates` for what changed.

        Raises:
            Retryable: the disk does not take them now: the last rates hold.

        """
        before = self.file.current()
        counts = {(c.tenant, self.rates.strata[c.stratum].name): c for c in counted}
        after = self._after(before, counts)
        changed = sorted(key for key in before.keys() | after.keys() if before.get(key) != after.get(key))
        if not changed:
            return []
        try:
            self.file.write(after)
        except OSError as e:
            raise Retryable(f"the rates in use cannot be written to {self.file.path}: {e.strerror}") from None
        rows = [self._row(key, after, counts.get(key)) for key in changed if key[1] in self._set()]
        for row in rows:
            log.info("baseline rate of tenant %(tenant)s, rule %(rule)r: %(rate)g (%(traces)d traces a day)", row)
        self._note(db, rows)
        return rows

    def _set(self) -> Mapping[str, float]:
        return {s.name: s.rate for s in self.rates.strata}

    def _after(self, before: Raised, counts: Mapping[tuple[str, str], Count]) -> Raised:
        """Return the rates above what is set. Of what nothing came for a day, the rate stays."""
        of_rule = self._set()
        after: dict[tuple[str, str], float] = {}
        for key, count in counts.items():
            rate = next_rate(
                before.get(key),
                set_rate=of_rule[key[1]],
                traces_per_day=count.traces,
                target_per_day=self.target_per_day,
            )
            if rate > of_rule[key[1]]:
                after[key] = rate
        for key, rate in before.items():
            if key not in counts and len(after) < MAX_RATES and rate > of_rule.get(key[1], 1.0):
                after[key] = rate
        return after

    def _row(self, key: tuple[str, str], after: Raised, count: Count | None) -> dict[str, Any]:
        tenant, rule = key
        set_rate = self._set()[rule]
        return {
            "tenant": tenant,
            "rule": rule,
            "rate": after.get(key, set_rate),
            "set_rate": set_rate,
            "target_per_day": self.target_per_day,
            "traces": count.traces if count else 0,
            "sampled_traces": count.sampled_traces if count else 0,
        }

    def _note(self, db: Database, rows: list[dict[str, Any]]) -> None:
        """Tell the database, for people who ask; the rates are in use whether or not it listens."""
        try:
            db.insert_rows("baseline_rates", rows)
        except (Permanent, Retryable) as e:
            log.warning("rates that changed are not noted in the database: %s", e)
