"""Deletions in the database: begun, looked at until they are done, told when they do not get on.

A deletion is a mutation of one partition. It names its run, so whoever comes after a crash finds it again; and it takes
away what is there or nothing, so it may be begun twice.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from collector.retention.queries import TABLES, goes, received_of, rows, statement, wanted
from schema.errors import Retryable

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from datetime import date

    from exporters.clickhouse.connect import Database

FIRST_LOOK_S: Final = 0.02
LONGEST_LOOK_S: Final = 2.0
PATIENCE_S: Final = 60.0
"""How long a deletion may fail before it is said; ClickHouse tries it again all the time."""
MOST_WEIGHTS: Final = 100
"""Distinct weights that one statement names exactly; more are rounded to hundredths of a decade, 1.2 % at most."""
STAYS: Final = (
    "(tenant, trace_id) IN (SELECT tenant, trace_id FROM retention_decisions "
    "WHERE run = {run:String} AND fate = 'stays' AND %s)"
)
ROUNDED: Final = "toFloat32(if(span_weight > 0, exp10(round(log10(span_weight) * 100) / 100), 0))"


class Stopped(Exception):
    """The service ends; what is begun is finished by the next start."""


@dataclass(frozen=True, slots=True)
class Mutations:
    """Deletes from one database with rows."""

    db: Database
    is_stopping: Callable[[], bool] = field(default=lambda: False)
    sleep: Callable[[float], None] = time.sleep
    now_s: Callable[[], float] = time.monotonic

    def carry_out(self, table: str, day: date, values: Mapping[str, Any], weights: Sequence[float] = ()) -> bool:
        """Return when no row of the run is left in a day of a table, and spans have their weights.

        False: nothing had to be done.

        Raises:
            Retryable: it fails for a minute, or somebody killed it; the message says what ClickHouse says.
            Stopped: the service ends.

        """
        state = self._look(table, day, values)
        if state is None:
            if not self._is_needed(table, day, values, weights):
                return False
            text = alter(table, day, weights)
            self.db.command(text, wanted(text, values))
        self._await(table, day, values, weights)
        return True

    def _await(self, table: str, day: date, values: Mapping[str, Any], weights: Sequence[float]) -> None:
        pause_s, failing_s = FIRST_LOOK_S, None
        while True:
            state = self._look(table, day, values)
            if state is None:
                if self._is_needed(table, day, values, weights):
                    raise Retryable(f"the deletion from {table} of {day} was killed; it is begun again by the next run")
                return
            if state["is_done"]:
                return
            failing_s = (failing_s or self.now_s()) if state["fails"] else None
            if failing_s is not None and self.now_s() - failing_s >= PATIENCE_S:
                raise Retryable(
                    f"the deletion from {table} of {day} does not get on, {state['parts_to_do']} parts are left: "
                    f"{' '.join(str(state['fails']).split())[:500]}. ClickHouse tries it again by itself. Mend what it "
                    f"says (is the disk full?), or give it up with KILL MUTATION WHERE mutation_id = "
                    f"'{state['mutation']}'"
                )
            if self.is_stopping():
                raise Stopped
            self.sleep(pause_s)
            pause_s = min(2 * pause_s, LONGEST_LOOK_S)

    def _look(self, table: str, day: date, values: Mapping[str, Any]) -> dict[str, Any] | None:
        asked = {"table": table, "day": day.isoformat(), "run": values["run"]}
        found = rows(self.db, statement("mutation"), asked)
        return found[0] if found else None

    def _is_needed(self, table: str, day: date, values: Mapping[str, Any], weights: Sequence[float]) -> bool:
        condition = f"({goes(table)})"
        if weights:
            condition += f" OR (sample_weight = 1 AND {STAYS % 'span_weight != 1'})"
        text = statement("is_left", table=table, received=received_of(table), condition=condition)
        return bool(rows(self.db, text, {**values, "day": day}))


def alter(table: str, day: date, weights: Sequence[float] = ()) -> str:
    """Return the statement that removes the rows of a run from one day, and gives the other spans their weights."""
    if table not in TABLES or (weights and table != "spans"):
        raise ValueError(f"{table!r} is no table of ours, or has no weights")
    where = f"IN PARTITION '{day.isoformat()}' WHERE"
    commands = [f"DELETE {where} {goes(table)}"]
    if weights:
        exact = len(weights) <= MOST_WEIGHTS
        column = "span_weight" if exact else ROUNDED
        pairs = ", ".join(f"{STAYS % f'{column} = toFloat32({w!r})'}, {w!r}" for w in _distinct(weights))
        commands.insert(
            0, f"UPDATE sample_weight = multiIf({pairs}, sample_weight) {where} {STAYS % 'span_weight != 1'}"
        )
    return (
        f"ALTER TABLE `{table}` {', '.join(commands)} "
        # The ids are in a table that does not change any more: what a replica finds there all others find.
        "SETTINGS mutations_sync = 0, allow_nondeterministic_mutations = 1"
    )


def _distinct(weights: Sequence[float]) -> list[float]:
    if len(weights) <= MOST_WEIGHTS:
        return [*weights]
    return sorted({_rounded(w) for w in weights})


def _rounded(weight: float) -> float:
    import math  # noqa: PLC0415 - only where there are very many

    return 0.0 if weight <= 0 else 10 ** (round(math.log10(weight) * 100) / 100)
