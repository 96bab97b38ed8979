"""How a rule writes a variant of a message. Pure: the same message, value and chance make the same variant.

A rule that finds nothing to change says so by None: a message without a number has no variant with another number.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import date, timedelta
from typing import TYPE_CHECKING, Final

from evalgate.synthesize.dimensions import Kind
from evalgate.synthesize.facts import FACT, sentences_of

if TYPE_CHECKING:
    import random
    from collections.abc import Callable, Mapping, Sequence

    from evalgate.synthesize.dimensions import Value

WORD: Final = re.compile(r"[^\W\d_]{4,}")
"""Shorter ones are not read with a slip in them."""
NEIGHBOURS: Final[Mapping[str, str]] = {
    letter: (row[i - 1] if i else "") + (row[i + 1] if i + 1 < len(row) else "")
    for row in ("qwertyuiop", "asdfghjkl", "zxcvbnm")
    for i, letter in enumerate(row)
}
"""Letters beside each other on most keyboards."""
PUNCTUATION: Final = re.compile(r"(?<!\d)[.,;:!?](?!\d)|[.,;:!?](?=\s|$)")
LEADS: Final = re.compile(
    r"(?:\b(?:on|in|at|by|for|from|since|until|within|of|am|um|im|bis|vom|von|seit|für|ab)\s{1,4})?[#$€£]?\s{0,4}$",
    re.IGNORECASE,
)
"""What leads to a fact, and means nothing without it."""
LEAST_WORDS: Final = 8
"""Of a message that is cut off."""
KEPT_SHARE: Final = 0.6
GROUPED: Final = re.compile(r"\d{1,3}(?:[.,]\d{3})+")


@dataclass(frozen=True, slots=True)
class Message:
    """What is varied."""

    text: str
    """Of the last user message."""
    language: str | None
    has_history: bool
    others: Sequence[str] = ()
    """Requests of other cases in the same language."""
    entities: Sequence[Sequence[str]] = ()


@dataclass(frozen=True, slots=True)
class Variant:
    """What became of it."""

    text: str
    before: tuple[tuple[str, str], ...] = ()
    """What the user said and was told before all else."""
    is_alone: bool = False
    """Whether what was said before is left out."""
    another: int | None = None
    """Which of the others' requests stands in it."""


def vary(message: Message, value: Value, chance: random.Random) -> Variant | None:
    """Return the variant, None where there is nothing to vary."""
    return RULES[value.kind](message, value, chance)


def _frame(message: Message, value: Value, _: random.Random) -> Variant | None:
    frame = value.frames.get(message.language or "")
    if frame is None:
        return None
    text = message.text.strip()
    if value.style:
        text = _lower(text)
    if value.style == "spoken":
        text = PUNCTUATION.sub("", text)
    return Variant(f"{frame.before}{text}{frame.after}")


def _typos(message: Message, value: Value, chance: random.Random) -> Variant | None:
    facts = [m.span() for m in FACT.finditer(message.text)]
    found = [m for m in WORD.finditer(message.text) if m[0].lower() != m[0].upper()]  # keys of one letter each
    words = [m for m in found if not any(a <= m.start() < b for a, b in facts)]
    if not words:
        return None
    hit = chance.sample(words, max(1, round(value.share * len(words))))
    text = message.text
    for m in sorted(hit, key=lambda m: -m.start()):
        text = text[: m.start()] + _slip(m[0], chance) + text[m.end() :]
    return Variant(text)


def _slip(word: str, chance: random.Random) -> str:
    """Return a word of four letters or more as it is typed in a hurry; its first letter stays."""
    at = chance.randrange(1, len(word) - 1)
    swapped = word[:at] + word[at + 1] + word[at] + word[at + 2 :]
    dropped = word[:at] + word[at + 1 :]
    doubled = word[:at] + word[at] + word[at:]
    beside = NEIGHBOURS.get(word[at], "")
    missed = word[:at] + chance.choice(beside) + word[at + 1 :] if beside else dropped
    slip = chance.choice([swapped, dropped, doubled, missed])
    return slip if slip != word else dropped


def _order(message: Message, value: Value, _: random.Random) -> Variant | None:
    sentences = sentences_of(message.text)
    if len(sentences) < 2:
        return None
    turned = sentences[::-1] if value.word == "backwards" else [sentences[-1], *sentences[:-1]]
    return Variant(" ".join(turned))


def _numbers(message: Message, value: Value, _: random.Random) -> Variant | None:
    def other(m: re.Match[str]) -> str:
        if m.lastgroup != "number":
            return m[0]
        whole = GROUPED.fullmatch(m[0])
        digits = re.sub(r"[.,]", "", m[0]) if whole else re.split(r"[.,]", m[0])[0]
        moved = int(digits) + 1 if value.word == "next" else int(digits) * 10
        if whole:
            return f"{moved:,}".replace(",", re.sub(r"\d", "", m[0])[0])
        return str(moved).zfill(len(digits)) + m[0][len(digits) :]

    return _changed(message.text, FACT.sub(other, message.text))


