"""Target: a program, the case as JSON on its stdin; never a shell."""

from __future__ import annotations

import contextlib
import json
import os
import selectors
import signal
import subprocess
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from evalgate.run.targets.answer import Answer, Busy, to_output
from evalgate.terminal import one_line
from schema.run import ErrorKind, Output, RunError

if TYPE_CHECKING:
    from collections.abc import Mapping

TRY_AGAIN = 75
"""EX_TEMPFAIL of sysexits.h: how a program says that it may work a moment later."""
MAX_ANSWER_BYTES = 8 << 20
ERROR_BYTES = 64 * 1024
"""Of stderr, the last ones: only its last line is told."""
PIECE_BYTES = 64 * 1024


@dataclass(frozen=True, slots=True)
class CommandTarget:
    """A program, started once per case."""

    argv: tuple[str, ...]

    def __call__(self, request: Mapping[str, Any], timeout_s: float) -> Answer:
        """Run it with the case on stdin; after the timeout its whole process group is ended."""
        try:
            process = subprocess.Popen(
                self.argv,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                start_new_session=True,
            )
        except OSError as e:
            return RunError(ErrorKind.TARGET, f"cannot start {self.argv[0]}: {e.strerror or e}")
        with process:
            try:
                said = _converse(process, json.dumps(request).encode("utf-8"), time.monotonic() + timeout_s)
            except BaseException:
                _end_group(process)
                raise
            if said is None:
                _end_group(process)
                return RunError(ErrorKind.TIMEOUT, f"no answer within {timeout_s:g} s")
            out, err = said
            if len(out) > MAX_ANSWER_BYTES:
                _end_group(process)
                return RunError(ErrorKind.TARGET, f"the answer is larger than {MAX_ANSWER_BYTES >> 20} MiB")
        if process.returncode != 0:
            last = next((x for x in reversed(err.decode("utf-8", "replace").splitlines()) if x.strip()), "")
            error = RunError(ErrorKind.TARGET, one_line(f"exit {process.returncode}: {last}", 300))
            return Busy(error) if process.returncode == TRY_AGAIN else error
        return from_bytes(out)


def _converse(process: subprocess.Popen[bytes], request: bytes, ends: float) -> tuple[bytes, bytes] | None:
    """Return stdout (a little more than the limit where it is larger) and the end of stderr; None: the time is over.

    One loop over three pipes: a program that writes before it reads must not stand still, and one that never stops
    writing must not fill the memory.
    """
    assert process.stdin is not None  # noqa: S101 - it was asked for
    assert process.stdout is not None  # noqa: S101 - as above
    assert process.stderr is not None  # noqa: S101 - as above
    out, err, left = bytearray(), bytearray(), memoryview(request)
    os.set_blocking(process.stdin.fileno(), False)
    with selectors.DefaultSelector() as pipes:
        pipes.register(process.stdin, selectors.EVENT_WRITE)
        pipes.register(process.stdout, selectors.EVENT_READ)
        pipes.register(process.stderr, selectors.EVENT_READ)
        while pipes.get_map() and len(out) <= MAX_ANSWER_BYTES:
            ready = pipes.select(max(0.0, ends - time.monotonic()))
            if not ready and time.monotonic() >= ends:
                return None
            for key, _ in ready:
                if key.fileobj is process.stdin:
                    try:
                        left = left[os.write(key.fd, left) :]
                    except BlockingIOError:
                        continue
                    except BrokenPipeError:  # it has read what it wants to
                        left = left[:0]
                    if left:
                        continue
                elif piece := os.read(key.fd, PIECE_BYTES):
                    (out if key.fileobj is process.stdout else err).extend(piece)
                    del err[:-ERROR_BYTES]
                    continue
                pipes.unregister(key.fileobj)
                key.fileobj.close()  # type: ignore[union-attr]  # it is one of the three pipes
    if len(out) <= MAX_ANSWER_BYTES:
        try:
            process.wait(max(0.0, ends - time.monotonic()))
        except subprocess.TimeoutExpired:
            return None
    return bytes(out), bytes(err)


def _end_group(process: subprocess.Popen[bytes]) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)


def from_bytes(out: bytes) -> Output | RunError:
    """Return the output in what a program or a server sent: our JSON, any other JSON as it is, or plain text."""
    text = out.decode("utf-8", "replace")
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):  # no JSON, or too deep to be an answer in ours
        return Output(text.removesuffix("\n"))
    if isinstance(value, str) or (isinstance(value, dict) and "output" in value):
        try:
            return to_output(value)
        except ValueError as e:
            return RunError(ErrorKind.TARGET, str(e))
    return Output(text.removesuffix("\n"))  # JSON of the application's own
