"""P4: the syncs are there because of P1.

Injected: one sync after the other is taken out of the file system that P1 runs on: that of segments, that of names,
that of cursors before their rename, that of names after it.
Holds: P1 fails each time, so it would see a sync that is missing.
Figure: 4 of 4 mutants are seen.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from schema.errors import EvalgateError
from tests.journal.disk import SimFs
from tests.journal.power import Lost, check, crashes, traced

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.journal.disk import Event


class WithoutDataSync(SimFs):
    def sync(self, fd: int) -> None:
        """Forget to."""


class WithoutDirectorySync(SimFs):
    def sync_directory(self, path: Path) -> None:
        """Forget to, but for the folder of the journal itself."""
        if path.name != "journal":
            super().sync_directory(path)


class WithoutSyncBeforeRename(SimFs):
    """Writes a whole file without syncing it."""

    def write_file(self, path: Path, data: bytes) -> None:
        temporary = path.with_name(path.name + ".tmp")
        fd = self.open_new(temporary)
        self.write(fd, (data,), 0)
        self.close(fd)
        self.replace(temporary, path)
        self.sync_directory(path.parent)


class WithoutSyncAfterRename(SimFs):
    """Writes a whole file and does not sync its name."""

    def write_file(self, path: Path, data: bytes) -> None:
        temporary = path.with_name(path.name + ".tmp")
        fd = self.open_new(temporary)
        self.write(fd, (data,), 0)
        self.sync(fd)
        self.close(fd)
        self.replace(temporary, path)


@pytest.mark.quick
@pytest.mark.parametrize(
    "mutant", [WithoutDataSync, WithoutDirectorySync, WithoutSyncBeforeRename, WithoutSyncAfterRename]
)
def test_the_power_cuts_see_that_a_sync_is_missing(
    tmp_path: Path, mutant: type[SimFs], record_property: Callable[[str, object], None]
) -> None:
    trace = traced(mutant(), tmp_path / "a" / "journal", seed=11, steps=6)
    with pytest.raises((Lost, EvalgateError)) as seen:
        cut_everywhere(trace, tmp_path)
    record_property("figure", str(seen.value).partition(": ")[0])


def cut_everywhere(trace: list[Event], folder: Path) -> None:
    for _, image, known in crashes(trace):
        check(image, known, folder / "a", folder / "b")
