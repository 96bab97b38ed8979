"""Single keys and lines from a terminal."""

from __future__ import annotations

import os
import select
import shlex
import signal
import subprocess
import sys
import tempfile
import termios
import threading
import tty
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Protocol, Self, TextIO

if TYPE_CHECKING:
    from collections.abc import Iterator

CTRL_C, CTRL_D = "\x03", "\x04"
ESCAPE_S = 0.05
"""An escape sequence (an arrow key) comes at once; ESC alone is followed by nothing for so long."""
MAX_SEQUENCE = 16
NAMED = MappingProxyType(
    {
        "\r": "enter",
        "\n": "enter",
        "\x7f": "back",
        "\x08": "back",
        "\t": "tab",
        " ": "space",
        "\x1b": "esc",
        "\x1b[A": "up",
        "\x1bOA": "up",
        "\x1b[B": "down",
        "\x1bOB": "down",
        "\x1b[C": "right",
        "\x1bOC": "right",
        "\x1b[D": "left",
        "\x1bOD": "left",
        "\x1b[5~": "pageup",
        "\x1b[6~": "pagedown",
        "\x1b[H": "home",
        "\x1b[1~": "home",
        "\x1b[F": "end",
        "\x1b[4~": "end",
    }
)
"""Names of keys that are no characters: xterm, and the consoles of Linux and the BSDs."""


class Keys(Protocol):
    """Where a reviewer's decisions come from."""

    def key(self) -> str:
        """Return one character, or the name of a key that is none; EOFError at the end of input."""

    def line(self, prompt: str) -> str:
        """Return one line without its end; EOFError at the end of input."""

    def edit(self, text: str) -> str:
        """Return a longer text that was written in an editor."""


@dataclass(slots=True)
class TerminalKeys:
    """The keyboard. A `with` block takes single keys; lines and editors get the terminal as it was before.

    What is typed ahead, while a label is being saved, is taken as keys, too: that is what the block is for. A line that
    hangs up is the end of input, and not of the process: what is left to do at the end of a sitting is done.
    """

    source: TextIO = field(default_factory=lambda: sys.stdin)
    echo: TextIO = field(default_factory=lambda: sys.stdout)
    _before: list[Any] | None = None
    """The settings of the terminal outside of the block."""
    _hangup: Any = None
    """What a hangup did outside of the block."""

    def __enter__(self) -> Self:
        """Take single keys from now on; Ctrl-C interrupts as everywhere."""
        if threading.current_thread() is threading.main_thread():
            self._hangup = signal.signal(signal.SIGHUP, signal.SIG_IGN)
        self._before = termios.tcgetattr(self.source.fileno())
        tty.setcbreak(self.source.fileno(), termios.TCSADRAIN)
        return self

    def __exit__(self, *_: object) -> None:
        """Leave the terminal as it was."""
        if self._before is not None:
            with suppress(termios.error):  # the terminal is gone
                termios.tcsetattr(self.source.fileno(), termios.TCSADRAIN, self._before)
            self._before = None
        if self._hangup is not None:
            signal.signal(signal.SIGHUP, self._hangup)
            self._hangup = None

    def key(self) -> str:
        """Read one key without waiting for Enter."""
        try:
            self.echo.flush()
            pressed = _read_character(self.source.fileno())
        except OSError:
            raise EOFError from None
        if pressed in ("", CTRL_D):
            raise EOFError
        if pressed == CTRL_C:
            raise KeyboardInterrupt
        return NAMED.get(pressed, "esc" if pressed.startswith("\x1b") else pressed)

    def line(self, prompt: str) -> str:
        """Read one line, edited as the terminal does it."""
        self.echo.write(prompt)
        self.echo.flush()
        taken = bytearray()
        with self._as_before():
            while not taken.endswith(b"\n"):
                piece = os.read(self.source.fileno(), 1)  # unbuffered, as `key` is: nothing may be read ahead
                if not piece:
                    raise EOFError
                taken += piece
        return taken.decode("utf-8", "replace").rstrip("\r\n")

    def edit(self, text: str) -> str:
        """Open $VISUAL or $EDITOR on a temporary file."""
        editor = os.environ.get("VISUAL") or os.environ.get("EDITOR") or "vi"
        with tempfile.TemporaryDirectory(prefix="evalgate-") as folder, self._as_before():
            path = Path(folder) / "corrected_output.txt"
            path.write_text(text, encoding="utf-8")
            subprocess.run([*shlex.split(editor), str(path)], check=True)
            return path.read_text(encoding="utf-8").rstrip("\n")

    @contextmanager
    def _as_before(self) -> Iterator[None]:
        keys = termios.tcgetattr(self.source.fileno())
        if self._before is not None:
            termios.tcsetattr(self.source.fileno(), termios.TCSADRAIN, self._before)
        try:
            yield
        finally:
            termios.tcsetattr(self.source.fileno(), termios.TCSADRAIN, keys)


def _read_character(handle: int) -> str:
    """Read one character, which may be several bytes, or one escape sequence."""
    first = os.read(handle, 1)
    if not first:
        return ""
    more = 3 if first[0] >= 0xF0 else 2 if first[0] >= 0xE0 else 1 if first[0] >= 0xC0 else 0
    taken = first + b"".join(os.read(handle, 1) for _ in range(more))
    if first == b"\x1b":
        while len(taken) < MAX_SEQUENCE and select.select([handle], [], [], ESCAPE_S)[0]:
            taken += os.read(handle, 1)
            if len(taken) > 2 and 0x40 <= taken[-1] <= 0x7E:  # the final byte of ECMA-48
                break
    return taken.decode("utf-8", "replace")
