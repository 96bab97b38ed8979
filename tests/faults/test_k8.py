"""K8: kill -9 while a cursor is replaced.

Injected: the process ends behind every system call on a cursor file, in the middle of each write, and before the sync
of the directory.
Holds: the next start finds the old cursor or the new one, never none: no reader misses what was acknowledged, none gets
again what it had confirmed.
Figure: some 500 ends, 0 cursors lost.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.journal.disk import SimFs
from tests.journal.power import check, kills, traced

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

ENDINGS = (".cursor", ".cursor.tmp")


@pytest.mark.quick
def test_a_cursor_is_the_old_one_or_the_new_one(tmp_path: Path, record_property: Callable[[str, object], None]) -> None:
    _ends(tmp_path, 4, record_property)


def test_a_cursor_is_the_old_one_or_the_new_one_in_a_long_run(
    tmp_path: Path, record_property: Callable[[str, object], None]
) -> None:
    _ends(tmp_path, 25, record_property)


def _ends(tmp_path: Path, steps: int, record_property: Callable[[str, object], None]) -> None:
    trace = traced(SimFs(), tmp_path / "a" / "journal", seed=21, steps=steps)
    ends = 0
    for _, image, known in kills(trace, ENDINGS):
        check(image, known, tmp_path / "a", tmp_path / "b")
        ends += 1
    assert ends > 5 * steps
    record_property("figure", f"{ends} ends, 0 cursors lost")
