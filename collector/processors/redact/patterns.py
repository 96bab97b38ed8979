"""What users look for besides: patterns of RE2, which is linear in the text whatever the pattern.

Source: https://github.com/google/re2/wiki/Syntax. Arrow brings RE2; it refuses look-around and back-references.
"""

from __future__ import annotations

from dataclasses import dataclass
from secrets import token_hex
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from collector.processors.redact.search import MAX_IN_VALUE, OVERFULL_NAME, Span, leaves
from schema.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from collector.processors.redact.search import Texts


def checked(patterns: Mapping[str, str]) -> tuple[UserPattern, ...]:
    """Return the patterns, ready.

    Raises:
        ConfigError: RE2 does not take one, or it matches the empty text.

    """
    made = []
    for name, pattern in patterns.items():
        try:
            nothing = pc.match_substring_regex(pa.array([""]), pattern)[0].as_py()
        except pa.ArrowInvalid as e:
            first = str(e).splitlines()[0]
            raise ConfigError(f"redact: the pattern {name!r} is none that RE2 takes: {first}") from None
        if nothing:
            raise ConfigError(f"redact: the pattern {name!r} matches where there is nothing: it would mask everything")
        made.append(UserPattern(name, pattern))
    return tuple(made)


@dataclass(frozen=True, slots=True)
class UserPattern:
    """One pattern; all that it matches is masked."""

    name: str
    pattern: str

    def spans(self, texts: Texts) -> Iterator[Span]:
        """Yield what the pattern finds in the texts, from left to right, never overlapping."""
        rows = zip(texts.kind.tolist(), texts.start.tolist(), texts.length.tolist(), strict=True)
        extents = [x for kind, s, n in rows for x in leaves(texts.buffer, kind, s, s + n)]
        if not extents:
            return
        values = _gathered(texts.buffer, extents)
        found = pc.match_substring_regex(values, self.pattern).to_numpy(zero_copy_only=False)
        for row in np.flatnonzero(found).tolist():
            start, end = extents[row]
            yield from self._within(texts.buffer[start:end], start)

    def _within(self, text: bytes, start: int) -> Iterator[Span]:
        """Find all in one go, by a mark before and behind each: looking anew behind each reads the text as often."""
        mark = _absent(text)
        values = pa.array([text], pa.large_binary())
        marked: bytes = pc.replace_substring_regex(
            values, f"({self.pattern})", _literal(mark) + r"\1" + _literal(mark)
        )[0].as_py()
        if marked.count(mark) > 2 * MAX_IN_VALUE:
            yield Span(start, start + len(text), OVERFULL_NAME)
            return
        at = start
        for number, part in enumerate(marked.split(mark)):
            if number % 2 and part:
                yield Span(at, at + len(part), self.name)
            at += len(part)


def _absent(text: bytes) -> bytes:
    """Return what is not in the text: a control character, else 16 random digits."""
    for byte in range(1, 32):
        if (mark := bytes([byte])) not in text:
            return mark
    while (mark := token_hex(8).encode()) in text:
        pass
    return mark


def _literal(mark: bytes) -> str:
    return mark.decode("ascii")


def any_matches(patterns: Sequence[str], text: bytes) -> bool:
    """Tell whether one of the patterns matches the whole text."""
    value = pa.array([text], pa.binary())
    return any(pc.match_substring_regex(value, rf"\A(?:{p})\z")[0].as_py() for p in patterns)


def _gathered(buffer: bytes, extents: Sequence[tuple[int, int]]) -> pa.Array:
    offsets = np.zeros(len(extents) + 1, np.int64)
    np.cumsum([e - s for s, e in extents], out=offsets[1:])
    data = b"".join(buffer[s:e] for s, e in extents)
    return pa.LargeBinaryArray.from_buffers(
        pa.large_binary(), len(extents), [None, pa.py_buffer(offsets), pa.py_buffer(data)]
    )
