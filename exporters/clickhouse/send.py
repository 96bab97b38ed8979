"""INSERTs over HTTP straight to the socket: the body leaves as it is made, in chunks, without being held whole.

    POST /?query=INSERT INTO … FORMAT Native&database=…&<settings> HTTP/1.1
    Transfer-Encoding: chunked     [Content-Encoding: lz4]

The driver would copy every piece twice. Everything else still goes through it, so both speak alike: basic
authorisation, TLS by the system's authorities, and the server's error code in a header.
"""

from __future__ import annotations

import base64
import select
import socket as socket_module
import ssl
import threading
from http.client import HTTPConnection, HTTPException, HTTPSConnection
from socket import IPPROTO_TCP, SO_KEEPALIVE, SOL_SOCKET
from typing import TYPE_CHECKING, Final
from urllib.parse import unquote, urlencode, urlsplit
from urllib.request import getproxies, proxy_bypass

from exporters.clickhouse.faults import InsertFault

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping
    from socket import socket
    from urllib.parse import SplitResult

    from exporters.clickhouse.dsn import ServerDsn

CONNECT_TIMEOUT_S: Final = 10
PROGRESS_TIMEOUT_S: Final = 30.0
"""For each step of sending, and for the answer: a connection that is open at one end only is given up after it."""
LONGEST_ANSWER_TIMEOUT_S: Final = 300.0
"""Each answer that does not come doubles the time for the next, up to this: a server that needs longer gets it."""
KEEPALIVE: Final = {"TCP_KEEPIDLE": 15, "TCP_KEEPINTVL": 5, "TCP_KEEPCNT": 3, "TCP_USER_TIMEOUT": 30_000}
"""Options of tcp(7), where the system has them: a peer that is gone is noticed within 30 s, also while idle."""
MAX_IDLE_CONNECTIONS: Final = 4
MAX_ERROR_BYTES: Final = 64 << 10
CODE_HEADER: Final = "X-ClickHouse-Exception-Code"


class Sender:
    """The way to one server. Thread-safe: each INSERT has a connection of its own while it runs."""

    def __init__(self, target: ServerDsn) -> None:
        self._target = target
        self._idle: list[HTTPConnection] = []
        self._mutex = threading.Lock()
        self._closed = False
        self._answer_timeout_s = PROGRESS_TIMEOUT_S
        self._headers = {"User-Agent": "otel-evalgate", **_basic("Authorization", target.user, target.password)}
        self._tls = _tls(target) if target.secure else None
        self._proxy = _proxy_of(target)
        self._proxy_headers: dict[str, str] = {}
        if self._proxy is not None and self._proxy.username:
            name, word = unquote(self._proxy.username), unquote(self._proxy.password or "")
            self._proxy_headers = _basic("Proxy-Authorization", name, word)
        if not target.secure:
            self._headers |= self._proxy_headers

    def insert(self, statement: str, settings: Mapping[str, object], body: Iterable[memoryview]) -> None:
        """Send an INSERT; done when the server says that it is stored.

        When this raises, nothing is stored, or, where the answer was lost, the whole: the body ends with a mark that
        is sent last.

        Raises:
            InsertFault: the server, or something before it, refused.
            OSError, HTTPException: no way there, or no answer.

        """
        connection = self._take()
        try:
            answer_is_last = self._exchange(connection, statement, settings, body)
        except BaseException:
            connection.close()
            raise
        self._answer_timeout_s = PROGRESS_TIMEOUT_S
        self._give_back(connection, keep=not answer_is_last)

    def ping(self) -> None:
        """Ask whether the server is there. Raises as `insert`."""
        connection = self._connection()
        try:
            connection.request("GET", self._base() + "/ping", headers=self._headers)
            _read_answer(connection)
        finally:
            connection.close()

    def close(self) -> None:
        """Close the connections that are not in use; the others close after it. Safe to call twice."""
        with self._mutex:
            self._closed = True
            idle, self._idle = self._idle, []
        for connection in idle:
            connection.close()

    def _exchange(
        self, connection: HTTPConnection, statement: str, settings: Mapping[str, object], body: Iterable[memoryview]
    ) -> bool:
        query = {"query": f"{statement} FORMAT Native", "database": self._target.database, **settings}
        connection.putrequest("POST", f"{self._base()}/?{urlencode(query)}", skip_host=True, skip_accept_encoding=True)
        connection.putheader("Host", _authority(self._target))
        for name, value in self._headers.items():
            connection.putheader(name, value)
        if self._target.compression == "lz4":
            connection.putheader("Content-Encoding", "lz4")
            body = compressed(body)
        connection.putheader("Transfer-Encoding", "chunked")
        try:
            connection.endheaders()
            for piece in body:
                _send_chunk(connection.sock, piece)
            _send(connection.sock, memoryview(b"0\r\n\r\n"))
        except (BrokenPipeError, ConnectionResetError) as e:
            _raise_what_was_answered(connection, e)
        connection.sock.settimeout(self._answer_timeout_s)
        try:
            return _read_answer(connection)
        except TimeoutError:
            self._answer_timeout_s = min(2 * self._answer_timeout_s, LONGEST_ANSWER_TIMEOUT_S)
            raise

    def _base(self) -> str:
        """Return what stands before the path: a proxy of plain HTTP wants to know the host."""
        return f"http://{_authority(self._target)}" if self._proxy is not None and not self._target.secure else ""

    def _take(self) -> HTTPConnection:
        while True:
            with self._mutex:
                connection = self._idle.pop() if self._idle else None
            if connection is None:
                break
            if not _is_readable(connection.sock):  # else the server has closed it
                connection.sock.settimeout(PROGRESS_TIMEOUT_S)
                return connection
            connection.close()
        connection = self._connection()
        connection.connect()
        connection.sock.settimeout(PROGRESS_TIMEOUT_S)
        _keep_alive(connection.sock)
        return connection

    def _connection(self) -> HTTPConnection:
        """Return a connection to the server, or to the proxy that the environment names for it."""
        host, port = (self._proxy.hostname, self._proxy.port) if self._proxy else (self._target.host, self._target.port)
        if self._tls is None:
            return HTTPConnection(host or "", port, timeout=CONNECT_TIMEOUT_S)
        connection = HTTPSConnection(host or "", port, timeout=CONNECT_TIMEOUT_S, context=self._tls)
        if self._proxy:
            connection.set_tunnel(self._target.host, self._target.port, self._proxy_headers)
        return connection

    def _give_back(self, connection: HTTPConnection, *, keep: bool) -> None:
        with self._mutex:
            if keep and not self._closed and len(self._idle) < MAX_IDLE_CONNECTIONS:
                self._idle.append(connection)
                return
        connection.close()


