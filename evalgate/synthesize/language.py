"""Which language a message is in, told by its small words. Pure; of the languages that a catalogue has."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Mapping

WORD: Final = re.compile(r"[^\W\d_]+(?:['’][^\W\d_]+)?")
MAX_CHARS: Final = 5_000
LEAST_WORDS: Final = 2
"""One small word alone may stand in any language."""
LEAST_SHARE: Final = 0.6
"""Of the small words that are known, those of the language that is told."""
SAME_SHARE: Final = 0.5
"""Of the letters of two texts that are in the same script."""


def language_of(text: str, languages: Mapping[str, frozenset[str]]) -> str | None:
    """Return the language whose small words stand out, None where none does: frames are for whom they fit."""
    found = [w.split("'")[0].split("’")[0] for w in WORD.findall(text[:MAX_CHARS].casefold())]
    counts = {name: sum(w in words for w in found) for name, words in languages.items()}
    best = max(counts, key=lambda name: counts[name], default=None)
    if best is None or counts[best] < LEAST_WORDS or counts[best] < LEAST_SHARE * sum(counts.values()):
        return None
    return best


def is_same_script(left: str, right: str) -> bool:
    """Return whether two texts are written in much the same letters: the Latin, Greek or Cyrillic ones, or others."""
    mine, other = _script(left), _script(right)
    return mine is None or other is None or mine == other


def _script(text: str) -> int | None:
    """Return the block of 256 characters that most letters stand in; Latin ones count as one."""
    blocks: dict[int, int] = {}
    for c in text[:MAX_CHARS]:
        if c.isalpha():
            block = 0 if ord(c) < 0x250 else ord(c) >> 8 if ord(c) < 0x3000 else 0x30
            blocks[block] = blocks.get(block, 0) + 1
    best = max(blocks, key=lambda b: blocks[b], default=None)
    return best if best is not None and blocks[best] >= SAME_SHARE * sum(blocks.values()) else None
