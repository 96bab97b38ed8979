"""What a backend's answer means. Source: OTLP specification, "OTLP/gRPC Response" and "OTLP/HTTP Response"."""

from __future__ import annotations

from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING, Final

from google.protobuf.message import DecodeError
from google.rpc.error_details_pb2 import RetryInfo
from google.rpc.status_pb2 import Status
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceResponse
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceResponse

if TYPE_CHECKING:
    from schema.component import Signal

MAX_ANSWER_BYTES: Final = 64 << 10
"""Of any answer; what is behind it is not read (compare CVE-2026-39882)."""


def rejected_of(signal: Signal, answer: bytes) -> tuple[int, str]:
    """Return how many members of a request were not taken and why; (0, "") also where the answer cannot be read."""
    try:
        if signal == "traces":
            spans = ExportTraceServiceResponse.FromString(answer).partial_success
            return max(0, spans.rejected_spans), spans.error_message
        logs = ExportLogsServiceResponse.FromString(answer).partial_success
        return max(0, logs.rejected_log_records), logs.error_message
    except DecodeError:
        return 0, ""


def seconds_of(retry_after: str | None, now: datetime | None = None) -> float | None:
    """Return what the header Retry-After says: seconds, or a date (RFC 9110, 10.2.3)."""
    if retry_after is None:
        return None
    if retry_after.strip().isdecimal():
        return float(retry_after)
    try:
        at = parsedate_to_datetime(retry_after)
    except ValueError:
        return None
    at = at if at.tzinfo else at.replace(tzinfo=UTC)
    return max(0.0, (at - (now or datetime.now(UTC))).total_seconds())


def retry_info(details: bytes) -> float | None:
    """Return the seconds of a RetryInfo in a serialised Status (`grpc-status-details-bin`); None without one."""
    try:
        status = Status.FromString(details)
        for detail in status.details:
            if detail.Is(RetryInfo.DESCRIPTOR):
                info = RetryInfo()
                detail.Unpack(info)
                return max(0.0, float(info.retry_delay.seconds + info.retry_delay.nanos / 1e9))
    except DecodeError:
        return None
    return None
