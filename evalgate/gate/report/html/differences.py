"""What differs between two texts, by words."""

from __future__ import annotations

import re
from enum import StrEnum
from typing import Final

MOST_WORDS: Final = 4000
"""Of both texts; longer ones are shown without marks."""
WORDS: Final = re.compile(r"\s+|\w+|[^\w\s]")


class Change(StrEnum):
    """What happened to a piece."""

    SAME = "same"
    GONE = "gone"
    NEW = "new"


def differences(before: str, now: str) -> list[tuple[Change, str]] | None:
    """Return the pieces of both texts in order; None where they are too long, equal, or have too little in common."""
    from rapidfuzz.distance import Indel  # noqa: PLC0415 - slow to import, and one rendering of six needs it

    old, new = WORDS.findall(before), WORDS.findall(now)
    if before == now or len(old) + len(new) > MOST_WORDS:
        return None
    pieces: list[tuple[Change, str]] = []
    same = 0
    for code in Indel.opcodes(old, new):
        if code.tag == "equal":
            text = "".join(old[code.src_start : code.src_end])
            same += len(text) if text.strip() else 0  # spaces are common to any two texts
            pieces.append((Change.SAME, text))
            continue
        if gone := "".join(old[code.src_start : code.src_end]):
            pieces.append((Change.GONE, gone))
        if added := "".join(new[code.dest_start : code.dest_end]):
            pieces.append((Change.NEW, added))
    return _joined(pieces) if 5 * same >= max(len(before), len(now)) else None


def _joined(pieces: list[tuple[Change, str]]) -> list[tuple[Change, str]]:
    """Return the pieces with lone spaces between two changes taken into them, and neighbours of a kind made one."""
    runs: list[list[tuple[Change, str]]] = []
    for number, (change, text) in enumerate(pieces):
        inner = 0 < number < len(pieces) - 1
        is_gap = change is Change.SAME and not text.strip() and inner and "\n" not in text
        if change is Change.SAME and not is_gap:
            runs.append([(change, text)])
            continue
        if not runs or runs[-1][0][0] is Change.SAME:
            runs.append([])
            if is_gap:  # the text before it was a run of its own: the gap belongs to what is the same
                runs[-1] = [(Change.SAME, text)]
                continue
        runs[-1] += [(Change.GONE, text), (Change.NEW, text)] if is_gap else [(change, text)]
    joined: list[tuple[Change, str]] = []
    for run in runs:
        sides = ((kind, "".join(text for change, text in run if change is kind)) for kind in Change)
        joined += [(kind, said) for kind, said in sides if said]
    return joined
