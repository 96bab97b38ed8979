"""Write masks over secrets: as long as what they hide, plain ASCII, so that every offset and length stays true."""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import replace
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterable

    from collector.processors.redact.search import Span

SHORT: Final = b"[REDACTED]"
NUMBER: Final = re.compile(rb"-?[0-9]+(?:\.[0-9]+)?(?:[eE][+-]?[0-9]+)?")
MASKED_NUMBER: Final = re.compile(rb"10{12,}")
NEAR: Final = 64
"""Bytes around a number in which the signs of JSON are looked for."""
TEXT_WIRE: Final = 2
"""`Span.wire` of what is no number."""


def mask(detector: str, length: int) -> bytes:
    """Return what stands for a secret of so many bytes: "[REDACTED:openai]****", or what fits of it."""
    for label in (b"[REDACTED:" + detector.encode("ascii", "replace") + b"]", SHORT, b""):
        if len(label) <= length:
            break
    return label + b"*" * (length - len(label))


def is_number(buffer: bytes, span: Span) -> bool:
    """Tell whether a secret is a number in JSON, without quotes: its mask has to be one, too."""
    if NUMBER.fullmatch(buffer, span.start, span.end) is None:
        return False
    low = max(0, span.start - NEAR)
    before, after = buffer[low : span.start].rstrip(), buffer[span.end : span.end + NEAR].lstrip()
    return before.endswith((b":", b",", b"[", b"-")) and after.startswith((b",", b"]", b"}"))


def nothing(span: Span) -> bytes:
    """Return a zero in the wire type of a number, as long as it: a varint may be longer than it need be."""
    return b"\x80" * (span.end - span.start - 1) + b"\0" if span.wire == 0 else bytes(span.end - span.start)


def masked(buffer: bytes, spans: Iterable[Span]) -> tuple[bytes, Counter[str]]:
    """Return the buffer with masks for the spans, and how many of each detector.

    Spans that overlap become one, called as the first; what is a mask already is left as it is and not counted.
    """
    pieces: list[bytes | memoryview] = []
    counts: Counter[str] = Counter()
    view, done = memoryview(buffer), 0
    for span in joined(spans):
        text = view[span.start : span.end]
        if span.wire != TEXT_WIRE:
            new = nothing(span)
            if text == new:
                continue
        elif is_mask(bytes(text)):
            continue
        elif is_number(buffer, span):
            new = b"1" + b"0" * (len(text) - 1)
        else:
            new = mask(span.detector, len(text))
        pieces += (view[done : span.start], new)
        done = span.end
        counts[span.detector] += 1
    return (b"".join([*pieces, view[done:]]) if pieces else buffer), counts


def joined(spans: Iterable[Span]) -> list[Span]:
    """Return spans in order, those that overlap as one."""
    out: list[Span] = []
    for span in sorted(spans, key=lambda s: (s.start, -s.end)):
        if out and span.start < out[-1].end:
            last = out[-1]
            out[-1] = replace(last, end=max(last.end, span.end))
        elif span.end > span.start:
            out.append(span)
    return out


def is_mask(text: bytes) -> bool:
    """Tell whether a text is a mask of ours."""
    if MASKED_NUMBER.fullmatch(text):
        return True
    rest = text.lstrip(b"*") if text.startswith(b"*") else text.rstrip(b"*")
    return not rest or (rest.startswith(b"[REDACTED") and rest.endswith(b"]") and rest.count(b"[") == 1)
