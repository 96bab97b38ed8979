r"""A child process that answers questions, one line of JSON each, within a deadline.

What Python cannot interrupt (a regular expression, someone's code) runs in one; a child that is late, dead or talks
nonsense is killed, and the next question starts another. The lines:

    child  → {"ready": true}\n                  once, when it has started
    parent → {"id": "<hex>", ...question}\n
    child  → {"id": "<the same>", ...answer}\n
"""

from __future__ import annotations

import contextlib
import json
import os
import secrets
import selectors
import signal
import subprocess
import threading
import time
import weakref
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

START_S = 30.0
"""A busy machine starts Python slowly."""
PATIENCE = 20
MAX_ANSWER_BYTES = 64 * 1024
READ_BYTES = 64 * 1024


class ChildFailed(ValueError):
    """The child did not answer the question. The message says what it did instead."""


class NeverReady(ChildFailed):
    """The first question was not answered, or answered by an error: no other process would do better."""


class Patience:
    """Gives up on what failed so many times in a row: each time took its deadline, and a run has many cases."""

    def __init__(self, limit: int = PATIENCE) -> None:
        self._limit = limit
        self._failures = 0

    def check(self) -> None:
        """Raise if it is over.

        Raises:
            ChildFailed: it is.

        """
        if self._failures >= self._limit:
            raise ChildFailed(f"it is not tried any more, after {self._failures} failures in a row")

    def note(self, *, failed: bool) -> None:
        """Count one time."""
        self._failures = self._failures + 1 if failed else 0


class Child:
    """One child process at a time, started when first asked. Safe from many threads: questions wait for each other."""

    def __init__(
        self,
        argv: Sequence[str],
        *,
        first: Mapping[str, Any] | None = None,
        first_deadline_s: float = START_S,
        env: Mapping[str, str] | None = None,
        cwd: str | None = None,
    ) -> None:
        """`first` is the first question of each process."""
        self._argv = list(argv)
        self._first = first
        self._first_deadline_s = first_deadline_s
        self._env = None if env is None else dict(env)
        self._cwd = cwd
        self._lock = threading.Lock()
        self._process: subprocess.Popen[bytes] | None = None
        self._end: weakref.finalize[..., Any] | None = None
        self.opening: Mapping[str, Any] = {}
        """What the process answered to the first question."""

    @property
    def pid(self) -> int | None:
        """Of the process that runs now, None if none does."""
        return self._process.pid if self._process else None

    def ask(self, question: Mapping[str, Any], deadline_s: float) -> dict[str, Any]:
        """Return the answer.

        Raises:
            ChildFailed: there is none; the next question is asked of a new process.
            NeverReady: a ChildFailed: there will never be one.

        """
        with self._lock:
            try:
                return self._ask(question, deadline_s)
            except BaseException:
                self._close()  # a question that was given up must not be answered to the next
                raise

    def close(self) -> None:
        """End the process, if there is one."""
        with self._lock:
            self._close()

    def _ask(self, question: Mapping[str, Any], deadline_s: float) -> dict[str, Any]:
        process = self._process or self._start()
        return self._told(process, question, deadline_s)

    def _told(self, process: subprocess.Popen[bytes], question: Mapping[str, Any], deadline_s: float) -> dict[str, Any]:
        name = secrets.token_hex(8)
        line = json.dumps({"id": name, **question}).encode("ascii") + b"\n"
        answer = _exchange(process, line, deadline_s)
        if answer.pop("id", None) != name:
            raise ChildFailed("it answered another question than the one it was asked")
        return answer

    def _start(self) -> subprocess.Popen[bytes]:
        try:
            process = subprocess.Popen(
                self._argv,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                env=self._env,
                cwd=self._cwd,
                start_new_session=True,
                bufsize=0,
            )
        except OSError as e:
            raise ChildFailed(f"cannot start {self._argv[0]}: {e.strerror or e}") from None
        self._process = process
        self._end = weakref.finalize(self, _kill, process)
        for pipe in (process.stdin, process.stdout):
            assert pipe is not None  # noqa: S101 - they are pipes
            os.set_blocking(pipe.fileno(), False)
        if _exchange(process, b"", START_S) != {"ready": True}:
            raise ChildFailed("it did not start as it should")
        if self._first is not None:
            try:
                self.opening = self._told(process, self._first, self._first_deadline_s)
            except ChildFailed as e:
                raise NeverReady(str(e)) from None
            if wrong := self.opening.get("error"):
                raise NeverReady(str(wrong))
        return process

    def _close(self) -> None:
        if self._end is not None:
            self._end()
        self._process = self._end = None


def _exchange(process: subprocess.Popen[bytes], line: bytes, deadline_s: float) -> dict[str, Any]:
    """Send a line and return the object of the line that comes back."""
    assert process.stdin is not None  # noqa: S101 - they are pipes
    assert process.stdout is not None  # noqa: S101
    until = time.monotonic() + deadline_s
    got = b""
    with selectors.DefaultSelector() as selector:
        selector.register(process.stdout, selectors.EVENT_READ)
        if line:
            selector.register(process.stdin, selectors.EVENT_WRITE)
        while b"\n" not in got:
            ready = selector.select(max(0.0, until - time.monotonic()))
            if not ready:
                raise ChildFailed(f"no answer within {deadline_s:g} s")
            for key, _ in ready:
                if key.fileobj is process.stdin:
                    line = line[_write(process, line) :]
                    if not line:
                        selector.unregister(process.stdin)
                else:
                    piece = os.read(key.fd, READ_BYTES)
                    if not piece:
                        raise ChildFailed(_how_it_ended(process))
                    got += piece
            if len(got) > MAX_ANSWER_BYTES:
                raise ChildFailed(f"its answer is longer than {MAX_ANSWER_BYTES} bytes")
    if line:
        raise ChildFailed("it answered before it was asked")
    return _answer(got)


def _write(process: subprocess.Popen[bytes], line: bytes) -> int:
    assert process.stdin is not None  # noqa: S101 - as above
    try:
        return os.write(process.stdin.fileno(), line)
    except BrokenPipeError:
        raise ChildFailed(_how_it_ended(process)) from None


def _answer(got: bytes) -> dict[str, Any]:
    line, _, rest = got.partition(b"\n")
    if rest:
        raise ChildFailed("it said more than one answer")
    try:
        answer = json.loads(line)
    except (ValueError, RecursionError):
        raise ChildFailed("its answer is not JSON") from None
    if not isinstance(answer, dict):
        raise ChildFailed("its answer is not an object")
    return answer


def _how_it_ended(process: subprocess.Popen[bytes]) -> str:
    with contextlib.suppress(subprocess.TimeoutExpired):
        process.wait(1.0)
    code = process.returncode
    if code is None:
        return "it closed its output"
    if code >= 0:
        return f"it ended (exit {code}) without an answer"
    with contextlib.suppress(ValueError):
        return f"it was ended by {signal.Signals(-code).name} without an answer"
    return f"it was ended by signal {-code} without an answer"


def _kill(process: subprocess.Popen[bytes]) -> None:
    """End the whole process group and leave nothing open."""
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, signal.SIGKILL)
    process.kill()
    process.wait()
    for pipe in (process.stdin, process.stdout):
        if pipe is not None:
            with contextlib.suppress(OSError):
                pipe.close()
