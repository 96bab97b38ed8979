"""One connection of the web server: how many there are, how long a head may be, how slow a client may be.

    connection ─▶ head ─▶ body ─▶ answer ─▶ idle ─▶ head …
      max_connections │      │        │        └ uvicorn's own timeout_keep_alive
                      │      │        └ answer_timeout_s without a byte read by the client: cut
                      │      └ body_timeout_s, longer for a body that comes at min_body_bytes_per_s
                      └ header_timeout_s from the connection or the first byte, max_header_bytes

uvicorn reads heads of any length from as many connections as there are, and waits for ever.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

if TYPE_CHECKING:
    import asyncio

REFUSALS: Final = {
    408: b"HTTP/1.1 408 Request Timeout\r\n",
    431: b"HTTP/1.1 431 Request Header Fields Too Large\r\n",
    503: b"HTTP/1.1 503 Service Unavailable\r\n",
}
LINGER_S: Final = 2.0
"""How long a client may take to read a refusal."""


@dataclass(frozen=True, slots=True)
class ConnectionLimits:
    """What one connection may do."""

    max_connections: int
    max_header_bytes: int
    header_timeout_s: float
    body_timeout_s: float
    min_body_bytes_per_s: int
    answer_timeout_s: float


class Connection(HttpToolsProtocol):
    """uvicorn's protocol with limits; `on_*` are called by the parser."""

    def __init__(self, *, limits: ConnectionLimits, **given: Any) -> None:
        super().__init__(**given)
        self._limits = limits
        self._deadline: float | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._answer_timer: asyncio.TimerHandle | None = None
        self._unread_bytes = 0
        self._head_bytes = 0
        self._fed_bytes = 0
        self._in_head = False
        self._body_began_at = 0.0
        self._body_bytes = 0
        self._deaf = False

    # from the event loop

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as uvicorn has it
        """Wait for a head, unless there are too many connections."""
        is_one_too_many = len(self.connections) >= self._limits.max_connections
        super().connection_made(transport)
        if is_one_too_many:
            self._refuse(503, f"{self._limits.max_connections} connections are open, the most there may be; try again")
            return
        self._in_head = True
        self._set_deadline(self._limits.header_timeout_s)

    def connection_lost(self, exc: Exception | None) -> None:
        """Stop waiting."""
        self._deaf = True
        for timer in (self._timer, self._answer_timer):
            if timer is not None:
                timer.cancel()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Parse; after a refusal only read."""
        if self._deaf:
            return
        if self._deadline is None and not self._is_busy():
            self._in_head = True
            self._set_deadline(self._limits.header_timeout_s)
        super().data_received(data)
        if self._in_head:  # the parser says nothing of a header before its end
            self._fed_bytes += len(data)
            if self._fed_bytes > self._limits.max_header_bytes and not self._deaf:
                self._refuse_head()

    def pause_writing(self) -> None:
        """Watch a client that does not read its answer as fast as it is written."""
        super().pause_writing()
        self._watch_reading()

    def resume_writing(self) -> None:
        """Stop watching: nearly all of the answer is with the client."""
        super().resume_writing()
        if self._answer_timer is not None:
            self._answer_timer.cancel()
            self._answer_timer = None

    # from the parser

    def on_message_begin(self) -> None:
        """Begin a request."""
        super().on_message_begin()
        self._in_head, self._head_bytes = True, 0

    def on_url(self, url: bytes) -> None:
        """Count what of the head is there."""
        self._head_bytes += len(url)
        super().on_url(url)

    def on_header(self, name: bytes, value: bytes) -> None:
        """Count what of the head is there; of a trailer too, which is none."""
        self._head_bytes += len(name) + len(value)
        super().on_header(name, value)

    def on_headers_complete(self) -> None:
        """Begin the body."""
        if self._deaf:
            return
        if self._head_bytes > self._limits.max_header_bytes:
            self._refuse_head()
            return
        self._in_head, self._fed_bytes = False, 0
        self._body_began_at, self._body_bytes = self.loop.time(), 0
        self._set_deadline(self._limits.body_timeout_s)
        super().on_headers_complete()

    def on_body(self, body: bytes) -> None:
        """Give a body more time for what came of it."""
        if self._deaf:
            return
        self._body_bytes += len(body)
        late = self._body_began_at + self._limits.body_timeout_s - self.loop.time()
        self._set_deadline(late + self._body_bytes / self._limits.min_body_bytes_per_s)
        super().on_body(body)

    def on_message_complete(self) -> None:
        """Wait for the application, as long as that takes."""
        if self._deaf:
            return
        self._deadline = None
        super().on_message_complete()

    def on_response_complete(self) -> None:
        """Wait for the end of the next head, where it has begun."""
        super().on_response_complete()
        if self._in_head and self._deadline is None and not self._deaf:
            self._set_deadline(self._limits.header_timeout_s)

    # limits

    def _is_busy(self) -> bool:
        return self.cycle is not None and not self.cycle.response_complete  # type: ignore[redundant-expr]  # None at first

    def _set_deadline(self, after_s: float) -> None:
        self._deadline = self.loop.time() + after_s
        if self._timer is None or self._timer.when() > self._deadline:
            if self._timer is not None:
                self._timer.cancel()
            self._timer = self.loop.call_at(self._deadline, self._look)

    def _look(self) -> None:
        """Act on a deadline that has passed; one timer serves all that come one after the other."""
        self._timer = None
        if self._deadline is None:
            return
        if self.loop.time() < self._deadline:
            self._timer = self.loop.call_at(self._deadline, self._look)
        elif self._deaf or (not self._in_head and not self._is_busy()):
            self.transport.abort()  # it was answered, and still sends or does not read
        else:
            self._refuse(408, "the request came too slowly")

    def _watch_reading(self) -> None:
        unread_bytes = self.transport.get_write_buffer_size()
        if self._answer_timer is not None and unread_bytes >= self._unread_bytes:
            self.transport.abort()
            return
        self._unread_bytes = unread_bytes
        self._answer_timer = self.loop.call_later(self._limits.answer_timeout_s, self._watch_reading)

    def _refuse_head(self) -> None:
        self._refuse(431, f"the head is longer than {self._limits.max_header_bytes} bytes: send what is long as body")

    def _refuse(self, status: int, text: str) -> None:
        """Answer, and close as soon as that is read."""
        self._deaf = True
        content = text.encode("ascii") + b"\n"
        self.transport.write(
            REFUSALS[status]
            + b"content-type: text/plain; charset=utf-8\r\ncontent-length: %d\r\nconnection: close\r\n\r\n"
            % len(content)
            + content
        )
        self.transport.close()
        self._set_deadline(LINGER_S)
