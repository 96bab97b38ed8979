"""A wall clock that a test moves under a running process, by a library that is loaded before the C library."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Mapping

SOURCE = Path(__file__).with_suffix(".c")


class WallClock:
    """How far the wall clock of the processes is off that have `environment`."""

    def __init__(self, folder: Path) -> None:
        """Build the library; skips the test where there is no C compiler."""
        compiler = shutil.which("cc") or shutil.which("gcc") or shutil.which("clang")
        if compiler is None or not Path("/proc/self").exists():
            pytest.skip("moving the clock of a process takes Linux and a C compiler")
        self._library, self._file = folder / "wall_clock.so", folder / "wall_clock"
        subprocess.run([compiler, "-shared", "-fPIC", "-O1", "-o", self._library, SOURCE, "-ldl"], check=True)
        self._file.write_bytes(bytes(8))

    @property
    def environment(self) -> Mapping[str, str]:
        """For the process whose clock is to be moved."""
        return {"LD_PRELOAD": str(self._library), "WALL_CLOCK": str(self._file)}

    def move(self, seconds: int) -> None:
        """Put the clock that far from the right time; it holds at once, also in processes that run."""
        with self._file.open("r+b") as file:
            os.pwrite(file.fileno(), seconds.to_bytes(8, "little", signed=True), 0)
