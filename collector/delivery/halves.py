"""Find what is at fault by halving: log2(n) steps for each fault, however many work."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, TypeVar

from collector.delivery.retry import say
from schema.errors import Permanent

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence

    from collector.journal import Record

MAX_SINGLES: Final = 256
"""Faults that are looked for one by one; where there are more, what still fails goes aside in the parts it is in."""

T = TypeVar("T")
Bad = tuple["Record", str]


def unreadable(records: Sequence[Record], read: Callable[[Sequence[Record]], object]) -> list[Bad]:
    """Return the records that make `read` raise, each with the reason; empty where each half is fine by itself.

    Call it when `read` has raised on them all. MemoryError is no fault of a record and is raised.
    """
    bad: list[Bad] = []
    parts = [(0, len(records))]
    while parts:
        low, high = parts.pop()
        middle = (low + high) // 2
        for a, b in ((low, middle), (middle, high)):
            if a == b:
                continue
            try:
                read(records[a:b])
            except MemoryError:
                raise
            except Exception as e:  # noqa: BLE001 - a decoder or a stranger's processor may raise anything
                if b - a == 1 or len(bad) >= MAX_SINGLES:
                    bad += [(r, say(e)) for r in records[a:b]]
                else:
                    parts.append((a, b))
    return sorted(bad, key=lambda found: found[0].sequence)


async def refused(count: int, store: Callable[[int, int], Awaitable[None]]) -> list[tuple[int, str]]:
    """Store items 0 to `count` in parts; return which ones raise Permanent by themselves, each with the reason.

    Call it when storing them all has raised Permanent. A part is a half of a half …, so a replay makes the same ones.
    """
    found: list[tuple[int, str]] = []
    parts = [(0, count)]
    while parts:
        low, high = parts.pop()
        middle = (low + high) // 2
        for a, b in ((low, middle), (middle, high)):
            if a == b:
                continue
            try:
                await store(a, b)
            except Permanent as e:
                if b - a == 1 or len(found) >= MAX_SINGLES:
                    found += [(i, str(e)) for i in range(a, b)]
                else:
                    parts.append((a, b))
    return sorted(found)
