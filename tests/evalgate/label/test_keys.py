"""Keys of a terminal: characters, and the sequences of those that are none."""

from __future__ import annotations

import contextlib
import os
import pty
import signal
import termios
from dataclasses import dataclass
from typing import TYPE_CHECKING

import pytest

from evalgate.errors import BadInput
from evalgate.label.keys import TerminalKeys

if TYPE_CHECKING:
    from collections.abc import Iterator


@dataclass
class End:
    """One end of a pseudo-terminal as a stream."""

    handle: int

    def fileno(self) -> int:
        return self.handle

    def write(self, text: str) -> int:
        return len(text)

    def flush(self) -> None:
        pass


@pytest.fixture
def ends() -> Iterator[tuple[int, TerminalKeys]]:
    master, slave = pty.openpty()
    with TerminalKeys(End(slave), End(slave)) as keys:  # type: ignore[arg-type]  # as much of a stream as is used
        yield master, keys
    for handle in (master, slave):
        with contextlib.suppress(OSError):
            os.close(handle)


@pytest.mark.parametrize(
    ("typed", "expected"),
    [
        ("g", ["g"]),
        ("é漢", ["é", "漢"]),
        ("\r", ["enter"]),
        (" \x7f\t", ["space", "back", "tab"]),
        ("\x1b[A\x1b[B\x1bOC\x1b[5~\x1b[6~", ["up", "down", "right", "pageup", "pagedown"]),
        # One that has no name here is taken whole: its letters are no verdict.
        ("\x1b[1;5Cg", ["esc", "g"]),
        ("\x1b[15~b", ["esc", "b"]),
        ("\x1b", ["esc"]),
    ],
)
def test_keys_have_names(ends: tuple[int, TerminalKeys], typed: str, expected: list[str]) -> None:
    master, keys = ends
    os.write(master, typed.encode())
    assert [keys.key() for _ in expected] == expected


def test_the_end_of_input_and_an_interrupt(ends: tuple[int, TerminalKeys]) -> None:
    master, keys = ends
    os.write(master, b"\x04")
    with pytest.raises(EOFError):
        keys.key()


def test_the_terminal_is_left_as_it_was() -> None:
    master, slave = pty.openpty()
    before = termios.tcgetattr(slave)
    keys = TerminalKeys(End(slave), End(slave))  # type: ignore[arg-type]  # as above
    with contextlib.suppress(BadInput), keys:
        assert termios.tcgetattr(slave) != before
        raise BadInput("stop")
    assert termios.tcgetattr(slave) == before
    for handle in (master, slave):
        os.close(handle)


def test_a_line_that_hangs_up_is_the_end_of_input_and_not_of_the_process() -> None:
    master, slave = pty.openpty()
    before = signal.getsignal(signal.SIGHUP)
    with TerminalKeys(End(slave), End(slave)) as keys:  # type: ignore[arg-type]  # as above
        os.close(master)
        os.kill(os.getpid(), signal.SIGHUP)
        with pytest.raises(EOFError):
            keys.key()
    assert signal.getsignal(signal.SIGHUP) is before
    os.close(slave)


def test_a_line_takes_no_more_than_its_own(ends: tuple[int, TerminalKeys]) -> None:
    master, keys = ends
    os.write(master, "tone é\ng".encode())
    assert keys.line("mode: ") == "tone é"
    assert keys.key() == "g"
