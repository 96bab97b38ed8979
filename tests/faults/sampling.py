"""Traces whose ids are random where samplers look, and what the database says of them."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from schema.sampling import RANGE, threshold
from tests.faults.harness import until
from tests.faults.harness.producer import Claimed, Requests

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tests.faults.harness import Collector, Producer

TRACES = """
SELECT trace_id, span_count, failing, baseline, baseline_rate, flagged, inclusion_probability, sample_weight,
    policy_versions
FROM traces
"""
SPANS = """
SELECT lower(hex(trace_id)) AS id, policy_version, any(baseline_rate) AS rate, uniqExact(baseline) AS decisions,
    any(baseline) AS kept
FROM spans GROUP BY trace_id, policy_version
"""


@dataclass(slots=True)
class RandomTraces(Requests):
    """Requests as usual, but for the last 8 bytes of trace ids: a hash of what they would be."""

    def make(self) -> Claimed:
        """Return the next request."""
        claimed = Requests.make(self)
        request = ExportTraceServiceRequest()
        request.ParseFromString(claimed.body)
        for resource_spans in request.resource_spans:
            for scope_spans in resource_spans.scope_spans:
                for span in scope_spans.spans:
                    span.trace_id = span.trace_id[:8] + hashlib.sha256(span.trace_id).digest()[:8]
        claimed.body = request.SerializeToString()
        return claimed


def in_baseline(trace_id: str, rate: float) -> bool:
    """Tell whether a trace belongs to the baseline: its last 56 bits reach the threshold."""
    return int(trace_id, 16) % RANGE >= threshold(rate)


def traces_of(collector: Collector, producers: Sequence[Producer], *, spans: int) -> dict[str, dict[str, Any]]:
    """Return the traces by id, once there is one per producer and each has so many spans."""
    found: dict[str, dict[str, Any]] = {}

    def there() -> bool:
        found.clear()
        found.update({row["trace_id"]: row for row in collector.rows(TRACES)})
        return len(found) == len(producers) and all(r["span_count"] == spans for r in found.values())

    until(there, f"{len(producers)} traces of {spans} spans are there", deadline_s=20)
    return found
