"""Remove what was decided: rows, then the ledger, then "done". Each step may be done again, by anybody."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from typing import TYPE_CHECKING, Any, Final

from collector.retention import log
from collector.retention.decide import Decision, Moment, decide
from collector.retention.mutate import MOST_WEIGHTS, Mutations
from collector.retention.queries import TABLES, command, goes, received_of, rows, statement
from exporters.clickhouse.ledger import entry_rows
from schema.errors import Retryable
from schema.failpoints import failpoint
from schema.ledger import Entry, State, moved

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from exporters.clickhouse.connect import Database

ALL_WEIGHTS: Final = 100_000


@dataclass(slots=True)
class Removed:
    """What passes removed."""

    runs: int = 0
    traces: int = 0
    rows: Counter[str] = field(default_factory=Counter)
    """By signal of the ledger."""
    finished: int = 0
    """Runs that an earlier process had begun."""


def moment_of(db: Database, *, quiet_s: float, now: Callable[[], datetime] = lambda: datetime.now(UTC)) -> Moment:
    """Return the time by the clock that is behind. Raises Retryable, Permanent."""
    (row,) = rows(db, statement("now"), {})
    return Moment(min(row["now"].astimezone(UTC), now()), quiet_s)


@dataclass(frozen=True, slots=True)
class Retention:
    """Removes what is due from one database. Several may work on one at the same time."""

    db: Database
    actor: str
    moment: Callable[[], Moment]
    holders: Sequence[Database] = ()
    """Databases that have the rows, where `db` only answers for them; else none."""
    is_stopping: Callable[[], bool] = field(default=lambda: False)
    step: Callable[[str, int, int], None] = field(default=lambda _what, _done, _all: None)
    """Called with what is done of a run, for people who wait."""

    def run(self) -> Removed:
        """Finish what others left unfinished, then decide and remove what is due now.

        Raises:
            Retryable, Permanent: as the database does; what was decided is finished by the next call.
            Stopped: the service ends; as above.

        """
        removed = Removed()
        for entry in _unfinished(log.read(self.db)):
            self._finish(entry.run, _decision(entry))
            _add(removed, entry.body)
            removed.finished += 1
        decision = decide(self.db, self.moment, self.actor)
        if decision is not None:
            failpoint("retention.after_decide")
            self._finish(decision.run, decision)
            _add(removed, decision.document())
        return removed

    def _finish(self, run: str, decision: Decision) -> None:
        values: dict[str, Any] = {"run": run, "until": decision.until}
        if decision.stays:
            command(self.db, statement("freeze"), values)
            failpoint("retention.after_freeze")
        self._remove(values, decision)
        failpoint("retention.before_ledger")
        for row in rows(self.db, statement("days_to_book"), values):
            self._book(run, row["day"])
        failpoint("retention.after_ledger")
        entries = log.read(self.db)
        while not any(e.run == run and e.kind == "done" for e in entries):
            if log.append(self.db, "done", after=log.last_number(entries), actor=self.actor, run=run):
                break
            entries = log.read(self.db)

    def _remove(self, values: Mapping[str, Any], decision: Decision) -> None:
        weights, weighted = self._weights(values, decision)
        plan = []
        for table in TABLES:
            text = statement("days_of_run", table=table, received=received_of(table), condition=goes(table))
            days = {row["day"] for row in rows(self.db, text, values)}
            plan += [(table, day) for day in sorted(days | (weighted if table == "spans" else set()))]
        for number, (table, day) in enumerate(plan):
            self.step(f"{table} of {day}", number, len(plan))
            for holder in self.holders or (self.db,):
                one = Mutations(holder, self.is_stopping)
                one.carry_out(table, day, values, weights if table == "spans" and day in weighted else ())
            failpoint("retention.after_delete")
        self.step("", len(plan), len(plan))

    def _weights(self, values: Mapping[str, Any], decision: Decision) -> tuple[tuple[float, ...], set[date]]:
        """Return the weights that spans get, and the days of these spans."""
        if not decision.stays:
            return (), set()
        found = rows(self.db, statement("weights"), {**values, "most": ALL_WEIGHTS})
        weights = tuple(float(row["weight"]) for row in found)
        if not weights:
            return (), set()
        return weights, {row["day"] for row in rows(self.db, statement("days_of_weights"), values)}

    def _book(self, run: str, day: date) -> None:
        """Move what is missing of a day in the ledger: what runs counted, less what it has as expired."""
        missing = [r for r in rows(self.db, statement("unbooked"), {"day": day}) if int(r["missing"]) > 0]
        if missing:
            stored = (
                Entry(r["tenant"], int(r["minute"].timestamp()) // 60, r["signal"], State.STORED, "", int(r["missing"]))
                for r in missing
            )
            self.db.insert_arrow("ledger", entry_rows(moved(stored, State.EXPIRED)), f"expire/{run}/{day}")


def accept(db: Database, actor: str, reason: str, document: Mapping[str, Any]) -> None:
    """Put settings in force. Raises Retryable, Permanent."""
    log.append_last(db, "settings", actor=actor, reason=reason, body=document)


def _unfinished(entries: Sequence[log.Entry]) -> list[log.Entry]:
    runs = log.unfinished(entries)
    return [e for e in entries if e.kind == "decided" and e.run in runs]


def _decision(entry: log.Entry) -> Decision:
    body = entry.body
    try:
        return Decision(entry.run, body["traces"], body["stays"], body["counts"], date.fromisoformat(body["until"]))
    except (KeyError, ValueError) as e:
        raise Retryable(
            f"entry {entry.number} of retention_log is not ours to read ({e}): upgrade otel-evalgate"
        ) from None


def _add(removed: Removed, document: Mapping[str, Any]) -> None:
    removed.runs += 1
    removed.traces += int(document["traces"])
    removed.rows.update(document["counts"])


__all__ = ["MOST_WEIGHTS", "Removed", "Retention", "accept", "moment_of"]
