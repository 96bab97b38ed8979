"""What the machine itself takes for the same bytes, the floor under a stage: CPU microseconds, the best of rounds."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
from contextlib import closing
from typing import TYPE_CHECKING, Final

import google_crc32c
from isal import isal_zlib

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

SYNC_BYTES: Final = 1 << 20
"""A group of the journal."""
RECEIVE_BYTES: Final = 256 << 10
COPY_BYTES: Final = 256 << 10
SENDER: Final = """\
import socket, sys
with socket.create_connection(("127.0.0.1", int(sys.argv[1]))) as s:
    block = bytes(1 << 20)
    for _ in range(int(sys.argv[2])):
        s.sendall(block)
"""
DRAIN: Final = """\
import socket, sys
with socket.create_connection(("127.0.0.1", int(sys.argv[1]))) as s:
    block = bytearray(1 << 20)
    while s.recv_into(block):
        pass
"""


def best_cpu_us(work: Callable[[], object], rounds: int) -> float:
    """Return the least CPU time of a call, user and system of all threads; the first call warms up."""
    work()
    times_s = []
    for _ in range(rounds):
        began = time.process_time()
        work()
        times_s.append(time.process_time() - began)
    return min(times_s) * 1e6


def copy_us(bodies: Sequence[bytes], rounds: int) -> float:
    """Read every byte once, and write it once into a buffer that is used again, as small as a processor's cache."""
    target = bytearray(COPY_BYTES)

    def copy() -> None:
        for body in bodies:
            whole = memoryview(body)
            for at in range(0, len(body), COPY_BYTES):
                piece = whole[at : at + COPY_BYTES]
                target[: len(piece)] = piece

    return best_cpu_us(copy, rounds)


def crc32c_us(bodies: Sequence[bytes], rounds: int) -> float:
    """Checksum bytes once."""
    return best_cpu_us(lambda: [google_crc32c.value(body) for body in bodies], rounds)


def sync_us(bodies: Sequence[bytes], folder: Path, rounds: int) -> float:
    """Write bytes into a file that exists, and sync it after each MiB."""
    data = b"".join(bodies)
    fd = os.open(folder / "floor", os.O_RDWR | os.O_CREAT, 0o600)
    try:

        def write() -> None:
            for at in range(0, len(data), SYNC_BYTES):
                os.pwrite(fd, memoryview(data)[at : at + SYNC_BYTES], at)
                os.fdatasync(fd)

        return best_cpu_us(write, rounds)
    finally:
        os.close(fd)


def inflate_us(packed: Sequence[bytes], rounds: int) -> float:
    """Inflate gzip with isal, nothing checked and nothing kept."""
    return best_cpu_us(lambda: [isal_zlib.decompress(body, 31) for body in packed], rounds)


def receive_us(n_bytes: int, rounds: int) -> float:
    """Take bytes from a socket of loopback into one buffer; a process of its own sends."""

    def take(connection: socket.socket) -> None:
        buffer = bytearray(RECEIVE_BYTES)
        while connection.recv_into(buffer):
            pass

    return _over_loopback(SENDER, n_bytes, rounds, take)


def send_us(n_bytes: int, rounds: int) -> float:
    """Put bytes into a socket of loopback; a process of its own takes them."""

    def put(connection: socket.socket) -> None:
        block = bytes(1 << 20)
        for _ in range(max(1, n_bytes >> 20)):
            connection.sendall(block)

    return _over_loopback(DRAIN, n_bytes, rounds, put)


def _over_loopback(program: str, n_bytes: int, rounds: int, work: Callable[[socket.socket], None]) -> float:
    """Return the CPU time of `work` for `n_bytes`, whole MiB being what is moved."""
    mib = max(1, n_bytes >> 20)
    times_s = []
    for _ in range(rounds):
        with socket.create_server(("127.0.0.1", 0)) as server:
            port = server.getsockname()[1]
            with subprocess.Popen([sys.executable, "-c", program, str(port), str(mib)]) as other:
                connection, _ = server.accept()
                with closing(connection):
                    began = time.process_time()
                    work(connection)
                    times_s.append(time.process_time() - began)
                other.wait(60)
    return min(times_s) * 1e6 * n_bytes / (mib << 20)
