"""A TCP proxy for tests that is as bad as it is told to be: slow, cut off, silent, refusing.

with Proxy(server_port) as proxy:
    proxy.bytes_per_s = 10_000
    proxy.fault(Fault("up", after=5_000, matching=b"INSERT"))      # once, by a reset
    …  f"http://127.0.0.1:{proxy.port}"
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
import struct
import threading
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal, Self

if TYPE_CHECKING:
    from collections.abc import Coroutine
    from types import TracebackType

PIECE_BYTES = 16 << 10
END_OF_BODY = b"0\r\n\r\n"
"""Of a body in chunks."""
RESET = struct.pack("ii", 1, 0)
"""SO_LINGER with no time: closing sends RST."""


@dataclass(slots=True)
class Fault:
    """Something that happens to one connection: the first one on which `matching` has gone up."""

    way: Literal["up", "down"]
    """Whose bytes are counted: the client's or the server's, from the piece with `matching` on."""
    after: int = 0
    """So many of them pass."""
    how: Literal["reset", "close", "silence", "answer"] = "reset"
    """silence: nothing passes any longer, both ends stay open. answer: the proxy says `said` behind the body."""
    said: bytes = b""
    matching: bytes = b""
    happened: threading.Event = field(default_factory=threading.Event)


@dataclass(slots=True, eq=False)
class _Connection:
    up: asyncio.StreamWriter
    down: asyncio.StreamWriter
    fault: Fault | None = None
    left: int = 0
    silent: bool = False


class Proxy:
    """Listens on loopback, in a thread of its own. All attributes may be changed at any time."""

    def __init__(self, server_port: int) -> None:
        self.server_port = server_port
        self.port = 0
        self.bytes_per_s: int | None = None
        """Of all connections together, upwards."""
        self.answer_delay_s = 0.0
        """Before each piece of what the server says."""
        self.refusing = False
        self.connections = 0
        self._faults: list[Fault] = []
        self._open: set[_Connection] = set()
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="proxy")
        self._server: asyncio.Server | None = None

    def fault(self, fault: Fault) -> Fault:
        """Let something happen, once."""
        self._faults.append(fault)
        return fault

    def hang_up(self) -> None:
        """Reset every connection."""
        self._run(self._hang_up())

    def __enter__(self) -> Self:
        self._thread.start()
        self._run(self._listen())
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._run(self._stop())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(10)
        self._loop.close()

    def _run(self, work: Coroutine[object, object, None]) -> None:
        asyncio.run_coroutine_threadsafe(work, self._loop).result(10)

    async def _listen(self) -> None:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.port = self._server.sockets[0].getsockname()[1]

    async def _stop(self) -> None:
        assert self._server is not None
        self._server.close()
        await self._hang_up()
        others = [t for t in asyncio.all_tasks() if t is not asyncio.current_task()]
        for task in others:
            task.cancel()
        await asyncio.gather(*others, return_exceptions=True)

    async def _hang_up(self) -> None:
        for connection in tuple(self._open):
            _end(connection, "reset")

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        if self.refusing:
            _abort(writer)
            return
        try:
            server_reader, server_writer = await asyncio.open_connection("127.0.0.1", self.server_port)
        except OSError:
            _abort(writer)
            return
        connection = _Connection(server_writer, writer)
        self._open.add(connection)
        try:
            await asyncio.gather(
                self._pass("up", reader, server_writer, connection),
                self._pass("down", server_reader, writer, connection),
            )
        finally:
            self._open.discard(connection)
            for end in (writer, server_writer):
                end.close()

    async def _pass(
        self,
        way: Literal["up", "down"],
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        connection: _Connection,
    ) -> None:
        with contextlib.suppress(ConnectionError):
            while piece := await reader.read(PIECE_BYTES):
                if way == "up":
                    self._match(piece, connection)
                    if self.bytes_per_s is not None:
                        await asyncio.sleep(len(piece) / self.bytes_per_s)
                elif self.answer_delay_s:
                    await asyncio.sleep(self.answer_delay_s)
                if connection.fault is not None and connection.fault.how == "answer":
                    if way == "up" and piece.endswith(END_OF_BODY):
                        await self._answer(connection)
                    continue
                allowed = self._allowed(way, len(piece), connection)
                if connection.silent:
                    continue
                writer.write(piece[:allowed])
                await writer.drain()
                if allowed < len(piece) and connection.fault is not None:
                    self._strike(connection)
            if not connection.silent and writer.can_write_eof():
                writer.write_eof()

    @staticmethod
    async def _answer(connection: _Connection) -> None:
        fault, connection.fault = connection.fault, None
        assert fault is not None
        connection.silent = True
        connection.up.transport.abort()
        connection.down.write(fault.said)
        with contextlib.suppress(ConnectionError):
            await connection.down.drain()
        connection.down.close()
        fault.happened.set()

    def _match(self, piece: bytes, connection: _Connection) -> None:
        for fault in self._faults:
            if connection.fault is None and fault.matching in piece:
                self._faults.remove(fault)
                connection.fault, connection.left = fault, fault.after
                return

    @staticmethod
    def _allowed(way: str, size: int, connection: _Connection) -> int:
        if connection.fault is None or connection.fault.way != way:
            return size
        allowed = min(size, connection.left)
        connection.left -= allowed
        return allowed

    @staticmethod
    def _strike(connection: _Connection) -> None:
        fault, connection.fault = connection.fault, None
        assert fault is not None
        _end(connection, fault.how)
        fault.happened.set()


def _end(connection: _Connection, how: str) -> None:
    if how == "silence":
        connection.silent = True
        return
    for writer in (connection.down, connection.up):
        if how == "reset":
            _abort(writer)
        else:
            writer.close()


def _abort(writer: asyncio.StreamWriter) -> None:
    sock = writer.get_extra_info("socket")
    if sock is not None:
        with contextlib.suppress(OSError):
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
    writer.transport.abort()
