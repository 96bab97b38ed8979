"""Decide, before the acknowledgement, what of a request is accepted.

What passes here is journalled and acknowledged, so it must decode later; what does not is refused while the sender
still listens. Order: inflate within a bound, count within a bound, parse, look at the ids. A kernel that has nothing
to object to saves the parsing (`collector.decode.check`); what it does not like, the library judges.

Rules: OTLP specification, "OTLP/HTTP Response" (400 for what cannot be decoded, partial success for what is invalid
in a good request); trace.proto, "trace_id: A valid trace identifier is a 16-byte array with at least one non-zero
byte", span_id likewise with 8. A log record may come without ids ("receivers SHOULD assume that the log record is not
associated with a trace"), so its ids are no reason to refuse it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

from google.protobuf.message import DecodeError

from collector.decode.inflate import gunzip
from collector.decode.otlp_json import REQUESTS, to_message
from collector.decode.wire import fragments
from schema.errors import Limit, Reason, Refused

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from schema.component import Signal

Encoding = Literal["protobuf", "json"]

NO_TRACE_ID, NO_SPAN_ID = bytes(16), bytes(8)


@dataclass(frozen=True, slots=True)
class Limits:
    """What one request may be."""

    max_inflated_bytes: int = 64 << 20
    """After decompression. Source: OTLP specification, 64 MiB recommended."""
    max_spans: int = 20_000
    """Spans, or log records; no sender batches nearly as many (the SDKs send 512, the Collector 8192)."""
    max_items: int = 1_000_000
    """Attributes, events and links of all spans or log records together, nested values not counted."""
    max_compressed_bytes: int = 16 << 20
    """As it comes, where it is compressed."""
    max_inflate_ratio: int = 200
    """How many times larger than it came a body may become, from 1 MiB on; telemetry compresses 5 to 40 times."""
    max_json_objects: int = 500_000
    """Objects and arrays of a JSON body: as many as 8192 spans of 30 attributes have; 200 MB while they are read."""


DEFAULT_LIMITS = Limits()

Check: TypeAlias = "Callable[[bytes | memoryview, Signal, Limits], int | None]"
"""Says how many spans or log records a protobuf body holds; None where the library has to look at it."""


@dataclass(frozen=True, slots=True)
class Validated:
    """What to journal, and what to tell the sender."""

    body: bytes | memoryview
    """As it came; re-encoded as protobuf without the refused spans where there are any."""
    encoding: Encoding
    gzip: bool
    accepted: int
    """Spans or log records; 0 means that there is nothing to journal."""
    refused: int = 0
    message: str = ""
    """Why spans were refused; empty if none was."""


def validate(
    body: bytes | memoryview,
    signal: Signal,
    *,
    encoding: Encoding,
    gzip: bool,
    limits: Limits = DEFAULT_LIMITS,
    check: Check | None = None,
    reserve: Callable[[int], None] | None = None,
) -> Validated:
    """Return what of a request is accepted.

    CPU-bound: with `check` 0.8 µs per 3 kB span without the GIL; else about 3, holding the GIL for one fragment at a
    time. Inflating does not hold it. `reserve` is called with the bytes that inflating and reading JSON take, before
    that, and may raise; all of it is free again when this returns.

    Raises:
        Refused: TOO_LARGE beyond the limits of bytes, BAD_DATA for what does not parse or is too many.

    """
    plain = inflated(body, limits, reserve) if gzip else body
    if not gzip and len(body) > limits.max_inflated_bytes:
        raise Refused(
            Reason.TOO_LARGE,
            f"the body has {len(body)} bytes; the limit is {limits.max_inflated_bytes}; send smaller batches",
            limit=Limit.BODY,
        )
    if check is not None and encoding == "protobuf" and (members := check(plain, signal, limits)) is not None:
        return Validated(body, encoding, gzip, members)
    if not isinstance(plain, bytes):
        plain = bytes(plain)
    tally = _Tally(signal, limits, few_items=len(plain) <= 2 * limits.max_items)
    for message in _messages(plain, signal, encoding, limits, reserve):
        tally.add(message)
    accepted = tally.spans - tally.refused
    if not tally.refused:
        return Validated(body, encoding, gzip, accepted)
    kept = _without_refused(plain, signal, encoding) if accepted else b""
    return Validated(kept, "protobuf", gzip=False, accepted=accepted, refused=tally.refused, message=tally.message())


def inflated(
    body: bytes | memoryview, limits: Limits = DEFAULT_LIMITS, reserve: Callable[[int], None] | None = None
) -> bytes:
    """Return a gzipped body inflated, within the limits.

    Raises:
        Refused: TOO_LARGE or BAD_DATA.

    """
    if len(body) > limits.max_compressed_bytes:
        raise Refused(
            Reason.TOO_LARGE,
            f"the compressed body has {len(body)} bytes; the limit is {limits.max_compressed_bytes}; "
            "send smaller batches",
            limit=Limit.COMPRESSED_BODY,
        )
    return gunzip(body, limits.max_inflated_bytes, max_ratio=limits.max_inflate_ratio, reserve=reserve)


def _messages(
    plain: bytes, signal: Signal, encoding: Encoding, limits: Limits, reserve: Callable[[int], None] | None
) -> Iterator[Any]:
    """Yield request messages that together are the request."""
    if encoding == "json":
        yield to_message(
            plain, signal, max_members=limits.max_spans, max_objects=limits.max_json_objects, reserve=reserve
        )
        return
    request = REQUESTS[signal]
    for fragment in fragments(plain, signal):
        try:
            yield request.FromString(fragment)
        except DecodeError as e:
            raise Refused(
                Reason.BAD_DATA, f"the body is not an OTLP {signal} request in protobuf: {parse_error(e)}"
            ) from None


def parse_error(error: DecodeError) -> str:
    """Return what the protobuf library found, without its name of our class. It quotes no content."""
    return str(error).rpartition(": ")[2][:200] or "it does not parse"


def _without_refused(plain: bytes, signal: Signal, encoding: Encoding) -> bytes:
    message: Any = to_message(plain, signal) if encoding == "json" else REQUESTS[signal].FromString(plain)
    for resource in message.resource_spans:
        for scope in resource.scope_spans:
            for row in range(len(scope.spans) - 1, -1, -1):
                if _bad_id(scope.spans[row]):
                    del scope.spans[row]
    whole: bytes = message.SerializeToString()
    return whole


def _bad_id(span: Any) -> Literal["", "trace", "span"]:
    trace_id, span_id = span.trace_id, span.span_id
    if len(trace_id) != 16 or trace_id == NO_TRACE_ID:
        return "trace"
    if len(span_id) != 8 or span_id == NO_SPAN_ID:
        return "span"
    return ""


class _Tally:
    """What a request holds, counted as its fragments are parsed."""

    def __init__(self, signal: Signal, limits: Limits, *, few_items: bool) -> None:
        self._signal = signal
        self._limits = limits
        self._few_items = few_items  # an item takes two bytes at least: a small body cannot hold too many
        self._resources = self._scopes = self._items = 0
        self._bad_trace_ids = self._bad_span_ids = 0
        self.spans = 0

    @property
    def refused(self) -> int:
        return self._bad_trace_ids + self._bad_span_ids

    def add(self, message: Any) -> None:
        if self._signal == "traces":
            for resource in message.resource_spans:
                self._resource(resource, resource.scope_spans)
                for scope in resource.scope_spans:
                    self._scope(scope, scope.spans)
                    self._ids(scope.spans)
        else:
            for resource in message.resource_logs:
                self._resource(resource, resource.scope_logs)
                for scope in resource.scope_logs:
                    self._scope(scope, scope.log_records)

    def _resource(self, resource: Any, scopes: Any) -> None:
        self._resources += 1
        self._scopes += len(scopes)
        for what, n in (("resources", self._resources), ("scopes", self._scopes)):
            self._check(what, n, self._limits.max_spans, Limit.SPANS)
        if not self._few_items:
            self._add_items(len(resource.resource.attributes))

    def _scope(self, scope: Any, members: Any) -> None:
        self.spans += len(members)
        self._check(
            "spans" if self._signal == "traces" else "log records", self.spans, self._limits.max_spans, Limit.SPANS
        )
        if self._few_items:
            return
        self._add_items(len(scope.scope.attributes))
        for member in members:
            self._add_items(len(member.attributes))
            if self._signal == "traces":
                self._add_items(len(member.events) + len(member.links) + sum(len(e.attributes) for e in member.events))

    def _add_items(self, n: int) -> None:
        self._items += n
        self._check("attributes, events and links", self._items, self._limits.max_items, Limit.ITEMS)

    @staticmethod
    def _check(what: str, n: int, at_most: int, limit: Limit) -> None:
        if n > at_most:
            raise Refused(
                Reason.BAD_DATA,
                f"the request holds at least {n} {what}; the limit is {at_most}; send smaller batches",
                limit=limit,
            )

    def _ids(self, spans: Any) -> None:
        for span in spans:
            if bad := _bad_id(span):
                if bad == "trace":
                    self._bad_trace_ids += 1
                else:
                    self._bad_span_ids += 1

    def message(self) -> str:
        """Return why spans were refused, with counts."""
        parts = []
        if self._bad_trace_ids:
            parts.append(f"{self._bad_trace_ids} without a trace id of 16 bytes that are not all zero")
        if self._bad_span_ids:
            parts.append(f"{self._bad_span_ids} without a span id of 8 bytes that are not all zero")
        return f"{self.refused} of {self.spans} spans refused: {', '.join(parts)}"
