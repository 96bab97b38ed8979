"""One HTTP/1.1 connection over httptools: its limits, its timeouts, the order of its answers. It knows nothing of OTLP.

    bytes ─▶ parser ─▶ request being read ─▶ queue ─▶ one task answers in order ─▶ bytes
      │        │            │ refused early: its body is read and thrown away, the connection lives
      │        └────────────┴ over a limit, too slow, not HTTP: answer after those before it, then close, lingering
      └─▶ a large body of known length goes past the parser, into the buffer that the journal writes from

Why not a general ASGI server: the limits of headers and bodies, the timeouts per phase and a close that lets the
sender read its answer (RFC 9112, 9.6) have to be here, where bytes are counted; an ASGI application sees them too late.
"""

from __future__ import annotations

import asyncio
import math
from collections import deque
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol, cast
from urllib.parse import urlsplit

import httptools

from collector.receivers.body import DIRECT_BYTES, Body
from collector.receivers.intake import log_bug
from schema.errors import Limit, Refused

if TYPE_CHECKING:
    from collector.auth.tenants import Bytes

PHRASES = {
    200: b"OK",
    400: b"Bad Request",
    401: b"Unauthorized",
    403: b"Forbidden",
    404: b"Not Found",
    405: b"Method Not Allowed",
    408: b"Request Timeout",
    413: b"Content Too Large",
    415: b"Unsupported Media Type",
    429: b"Too Many Requests",
    431: b"Request Header Fields Too Large",
    503: b"Service Unavailable",
}
LINGER_S = 2.0
"""How long a refused sender may go on sending before the connection is cut; nginx waits 5 s between two reads."""
MAX_QUEUED = 2
"""Pipelined requests read ahead of the one being answered; above it the socket is not read."""
NEVER = math.inf
READ_BYTES = 64 << 10
"""Of heads and small bodies at once."""


@dataclass(frozen=True, slots=True)
class HttpLimits:
    """What one connection may do."""

    max_header_bytes: int
    max_headers: int
    max_body_bytes: int
    header_timeout_s: float
    body_timeout_s: float
    min_body_bytes_per_s: int
    """A body that comes at least this fast may take longer than its timeout (Apache: RequestReadTimeout, MinRate)."""
    idle_timeout_s: float
    max_connections: int


@dataclass(frozen=True, slots=True)
class Response:
    """An answer; `headers` besides Content-Type, Content-Length, Date and Connection."""

    status: int
    content_type: str
    body: bytes
    headers: tuple[tuple[str, str], ...] = ()
    head_only: bool = False
    """Send the headers without the body: the request was HEAD."""
    close: bool = False
    """Close after it, where it is a refusal: not even what is thrown away is read."""


@dataclass(slots=True)
class Request:
    """A request; header names in lower case, repeated ones joined by a comma (RFC 9110, 5.3)."""

    method: str = ""
    path: str = ""
    headers: dict[bytes, bytes] = field(default_factory=dict)
    body: bytes | memoryview = b""
    tenant: str = ""
    """Whose it is: set by the application once it is admitted."""
    budget: Bytes | None = None
    """What its body is counted in, where it is not that of all requests; set with the tenant."""
    max_body_bytes: int | None = None
    """Set by the application where less than the limit of all is wanted."""
    body_limit: Limit = Limit.COMPRESSED_BODY
    """What that is then counted as."""


class Application(Protocol):
    """What lives behind the connection."""

    def admit(self, request: Request) -> Response | None:
        """Return the refusal of a request whose headers are read, or None to have its body read."""

    async def respond(self, request: Request) -> Response:
        """Answer a whole request. Never raises."""

    def broken(self, request: Request, status: int, message: str, *, limit: Limit | None = None) -> Response:
        """Return the answer to what is not a proper request, or over a limit."""

    def refuse(self, request: Request, refused: Refused) -> Response:
        """Return the answer to a request there is no room for."""


