"""P1: a power cut at every system call.

Injected: a simulated disk forgets all that was not synced, behind each system call of a journal at work: appends,
batches of two readers, quarantine, segments that are sealed, delivered, written over and scrubbed, restarts.
Holds: every acknowledged request is delivered to each reader that had not begun to confirm it, byte for byte, in order;
nothing confirmed comes again; what was set aside is whole.
Figure: some 3 000 power cuts, 0 acknowledged requests lost.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.journal.disk import SimFs
from tests.journal.power import check, crashes, traced

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


def cut(folder: Path, *, seed: int, steps: int, every: int = 1) -> tuple[int, int]:
    """Cut the power at every so many calls of one run; return how often, and how many requests it had sent."""
    cuts, known, seen = 0, None, None
    trace = traced(SimFs(), folder / "a" / "journal", seed=seed, steps=steps)
    for _, image, known in crashes(trace, every=every):
        if (image, known.version) != seen:  # most calls change nothing of what is synced
            check(image, known, folder / "a", folder / "b")
        seen = image, known.version
        cuts += 1
    assert known is not None
    return cuts, len(known.acked)


@pytest.mark.quick
def test_no_power_cut_loses_what_was_acknowledged_in_a_short_run(tmp_path: Path) -> None:
    cuts, _ = cut(tmp_path, seed=11, steps=4)
    assert cuts > 80


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_no_power_cut_loses_what_was_acknowledged(
    tmp_path: Path, seed: int, record_property: Callable[[str, object], None]
) -> None:
    cuts, requests = cut(tmp_path, seed=seed, steps=40)
    assert cuts > 700
    record_property("figure", f"{cuts} power cuts over {requests} acknowledged requests, 0 lost")