def _is_readable(sock: socket) -> bool:
    """Tell whether there is something to read, or the end. Not by `select`, which knows 1024 files at most."""
    waiting = select.poll()
    waiting.register(sock, select.POLLIN)
    return bool(waiting.poll(0))


def compressed(body: Iterable[memoryview]) -> Iterator[memoryview]:
    """Yield the body as one LZ4 frame."""
    import lz4.frame  # noqa: PLC0415 - only where it is asked for

    with lz4.frame.LZ4FrameCompressor() as compressor:
        yield memoryview(compressor.begin())
        for piece in body:
            if small := compressor.compress(piece):
                yield memoryview(small)
        yield memoryview(compressor.flush())


def _basic(header: str, user: str, password: str) -> dict[str, str]:
    return {header: "Basic " + base64.b64encode(f"{user}:{password}".encode()).decode("ascii")}


def _tls(target: ServerDsn) -> ssl.SSLContext:
    context = ssl.create_default_context()
    if not target.verify:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    return context


def _authority(target: ServerDsn) -> str:
    return f"[{target.host}]:{target.port}" if ":" in target.host else f"{target.host}:{target.port}"


def _proxy_of(target: ServerDsn) -> SplitResult | None:
    """Return the proxy that HTTP_PROXY, HTTPS_PROXY and NO_PROXY say, as for the driver."""
    url = getproxies().get("https" if target.secure else "http")
    return urlsplit(url if "//" in url else f"//{url}") if url and not proxy_bypass(target.host) else None


def _keep_alive(sock: socket) -> None:
    sock.setsockopt(SOL_SOCKET, SO_KEEPALIVE, 1)
    for name, value in KEEPALIVE.items():
        if hasattr(socket_module, name):
            sock.setsockopt(IPPROTO_TCP, getattr(socket_module, name), value)


def _send(sock: socket, rest: memoryview) -> None:
    """Send everything. Each step may take the whole timeout, where `sendall` gives that to all of them together."""
    while len(rest):
        rest = rest[sock.send(rest) :]


def _send_chunk(sock: socket, piece: memoryview) -> None:
    if len(piece) == 0:  # would end the body
        return
    head = b"%x\r\n" % len(piece)
    if isinstance(sock, ssl.SSLSocket):
        _send(sock, memoryview(b"".join((head, piece, b"\r\n"))))
        return
    sent = sock.sendmsg((head, piece, b"\r\n"))
    for part in (memoryview(head), piece, memoryview(b"\r\n")):
        _send(sock, part[sent:])
        sent = max(0, sent - len(part))


def _raise_what_was_answered(connection: HTTPConnection, error: OSError) -> None:
    """Raise the server's words where it answered before it had read the whole body, else the error."""
    try:
        _read_answer(connection)
    except (OSError, HTTPException):
        raise error from None
    raise error


def _read_answer(connection: HTTPConnection) -> bool:
    """Read the answer; return whether the server closes the connection behind it."""
    answer = connection.getresponse()
    text = answer.read(MAX_ERROR_BYTES).decode("utf-8", "replace")
    code = answer.getheader(CODE_HEADER)
    if answer.status != 200 or code is not None or text.startswith("Code: "):
        number = int(code) if code is not None and code.isdigit() else None
        words = text or f"HTTP {answer.status} {answer.reason}"
        raise InsertFault(words, code=number, status=answer.status, after_s=_seconds(answer.getheader("Retry-After")))
    return answer.will_close or not answer.isclosed()


def _seconds(retry_after: str | None) -> float | None:
    """Return what Retry-After says, where it is a number of seconds (RFC 9110, 10.2.3)."""
    return float(retry_after) if retry_after is not None and retry_after.isdecimal() else None