@dataclass(slots=True)
class Shared:
    """What the connections of one server have in common. Used on the event loop alone."""

    application: Application
    limits: HttpLimits
    budget: Bytes
    connections: set[HttpConnection] = field(default_factory=set)
    closing: bool = False
    """Set by shutdown: what is whole is answered, then the connections close."""
    date: bytes = b""
    """The Date header line, renewed once a second."""
    read_buffer: memoryview = field(default_factory=lambda: memoryview(bytearray(READ_BYTES)))
    """What is read there is copied out before anything else is read."""


@dataclass(slots=True)
class _Incoming:
    """A request being read."""

    request: Request = field(default_factory=Request)
    target: bytes = b""
    header_bytes: int = 0
    n_headers: int = 0
    in_body: bool = False
    started_at: float = 0.0
    keep_alive: bool = False
    expects_continue: bool = False
    refusal: Response | None = None
    pieces: bytes | bytearray = b""
    """The body as far as it came. One buffer: an object for each piece would be many times a piece of a byte or two."""
    body: Body | None = None
    """Instead of pieces where the body is large and its length known; the parser does not see all of it."""
    body_bytes: int = 0
    budget_bytes: int = 0


class HttpConnection(asyncio.BufferedProtocol):
    """Callbacks come from the event loop and from the parser; `on_*` are the parser's."""

    def __init__(self, shared: Shared, loop: asyncio.AbstractEventLoop) -> None:
        self._shared = shared
        self._loop = loop
        self._parser = httptools.HttpRequestParser(self)
        self._incoming: _Incoming | None = None
        self._head_bytes = 0
        self._queue: deque[tuple[Request | Response, int, bool]] = deque()
        self._task: asyncio.Task[None] | None = None
        self._paused = False
        self._deaf = False
        self._lingering = False
        self._half_closed = False
        self._deadline = NEVER

    # from the event loop

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Wait for a first request, unless there are too many connections."""
        # uvloop's transports have the methods without the base class.
        self._transport = cast("asyncio.Transport", transport)
        connections, limits = self._shared.connections, self._shared.limits
        if len(connections) >= limits.max_connections:
            self._deaf = True
            message = f"{limits.max_connections} connections are open, the most this server keeps; try again"
            answer = self._shared.application.broken(Request(), 503, message, limit=Limit.CONNECTIONS)
            self._write(answer, keep_alive=False)
            transport.close()
            return
        connections.add(self)
        self._deadline = self._loop.time() + limits.header_timeout_s

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 - asyncio's signature
        """Forget a request that is half read; a whole one is kept though its sender has gone."""
        self._shared.connections.discard(self)
        self._deaf = True
        self._drop_incoming()

    def eof_received(self) -> bool:
        """Answer a sender that closed its half of the connection after a request; return whether to wait for that."""
        self._half_closed = self._task is not None and self._transport.get_extra_info("sslcontext") is None
        return self._half_closed

    def pause_writing(self) -> None:
        """Cut a sender that does not read: answers are small, 64 KiB of them are waiting."""
        self._transport.abort()

    def get_buffer(self, sizehint: int) -> memoryview:  # noqa: ARG002 - asyncio's signature
        """Return where to read to: the body itself where one is being read, or what is parsed and forgotten."""
        body = None if self._incoming is None else self._incoming.body
        return self._shared.read_buffer if body is None else body.room()

    def buffer_updated(self, nbytes: int) -> None:
        """Go on with what was read."""
        incoming = self._incoming
        if incoming is None or incoming.body is None:
            self._parse(bytes(self._shared.read_buffer[:nbytes]))
            return
        incoming.body.arrived(nbytes)
        if self._count(incoming, nbytes) and incoming.body.is_whole:
            # The parser still waits for the body; one that has seen nothing costs a microsecond.
            self._parser = httptools.HttpRequestParser(self)
            self._complete(incoming)

    def _parse(self, data: bytes) -> None:
        """Parse; after a refusal only read."""
        if self._deaf:
            return
        deadline, is_new = self._deadline, self._incoming is None and self._task is None
        if is_new:
            self._deadline = self._loop.time() + self._shared.limits.header_timeout_s
        if self._incoming is None or not self._incoming.in_body:
            self._head_bytes += len(data)
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserUpgrade as e:
            self._decline_upgrade(data[e.args[0] :])
            return
        except httptools.HttpParserError as e:
            if isinstance(e, httptools.HttpParserCallbackError) and e.__context__ is not None:
                log_bug(e.__context__)
            self._fail(400, _not_http(data))
            return
        if is_new and self._incoming is None and self._task is None:
            self._deadline = deadline  # empty lines before a request: no request has begun
        if self._incoming is None or self._incoming.in_body:
            self._head_bytes = 0
        elif self._head_bytes > self._shared.limits.max_header_bytes:
            message = f"the headers are longer than {self._shared.limits.max_header_bytes} bytes"
            self._fail(431, message, Limit.HEADERS)

    def _decline_upgrade(self, rest: bytes) -> None:
        """Go on with HTTP/1.1, as a server may (RFC 9110, 7.8): Java's client offers h2c with its first POST.

        httptools takes every offer, and the body for another protocol. So a new parser reads the head without it.
        """
        if (incoming := self._incoming) is None or self._deaf:
            return
        request = incoming.request
        if request.method == "CONNECT":
            self._fail(405, "use POST")
            return
        headers = b"".join(b"%b: %b\r\n" % h for h in request.headers.items() if h[0] != b"upgrade")
        version = self._parser.get_http_version()
        self._parser = httptools.HttpRequestParser(self)
        self._parser.feed_data(
            b"%b %b HTTP/%b\r\n%b\r\n" % (request.method.encode(), incoming.target, version.encode(), headers)
        )
        if rest:
            self._parse(rest)

    # from the parser

    def on_message_begin(self) -> None:
        """Begin a request at its first byte."""
        self._incoming = _Incoming()

    def on_url(self, url: bytes) -> None:
        """Collect the target, which may come in pieces."""
        if self._incoming is not None:
            self._incoming.target += url
            self._incoming.header_bytes += len(url)

    def on_header(self, name: bytes, value: bytes) -> None:
        """Collect a header; one after the body, a trailer, is only counted."""
        incoming = self._incoming
        if self._deaf or incoming is None:
            return
        incoming.n_headers += 1
        incoming.header_bytes += len(name) + len(value)
        limits = self._shared.limits
        if incoming.header_bytes > limits.max_header_bytes or incoming.n_headers > limits.max_headers:
            message = f"the headers are more than {limits.max_headers} or longer than {limits.max_header_bytes} bytes"
            self._fail(431, message, Limit.HEADERS)
        elif not incoming.in_body:
            headers, name = incoming.request.headers, name.lower()
            headers[name] = headers[name] + b", " + value if name in headers else value

    def on_headers_complete(self) -> None:
        """Decide whether the body is wanted."""
        incoming = self._incoming
        if self._deaf or incoming is None:
            return
        request, shared = incoming.request, self._shared
        request.method = self._parser.get_method().decode("ascii")
        request.path = _path(incoming.target)
        if self._parser.should_upgrade():
            return
        incoming.in_body = True
        incoming.started_at = self._loop.time()
        incoming.keep_alive = self._parser.should_keep_alive()
        incoming.expects_continue = request.headers.get(b"expect", b"").lower() == b"100-continue"
        self._deadline = incoming.started_at + shared.limits.body_timeout_s
        incoming.refusal = shared.application.admit(request)
        if incoming.refusal is not None and incoming.refusal.close:
            self._answer_and_close(incoming.refusal)
            return
        length = request.headers.get(b"content-length", b"")
        if length.isdigit() and int(length) > self._max_body_bytes(request):
            self._too_large(int(length), request)
            return
        if length.isdigit() and int(length) >= DIRECT_BYTES and incoming.refusal is None:
            incoming.body = Body(int(length))
        if incoming.expects_continue:
            if incoming.refusal is not None:
                self._answer_and_close(incoming.refusal)
            elif self._task is None:
                self._transport.write(b"HTTP/1.1 100 Continue\r\n\r\n")

    def on_body(self, body: bytes) -> None:
        """Collect a piece of the body within the limits."""
        incoming = self._incoming
        if self._deaf or incoming is None:
            return
        if self._count(incoming, len(body)):
            if incoming.body is not None:
                incoming.body.write(body)
            else:
                self._append(incoming, body)

    @staticmethod
    def _append(incoming: _Incoming, piece: bytes) -> None:
        if isinstance(incoming.pieces, bytearray):
            incoming.pieces += piece
        elif incoming.pieces:
            incoming.pieces = bytearray().join((incoming.pieces, piece))
        else:
            incoming.pieces = piece  # the only one, more often than not

    def _count(self, incoming: _Incoming, n_bytes: int) -> bool:
        """Count bytes of the body; return whether they are wanted."""
        incoming.body_bytes += n_bytes
        if incoming.body_bytes > self._max_body_bytes(incoming.request):
            self._too_large(incoming.body_bytes, incoming.request)
            return False
        limits = self._shared.limits
        self._deadline = incoming.started_at + limits.body_timeout_s + incoming.body_bytes / limits.min_body_bytes_per_s
        if incoming.refusal is not None:
            return False
        try:
            self._budget(incoming.request).take(n_bytes)
        except Refused as e:
            self._answer_and_close(self._shared.application.refuse(incoming.request, e))
            return False
        incoming.budget_bytes += n_bytes
        return True

    def on_message_complete(self) -> None:
        """Queue the whole request."""
        incoming = self._incoming
        if self._deaf or incoming is None or self._parser.should_upgrade():
            return
        self._complete(incoming)

    def _complete(self, incoming: _Incoming) -> None:
        self._incoming = None
        self._head_bytes = 0
        request = incoming.request
        if incoming.body is not None:
            request.body = incoming.body.content()
        else:
            pieces = incoming.pieces
            request.body = pieces if isinstance(pieces, bytes) else memoryview(pieces).toreadonly()
        self._enqueue(incoming.refusal or request, incoming.budget_bytes, keep_alive=incoming.keep_alive)

    # answering

    def _enqueue(self, item: Request | Response, budget_bytes: int, *, keep_alive: bool) -> None:
        self._queue.append((item, budget_bytes, keep_alive))
        if self._task is None:
            self._deadline = NEVER
            self._task = self._loop.create_task(self._answer_queue())
        elif len(self._queue) >= MAX_QUEUED and not self._paused:
            self._paused = True
            self._transport.pause_reading()

    async def _answer_queue(self) -> None:
        shared = self._shared
        while self._queue:
            item, budget_bytes, keep_alive = self._queue.popleft()
            if isinstance(item, Response):
                response = item
            else:
                try:
                    response = await shared.application.respond(item)
                finally:
                    self._budget(item).give(budget_bytes)
            keep_alive = keep_alive and not shared.closing
            self._write(response, keep_alive=keep_alive)
            if not keep_alive:
                self._close()
                break
        self._task = None
        if self._half_closed:
            self._transport.close()
        if self._paused:
            self._paused = False
            self._transport.resume_reading()
        if not self._lingering:
            self._deadline = self._loop.time() + (
                shared.limits.idle_timeout_s if self._incoming is None else shared.limits.body_timeout_s
            )

    def _write(self, response: Response, *, keep_alive: bool) -> None:
        if self._transport.is_closing():
            return
        head = [
            b"HTTP/1.1 %d %b\r\n" % (response.status, PHRASES[response.status]),
            self._shared.date,
            b"content-type: %b\r\ncontent-length: %d\r\n" % (response.content_type.encode(), len(response.body)),
        ]
        head += [f"{name}: {value}\r\n".encode("latin-1") for name, value in response.headers]
        head.append(b"\r\n" if keep_alive else b"connection: close\r\n\r\n")
        if not response.head_only:
            head.append(response.body)
        self._transport.write(b"".join(head))

    def _close(self) -> None:
        """Close after an answer; what the sender is still sending is read, so that it can read the answer."""
        for item, budget_bytes, _ in self._queue:
            if isinstance(item, Request):
                self._budget(item).give(budget_bytes)
        self._queue.clear()
        if not self._deaf:
            self._deaf = True
            self._drop_incoming()
            self._transport.close()
        elif not self._transport.is_closing():
            self._lingering = True
            self._deadline = self._loop.time() + LINGER_S
            if self._transport.can_write_eof():
                self._transport.write_eof()

    # refusing

    def _fail(self, status: int, message: str, limit: Limit | None = None) -> None:
        request = self._incoming.request if self._incoming is not None else Request()
        self._answer_and_close(self._shared.application.broken(request, status, message, limit=limit))

    def _too_large(self, n_bytes: int, request: Request) -> None:
        at_most, is_lower = self._max_body_bytes(request), request.max_body_bytes is not None
        limit = request.body_limit if is_lower else Limit.BODY
        self._fail(
            413,
            f"the {'compressed ' * (limit is Limit.COMPRESSED_BODY)}body has {n_bytes} bytes or more; "
            f"the limit is {at_most}; send smaller batches{' or compress them' * (not is_lower)}",
            limit,
        )

    def _max_body_bytes(self, request: Request) -> int:
        at_most = self._shared.limits.max_body_bytes
        return at_most if request.max_body_bytes is None else min(at_most, request.max_body_bytes)

    def _answer_and_close(self, response: Response) -> None:
        if self._deaf:
            return
        self._deaf = True
        self._drop_incoming()
        self._enqueue(response, 0, keep_alive=False)

    def _drop_incoming(self) -> None:
        if self._incoming is not None:
            self._budget(self._incoming.request).give(self._incoming.budget_bytes)
            self._incoming = None

    def _budget(self, request: Request) -> Bytes:
        return self._shared.budget if request.budget is None else request.budget

    # from the server

    def expire(self, now: float) -> None:
        """Act on a deadline that has passed."""
        if now < self._deadline:
            return
        if self._lingering or self._deaf:
            self._transport.abort()
        elif self._incoming is not None:
            self._deadline = NEVER
            limit = Limit.BODY_TIMEOUT if self._incoming.in_body else Limit.HEADER_TIMEOUT
            self._fail(408, "the request came too slowly", limit)
        else:
            self._deaf = True
            self._transport.close()

    def shed(self, refused: Refused) -> None:
        """Answer a request whose body is being read with a refusal, and free what was read of it."""
        if self._incoming is not None and self._incoming.in_body:
            self._answer_and_close(self._shared.application.refuse(self._incoming.request, refused))

    def drain(self) -> asyncio.Task[None] | None:
        """Begin to close: an idle connection at once, one with work after its answers; return that work."""
        if self._task is None:
            if self._incoming is None:
                self._deaf = True
                self._transport.close()
            else:
                self._fail(503, "the server is shutting down; try again")
        return self._task

    def cut(self) -> None:
        """End a connection that is not closing by itself."""
        if not self._transport.is_closing():
            self._transport.abort()


def _path(target: bytes) -> str:
    """Return the path of a request target, percent-encoding kept: an encoded slash is not a slash."""
    text = target.decode("latin-1")
    if not text.startswith("/"):
        try:
            return urlsplit(text).path or "/"
        except ValueError:
            return text
    return text.partition("?")[0]


def _not_http(data: bytes) -> str:
    if data.startswith(b"PRI * HTTP/2.0"):
        return "this address speaks OTLP/HTTP (HTTP/1.1), not gRPC; gRPC has another port, 4317 by default"
    return "this is not HTTP/1.1"
