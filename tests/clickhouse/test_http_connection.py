"""What clients of the HTTP interface may not do: be many, be slow, send much, or read nothing."""

from __future__ import annotations

import base64
import gzip
import http.client
import socket
import time
from contextlib import closing, contextmanager
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import pytest

from exporters.clickhouse.connect import connect
from exporters.clickhouse.engine import Answer, Engine
from exporters.clickhouse.fence import MAX_STATEMENT_CHARS
from exporters.clickhouse.lock import read_owner
from exporters.clickhouse.migrate import migrate
from tests.clickhouse.test_http import running

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

SOON_S = 0.2
"""A timeout that a test waits for."""
DEADLINE_S = 20.0
HEAD = b"POST / HTTP/1.1\r\nHost: localhost\r\n"


@pytest.fixture(scope="module")
def dsn(embedded_folder: Path) -> str:
    dsn = f"chdb://{embedded_folder}?database=slow"
    with connect(dsn) as db:
        migrate(db)
    return dsn


@contextmanager
def serving(dsn: str, **config: Any) -> Iterator[int]:
    with running(dsn, {"endpoint": "127.0.0.1:0", "concurrency": 1, **config}) as url:
        yield urlsplit(url).port or 0


def dial(port: int) -> socket.socket:
    return socket.create_connection(("127.0.0.1", port), timeout=DEADLINE_S)


def rest(client: socket.socket) -> bytes:
    """Return what comes until the server closes."""
    pieces = []
    while piece := client.recv(1 << 16):
        pieces.append(piece)
    return b"".join(pieces)


def basic(folder: Path) -> bytes:
    owner = read_owner(folder)
    assert owner is not None
    return b"Authorization: Basic " + base64.b64encode(f"evalgate:{owner.token}".encode()) + b"\r\n"


@pytest.mark.parametrize("sent", [b"", HEAD, HEAD + b"X-Half: "], ids=["nothing", "half a head", "half a header"])
def test_a_head_that_does_not_end_is_refused(dsn: str, sent: bytes) -> None:
    with serving(dsn, header_timeout_s=SOON_S) as port:
        with closing(dial(port)) as client:
            client.sendall(sent)
            assert rest(client).startswith(b"HTTP/1.1 408 ")
        with closing(dial(port)) as client:  # the second one of a connection
            client.sendall(b"GET /ping HTTP/1.1\r\nHost: localhost\r\n\r\n" + HEAD)
            answers = rest(client)
            assert answers.startswith(b"HTTP/1.1 200 ")
            assert b"HTTP/1.1 408 " in answers


