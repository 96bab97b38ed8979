"""What a sender is told: the one gRPC status and the one HTTP status of each outcome.

    outcome                  gRPC                          HTTP   the sender must
    accepted                 OK                            200    forget
    some spans refused       OK + rejected_spans           200    not retry
    bad_data                 INVALID_ARGUMENT + BadRequest 400    drop
    too_large                RESOURCE_EXHAUSTED            413    not retry
    unavailable, our bug     UNAVAILABLE + RetryInfo       503    retry
    rate_limited             RESOURCE_EXHAUSTED + RetryInfo 429   retry
    unauthenticated          UNAUTHENTICATED               401    not retry
    forbidden                PERMISSION_DENIED             403    not retry
    unsupported_media_type   UNIMPLEMENTED                 415    not retry

Source: OTLP specification, "Failures" and "OTLP/HTTP Throttling". RESOURCE_EXHAUSTED is retried exactly where a
RetryInfo comes with it, so TOO_LARGE never carries one; INTERNAL and 500 are never retried, so a bug of ours, before
anything was kept, is UNAVAILABLE.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from google.protobuf import json_format
from google.protobuf.any_pb2 import Any as AnyMessage
from google.protobuf.duration_pb2 import Duration
from google.rpc import code_pb2
from google.rpc.error_details_pb2 import BadRequest, RetryInfo
from google.rpc.status_pb2 import Status
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceResponse
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceResponse

from schema.errors import Reason

if TYPE_CHECKING:
    from collections.abc import Mapping

    from google.protobuf.message import Message

    from collector.decode.validate import Encoding
    from schema.component import Signal
    from schema.errors import Refused

RETRY_AFTER_S = 1.0
"""Where a retryable refusal names no delay. Senders double it themselves."""


@dataclass(frozen=True, slots=True)
class Codes:
    """The two statuses of a reason."""

    grpc: int
    """Number of google.rpc.Code."""
    http: int
    retryable: bool = False


CODES: Mapping[Reason, Codes] = MappingProxyType(
    {
        Reason.BAD_DATA: Codes(code_pb2.INVALID_ARGUMENT, 400),
        Reason.TOO_LARGE: Codes(code_pb2.RESOURCE_EXHAUSTED, 413),
        Reason.UNAVAILABLE: Codes(code_pb2.UNAVAILABLE, 503, retryable=True),
        Reason.RATE_LIMITED: Codes(code_pb2.RESOURCE_EXHAUSTED, 429, retryable=True),
        Reason.UNAUTHENTICATED: Codes(code_pb2.UNAUTHENTICATED, 401),
        Reason.FORBIDDEN: Codes(code_pb2.PERMISSION_DENIED, 403),
        Reason.UNSUPPORTED_MEDIA_TYPE: Codes(code_pb2.UNIMPLEMENTED, 415),
    }
)

RESPONSES: Mapping[Signal, type[ExportTraceServiceResponse | ExportLogsServiceResponse]] = MappingProxyType(
    {"traces": ExportTraceServiceResponse, "logs": ExportLogsServiceResponse}
)


def delay_s(refused: Refused, jitter: float) -> float | None:
    """Return the seconds to wait before trying again, or None where trying again cannot help.

    `jitter` in [0, 1) spreads the senders over half the delay, so that they do not come back together.
    """
    if not CODES[refused.reason].retryable:
        return None
    return (RETRY_AFTER_S if refused.retry_after_s is None else refused.retry_after_s) * (1 + jitter / 2)


def retry_after_header(delay: float) -> str:
    """Return whole seconds, at least one: HTTP's Retry-After knows no fractions (RFC 9110, 10.2.3)."""
    return str(max(1, math.ceil(delay)))


def status(refused: Refused, delay: float | None) -> Status:
    """Return the error body of both transports."""
    answer = Status(code=CODES[refused.reason].grpc, message=str(refused))
    if delay is not None:
        pause = Duration()
        pause.FromNanoseconds(int(delay * 1e9))
        _detail(answer, RetryInfo(retry_delay=pause))
    elif refused.reason is Reason.BAD_DATA:
        _detail(answer, BadRequest(field_violations=[BadRequest.FieldViolation(description=str(refused))]))
    return answer


def _detail(answer: Status, detail: Message) -> None:
    packed = AnyMessage()
    packed.Pack(detail)
    answer.details.append(packed)


def success(signal: Signal, refused: int = 0, message: str = "") -> Message:
    """Return the response of an accepted request; `partial_success` is unset unless there is something to say."""
    response: Any = RESPONSES[signal]()
    if refused or message:
        partial = response.partial_success
        partial.error_message = message
        if signal == "traces":
            partial.rejected_spans = refused
        else:
            partial.rejected_log_records = refused
    result: Message = response
    return result


def encode(message: Message, encoding: Encoding) -> bytes:
    """Return a response or a Status in the encoding of the request."""
    if encoding == "json":
        return json_format.MessageToJson(message, indent=None).encode("utf-8")
    return message.SerializeToString()
