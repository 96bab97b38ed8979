"""OTLP trace requests for load: serialised once, made unique again for every send.

Two kinds of spans, in traces of eight, three in a hundred failing:

    genai   25 attributes, 2 kB of prompt and answer, 2.97 kB on the wire
    small   10 attributes, 0.37 kB on the wire

Every id begins with a placeholder of four bytes; `Stamper` overwrites all placeholders of a body with the number of the
send, so no two sends hold the same span, trace or bytes.
"""

from __future__ import annotations

import base64
import gzip
import json
import random
import time
from typing import TYPE_CHECKING, Any, Final, Literal

import numpy as np
from google.protobuf.json_format import MessageToDict
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.common.v1.common_pb2 import AnyValue, ArrayValue, KeyValue
from opentelemetry.proto.trace.v1.trace_pb2 import Span, Status

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

Kind = Literal["genai", "small"]

MARK: Final = b"\xfa\x1d\x0e\x5c"
"""Begins every id; no text of ours holds it, because it is not UTF-8."""
SPANS_PER_TRACE: Final = 8
FAILING_SHARE: Final = 0.03
CONTENT_BYTES: Final = 2048
DISTINCT_SPANS: Final = 8192
"""How many spans are made, whatever the size of a request: enough that dictionaries and compressors find no favour."""
GZIP_LEVEL: Final = 6
MODELS: Final = ("gpt-4o-mini", "gpt-4o", "claude-sonnet-4", "gemini-2.5-pro")
TEXT: Final = (
    "the a of to and in is for on with that as by from at it an be this which or are was not but have model agent tool "
    "answer question customer order invoice shipment refund policy account update plan search result document section "
    "summary error latency retry deadline budget region price quantity please could would should first second next "
    "finally because however therefore according list"
)
WORDS: Final = TEXT.split()
LETTERS: Final = "abcdefghijklmnopqrstuvwxyz0123456789"
RESOURCE: Final = {
    "service.version": "1.2.3",
    "deployment.environment.name": "prod",
    "telemetry.sdk.language": "python",
    "telemetry.sdk.name": "opentelemetry",
    "telemetry.sdk.version": "1.45.2",
    "process.pid": 4242,
}


def build(kind: Kind, spans: int, seed: int) -> ExportTraceServiceRequest:
    """Make a request; the same arguments make the same spans but for their times, which are now."""
    chance = random.Random(seed)  # noqa: S311 - not a secret
    request = ExportTraceServiceRequest()
    resource = request.resource_spans.add()
    own = {"service.name": f"svc-{seed % 8}", "host.name": f"h-{seed % 40:02}"}
    resource.resource.attributes.extend(_attributes({**own, **RESOURCE}))
    scope = resource.scope_spans.add()
    scope.scope.name, scope.scope.version = "bench", "1"
    now, trace_id, root = time.time_ns(), b"", b""
    for i in range(spans):
        first = i % SPANS_PER_TRACE == 0
        if first:
            trace_id = MARK + chance.randbytes(12)
        span_id = MARK + chance.randbytes(4)
        span = scope.spans.add(
            trace_id=trace_id,
            span_id=span_id,
            parent_span_id=b"" if first else root,
            kind=Span.SPAN_KIND_CLIENT,
            flags=0x101,
            start_time_unix_nano=now - chance.randint(10**6, 3 * 10**9),
            end_time_unix_nano=now,
        )
        root = span_id if first else root
        failing = chance.random() < FAILING_SHARE
        span.status.code = Status.STATUS_CODE_ERROR if failing else Status.STATUS_CODE_UNSET
        if kind == "genai":
            operation = "invoke_agent" if first else ("chat", "chat", "execute_tool")[i % 3]
            span.name = f"{operation} x"
            span.attributes.extend(_attributes(_genai(chance, operation, failing=failing)))
        else:
            span.name = "POST /v1/items/{id}"
            span.attributes.extend(_attributes(_small(chance)))
    return request


def _genai(chance: random.Random, operation: str, *, failing: bool) -> dict[str, Any]:
    half = CONTENT_BYTES // 2 - 120
    tokens_in, tokens_out = chance.randint(80, 4000), chance.randint(10, 900)
    model = chance.choice(MODELS)
    prompt = [{"role": "user", "parts": [_text_part(chance, half)]}]
    answer = [{"role": "assistant", "parts": [_text_part(chance, half)], "finish_reason": "stop"}]
    attributes: dict[str, Any] = {
        "gen_ai.operation.name": operation,
        "gen_ai.provider.name": chance.choice(("openai", "anthropic", "gcp.gemini")),
        "gen_ai.request.model": model,
        "gen_ai.response.model": f"{model}-2026-05-01",
        "gen_ai.response.id": f"chatcmpl-{chance.getrandbits(64):016x}",
        "gen_ai.response.finish_reasons": ["stop"],
        "gen_ai.request.temperature": 0.2,
        "gen_ai.request.max_tokens": 1024,
        "gen_ai.request.top_p": 0.95,
        "gen_ai.usage.input_tokens": tokens_in,
        "gen_ai.usage.output_tokens": tokens_out,
        "gen_ai.usage.cache_read.input_tokens": tokens_in // 3,
        "gen_ai.conversation.id": f"conv-{chance.getrandbits(48):012x}",
        "gen_ai.agent.name": chance.choice(("support", "billing", "research")),
        "gen_ai.agent.id": f"agent-{chance.randint(1, 20)}",
        "gen_ai.system_instructions": '[{"type":"text","content":"You are a careful assistant."}]',
        "gen_ai.input.messages": json.dumps(prompt),
        "gen_ai.output.messages": json.dumps(answer),
        "server.address": "api.example.test",
        "server.port": 443,
        "user.id": f"u{chance.randint(0, 50000):05}",
        "session.id": f"s{chance.getrandbits(32):08x}",
        "app.prompt.version": f"v{chance.randint(1, 9)}",
        "app.cost.usd": tokens_in * 2e-7 + tokens_out * 1e-6,
        "app.stream": True,
    }
    return attributes | ({"error.type": "timeout"} if failing else {})


