"""A TCP relay in front of a database that can fall silent: connections stay open, and nothing passes any more."""

from __future__ import annotations

import contextlib
import socket
import threading
from typing import TYPE_CHECKING, Self

if TYPE_CHECKING:
    from types import TracebackType

CHUNK_BYTES = 64 << 10


class Relay:
    """Passes bytes between clients of `port` and a target, until `silence`."""

    def __init__(self, target_port: int) -> None:
        """Listen on a free port of the loopback."""
        self._target = ("127.0.0.1", target_port)
        self._server = socket.create_server(("127.0.0.1", 0))
        self.port = int(self._server.getsockname()[1])
        self._silent = threading.Event()
        self._open: list[socket.socket] = []
        threading.Thread(target=self._accept, name="relay", daemon=True).start()

    def silence(self) -> None:
        """Pass nothing more, and answer nothing more; new connections are accepted all the same."""
        self._silent.set()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        """Close everything."""
        for each in (self._server, *self._open):
            with contextlib.suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)
            each.close()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                client, _ = self._server.accept()
                self._open.append(client)
                if self._silent.is_set():
                    continue
                target = socket.create_connection(self._target)
                self._open.append(target)
                for source, sink in ((client, target), (target, client)):
                    threading.Thread(target=self._pass, args=(source, sink), name="relay", daemon=True).start()

    def _pass(self, source: socket.socket, sink: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while (data := source.recv(CHUNK_BYTES)) and not self._silent.is_set():
                sink.sendall(data)
            if not self._silent.is_set():
                sink.shutdown(socket.SHUT_WR)
