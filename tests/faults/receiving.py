"""The OTLP receiver alone in a process of its own, in front of a journal that forgets: what hostile senders meet.

    with ReceiverProcess({"max_spans_per_request": 100}) as receiver:
        with receiver.peak() as peak:
            receiver.post(body, "content-encoding: gzip")
        assert peak.growth_bytes < 32 << 20

The process is tuned as a collector is, and has its kernels. It obeys lines of JSON on its standard input.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import re
import socket
import subprocess
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Self

import uvloop

from tests.faults.harness.waiting import until

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from types import TracebackType

    from schema.component import Signal

ROOT = Path(__file__).parents[2]
EXPORT = "/opentelemetry.proto.collector.trace.v1.TraceService/Export"
MIB = 1 << 20


@dataclass(slots=True)
class Peak:
    """What the memory of the process grew by, at most, while the block ran; set at its end."""

    growth_bytes: int = 0


class ReceiverProcess:
    """A receiver on free ports."""

    def __init__(self, settings: Mapping[str, Any] | None = None, **options: Any) -> None:
        """Take the settings of `otlp`; `options` are memory_limit_mib, and append_s, the time an append takes."""
        protocols = {"grpc": {"endpoint": "127.0.0.1:0"}, "http": {"endpoint": "127.0.0.1:0"}}
        given = dict(settings or {})
        for name, more in given.pop("protocols", {}).items():
            protocols[name] = {**protocols[name], **more}
        self._start = {"settings": {"redelivery_window_s": 0, **given, "protocols": protocols}, **options}

    def __enter__(self) -> Self:
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.faults.receiving"],
            cwd=ROOT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )
        self.endpoints: dict[str, str] = self.ask(**self._start)
        until(lambda: self.ask(do="state")["is_fast"], "the validation kernel is loaded")
        self.post(b"")
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._process.kill()
        self._process.wait()
        for stream in (self._process.stdin, self._process.stdout):
            if stream is not None:
                stream.close()

    @property
    def address(self) -> tuple[str, int]:
        """Of OTLP/HTTP."""
        host, _, port = self.endpoints["http"].rpartition(":")
        return host, int(port)

    @property
    def grpc_address(self) -> tuple[str, int]:
        """Of OTLP/gRPC."""
        host, _, port = self.endpoints["grpc"].rpartition(":")
        return host, int(port)

    def ask(self, **line: Any) -> Any:
        """Tell the process something, and return what it answers."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps(line) + "\n")
        self._process.stdin.flush()
        answer = self._process.stdout.readline()
        assert answer, f"the receiver has died: {self._process.wait()}"
        return json.loads(answer)

    @property
    def state(self) -> dict[str, Any]:
        """What it counted: records, members, counts, limits."""
        found: dict[str, Any] = self.ask(do="state")
        return found

    def connect(self, timeout_s: float = 20) -> socket.socket:
        """Open a connection to OTLP/HTTP."""
        return socket.create_connection(self.address, timeout=timeout_s)

    def post(self, body: bytes, *headers: str, path: str = "/v1/traces", kind: str = "x-protobuf") -> int:
        """Return the status of one request; 0 where the connection was cut without an answer."""
        lines = [f"POST {path} HTTP/1.1", "host: x", f"content-type: application/{kind}", "connection: close"]
        if not any(h.startswith(("content-length", "transfer-encoding")) for h in headers):
            lines.append(f"content-length: {len(body)}")
        with self.connect() as sock, contextlib.suppress(ConnectionError):
            with contextlib.suppress(ConnectionError):  # an early answer may still be read
                sock.sendall("\r\n".join([*lines, *headers]).encode() + b"\r\n\r\n" + body)
            return status_of(sock.recv(65536))
        return 0

    def status_field(self, name: Literal["VmRSS", "VmHWM"]) -> int:
        """Return a field of /proc/PID/status, in bytes."""
        text = Path(f"/proc/{self._process.pid}/status").read_text("ascii")
        return int(re.findall(rf"{name}:\s+(\d+) kB", text)[0]) << 10

    @contextlib.contextmanager
    def peak(self) -> Iterator[Peak]:
        """Measure the growth of the resident memory over that before the block."""
        found = Peak()
        Path(f"/proc/{self._process.pid}/clear_refs").write_text("5", "ascii")  # resets the high-water mark: proc(5)
        before = self.status_field("VmRSS")
        yield found
        found.growth_bytes = self.status_field("VmHWM") - before


def status_of(answer: bytes) -> int:
    """Return the HTTP status of an answer; 0 where there is none."""
    return int(answer[9:12]) if answer.startswith(b"HTTP/1.1 ") else 0


# The process.


@dataclass(slots=True)
class ForgetfulJournal:
    """Counts and forgets."""

    append_s: float = 0.0
    records: int = 0
    members: int = 0
    held: list[bytearray] = field(default_factory=list)

    async def append(
        self,
        tenant: str,
        signal: Signal,
        body: bytes | memoryview,
        *,
        encoding: Literal["protobuf", "json"],
        gzip: bool,
        members: int = 0,
    ) -> int:
        """Keep nothing."""
        del tenant, signal, body, encoding, gzip
        if self.append_s:
            await asyncio.sleep(self.append_s)
        self.records += 1
        self.members += members
        return self.records


async def serve() -> None:
    """Run until standard input ends."""
    from collector.receivers.otlp import OtlpConfig, OtlpReceiver  # noqa: PLC0415 - only the process needs them
    from schema.component import Context  # noqa: PLC0415 - as above

    loop = asyncio.get_running_loop()
    reader = asyncio.StreamReader()
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
    start = json.loads(await reader.readline())
    journal = ForgetfulJournal(start.get("append_s", 0.0))
    limit_mib = start.get("memory_limit_mib")
    context = Context(
        "otlp", Path("unused"), journal, memory_limit_bytes=None if limit_mib is None else limit_mib * MIB
    )
    receiver = OtlpReceiver(OtlpConfig.model_validate(start["settings"]), context)
    guard = receiver._guard
    releases: list[float] = []
    release = guard._release

    def counted() -> None:
        releases.append(time.monotonic())
        release()

    guard._release = counted
    await receiver.start()
    say(receiver.endpoints)
    while line := await reader.readline():
        command = json.loads(line)
        match command["do"]:
            case "hold":
                journal.held.append(bytearray(b"\1") * (command["mib"] * MIB))
                say({})
            case "free":
                journal.held.clear()
                say({})
            case "limit":
                guard._limit_bytes = command["mib"] * MIB
                say({})
            case _:
                counts = {f"{signal}.{what}": n for (signal, what), n in receiver.counts.items()}
                limits = {limit.value: n for limit, n in receiver.limit_hits.items()}
                level, is_fast = guard.level.name, receiver._validator.is_fast
                said = {"records": journal.records, "members": journal.members, "counts": counts, "limits": limits}
                say({**said, "is_fast": is_fast, "level": level, "releases": len(releases)})
    await receiver.shutdown()


def say(answer: object) -> None:
    """Answer one line."""
    sys.stdout.write(json.dumps(answer) + "\n")
    sys.stdout.flush()


def main() -> None:
    """Be the process."""
    from collector.kernel_cache import choose_folder  # noqa: PLC0415 - as above
    from collector.process import tune  # noqa: PLC0415 - as above

    choose_folder()
    tune()
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(serve())


if __name__ == "__main__":
    main()