def _small(chance: random.Random) -> dict[str, Any]:
    return {
        "http.request.method": "POST",
        "http.route": "/v1/items/{id}",
        "http.response.status_code": 200,
        "url.path": f"/v1/items/{chance.randint(1, 99999)}",
        "server.address": f"10.0.0.{chance.randint(1, 200)}",
        "server.port": 8080,
        "user_agent.original": "client/1.4",
        "net.sock.peer.port": chance.randint(1024, 65000),
        "thread.id": chance.randint(1, 64),
        "app.flag": True,
    }


def _text_part(chance: random.Random, size: int) -> dict[str, str]:
    """Return a part of a message: `size` characters of words, one in ten of them a word nobody knows."""
    words: list[str] = []
    length = 0
    while length < size:
        word = chance.choice(WORDS) if chance.random() < 0.9 else "".join(chance.choices(LETTERS, k=7))
        words.append(word)
        length += len(word) + 1
    return {"type": "text", "content": " ".join(words)[:size]}


def _attributes(values: Mapping[str, Any]) -> list[KeyValue]:
    return [KeyValue(key=key, value=_any(value)) for key, value in values.items()]


def _any(value: Any) -> AnyValue:
    match value:
        case bool():
            return AnyValue(bool_value=value)
        case int():
            return AnyValue(int_value=value)
        case float():
            return AnyValue(double_value=value)
        case list():
            return AnyValue(array_value=ArrayValue(values=[_any(v) for v in value]))
    return AnyValue(string_value=str(value))


def to_json(request: ExportTraceServiceRequest) -> bytes:
    """Return OTLP's JSON: ids in hex, enumerations as numbers."""
    document = MessageToDict(request, use_integers_for_enums=True)
    for resource in document["resourceSpans"]:
        for scope in resource["scopeSpans"]:
            for span in scope["spans"]:
                for name in ("traceId", "spanId", "parentSpanId"):
                    if name in span:
                        span[name] = base64.b64decode(span[name]).hex()
    return json.dumps(document, separators=(",", ":")).encode()


class Stamper:
    """A few serialised requests that become a new one at every `next`. Not for several threads at once."""

    def __init__(self, bodies: Sequence[bytes], *, start: int, hexadecimal: bool = False) -> None:
        self._hexadecimal = hexadecimal
        needle = MARK.hex().encode() if hexadecimal else MARK
        self._bodies = [bytearray(body) for body in bodies]
        self._places = [_places(body, needle) for body in bodies]
        self._number = start
        self._turn = 0

    def next(self) -> bytes:
        """Return a body that was never returned before, within 2³² sends."""
        turn = self._turn % len(self._bodies)
        self._turn += 1
        self._number = (self._number + 1) & 0xFFFFFFFF
        mark = self._number.to_bytes(4, "big")
        mark = mark.hex().encode() if self._hexadecimal else mark
        body = self._bodies[turn]
        np.frombuffer(body, np.uint8)[self._places[turn]] = np.frombuffer(mark, np.uint8)
        return bytes(body)

    def next_gzipped(self) -> bytes:
        """Return `next` compressed: 30 ms for 1.5 MB, so not while something is measured."""
        return gzip.compress(self.next(), GZIP_LEVEL)


def _places(body: bytes, needle: bytes) -> NDArray[np.int64]:
    """Return the positions of every byte of every placeholder: one row a placeholder."""
    found = []
    at = body.find(needle)
    while at >= 0:
        found.append(at)
        at = body.find(needle, at + len(needle))
    return np.array(found, np.int64)[:, None] + np.arange(len(needle))


def stamper(
    kind: Kind,
    spans_per_request: int,
    *,
    requests: int | None = None,
    seed: int = 7,
    start: int | None = None,
    json: bool = False,
) -> Stamper:
    """Make requests of one kind and a stamper over them; not more of them than will be sent.

    `start` numbers the first send. Unset, it comes from the clock, so that two runs into one database do not collide.
    """
    count = min(max(DISTINCT_SPANS // spans_per_request, 2), 64, requests or 64)
    made = (build(kind, spans_per_request, seed + i) for i in range(count))
    bodies = [to_json(r) if json else r.SerializeToString() for r in made]
    first = (int(time.time()) & 0xFFF) << 20 if start is None else start
    return Stamper(bodies, start=first, hexadecimal=json)
