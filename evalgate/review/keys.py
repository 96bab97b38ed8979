"""Single keys and lines from a terminal."""

from __future__ import annotations

import os
import shlex
import subprocess
import sys
import tempfile
import termios
import tty
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol, TextIO

CTRL_C, CTRL_D = "\x03", "\x04"


class Keys(Protocol):
    """Where a reviewer's decisions come from."""

    def key(self) -> str:
        """Return one key; EOFError at the end of input."""

    def line(self, prompt: str) -> str:
        """Return one line without its end; EOFError at the end of input."""

    def edit(self, text: str) -> str:
        """Return a longer text that was written in an editor."""


@dataclass(frozen=True, slots=True)
class TerminalKeys:
    """The keyboard."""

    source: TextIO = field(default_factory=lambda: sys.stdin)
    echo: TextIO = field(default_factory=lambda: sys.stdout)

    def key(self) -> str:
        """Read one key without waiting for Enter; Ctrl-C interrupts as everywhere."""
        self.echo.flush()
        handle = self.source.fileno()
        before = termios.tcgetattr(handle)
        try:
            tty.setcbreak(handle, termios.TCSADRAIN)
            pressed = _read_character(handle)
        finally:
            termios.tcsetattr(handle, termios.TCSADRAIN, before)
        if pressed in ("", CTRL_D):
            raise EOFError
        if pressed == CTRL_C:
            raise KeyboardInterrupt
        return pressed

    def line(self, prompt: str) -> str:
        """Read one line, edited as the terminal does it."""
        self.echo.write(prompt)
        self.echo.flush()
        taken = bytearray()
        while not taken.endswith(b"\n"):
            piece = os.read(self.source.fileno(), 1)  # unbuffered, as `key` is: nothing may be read ahead
            if not piece:
                raise EOFError
            taken += piece
        return taken.decode("utf-8", "replace").rstrip("\r\n")

    def edit(self, text: str) -> str:
        """Open $VISUAL or $EDITOR on a temporary file."""
        editor = os.environ.get("VISUAL") or os.environ.get("EDITOR") or "vi"
        with tempfile.TemporaryDirectory(prefix="evalgate-") as folder:
            path = Path(folder) / "corrected_output.txt"
            path.write_text(text, encoding="utf-8")
            subprocess.run([*shlex.split(editor), str(path)], check=True)
            return path.read_text(encoding="utf-8").rstrip("\n")


def _read_character(handle: int) -> str:
    """Read one character; it may be several bytes. Of an escape sequence (an arrow key) only ESC counts."""
    first = os.read(handle, 1)
    if not first:
        return ""
    more = 3 if first[0] >= 0xF0 else 2 if first[0] >= 0xE0 else 1 if first[0] >= 0xC0 else 0
    taken = first + b"".join(os.read(handle, 1) for _ in range(more))
    if first == b"\x1b":
        termios.tcflush(handle, termios.TCIFLUSH)
    return taken.decode("utf-8", "replace")
