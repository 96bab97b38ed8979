"""Where in a conversation an anchor points, now. Pure.

A conversation may read differently later: a late span brings a longer one, a client is corrected. The place that was
meant is where the quote stands; the numbers say which of several such places it is.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from schema.verdict import MAX_QUOTE_CHARS, Anchor

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from evalgate.select.reading import Line


@dataclass(frozen=True, slots=True)
class Place:
    """Characters of a message of a conversation."""

    message: int
    """From 0."""
    start: int
    end: int
    is_whole: bool
    """The whole message is meant."""


def anchor_at(lines: Sequence[Line], message: int, start: int | None = None, end: int | None = None) -> Anchor:
    """Return the anchor of a message, or of some characters of it, with its quote.

    Raises:
        ValueError: there is no such message, or it has no such characters.

    """
    if not 0 <= message < len(lines):
        raise ValueError(f"the conversation has {len(lines)} messages; there is no number {message + 1}")
    text = lines[message].text
    if start is None or end is None:
        return Anchor(message, quote=text[:MAX_QUOTE_CHARS])
    if not 0 <= start < end <= len(text):
        raise ValueError(f"message {message + 1} has {len(text)} characters, and none from {start} to {end}")
    return Anchor(message, start, end, text[start:end][:MAX_QUOTE_CHARS])


def anchor_quoting(lines: Sequence[Line], message: int, words: str) -> Anchor:
    """Return the anchor of the first place in a message that reads so; white space and case do not matter.

    Raises:
        ValueError: there is no such message, or it does not say that.

    """
    anchor_at(lines, message)  # its error, where there is no such message
    spans = list(_occurrences(lines[message].text, words))
    if not spans:
        raise ValueError(f"message {message + 1} does not say {words[:60]!r}")
    return anchor_at(lines, message, *spans[0])


def locate(anchor: Anchor, lines: Sequence[Line]) -> Place | None:
    """Return where the anchor points; None where what it quotes is said no more.

    Where the same words stand in several places, it is the one nearest to where they stood.
    """
    message = anchor.message if anchor.message is not None and anchor.message < len(lines) else None
    is_whole = anchor.start is None
    if message is not None:
        text = lines[message].text
        begin, end = (0, len(text)) if anchor.start is None or anchor.end is None else (anchor.start, anchor.end)
        if end <= len(text) and text[begin:end][:MAX_QUOTE_CHARS] == anchor.quote:
            return Place(message, begin, end, is_whole)
        if not anchor.quote and end <= len(text):
            return Place(message, begin, end, is_whole)
    if not anchor.quote:
        return None
    length = len(anchor.quote) if anchor.start is None or anchor.end is None else anchor.end - anchor.start
    near = (anchor.message or 0, anchor.start or 0)
    found = [
        Place(i, at, min(at + length, len(line.text)), is_whole and at == 0)
        for i, line in enumerate(lines)
        for at in _starts(line.text, anchor.quote)
    ]
    return min(found, key=lambda p: (abs(p.message - near[0]), abs(p.start - near[1])), default=None)


def _starts(text: str, quote: str) -> Iterator[int]:
    at = text.find(quote)
    while at >= 0:
        yield at
        at = text.find(quote, at + 1)


def _occurrences(text: str, words: str) -> Iterator[tuple[int, int]]:
    """Yield (start, end) of the places that say these words, however they are spaced and cased."""
    import re  # noqa: PLC0415 - asked for by one key

    wanted = words.split()
    if not wanted:
        return
    pattern = re.compile(r"\s+".join(map(re.escape, wanted)), re.IGNORECASE)
    for match in pattern.finditer(text):
        yield match.span()
