from __future__ import annotations

import base64
import fcntl
import os
import resource
import socket
import threading
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs, urlsplit

import lz4.frame
import pyarrow as pa
import pytest

from exporters.clickhouse import send
from exporters.clickhouse.connect import connect
from exporters.clickhouse.dsn import ServerDsn
from exporters.clickhouse.faults import InsertFault, classify
from exporters.clickhouse.native import encode
from exporters.clickhouse.send import Sender, _is_readable
from schema.errors import Permanent, Retryable

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from io import BufferedReader

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"
TABLE = pa.table({"n": pa.array(range(5), pa.uint64())})


@dataclass
class Peer:
    """A server that keeps what it is sent and gives the answers it was made with; None hangs up without one."""

    answers: Sequence[bytes | None]
    heads: list[dict[str, str]] = field(default_factory=list)
    bodies: list[bytes] = field(default_factory=list)
    connections: int = 0
    port: int = 0

    def serve(self, listener: socket.socket) -> None:
        answers = iter(self.answers)
        while True:
            try:
                connection, _ = listener.accept()
            except OSError:
                return
            self.connections += 1
            with connection, connection.makefile("rb") as stream:
                for answer in answers:
                    if not self._read(stream):
                        break
                    if answer is None:
                        break
                    connection.sendall(answer)
                    if b"Connection: close" in answer:
                        break

    def _read(self, stream: BufferedReader) -> bool:
        line = stream.readline().decode()
        if not line:
            return False
        head = {"target": line.split()[1]}
        while (header := stream.readline()) not in (b"\r\n", b""):
            name, _, value = header.decode().partition(":")
            head[name.lower()] = value.strip()
        body = bytearray()
        while size := int(stream.readline() or b"0", 16):
            body += stream.read(size)
            stream.readline()
        stream.readline()
        self.heads.append(head)
        self.bodies.append(bytes(body))
        return True


@contextmanager
def peer(*answers: bytes | None) -> Iterator[Peer]:
    one = Peer(answers)
    with socket.create_server(("127.0.0.1", 0)) as listener:
        one.port = listener.getsockname()[1]
        thread = threading.Thread(target=one.serve, args=(listener,))
        thread.start()
        try:
            yield one
        finally:
            listener.shutdown(socket.SHUT_RDWR)
    thread.join(10)
    assert not thread.is_alive()


@contextmanager
def sender(port: int, **rest: Any) -> Iterator[Sender]:
    one = Sender(ServerDsn("127.0.0.1", port, user="u", password="p:w", database="d", **rest))
    try:
        yield one
    finally:
        one.close()


def failing(status: str, body: str, *headers: str) -> bytes:
    lines = [f"HTTP/1.1 {status}", f"Content-Length: {len(body)}", *headers]
    return ("\r\n".join(lines) + "\r\n\r\n" + body).encode()


def test_statement_settings_and_credentials_go_ahead_of_the_block() -> None:
    with peer(OK) as server, sender(server.port) as way:
        way.insert("INSERT INTO t (`n`)", {"insert_deduplication_token": "a/b+c", "async_insert": 0}, encode(TABLE))
    [head] = server.heads
    assert parse_qs(urlsplit(head["target"]).query) == {
        "query": ["INSERT INTO t (`n`) FORMAT Native"],
        "database": ["d"],
        "insert_deduplication_token": ["a/b+c"],
        "async_insert": ["0"],
    }
    assert head["authorization"] == "Basic " + base64.b64encode(b"u:p:w").decode()
    assert server.bodies == [b"".join(bytes(p) for p in encode(TABLE))]


def test_a_connection_is_used_again_and_a_closed_one_replaced() -> None:
    closing = failing("200 OK", "", "Connection: close")
    with peer(OK, closing, OK) as server, sender(server.port) as way:
        for number in range(3):
            way.insert("INSERT INTO t (`n`)", {"n": number}, encode(TABLE))
    assert (len(server.bodies), server.connections) == (3, 2)


def test_large_pieces_arrive_whole() -> None:
    pieces = [os.urandom(3_000_001), b"", os.urandom(5), os.urandom(1_000_000)]
    with peer(OK) as server, sender(server.port) as way:
        way.insert("INSERT INTO t", {}, (memoryview(p) for p in pieces))
    assert server.bodies == [b"".join(pieces)]


def test_a_compressed_body_is_one_frame_of_lz4() -> None:
    with peer(OK) as server, sender(server.port, compression="lz4") as way:
        way.insert("INSERT INTO t", {}, encode(TABLE))
    assert server.heads[0]["content-encoding"] == "lz4"
    assert lz4.frame.decompress(server.bodies[0]) == b"".join(bytes(p) for p in encode(TABLE))


FULL = "Code: 252. DB::Exception: Too many parts. (TOO_MANY_PARTS) (version 26.7.2.1)"
WRONG = "Code: 6. DB::Exception: Cannot parse 'a secret'. (CANNOT_PARSE_TEXT) (version 26.7.2.1)"


