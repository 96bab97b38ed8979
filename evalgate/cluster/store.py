"""Clusters in the database. Append-only: a run counts when its row in cluster_runs is there, and that comes last.

Ids are given against what was read. Who ends second finds the number taken, so that nobody's ids are given twice; what
he wrote before belongs to no run that counts, and nobody reads it.
"""

from __future__ import annotations

import json
import uuid
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, Final

from evalgate.cluster.behaviour import Scope
from evalgate.cluster.find import Cluster, Known, Trend
from evalgate.database import sql
from evalgate.errors import BadInput
from evalgate.once import append_once
from evalgate.select.traces import EPOCH
from schema.errors import Retryable

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from evalgate.cluster.find import Found
    from evalgate.database import TenantDatabase

ALONG: Final = 20
"""Traces of each known cluster that are grouped along, so that it is known again; the deepest inside."""
ALONG_CLUSTERS: Final = 200
"""Clusters that were seen last."""


@dataclass(frozen=True, slots=True)
class Run:
    """A run that counts."""

    number: int
    at_unix_us: int
    scope: Scope
    body: Mapping[str, Any]
    """since, found, traces, novel, weight, novel_weight, early_total, late_total, settings."""


@dataclass(frozen=True, slots=True)
class Stored:
    """A cluster as its latest run saw it."""

    cluster: Cluster
    scope: Scope
    number: int
    """Of that run."""
    total_weight: float
    """Of all traces that were grouped then."""
    early_total: int
    late_total: int
    runs: int
    """How many saw it."""
    first_unix_ns: int
    """In any run."""
    last_unix_ns: int

    @property
    def share(self) -> float:
        """Its part of the traffic that was grouped, weighted."""
        return self.cluster.weight / self.total_weight if self.total_weight else 0.0


def read_known(database: TenantDatabase, scope: Scope) -> tuple[Known, int]:
    """Return what earlier runs said of the traces to group along, and the number of the next run."""
    (row,) = database.rows(sql(__package__, "next"))
    found = database.rows(sql(__package__, "along"), {"scope": str(scope), "each": ALONG, "clusters": ALONG_CLUSTERS})
    known = {str(r["trace_id"]): int(r["cluster_id"]) for r in found}
    return Known(known, int(row["next_id"])), int(row["next_number"])


def cluster_of(database: TenantDatabase, scope: Scope) -> dict[str, int]:
    """Return the cluster of every trace that was ever grouped, 0 for none."""
    rows = database.rows(sql(__package__, "assigned"), {"scope": str(scope)})
    return {str(r["trace_id"]): int(r["cluster_id"]) for r in rows}


def save(
    database: TenantDatabase,
    found: Found,
    number: int,
    scope: Scope,
    body: Mapping[str, Any],
    *,
    actor: str,
    new_id: Callable[[], str] = lambda: uuid.uuid4().hex,
) -> None:
    """Write a run.

    Raises:
        Retryable: another run ended meanwhile; nothing of this one counts.

    """
    run_id = new_id()
    shared = {"number": number, "run_id": run_id, "scope": str(scope)}
    sightings = [{**shared, **_sighting(c, found)} for c in found.clusters]
    members = [
        {
            **shared,
            "trace_id": m.behaviour.trace_id,
            "cluster_id": m.cluster_id,
            "strength": m.strength,
            "representative": m.representative,
            "in_window": m.behaviour.in_window,
            "sample_weight": m.behaviour.weight,
            "start_time": _moment(m.behaviour.start_unix_ns),
        }
        for m in found.members
    ]
    events = [
        {**shared, "cluster_id": e.cluster_id, "event": str(e.kind), "other_id": e.other_id, "share": e.share}
        for e in found.events
    ]
    for table, rows in (("cluster_members", members), ("cluster_sightings", sightings), ("cluster_events", events)):
        if rows:
            database.insert_rows(table, rows)
    _count(database, {**shared, "body": json.dumps(body), "actor": actor})


