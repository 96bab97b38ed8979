"""The oracle: after the faults, what was acknowledged is there, whole, once."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING

from schema.errors import EvalgateError
from tests.faults.harness.producer import PAYLOAD, Producer, fingerprint
from tests.faults.harness.waiting import until

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from tests.faults.harness.process import Collector

STORED = """
SELECT lower(hex(span_id)) AS id, count() AS copies, any(span_attributes[{key:String}]) AS payload
FROM settled_spans WHERE hex(trace_id) LIKE {run:String} GROUP BY id
"""
ROWS = "SELECT count() AS n FROM spans WHERE hex(trace_id) LIKE {run:String}"


@dataclass(frozen=True, slots=True)
class Conserved:
    """What the oracle saw."""

    acked: int
    """Spans that were acknowledged."""
    stored: int
    """Of them."""
    quarantined: int
    """Of them."""
    extra_rows: int
    """Rows that the table has beyond one for each span: removed at read, as every copy must be."""
    without_answer: int
    """Spans that are stored though their sender never heard so."""

    def __str__(self) -> str:
        """Return the figure of a test."""
        parked = f", {self.quarantined} in quarantine" if self.quarantined else ""
        return f"{self.acked} spans acknowledged, 0 lost, 0 twice{parked}"


def stored_spans(collector: Collector, run: str) -> dict[str, tuple[int, str]]:
    """Return span id → (copies at read, fingerprint of the payload) of all spans of a run."""
    rows = collector.rows(STORED, {"run": f"{run.upper()}%", "key": PAYLOAD})
    return {row["id"]: (row["copies"], fingerprint(row["payload"])) for row in rows}


def quarantined_spans(journal: Path, ids: set[str]) -> set[str]:
    """Return which of these spans lie in quarantine with a reason. Requests that came compressed are not seen."""
    found: set[str] = set()
    for about in journal.rglob("quarantine/*.json"):
        kept = about.with_name(about.name.removesuffix(".json"))
        if kept.is_file() and json.loads(about.read_text()).get("reason"):
            data = kept.read_bytes()
            found |= {i for i in ids if bytes.fromhex(i) in data}
    return found


def conserve(
    collector: Collector, *producers: Producer, headers: Mapping[str, str] | None = None, deadline_s: float = 40.0
) -> Conserved:
    """Hold the collector to its promise; it must run.

    Every obligation is stored exactly once at read with the payload it was sent with, or in quarantine with a reason;
    nothing else of the producers is there twice; the process says it is ready; a fresh span flows, with `headers`.

    Raises:
        AssertionError: names what is missing, changed or there twice.

    """
    collector.wait_ready()
    until(lambda: collector.health()[0] == 200, "the collector says that it is ready")
    fresh = Producer(collector, headers=headers)
    (sent,) = fresh.send()
    assert sent.answer == "acked", f"a fresh request is not acknowledged: {dict(fresh.answers)}"
    total = Conserved(0, 0, 0, 0, 0)
    for producer in (*producers, fresh):
        total = _sum(total, _conserve_one(collector, producer, deadline_s))
    return total


def _sum(a: Conserved, b: Conserved) -> Conserved:
    return Conserved(
        a.acked + b.acked,
        a.stored + b.stored,
        a.quarantined + b.quarantined,
        a.extra_rows + b.extra_rows,
        a.without_answer + b.without_answer,
    )


def _conserve_one(collector: Collector, producer: Producer, deadline_s: float) -> Conserved:
    obligations = producer.obligations
    stored: dict[str, tuple[int, str]] = {}
    quarantined: set[str] = set()

    def settled() -> bool:
        """Delivery and the removal of copies take their time: look until all is well, or the deadline."""
        nonlocal stored, quarantined
        try:
            stored = stored_spans(collector, producer.run)
        except EvalgateError:
            return False
        missing = obligations.keys() - stored.keys()
        quarantined = quarantined_spans(collector.journal, missing) if missing else set()
        return missing == quarantined and all(copies == 1 for copies, _ in stored.values())

    try:
        until(settled, "every acknowledged span is stored once", deadline_s=deadline_s)
    except AssertionError as e:
        lost = sorted(obligations.keys() - stored.keys() - quarantined)
        twice = sorted(i for i, (copies, _) in stored.items() if copies > 1)
        raise AssertionError(
            f"{e}: of {len(obligations)} acknowledged spans {len(lost)} are lost, {len(twice)} are there twice; "
            f"for example {lost[:3]} and {twice[:3]}\n{_state(collector)}\n{collector.log[-2000:]}"
        ) from None
    sent = producer.sent
    changed = [i for i, (_, mark) in stored.items() if sent.get(i) != mark]
    assert not changed, f"{len(changed)} spans are stored with another payload, or were never sent: {changed[:3]}"
    ((row,),) = (collector.rows(ROWS, {"run": f"{producer.run.upper()}%"}),)
    return Conserved(
        acked=len(obligations),
        stored=len(obligations) - len(quarantined),
        quarantined=len(quarantined),
        extra_rows=row["n"] - len(stored),
        without_answer=len(stored.keys() - obligations.keys()),
    )


def _state(collector: Collector) -> str:
    try:
        return json.dumps(collector.status(), indent=1)
    except OSError as e:
        return f"nothing answers: {e}"
