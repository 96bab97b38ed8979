"""K9: kill -9 while a segment is made, sealed, removed or written over.

Injected: the process ends behind every system call on a segment or a spare, and in the middle of each write.
Holds: no record is lost and none comes twice; the next start succeeds, and so does the one after it; no file is left
that nobody owns.
Figure: some 300 ends, 0 records lost, 0 starts that failed.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest

from collector.journal import Journal
from collector.journal.layout import NAME as SEGMENT_NAME
from collector.journal.spares import MOST
from collector.journal.spares import NAME as SPARE_NAME
from tests.journal.disk import SimFs, UnsyncedFs
from tests.journal.power import READERS, check, kills, options_of, traced

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

ENDINGS = (".seg", ".spare")
OURS = {"lock", "journal", "reserve", "quarantine", "requests", *(f"{reader}.cursor" for reader in READERS)}


async def start_again(directory: Path) -> None:
    await (await Journal.open(options_of(directory), fs=UnsyncedFs())).close()


def test_no_end_between_two_calls_costs_a_record_or_leaves_an_orphan(
    tmp_path: Path, record_property: Callable[[str, object], None]
) -> None:
    _ends(tmp_path, 40, record_property)


@pytest.mark.quick
def test_no_end_in_a_short_run_costs_a_record(tmp_path: Path, record_property: Callable[[str, object], None]) -> None:
    _ends(tmp_path, 7, record_property)


def _ends(tmp_path: Path, steps: int, record_property: Callable[[str, object], None]) -> None:
    trace = traced(SimFs(), tmp_path / "a" / "journal", seed=22, steps=steps)
    ends, calls = 0, set()
    directory = tmp_path / "b" / "journal"
    for call, image, known in kills(trace, ENDINGS):
        check(image, known, tmp_path / "a", tmp_path / "b")
        asyncio.run(start_again(directory))
        names = {p.name for p in directory.iterdir()} - OURS
        strange = {n for n in names if not SEGMENT_NAME.fullmatch(n) and not SPARE_NAME.fullmatch(n)}
        assert not strange, f"after {call}"
        assert sum(1 for n in names if SPARE_NAME.fullmatch(n)) <= MOST
        assert sum(1 for n in names if SEGMENT_NAME.fullmatch(n)) <= 1, "all of it was delivered"
        ends += 1
        calls.add(call.rpartition(" ")[0] + call[-4:])
    assert ends > 3 * steps
    assert {"name.seg", "unname.seg", "write.seg", "truncate.seg"} <= calls
    record_property("figure", f"{ends} ends, 0 records lost")