def _count(database: TenantDatabase, run: Mapping[str, Any]) -> None:
    """Write the row that makes the run count, or nothing where the number is taken."""
    append_once(database, "cluster_runs", [run], str(run["number"]))
    if not any(r["run_id"] == run["run_id"] for r in database.rows(sql(__package__, "runs"))):
        raise Retryable(
            "another evalgate cluster run ended meanwhile, and this one did not know its clusters: run it again"
        )


def list_runs(database: TenantDatabase) -> list[Run]:
    """Return the runs that count, the latest first."""
    return [
        Run(int(r["number"]), int(r["at_unix_us"]), Scope(r["scope"]), json.loads(r["body"]))
        for r in database.rows(sql(__package__, "runs"))
    ]


def latest_run(database: TenantDatabase, scope: Scope) -> Run | None:
    """Return the latest run over such traffic; None: there is none yet."""
    return next((r for r in list_runs(database) if r.scope is scope), None)


def list_clusters(database: TenantDatabase, scope: Scope) -> list[Stored]:
    """Return every cluster that was ever seen, those of the latest run first, then the heaviest."""
    rows = database.rows(sql(__package__, "clusters"), {"scope": str(scope)})
    return [_stored(r) for r in rows]


def find_cluster(database: TenantDatabase, cluster_id: int) -> Stored:
    """Return one cluster.

    Raises:
        BadInput: there is none of this id.

    """
    for scope in Scope:
        for stored in list_clusters(database, scope):
            if stored.cluster.id == cluster_id:
                return stored
    raise BadInput(f"there is no cluster {cluster_id}. List them: evalgate cluster list")


def history(database: TenantDatabase, cluster_id: int) -> list[dict[str, Any]]:
    """Return {number, event, cluster_id, other_id, share} of a cluster, and of those out of it or that ended in it."""
    return database.rows(sql(__package__, "history"), {"cluster_id": cluster_id})


def members(database: TenantDatabase, cluster_id: int, number: int) -> list[dict[str, Any]]:
    """Return the traces that a run put in a cluster (members.sql), who stands for it first."""
    return database.rows(sql(__package__, "members"), {"cluster_id": cluster_id, "number": number})


def _sighting(c: Cluster, found: Found) -> dict[str, Any]:
    return {
        "cluster_id": c.id,
        "name": c.name,
        "terms": list(c.terms),
        "traces": c.traces,
        "failing_traces": c.failing,
        "weight": c.weight,
        "total_weight": found.total_weight,
        "first_seen": _moment(c.first_unix_ns),
        "last_seen": _moment(c.last_unix_ns),
        "root_names": list(c.root_names),
        "features": list(c.features),
        "failure_reasons": list(c.failure_reasons),
        "tool_paths": list(c.tool_paths),
        "trend": str(c.trend),
        "early_traces": c.early,
        "late_traces": c.late,
        "early_total": found.early_total,
        "late_total": found.late_total,
    }


def _stored(r: Mapping[str, Any]) -> Stored:
    def texts(name: str) -> tuple[str, ...]:
        return tuple(map(str, r[name]))

    cluster = Cluster(
        id=int(r["cluster_id"]),
        name=str(r["name"]),
        terms=texts("terms"),
        traces=int(r["traces"]),
        failing=int(r["failing_traces"]),
        weight=float(r["weight"]),
        first_unix_ns=int(r["first_unix_us"]) * 1000,
        last_unix_ns=int(r["last_unix_us"]) * 1000,
        root_names=texts("root_names"),
        features=texts("features"),
        failure_reasons=texts("failure_reasons"),
        tool_paths=texts("tool_paths"),
        trend=Trend(r["trend"]),
        early=int(r["early_traces"]),
        late=int(r["late_traces"]),
    )
    return Stored(
        cluster,
        Scope(r["scope"]),
        int(r["number"]),
        float(r["total_weight"]),
        int(r["early_total"]),
        int(r["late_total"]),
        int(r["runs"]),
        cluster.first_unix_ns,
        cluster.last_unix_ns,
    )


def _moment(unix_ns: int) -> datetime:
    return (EPOCH + timedelta(microseconds=unix_ns // 1000)).astimezone(UTC)
