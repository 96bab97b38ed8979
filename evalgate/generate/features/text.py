r"""Words and phrases of the output, and the patterns they generalise to: "90 days", \d+ days.

A phrase that the question brings along is no property of the answer: those that stand in the question wherever they
stand in the answer, more often than not, are dropped.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import numpy as np

from evalgate.generate.features.atom import Atom, both
from evalgate.generate.features.shape import MAX_CHARS
from schema.evaluator import Regex

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from evalgate.generate.examples import Example

LONGEST = 4
"""Words of a phrase."""
ECHOED = 0.5

CJK = "\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uac00-\ud7af"
TOKEN = re.compile(rf"[{CJK}]|[$€£]?\d+(?:[.,]\d+)*%?|[^\W_{CJK}]+(?:['’\-][^\W_{CJK}]+)*")
DIGITS = re.compile(r"\d+(?:[.,]\d+)*")
ANY_NUMBER = r"\d+(?:[.,]\d+)*"

COMMON = (
    "a an and are as at be been but by can could did do does for from get got had has have he her his i if in "
    "into is it its let me my no not of on or our she so than that the their them then there these they this to "
    "up us was we were what when which who will with would you your"
)
STOP_WORDS = frozenset(COMMON.split())
"""Words that say nothing alone. Only English ones: elsewhere a few phrases more are tried."""

Phrase = tuple[str, ...]


def atoms(examples: Sequence[Example], support: int, dropped: dict[str, int]) -> Iterator[Atom]:
    """Yield phrases of one to LONGEST words, as they stand and with any number for their numbers."""
    places = common_phrases([e.output.text[:MAX_CHARS] for e in examples], support)
    asked = [phrases((e.case.input.text or "")[:MAX_CHARS]) for e in examples]
    echoes = {phrase: sum(phrase in asked[place] for place in where) for phrase, where in places.items()}
    # Of phrases that stand in the same outputs, one is enough to try; it is what a reader would choose.
    chosen: dict[tuple[int, ...], list[Phrase]] = {}
    for phrase, where in places.items():
        if len(where) > len(examples) - support:
            continue
        if echoes[phrase] >= ECHOED * len(where):
            dropped["echoes the question"] = dropped.get("echoes the question", 0) + 1
            continue
        chosen.setdefault(tuple(where), []).append(phrase)
    texts = [e.output.text[:MAX_CHARS].lower() for e in examples]
    for same in chosen.values():
        for phrase in sorted(same, key=lambda p: (cost(p), p))[:3]:
            yield from _atoms_of(phrase, texts)


def common_phrases(texts: Sequence[str], support: int) -> dict[Phrase, list[int]]:
    """Return the phrases that stand in at least `support` texts, with the places of these texts, rising.

    A phrase is looked at only where both phrases that are one word shorter are common: most never are.
    """
    rows = [TOKEN.findall(t.lower()) for t in texts]
    found: dict[Phrase, list[int]] = {}
    for number in ("", "#"):
        spelled = [[DIGITS.sub("#", t) for t in row] for row in rows] if number else rows
        common: set[Phrase] = {()}
        for size in range(1, LONGEST + 1):
            places: dict[Phrase, list[int]] = {}
            for place, row in enumerate(spelled):
                windows = {tuple(row[i : i + size]) for i in range(len(row) - size + 1)}
                for phrase in windows:
                    if phrase[1:] in common and phrase[:-1] in common:
                        places.setdefault(phrase, []).append(place)
            places = {p: where for p, where in places.items() if len(where) >= support}
            common = set(places)
            told = {p: w for p, w in places.items() if not all(t in STOP_WORDS for t in p)}
            found |= {p: w for p, w in told.items() if not number or any("#" in t for t in p)}
    return found


def phrases(text: str) -> set[Phrase]:
    """Return the phrases of a text in lower case; one made of stop words alone is none."""
    tokens = TOKEN.findall(text.lower())
    found: set[Phrase] = set()
    for size in range(1, LONGEST + 1):
        for start in range(len(tokens) - size + 1):
            phrase = tuple(tokens[start : start + size])
            if all(t in STOP_WORDS for t in phrase):
                continue
            found.add(phrase)
            if any(t[-1].isdigit() or t[0].isdigit() or DIGITS.search(t) for t in phrase):
                found.add(tuple(DIGITS.sub("#", t) for t in phrase))
    return found


def pattern(phrase: Phrase) -> str:
    """Return the regular expression that finds a phrase, between word boundaries."""
    pieces = []
    for place, token in enumerate(phrase):
        if place:
            pieces.append(r"\W*" if _is_cjk(token) and _is_cjk(phrase[place - 1]) else r"\W+")
        pieces.append(ANY_NUMBER.join(re.escape(p) for p in token.split("#")))
    first, last = phrase[0], phrase[-1]
    start = "" if _is_cjk(first) else r"\b" if first[0].isalnum() or first[0] == "#" else r"(?<!\w)"
    end = "" if _is_cjk(last) else r"\b" if last[-1].isalnum() or last[-1] == "#" else r"(?!\w)"
    return start + "".join(pieces).replace("\\-", "-").replace(r"\#", "#") + end


def cost(phrase: Phrase) -> float:
    """Return how much a phrase asks of its reader, and how easily chance would bring it about."""
    price = 1.0 + 0.05 * (len(phrase) - 1)
    if len(phrase) > 1 and any(t[0].isdigit() for t in phrase) and phrase[-1] not in STOP_WORDS:
        price -= 0.15  # a number with its unit is a fact: what a failure is mostly about
    price += 0.1 * sum("#" in t for t in phrase)
    if phrase[0] in STOP_WORDS or phrase[-1] in STOP_WORDS:
        price += 0.3
    if len(phrase) == 1 and (DIGITS.search(phrase[0]) or "#" in phrase[0] or len(phrase[0]) < 4):
        price += 0.0 if _is_cjk(phrase[0]) else 0.4  # a lone number without its unit
    return price


def _atoms_of(phrase: Phrase, lowered: Sequence[str]) -> Iterator[Atom]:
    expression = pattern(phrase)
    search = re.compile(expression).search
    part = max((piece for token in phrase for piece in token.split("#")), key=len)
    fires = np.array([part in t and search(t) is not None for t in lowered], dtype=bool)  # ten times as fast
    shown = " ".join(phrase).replace("#", "N")
    yield from both(
        Atom(Regex(expression, ignore_case=True, negated=True), cost(phrase), "text", fires, f'says "{shown}"'),
        Regex(expression, ignore_case=True),
        f'does not say "{shown}"',
    )


def _is_cjk(token: str) -> bool:
    return len(token) == 1 and "\u3040" <= token <= "\ud7af"
