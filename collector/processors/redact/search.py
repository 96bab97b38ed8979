"""Find secrets in texts: the spans to mask, by the kernel or by plain search. Both find the same."""

from __future__ import annotations

from dataclasses import dataclass, field
from heapq import merge
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from collector.processors.redact.detectors import (
    BOUNDARY,
    CARD_DIGITS,
    SCHEME_ENDS,
    SCHEMES,
    Anchor,
    Detector,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from numpy.typing import NDArray

    Ints = NDArray[np.int64]
    Bytes = NDArray[np.uint8]

MAX_IN_VALUE: Final = 1 << 15
"""Candidates in one value. One that has more is masked whole: judging them is slow, and nobody has so many secrets."""
FIRST_ROOM: Final = 1024
MAX_IN_BUFFER: Final = 1 << 18
"""Candidates in the values of one buffer, after which each value that has any is masked whole."""
MAX_DEPTH: Final = 100
"""Of nested values; the protobuf library reads no deeper."""
KEY: Final = 7
"""`kernels.KEY`: not a candidate, the key of a nested value."""
OVERFULL: Final = 8
"""`kernels.OVERFULL`: a value with too many candidates."""
OVERFULL_NAME: Final = "overfull"
"""What masks and counts call it."""
WORD_CLASS, ALNUM, FIRST, SPECIAL = 1, 2, 4, 8
"""Bits of the classes that kernels read."""
LETTERS_AND_DIGITS: Final = frozenset(b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789")
WORD_BYTES: Final = LETTERS_AND_DIGITS | frozenset(b"_-")
LOCAL_BYTES: Final = LETTERS_AND_DIGITS | frozenset(b"._%+-")
MAX_LOCAL: Final = 64
AT: Final = ord("@")
PEM_BEGIN: Final = b"-----BEGIN "
MAX_PEM_LABEL: Final = 80
OPEN_ENDED: Final = frozenset({Anchor.NAME, Anchor.SCHEME, Anchor.PEM})
"""What these find reaches as far from any place within, and is judged alike."""
SCHEME_WORDS: Final = (b"bearer", b"basic")
NAME_WORDS: Final = (b"secret", b"passw", b"pwd", b"passphrase", b"token", b"key", b"credential")
"""One of which is in whatever has a candidate: looking for them is fast."""
SHORTEST: Final = 9
"""No secret is shorter: a URL with a password."""
STRING: Final = 1
TEXT_KINDS: Final = (1, 7)
NESTED_KINDS: Final = (5, 6)


@dataclass(frozen=True, slots=True, order=True)
class Span:
    """Bytes of a buffer that are a secret."""

    start: int
    end: int
    detector: str
    wire: int = 2
    """The wire type: of a number in a nested value 0 or 1, of all else 2."""


@dataclass(frozen=True, slots=True)
class Texts:
    """Values in one buffer; `kind` is the ValueType of each."""

    buffer: bytes
    kind: Bytes
    start: Ints
    length: Ints


@dataclass(frozen=True, slots=True)
class Scan:
    """What the kernel reads of one buffer: its bytes, the word at each, and what may begin near each eighth."""

    buffer: Bytes
    words: Ints
    flags: Bytes

    @classmethod
    def of(cls, buffer: bytes) -> Scan:
        """Scan a buffer, whatever lies in it."""
        from collector.processors.redact import kernels  # noqa: PLC0415 - numba takes 0.3 s to import
        from exporters.clickhouse.kernels import words_of  # noqa: PLC0415 - as above

        flags = np.empty(len(buffer) // 64 * 8 + 16, np.uint8)
        with np.errstate(over="ignore"):  # words wrap; compiled they do so without a word, as plain Python not
            kernels.flag(np.frombuffer(buffer, "<i8", len(buffer) // 8), flags)
        whole = np.frombuffer(buffer, np.uint8)
        return cls(whole, words_of(whole), flags)


@dataclass(frozen=True, slots=True)
class NestedKey:
    """A key in a kvlist, and where what comes behind it in its pair ends."""

    start: int
    end: int
    pair_end: int


@dataclass(slots=True)
class Judge:
    """Turns the candidates of one buffer into spans. Those of a text come in order, text by text."""

    buffer: bytes
    allowed: Callable[[bytes], bool]
    spans: list[Span] = field(default_factory=list)
    overfull: list[int] = field(default_factory=list)
    """Rows of the texts to be masked whole."""
    tries: int = 0
    """Candidates so far, in all texts; each place where a card's number may begin is one."""
    _start: int = -1
    _end: int = -1
    _text: bytes = b""
    _until: dict[Detector, int] = field(default_factory=dict)
    """Up to where a detector finds nothing more: without this, a text could be read from each of its bytes on."""

    def allowance(self) -> int:
        """Return how many candidates the next value may have."""
        return MAX_IN_VALUE if self.tries < MAX_IN_BUFFER else 0

    def open(self, start: int, end: int) -> bytes:
        """Go to a text: patterns see nothing around it."""
        if (start, end) != (self._start, self._end):
            self._start, self._end, self._text = start, end, self.buffer[start:end]
            self._until.clear()
        return self._text

    def judge(self, detector: Detector, at: int, until: int = -1) -> None:
        """Take a candidate at `at` of the open text, where its anchor says; of a card, digits end at `until`."""
        text = self._text
        self.tries += 1
        match detector.anchor:
            case Anchor.CARD:
                self._cards(detector, at, until)
                return
            case Anchor.PREFIX if not BOUNDARY.match(text, at):
                return
            case Anchor.PEM:
                at = text.rfind(PEM_BEGIN, max(0, at - MAX_PEM_LABEL), at + len(PEM_BEGIN))
            case Anchor.EMAIL:
                low = max(0, at - MAX_LOCAL)
                while at > low and text[at - 1] in LOCAL_BYTES:
                    at -= 1
                while text[at] != AT and detector.pattern.match(text, at) is None:
                    at += 1  # it may not begin within an escape
        if at < self._until.get(detector, 0):
            return
        self._match(detector, at)
        if detector.whole_run:
            end = at
            while end < len(text) and text[end] in WORD_BYTES:
                end += 1
            self._until[detector] = end

    def _cards(self, detector: Detector, at: int, until: int) -> None:
        """Try each place; two bytes behind the digits tell whether they end there. A text with too many goes whole."""
        last = self.tries + MAX_IN_VALUE
        while (found := detector.pattern.search(self._text, at, min(until + 2, len(self._text)))) is not None:
            self._match(detector, found.start())
            at = found.start() + 1
            self.tries += 1
            if self.tries > last:
                self.spans.append(Span(self._start, self._end, OVERFULL_NAME))
                return

    def _match(self, detector: Detector, at: int) -> None:
        found = detector.pattern.match(self._text, at)
        if found is None:
            return
        first, last = found.span(detector.group)
        if detector.anchor in OPEN_ENDED:
            self._until[detector] = last
        secret = self._text[first:last]
        if detector.check(secret) and not self.allowed(secret):
            self.spans.append(Span(self._start + first, self._start + last, detector.name))


class Search:
    """Finds what some detectors detect. Keeps no state but tables for the kernel."""

    def __init__(self, detectors: Sequence[Detector], *, any_key: bool = False) -> None:
        self._detectors = tuple(detectors)
        self._any_key = any_key
        self._by_anchor = {a: [d for d in detectors if d.anchor is a] for a in Anchor}
        prefixed = sorted((p, i) for i, d in enumerate(self._detectors) for p in d.prefixes)
        self._of_prefix = [self._detectors[i] for _, i in prefixed]
        widest = max([1, *(len(p) for p, _ in prefixed)])
        self._prefixes = np.zeros((max(1, len(prefixed)), widest), np.uint8)
        self._sizes = np.array([len(p) for p, _ in prefixed] or [0], np.int64)
        counts = np.zeros(257, np.int64)
        for row, (prefix, _) in enumerate(prefixed):
            self._prefixes[row, : len(prefix)] = np.frombuffer(prefix, np.uint8)
            counts[prefix[0] + 1] += 1
        self._first_prefix = np.cumsum(counts)
        firsts = {p[0] for p, _ in prefixed}
        self._classes = np.array(
            [
                WORD_CLASS * (b in WORD_BYTES)
                | ALNUM * (b in LETTERS_AND_DIGITS)
                | FIRST * (b in firsts)
                | SPECIAL * (b in b"\\:=")
                for b in range(256)
            ],
            np.uint8,
        )

    def by_kernel(self, texts: Texts, judge: Judge, scan: Scan | None = None) -> list[NestedKey]:
        """Judge all candidates of the texts; return the keys in them that may name a secret.

        `scan` is that of the buffer, where it was scanned before.
        """
        from collector.processors.redact import kernels  # noqa: PLC0415 - numba takes 0.3 s to import

        scan = scan or Scan.of(texts.buffer)
        keys: list[NestedKey] = []
        stack = np.empty(2 * MAX_DEPTH, np.int64)
        found = np.empty((5, FIRST_ROOM), np.int64)
        row, n = 0, len(texts.kind)
        while row < n:
            with np.errstate(over="ignore"):  # as in Scan.of
                reached, count = kernels.find(
                    scan.buffer,
                    scan.words,
                    scan.flags,
                    scan.flags.view(np.int64),
                    texts.kind,
                    texts.start,
                    texts.length,
                    self._classes,
                    self._first_prefix,
                    self._prefixes,
                    self._sizes,
                    bool(self._by_anchor[Anchor.EMAIL]),
                    self._any_key,
                    stack,
                    row,
                    judge.allowance(),
                    found,
                )
            if count < 0:
                raise ValueError("a value nests deeper than the decoder reads")
            if reached == row:  # one value needs more room
                found = np.empty((5, MAX_IN_VALUE + 1), np.int64)
                continue
            row = reached
            self._judge(found[:, :count], judge, keys)
        return keys

    def _judge(self, found: Ints, judge: Judge, keys: list[NestedKey]) -> None:
        for anchor, number, at, start, end in zip(*found.tolist(), strict=True):
            if anchor == KEY:
                judge.tries += 1
                keys.append(NestedKey(at, start, end))
                continue
            if anchor == OVERFULL:
                judge.overfull.append(at)
                continue
            judge.open(start, end)
            if anchor == Anchor.PREFIX:
                judge.judge(self._of_prefix[number], at - start)
                continue
            for detector in self._by_anchor[Anchor(anchor)]:
                judge.judge(detector, at - start, number - start)

    def plainly(self, texts: Texts, judge: Judge) -> list[NestedKey]:
        """Do as `by_kernel`, without it: slowly."""
        keys: list[NestedKey] = []
        rows = zip(texts.kind.tolist(), texts.start.tolist(), texts.length.tolist(), strict=True)
        for row, (kind, start, length) in enumerate(rows):
            last = judge.tries + judge.allowance()
            n_spans, n_keys = len(judge.spans), len(keys)
            for low, high in leaves(texts.buffer, kind, start, start + length, keys):
                if high - low >= SHORTEST:
                    self._search(judge.open(low, high), judge, last)
                if judge.tries + len(keys) - n_keys > last:
                    del judge.spans[n_spans:], keys[n_keys:]
                    judge.overfull.append(row)
                    break
            judge.tries += len(keys) - n_keys
        return keys

    def _search(self, text: bytes, judge: Judge, last: int) -> None:
        for detector in self._detectors:
            for at, until in _candidates(detector, text):
                judge.judge(detector, at, until)
                if judge.tries > last:
                    return


def _candidates(detector: Detector, text: bytes) -> Iterator[tuple[int, int]]:
    match detector.anchor:
        case Anchor.PREFIX:
            found = merge(*(_places(text, prefix) for prefix in detector.prefixes))
            yield from ((at, -1) for at in found)
        case Anchor.SCHEME if not any(word in text.lower() for word in SCHEME_WORDS):
            return
        case Anchor.SCHEME:
            yield from ((m.start(), -1) for m in SCHEMES.finditer(text))
        case Anchor.NAME if not any(word in text.lower() for word in NAME_WORDS):
            return
        case Anchor.NAME:
            assert detector.finder is not None  # noqa: S101 - the kernel knows names by their ends, this search cannot
            yield from ((m.start(), -1) for m in detector.finder.finditer(text))
        case Anchor.PEM:
            yield from ((at, -1) for at in _places(text, PEM_BEGIN))
        case Anchor.URL:
            yield from ((m.start(), -1) for m in SCHEME_ENDS.finditer(text))
        case Anchor.CARD:
            yield from (m.span() for m in CARD_DIGITS.finditer(text))
        case Anchor.EMAIL:
            yield from ((at, -1) for at in _places(text, b"@"))


def _places(text: bytes, word: bytes) -> Iterator[int]:
    at = text.find(word)
    while at >= 0:
        yield at
        at = text.find(word, at + 1)


def leaves(
    buffer: bytes, kind: int, start: int, end: int, keys: list[NestedKey] | None = None
) -> Iterator[tuple[int, int]]:
    """Yield where the strings, bytes and keys of a value lie; its keys go to `keys` as well."""
    if kind in TEXT_KINDS:
        return iter(((start, end),))
    return _nested(buffer, kind, start, end, keys) if kind in NESTED_KINDS else iter(())


ARRAY, KVLIST, PAIR, VALUE = 5, 6, 8, 9
INNER: Final[dict[tuple[int, int], int]] = {
    (ARRAY, 10): VALUE,
    (KVLIST, 10): PAIR,
    (PAIR, 18): VALUE,
    (VALUE, 42): ARRAY,
    (VALUE, 50): KVLIST,
}
"""The kind of message and the tag of a field in it, to the kind of message that the field is."""
LEAVES: Final = frozenset({(PAIR, 10), (VALUE, 10), (VALUE, 58)})
NUMBER_TAGS: Final = frozenset({16, 24, 33})
"""Of a value: bool, int, double."""


def secret_parts(buffer: bytes, kind: int, start: int, end: int, detector: str) -> Iterator[Span]:
    """Yield all that a value has: its texts, bytes, keys, and the numbers in it."""
    if kind in TEXT_KINDS:
        yield Span(start, end, detector)
    elif kind in {*NESTED_KINDS, PAIR}:
        numbers: list[tuple[int, int, int]] = []
        for low, high in _nested(buffer, kind, start, end, None, numbers):
            yield Span(low, high, detector)
            yield from (Span(a, b, detector, wire) for a, b, wire in numbers)
            numbers.clear()
        yield from (Span(a, b, detector, wire) for a, b, wire in numbers)


def _nested(  # noqa: PLR0917 - what is read, and the two lists for what is found beside
    buffer: bytes,
    kind: int,
    start: int,
    end: int,
    keys: list[NestedKey] | None,
    numbers: list[tuple[int, int, int]] | None = None,
) -> Iterator[tuple[int, int]]:
    open_messages = [(kind, start, end)]
    while open_messages:
        kind, at, end = open_messages.pop()
        while at < end:
            tag, at = _varint(buffer, at)
            wire = tag & 7
            if wire != 2:
                first = at
                at = _varint(buffer, at)[1] if wire == 0 else at + (8 if wire == 1 else 4)
                if numbers is not None and kind == VALUE and tag in NUMBER_TAGS:
                    numbers.append((first, at, wire))
                continue
            size, at = _varint(buffer, at)
            if (kind, tag) in LEAVES:
                yield at, at + size
                if kind == PAIR and keys is not None:
                    keys.append(NestedKey(at, at + size, end))
            elif (inner := INNER.get((kind, tag))) is not None:
                open_messages.append((inner, at, at + size))
            at += size


def _varint(buffer: Any, at: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        byte = buffer[at]
        at += 1
        value |= (byte & 127) << shift
        if byte < 128:
            return value, at
        shift += 7
