"""The tables of queues in memory, as far as reservations and states ask for them: rows, and tokens that store once."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, cast

from evalgate.database import TenantDatabase, sql

if TYPE_CHECKING:
    from datetime import datetime

    import pyarrow as pa

Row = Mapping[str, Any]


@dataclass
class Tables:
    """What `exporters.clickhouse.connect.Database` is to these modules; its clock is moved by the test."""

    now: datetime
    items: list[dict[str, Any]] = field(default_factory=list)
    reservations: list[dict[str, Any]] = field(default_factory=list)
    labels: list[dict[str, Any]] = field(default_factory=list)
    tokens: set[str] = field(default_factory=set)
    before_insert: Callable[[], object] | None = None
    """Is called once, between what somebody read and what he writes."""
    cluster: str = ""
    expired: set[str] = field(default_factory=set)
    """Traces that retention has removed."""

    def tenant(self) -> TenantDatabase:
        return TenantDatabase(cast("Any", self), "default")

    def rows(self, text: str, parameters: Mapping[str, Any] | None = None) -> list[dict[str, Any]]:
        asked = parameters or {}
        if text == sql("evalgate", "erasures"):
            return [{"entry": 0}]
        if text == sql("evalgate.queue", "kept"):
            return [{"trace": t} for t in asked["trace_ids"] if t not in self.expired]
        answers = {"items": self._items, "holds": self._holds, "said": self._said}
        for name, answer in answers.items():
            if text == sql("evalgate.queue", name):
                return [r for r in answer() if not asked["trace_ids"] or r["trace_id"] in asked["trace_ids"]]
        assert text == sql("evalgate", "now")
        return [{"now_unix_us": _us(self.now)}]

    def insert_rows(self, table: str, rows: Sequence[Row]) -> None:
        assert table == "queue_items"
        self.items += [{"at": self.now, "order": len(self.items) + n, **r} for n, r in enumerate(rows)]

    def insert_arrow(self, table: str, batch: pa.Table, token: str) -> None:
        assert table == "queue_reservations"
        between, self.before_insert = self.before_insert, None
        if between:
            between()
        if token not in self.tokens:
            self.tokens.add(token)
            self.reservations += batch.to_pylist()

    def _items(self) -> list[dict[str, Any]]:
        found = []
        for trace_id in sorted({r["trace_id"] for r in self.items}):
            own = [r for r in self.items if r["trace_id"] == trace_id]
            added = next(r for r in own if r["event"] == "added")
            presence = [r["event"] for r in own if r["event"] in {"removed", "restored"}]
            requeued = [r["at"] for r in own if r["event"] == "requeued"]
            assigned = [r.get("assigned_to", "") for r in own if r["event"] in {"added", "assigned"}]
            found.append(
                {
                    "trace_id": trace_id,
                    "added_unix_us": _us(added["at"]),
                    "score": 1.0,
                    "parts": json.dumps([]),
                    "is_priority": True,
                    "is_random": False,
                    "draw": 1.0,
                    "inclusion_probability": 0.0,
                    "population": 0,
                    "version": 1,
                    "window_start_unix_us": 0,
                    "start_unix_us": 0,
                    "assigned_to": assigned[-1],
                    "is_removed": presence[-1:] == ["removed"],
                    "requeued_unix_us": _us(requeued[-1]) if requeued else 0,
                }
            )
        return found

    def _holds(self) -> list[dict[str, Any]]:
        latest = {r["trace_id"]: r for r in sorted(self.reservations, key=lambda r: r["number"])}
        return [{**r, "since_unix_us": _us(r["since"]), "until_unix_us": _us(r["until"])} for r in latest.values()]

    def _said(self) -> list[dict[str, Any]]:
        return sorted(self.labels, key=lambda r: (r["trace_id"], r["at_unix_us"]))

    def label(self, trace_id: str, annotator: str, verdict: str, role: str = "label") -> None:
        """Keep a label."""
        at = {"at_unix_us": _us(self.now), "span_id": "", "failure_mode": ""}
        self.labels.append({"trace_id": trace_id, "annotator": annotator, "verdict": verdict, "role": role, **at})


def _us(moment: datetime) -> int:
    return round(moment.timestamp() * 1e6)
