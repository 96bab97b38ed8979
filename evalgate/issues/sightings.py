"""Sightings: traces that people say a failure mode of. What evaluators say of production is kept apart."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from evalgate.issues.lifecycle import SeenAgain
from evalgate.select.traces import iso_time
from schema.verdict import Severity

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from schema.issue import Issue


@dataclass(frozen=True, slots=True)
class Sighting:
    """A labelled trace that shows a failure mode."""

    trace_id: str
    at: str
    """When it began, ISO 8601, UTC. Where it has expired, as its case has it, else when it was labelled.

    Never later than it was labelled: what an application whose clock is ahead sent is not seen anew for hours.
    """
    sample_weight: float = 0.0
    """How many traces it stands for; 0 of one that is no part of the sample, or has expired."""
    severity: Severity | None = None
    """The worst that a label says."""


def sightings_of(rows: Iterable[Mapping[str, Any]], began: Mapping[str, str]) -> dict[str, tuple[Sighting, ...]]:
    """Return sightings by failure mode, the earliest first. `began`: when expired traces began, by id."""
    severities = list(Severity)
    found: dict[str, list[Sighting]] = {}
    for row in rows:
        start_ns, worst = int(row["start_unix_ns"]), int(row["worst"])
        trace_id = str(row["trace_id"])
        labelled = iso_time(int(row["labelled_unix_us"]) * 1000)
        found.setdefault(str(row["failure_mode"]), []).append(
            Sighting(
                trace_id=trace_id,
                at=min(labelled, iso_time(start_ns) if start_ns else began.get(trace_id) or labelled),
                sample_weight=float(row["sample_weight"]),
                severity=severities[worst - 1] if worst else None,
            )
        )
    return {mode: tuple(sorted(seen, key=lambda s: (s.at, s.trace_id))) for mode, seen in found.items()}


def seen_again(issue: Issue, sightings: Sequence[Sighting] | None, judged: str = "") -> SeenAgain:
    """Return what was seen of an issue since it should have been over; nothing of one that is not.

    `sightings`: None where nobody has them at hand: then the issue's own `last_seen` tells. `judged`: what an evaluator
    said of production since.
    """
    if not issue.is_over or issue.since is None:
        return SeenAgain()
    if sightings is None:
        is_later = issue.last_seen is not None and issue.last_seen > issue.since
        return SeenAgain(int(is_later), issue.last_seen if is_later else None, judged=judged)
    later = [s for s in sightings if s.at > issue.since]
    last = max(later, key=lambda s: s.at, default=None)
    return SeenAgain(len(later), last.at if last else None, judged)