def _days(message: Message, value: Value, _: random.Random) -> Variant | None:
    def other(m: re.Match[str]) -> str:
        return _moved(m[0], value.days) if m.lastgroup == "date" else m[0]

    return _changed(message.text, FACT.sub(other, message.text))


def _moved(text: str, days: int) -> str:
    """Return a date as it was written, moved; with dots the day comes first, with slashes the month."""
    mark = next(c for c in text if not c.isdigit())
    parts = [int(p) for p in text.split(mark)]
    try:
        if mark == "-":
            return (date(*parts) + timedelta(days)).isoformat()
        day, month = parts[:2] if mark == "." else parts[1::-1]
        moved = date(parts[2], month, day) + timedelta(days)
    except (ValueError, OverflowError):
        return text
    first, second = (moved.day, moved.month) if mark == "." else (moved.month, moved.day)
    widths = [len(p) for p in text.split(mark)]
    return mark.join((str(first).zfill(widths[0]), str(second).zfill(widths[1]), str(moved.year)))


def _entities(message: Message, _: Value, chance: random.Random) -> Variant | None:
    for_word: dict[str, str] = {}

    def other_fact(m: re.Match[str]) -> str:
        known = for_word.get(m[0])
        if known is None and m.lastgroup == "id":
            known = "".join(str((int(c) + chance.randrange(1, 10)) % 10) if c in "0123456789" else c for c in m[0])
        elif known is None and m.lastgroup == "email":
            known = f"customer{chance.randrange(100, 1000)}@example.com"
        return for_word.setdefault(m[0], known or m[0])

    text = FACT.sub(other_fact, message.text)
    for kind in message.entities:
        if there := [w for w in kind if re.search(rf"\b{re.escape(w)}\b", text)]:
            free = [w for w in kind if w not in there]
            chance.shuffle(free)
            swap = dict(zip(there, free, strict=False))
            pattern = re.compile(r"\b(?:" + "|".join(map(re.escape, there)) + r")\b")
            text = pattern.sub(lambda m, swap=swap: swap.get(m[0], m[0]), text)  # type: ignore[misc]  # a default binds it
    return _changed(message.text, text)


def _missing(message: Message, value: Value, _: random.Random) -> Variant | None:
    text = message.text.strip()
    if value.word == "fact":
        found = FACT.search(text)
        if found is None:
            return None
        left = LEADS.sub("", text[: found.start()], count=1).rstrip() + " " + text[found.end() :].lstrip()
        return _changed(text, re.sub(r" ([.,;:!?])", r"\1", left).strip())
    if value.word == "ending":
        words = text.split()
        return Variant(" ".join(words[: int(KEPT_SHARE * len(words))])) if len(words) >= LEAST_WORDS else None
    sentences = sentences_of(text)
    if len(sentences) < 2:
        return None
    return Variant(" ".join(sentences[1:] if value.word == "first_sentence" else sentences[:-1]))


def _another(message: Message, value: Value, chance: random.Random) -> Variant | None:
    frame = value.frames.get(message.language or "")
    if frame is None or not message.others:
        return None
    another = chance.randrange(len(message.others))
    said = message.others[another].strip()
    return Variant(f"{message.text.strip()}{frame.before}{said}{frame.after}", another=another)


def _history(message: Message, value: Value, _: random.Random) -> Variant | None:
    if not value.turns:
        return Variant(message.text, is_alone=True) if message.has_history else None
    turns = value.turns.get(message.language or "")
    return Variant(message.text, before=turns) if turns else None


def _changed(before: str, after: str) -> Variant | None:
    return Variant(after) if after != before and after.strip() else None


def _lower(text: str) -> str:
    """Return the text in small letters; ids and addresses stay as they are."""
    done, at = [], 0
    for m in FACT.finditer(text):
        done += [text[at : m.start()].lower(), m[0]]
        at = m.end()
    return "".join([*done, text[at:].lower()])


RULES: Final[Mapping[Kind, Callable[[Message, Value, random.Random], Variant | None]]] = {
    Kind.FRAME: _frame,
    Kind.TYPOS: _typos,
    Kind.ORDER: _order,
    Kind.NUMBERS: _numbers,
    Kind.DAYS: _days,
    Kind.ENTITIES: _entities,
    Kind.MISSING: _missing,
    Kind.ANOTHER: _another,
    Kind.HISTORY: _history,
}
"""Every kind but the one that asks a model."""