@pytest.mark.parametrize(
    ("answer", "kind", "says"),
    [
        (failing("500 Internal Server Error", FULL), Retryable, "TOO_MANY_PARTS"),
        (failing("500 x", "no words", "X-ClickHouse-Exception-Code: 252"), Retryable, "252"),
        (failing("400 Bad Request", WRONG), Permanent, "CANNOT_PARSE_TEXT"),
        (failing("200 OK", WRONG), Permanent, "CANNOT_PARSE_TEXT"),
        (failing("502 Bad Gateway", "<html>"), Retryable, "gave no answer"),
        (failing("407 Proxy Authentication Required", ""), Retryable, "gave no answer"),
        (failing("413 Payload Too Large", "<html>"), Permanent, "gave no answer"),
        (None, Retryable, "gave no answer"),
    ],
)
def test_an_answer_says_whether_to_try_again_and_quotes_no_data(
    answer: bytes | None, kind: type[Exception], says: str
) -> None:
    with peer(answer) as server, sender(server.port) as way, pytest.raises(Exception) as caught:  # noqa: PT011 - looked at below
        way.insert("INSERT INTO t", {}, encode(TABLE))
    error = classify(caught.value, "http://h/d", quote=False)
    assert type(error) is kind
    assert says in str(error)
    assert "secret" not in str(error)


def test_the_words_of_a_server_that_does_not_read_on_are_heard(clickhouse_server: str) -> None:
    port = urlsplit(clickhouse_server).port or 0
    with sender(port) as way, pytest.raises(InsertFault, match=r"AUTHENTICATION_FAILED|no user"):
        way.insert("INSERT INTO t", {}, (memoryview(bytes(1 << 20)) for _ in range(64)))


def broken(table: pa.Table) -> Iterator[memoryview]:
    whole = b"".join(bytes(p) for p in encode(table))
    yield memoryview(whole[: len(whole) // 2])
    raise TypeError("half-way")


@pytest.mark.parametrize("options", ["", "?compression=lz4"])
def test_an_insert_that_breaks_off_stores_nothing_and_the_next_one_does(dsn: str, options: str) -> None:
    with connect(dsn if dsn.startswith("chdb") else dsn + options, create_database=True) as db:
        db.command("CREATE TABLE IF NOT EXISTS t (n UInt64) ENGINE = MergeTree ORDER BY n")
        with pytest.raises(TypeError, match="half-way"):
            db._inserts.insert("INSERT INTO t (`n`)", {}, broken(TABLE))
        assert db.rows("SELECT count() AS n FROM t") == [{"n": 0}]
        db.insert_arrow("t", TABLE, "t1")
        assert db.rows("SELECT sum(n) AS n FROM t") == [{"n": 10}]


@pytest.mark.parametrize(
    ("environment", "target"),
    [
        ({"http_proxy": "http://name:w%40rd@127.0.0.1:{port}"}, "http://db.example:8123/?"),
        ({"http_proxy": "http://127.0.0.1:1", "no_proxy": "127.0.0.1"}, "/?"),
    ],
)
def test_a_proxy_of_the_environment_is_used_where_it_should(
    monkeypatch: pytest.MonkeyPatch, environment: dict[str, str], target: str
) -> None:
    for name in ("http_proxy", "HTTP_PROXY", "no_proxy", "NO_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)
    with peer(OK) as server:
        for name, value in environment.items():
            monkeypatch.setenv(name, value.format(port=server.port))
        direct = target == "/?"
        host, port = ("127.0.0.1", server.port) if direct else ("db.example", 8123)
        way = Sender(ServerDsn(host, port))
        way.insert("INSERT INTO t", {}, encode(TABLE))
        way.close()
    assert server.heads[0]["target"].startswith(target)
    assert server.heads[0]["host"] == f"{host}:{port}"
    credentials = "Basic " + base64.b64encode(b"name:w@rd").decode()
    assert server.heads[0].get("proxy-authorization") == (None if direct else credentials)


def test_connections_are_looked_at_where_a_process_has_many_files_open() -> None:
    limit, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(limit, min(4096, most)), most))
    ours, theirs = socket.socketpair()
    with ours, theirs, socket.socket(fileno=fcntl.fcntl(ours, fcntl.F_DUPFD, 1100)) as high:
        assert not _is_readable(high)
        theirs.send(b"x")
        assert _is_readable(high)
    resource.setrlimit(resource.RLIMIT_NOFILE, (limit, most))


@contextmanager
def silent(*, reads: bool) -> Iterator[int]:
    """Serve a peer that never answers, and that reads or does not read what it is sent; yield its port."""
    done = threading.Event()

    def serve(listener: socket.socket) -> None:
        while not done.is_set():
            try:
                connection, _ = listener.accept()
            except OSError:
                return
            held.append(connection)
            while reads and not done.is_set():
                try:
                    if not connection.recv(1 << 16):
                        break
                except OSError:
                    break

    held: list[socket.socket] = []
    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=serve, args=(listener,))
        thread.start()
        try:
            yield listener.getsockname()[1]
        finally:
            done.set()
            for connection in held:
                connection.close()
            listener.shutdown(socket.SHUT_RDWR)
    thread.join(10)


@pytest.mark.parametrize("reads", [False, True])
def test_a_peer_that_falls_silent_is_given_up_and_the_next_answer_gets_longer(
    monkeypatch: pytest.MonkeyPatch, *, reads: bool
) -> None:
    monkeypatch.setattr(send, "PROGRESS_TIMEOUT_S", 0.1)
    pieces = [bytes(1 << 20)] * (1 if reads else 64)
    with silent(reads=reads) as port, sender(port) as way:
        for expected_s in (0.2, 0.4) if reads else (0.1, 0.1):
            with pytest.raises(TimeoutError):
                way.insert("INSERT INTO t", {}, (memoryview(p) for p in pieces))
            assert way._answer_timeout_s == expected_s
