"""Errors that callers branch on.

EvalgateError                 everything of ours; str() ends with what to do next
├── ConfigError               the configuration is wrong: nothing was started
├── Refused                   input was not accepted, before any acknowledgement; carries the answer to give
├── Corrupt                   bytes on disk are damaged: file, offset
├── Permanent                 trying again cannot help: the batch or the row is at fault
└── Retryable                 trying the very same thing again may help
    └── DatabaseOwned         another process owns the embedded database: pid, url
"""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path


class EvalgateError(Exception):
    """Base of every error of ours."""


class ConfigError(EvalgateError):
    """The configuration is wrong; nothing was started."""


class Reason(StrEnum):
    """Why input was refused. Each has one gRPC status and one HTTP status (docs/otlp.md)."""

    BAD_DATA = "bad_data"
    TOO_LARGE = "too_large"
    UNAVAILABLE = "unavailable"
    RATE_LIMITED = "rate_limited"
    UNAUTHENTICATED = "unauthenticated"
    FORBIDDEN = "forbidden"
    UNSUPPORTED_MEDIA_TYPE = "unsupported_media_type"


class Limit(StrEnum):
    """A limit of receiving that was met; metrics count by it (docs/otlp.md, "Limits")."""

    BODY = "body"
    COMPRESSED_BODY = "compressed_body"
    INFLATED_BODY = "inflated_body"
    INFLATE_RATIO = "inflate_ratio"
    IN_FLIGHT = "in_flight"
    SPANS = "spans"
    ITEMS = "items"
    FIELDS = "fields"
    JSON_OBJECTS = "json_objects"
    JSON_DEPTH = "json_depth"
    HEADERS = "headers"
    HEADER_TIMEOUT = "header_timeout"
    BODY_TIMEOUT = "body_timeout"
    CONNECTIONS = "connections"
    MEMORY = "memory"


class Refused(EvalgateError):
    """Input was not accepted, and nothing of it was kept.

    `retry_after_s` is set where the sender should try again, `limit` where one of receiving was met, `members` where
    somebody had counted the spans or log records.
    """

    members: int = 0

    def __init__(
        self, reason: Reason, message: str, *, retry_after_s: float | None = None, limit: Limit | None = None
    ) -> None:
        super().__init__(message)
        self.reason = reason
        self.retry_after_s = retry_after_s
        self.limit = limit


class Corrupt(EvalgateError):
    """Bytes on disk are damaged."""

    def __init__(self, file: Path, offset: int, message: str) -> None:
        super().__init__(f"{file} at byte {offset}: {message}")
        self.file = file
        self.offset = offset


class Permanent(EvalgateError):
    """Trying again cannot help. `code` is ClickHouse's where it has one, `status` that of HTTP."""

    code: int | None = None
    status: int | None = None


class Retryable(EvalgateError):
    """Trying the same again may help; `after_s` is set where the other side said not before."""

    after_s: float | None = None


class DatabaseOwned(Retryable):
    """Another process owns the embedded database."""

    def __init__(self, path: Path, pid: int, url: str | None) -> None:
        where = f"; it answers on {url}" if url else ""
        super().__init__(
            f"the database {path} is open in process {pid}{where}. "
            "Stop that process, or point --dsn (EVALGATE_DSN) at its URL."
        )
        self.path = path
        self.pid = pid
        self.url = url
