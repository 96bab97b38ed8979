"""What users look for besides: patterns of RE2, which is linear in the text whatever the pattern.

Source: https://github.com/google/re2/wiki/Syntax. Arrow brings RE2; it refuses look-around and back-references.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from collector.processors.redact.search import Span, leaves
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
            yield from self._within(texts.buffer, start, end)

    def _within(self, buffer: bytes, start: int, end: int) -> Iterator[Span]:
        text, at = buffer[start:end], 0
        while at < len(text):
            rest = pa.array([text[at:]], pa.binary())
            place: dict[str, Any] | None = pc.extract_regex_span(rest, f"(?P<found>{self.pattern})")[0].as_py()
            if place is None:
                return
            low, size = place["found"]
            if size:
                yield Span(start + at + low, start + at + low + size, self.name)
            at += low + max(1, size)


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
