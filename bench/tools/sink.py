"""A stand-in for a ClickHouse server: takes every INSERT, keeps nothing, counts requests and bytes.

    python -m bench.tools.sink [--port 18123]

It measures the sender alone. It answers as ClickHouse does what a client asks before it inserts: version and time zone,
the settings, and that the schema of this version is there. Loopback only. Prints its port at once and the counts as
JSON at SIGTERM; GET /counts has them as well.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import signal
import socket
import sys
import threading
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final
from urllib.parse import parse_qs, unquote_plus, urlsplit

from exporters.clickhouse.check import expected, named
from exporters.clickhouse.migrate import SINGLE, load

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence
    from io import BufferedReader

BUFFER_BYTES: Final = 1 << 20
MAX_STATEMENT_BYTES: Final = 64 << 10
SETTINGS: Final = (
    "enable_http_compression",
    "send_progress_in_http_headers",
    "http_headers_progress_interval_ms",
    "cancel_http_readonly_queries_on_client_close",
)
"""Those that clickhouse-connect looks for; every other it sends unseen."""
VERSION: Final = "26.7.2.1"


@dataclass(slots=True)
class Counts:
    """What came in so far."""

    inserts: int = 0
    insert_bytes: int = 0
    largest_insert_bytes: int = 0
    other_requests: int = 0
    lock: threading.Lock = field(default_factory=threading.Lock)

    def document(self) -> dict[str, float]:
        """Return the counts, with the CPU seconds of this process."""
        with self.lock:
            return {
                "inserts": self.inserts,
                "insert_bytes": self.insert_bytes,
                "largest_insert_bytes": self.largest_insert_bytes,
                "other_requests": self.other_requests,
                "cpu_s": round(time.process_time(), 2),
            }


@dataclass(frozen=True, slots=True)
class Head:
    """The head of a request."""

    target: str
    length: int
    chunked: bool
    expects_continue: bool

    @property
    def statement(self) -> str:
        """The statement in the URL; '' when it is in the body."""
        return parse_qs(urlsplit(self.target).query).get("query", [""])[0]


def read_head(stream: BufferedReader) -> Head | None:
    """Return the next head, or None at the end of the connection."""
    line = stream.readline()
    if not line:
        return None
    length, chunked, expects = 0, False, False
    while (header := stream.readline()) not in (b"\r\n", b"\n", b""):
        name, _, value = header.lower().partition(b":")
        if name == b"content-length":
            length = int(value)
        elif name == b"transfer-encoding":
            chunked = b"chunked" in value
        elif name == b"expect":
            expects = True
    return Head(line.split()[1].decode(), length, chunked, expects)


def read_body(stream: BufferedReader, head: Head, buffer: bytearray) -> Iterator[memoryview]:
    """Yield the pieces of a body; each is valid until the next."""
    view = memoryview(buffer)
    for size in _sizes(stream, head):
        left = size
        while left:
            n = stream.readinto(view[: min(left, len(view))])
            if not n:
                raise ConnectionResetError
            yield view[:n]
            left -= n


def _sizes(stream: BufferedReader, head: Head) -> Iterator[int]:
    if not head.chunked:
        yield head.length
        return
    while size := int(stream.readline().split(b";")[0], 16):
        yield size
        stream.readline()
    stream.readline()


def answer(statement: str) -> bytes:
    """Return the body of the answer to anything that is not an INSERT."""
    if "version()" in statement:
        return f"{VERSION}\tUTC\n".encode()
    if "system.settings" in statement:
        rows = [(name, "0") for name in SETTINGS]
        texts = [("name", [r[0] for r in rows]), ("value", [r[1] for r in rows])]
        return native_strings(texts, bytes_columns=[("readonly", bytes(len(rows)))])
    if "system.columns" in statement:
        kept = expected()
        columns = [(t, c, kind) for t in named() for c, kind in kept.get(t, {"name": "String"}).items()]
        return native_strings([(name, [c[i] for c in columns]) for i, name in enumerate(("table", "name", "type"))])
    if "engine_full" in statement:
        tables = list(expected())
        engine = f"MergeTree SETTINGS {SINGLE['durable']}"
        return native_strings(
            [("name", tables), ("engine", ["MergeTree"] * len(tables)), ("engine_full", [engine] * len(tables))]
        )
    if "system.tables" in statement:
        return native_strings([], bytes_columns=[("1", b"\x01")])
    if "FROM migrations" in statement:
        known = load()
        return native_strings([("name", [m.name for m in known]), ("checksum", [m.checksum for m in known])])
    if "FROM sampling_policies" in statement:
        return native_strings([], bytes_columns=[("n", b"\x01")])
    return b""


def native_strings(
    columns: Sequence[tuple[str, Sequence[str]]], *, bytes_columns: Sequence[tuple[str, bytes]] = ()
) -> bytes:
    """Return one block in ClickHouse's format Native: columns of String, then columns of UInt8.

    varint columns │ varint rows │ for each column: name, type (varint length + text), the values
    Source: https://clickhouse.com/docs/interfaces/formats/Native
    """
    rows = len(columns[0][1]) if columns else len(bytes_columns[0][1])
    out = bytearray(_varint(len(columns) + len(bytes_columns)) + _varint(rows))
    for name, values in columns:
        out += _string(name) + _string("String") + b"".join(_string(v) for v in values)
    for name, numbers in bytes_columns:
        out += _string(name) + _string("UInt8") + numbers
    return bytes(out)


def _varint(n: int) -> bytes:
    out = bytearray()
    while n > 0x7F:
        out.append(n & 0x7F | 0x80)
        n >>= 7
    out.append(n)
    return bytes(out)


def _string(text: str) -> bytes:
    raw = text.encode()
    return _varint(len(raw)) + raw


def serve(connection: socket.socket, counts: Counts) -> None:
    """Answer one connection until it ends."""
    buffer = bytearray(BUFFER_BYTES)
    with connection, connection.makefile("rb") as stream, contextlib.suppress(OSError):
        while (head := read_head(stream)) is not None:
            if head.expects_continue:
                connection.sendall(b"HTTP/1.1 100 Continue\r\n\r\n")
            connection.sendall(_http(*_respond(head, read_body(stream, head, buffer), counts)))


def _respond(head: Head, body: Iterable[memoryview], counts: Counts) -> tuple[bytes, str]:
    statement = head.statement
    if statement.lstrip()[:6].upper() == "INSERT":
        size = sum(len(piece) for piece in body)
        with counts.lock:
            counts.inserts += 1
            counts.insert_bytes += size
            counts.largest_insert_bytes = max(counts.largest_insert_bytes, size)
        return b"", "TabSeparated"
    kept = bytearray()
    for piece in body:
        kept += piece[: MAX_STATEMENT_BYTES - len(kept)]
    if head.target == "/counts":
        return json.dumps(counts.document()).encode(), "JSON"
    with counts.lock:
        counts.other_requests += 1
    statement = statement or unquote_plus(kept.decode(errors="replace"))
    return answer(statement), "TabSeparated" if "version()" in statement else "Native"


def _http(body: bytes, form: str) -> bytes:
    head = (
        f"HTTP/1.1 200 OK\r\nContent-Length: {len(body)}\r\nX-ClickHouse-Format: {form}\r\n"
        "X-ClickHouse-Timezone: UTC\r\nX-ClickHouse-Summary: {}\r\n\r\n"
    )
    return head.encode() + body


def main() -> None:
    """Serve until SIGTERM."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", 1)[0])
    parser.add_argument("--port", type=int, default=0, help="0 takes a free one")
    listener = socket.create_server(("127.0.0.1", parser.parse_args().port), backlog=128)
    counts = Counts()

    def end(*_: object) -> None:
        listener.close()
        print(json.dumps(counts.document()), flush=True)
        sys.exit(0)

    signal.signal(signal.SIGTERM, end)
    signal.signal(signal.SIGINT, end)
    print(listener.getsockname()[1], flush=True)
    while True:
        connection, _ = listener.accept()
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        threading.Thread(target=serve, args=(connection, counts), daemon=True).start()


if __name__ == "__main__":
    main()