def test_a_body_that_does_not_end_is_refused_and_is_no_bug(
    dsn: str, embedded_folder: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with serving(dsn, body_timeout_s=SOON_S) as port:
        for who in (b"", basic(embedded_folder)):
            with closing(dial(port)) as client:
                client.sendall(HEAD + who + b"Content-Length: 100\r\n\r\nSELECT")
                assert rest(client).startswith(b"HTTP/1.1 408 ")
    assert "a bug" not in caplog.text


def test_a_body_that_comes_steadily_may_take_longer(dsn: str, embedded_folder: Path) -> None:
    with serving(dsn, body_timeout_s=SOON_S, min_body_bytes_per_s=10) as port, closing(dial(port)) as client:
        text = b"SELECT 1".ljust(100)
        client.sendall(HEAD + basic(embedded_folder) + b"Content-Length: 200\r\n\r\n" + text)
        client.settimeout(2 * SOON_S)
        with pytest.raises(TimeoutError):
            client.recv(1)
        client.settimeout(DEADLINE_S)
        client.sendall(text.replace(b"SELECT 1", b"        "))
        assert client.recv(1 << 16).startswith(b"HTTP/1.1 200 ")


@pytest.mark.parametrize("end", [b"", b"\r\n\r\n"], ids=["unfinished", "whole"])
@pytest.mark.parametrize("start", [b"GET /?query=", HEAD + b"X-Long: "], ids=["URL", "header"])
def test_a_long_head_is_refused(dsn: str, start: bytes, end: bytes) -> None:
    with serving(dsn, max_header_bytes=1000) as port, closing(dial(port)) as client:
        end = b" HTTP/1.1\r\nHost: localhost" * start.startswith(b"GET") + end
        client.sendall(start + b"x" * 1000 + end)
        assert rest(client).startswith(b"HTTP/1.1 431 ")


def test_there_are_so_many_connections_and_no_more(dsn: str) -> None:
    with serving(dsn, max_connections=2) as port:
        first, second = dial(port), dial(port)
        for client in (first, second):
            client.sendall(b"GET /ping HTTP/1.1\r\nHost: localhost\r\n\r\n")
            assert client.recv(1 << 16).startswith(b"HTTP/1.1 200 ")
        with closing(dial(port)) as third:
            assert rest(third).startswith(b"HTTP/1.1 503 ")
        first.close()
        assert _until_answered(port)
        second.close()


def test_the_body_of_a_reader_is_that_of_a_statement(dsn: str, embedded_folder: Path) -> None:
    large = b"Content-Length: %d\r\n\r\n" % (MAX_STATEMENT_CHARS + 1)
    with serving(dsn) as port:
        with closing(dial(port)) as client:  # answered before a byte of it was sent
            client.sendall(HEAD + large)
            assert client.recv(1 << 16).startswith(b"HTTP/1.1 413 ")
        with closing(dial(port)) as client:
            client.sendall(HEAD + b"Content-Length: " + b"9" * 18 + b"\r\n\r\n")
            assert client.recv(1 << 16).startswith(b"HTTP/1.1 413 ")
        with closing(dial(port)) as client:
            client.sendall(HEAD + b"Transfer-Encoding: chunked\r\n\r\n%x\r\n" % (2 * MAX_STATEMENT_CHARS))
            client.sendall(b" " * (MAX_STATEMENT_CHARS + 1))
            assert client.recv(1 << 16).startswith(b"HTTP/1.1 413 ")
        with closing(http.client.HTTPConnection("127.0.0.1", port, timeout=DEADLINE_S)) as connection:
            inflated = gzip.compress(b"SELECT 1".ljust(MAX_STATEMENT_CHARS + 1))
            connection.request("POST", "/", inflated, {"Content-Encoding": "gzip"})
            assert connection.getresponse().status == 413
        with closing(dial(port)) as client:
            client.sendall(HEAD + b"Connection: close\r\n" + basic(embedded_folder) + large)
            client.sendall(b"SELECT 1".ljust(MAX_STATEMENT_CHARS + 1))
            # The engine has a limit of its own, for statements without data.
            assert b"Max query size exceeded" in rest(client)


def test_a_statement_in_the_url_and_in_the_body_is_one(dsn: str) -> None:
    with serving(dsn) as port, closing(http.client.HTTPConnection("127.0.0.1", port, timeout=DEADLINE_S)) as connection:
        connection.request("POST", "/?query=SELECT+1" + "+" * 1000, b" " * (MAX_STATEMENT_CHARS - 10))
        reply = connection.getresponse()
        assert (reply.status, b"longer than" in reply.read()) == (413, True)


def test_a_client_that_does_not_read_its_answer_is_cut(dsn: str) -> None:
    with serving(dsn, max_connections=1, answer_timeout_s=SOON_S) as port:
        client = socket.socket()
        client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        client.settimeout(DEADLINE_S)
        client.connect(("127.0.0.1", port))
        statement = b"SELECT repeat('x', 1000000) FROM numbers(50)"
        client.sendall(HEAD + b"Content-Length: %d\r\n\r\n" % len(statement) + statement)
        assert client.recv(8) == b"HTTP/1.1"  # now the answer is on its way
        assert _until_answered(port)
        client.close()


def test_a_statement_of_a_reader_has_less_memory(dsn: str, embedded_folder: Path) -> None:
    asked = b"SELECT value FROM system.settings WHERE name = 'max_memory_usage'"
    with serving(dsn) as port:
        for who, expected in ((b"", 512 << 20), (basic(embedded_folder), 2 << 30)):
            with closing(dial(port)) as client:
                client.sendall(HEAD + who + b"Connection: close\r\nContent-Length: %d\r\n\r\n" % len(asked) + asked)
                assert rest(client).endswith(b"\r\n%d\n" % expected)


def test_checking_a_statement_has_no_more_memory(dsn: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """What the engine says of a statement that is nested and long is many times as long."""
    settings: dict[str, object] = {}
    execute = Engine.execute

    def look(engine: Engine, statement: str | bytes, form: str, **more: Any) -> Answer:
        settings[str(statement).partition(" SELECT")[0]] = more.get("settings")
        return execute(engine, statement, form, **more)

    monkeypatch.setattr(Engine, "execute", look)
    with (
        serving(dsn, max_memory_bytes=100 << 20) as port,
        closing(http.client.HTTPConnection("127.0.0.1", port, timeout=DEADLINE_S)) as connection,
    ):
        connection.request("POST", "/", "SELECT 1")
        assert connection.getresponse().read() == b"1\n"
    assert settings["EXPLAIN AST"] == {"max_memory_usage": str(100 << 20)}


def _until_answered(port: int) -> bool:
    """Ask again until there is room for a connection; 503 until then."""
    until = time.monotonic() + DEADLINE_S
    while time.monotonic() < until:
        with closing(http.client.HTTPConnection("127.0.0.1", port, timeout=DEADLINE_S)) as connection:
            try:
                connection.request("GET", "/ping")
                if connection.getresponse().status == 200:
                    return True
            except ConnectionError:  # the refusal came before the request was sent
                continue
    return False
