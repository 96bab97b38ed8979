"""One journal record: an OTLP request as it came, with who sent it and when."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from schema.component import Signal


@dataclass(frozen=True, slots=True)
class Record:
    """What a receiver accepted; `body` is byte for byte what the sender sent."""

    sequence: int
    tenant: str
    signal: Signal
    encoding: Literal["protobuf", "json"]
    gzip: bool
    received_unix_ns: int
    body: bytes
    members: int = 0
    """Spans or log records in the body, as its receiver counted them; 0 where nobody did."""
