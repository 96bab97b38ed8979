"""How an output looks: links, amounts, lists, code, a refusal, an end in mid-sentence; how long it is; why it ended."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import numpy as np

from evalgate.generate.features.atom import Atom, both, cuts
from schema.evaluator import FinishReason, MaxChars, MaxOutputTokens, MinChars, Refusal, Regex
from schema.evaluator.refusals import LATEST, OPENING_CHARS, REFUSALS

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from evalgate.generate.examples import Example

SHAPES: tuple[tuple[str, str], ...] = (
    ("a link", r"https?://"),
    ("an e-mail address", r"[\w.+-]{1,64}@[\w-]{1,63}\.\w"),
    ("an amount of money", r"[$€£]\s?\d|\b\d{1,12}(?:[.,]\d{1,6})?\s?(?:USD|EUR|GBP|CHF|dollars?|euros?|pounds?)\b"),
    ("a percentage", r"\d\s?%"),
    ("a date", r"\b\d{4}-\d{2}-\d{2}\b|\b\d{1,2}[./]\d{1,2}[./]\d{2,4}\b"),
    ("a number", r"\d"),
    ("a code block", r"```"),
    ("a list", r"(?m)^[ \t]*(?:[-*•]|\d{1,3}[.)])\s"),
    ("a heading", r"(?m)^#{1,6} "),
    ("a table", r"(?m)^[ \t]*\|.+\|[ \t]*$"),
    ("a question", r"\?"),
    ("a question at its end", r"\?\s*\Z"),
    ("an exclamation mark", r"!"),
    ("a placeholder", r"\{\{|\}\}|\$\{|\[(?:insert|your|name|date|company)\b[^\[\]]{0,60}\]|\bTODO\b|\blorem ipsum\b"),
    ("a tag of HTML", r"</?[a-zA-Z][^<>]{0,200}>"),
    ("a reference", r"\[\d+\]"),
    ("an error of a program", r"Traceback \(most recent|\b\w{0,60}(?:Error|Exception)\b:|\bundefined\b|\bNaN\b"),
    ("an end of a sentence at its end", r"[.!?…。！？:)\]}>\"'”’`*]\s*\Z"),
    ("anything at all", r"\S"),
    ("letters other than Latin ones", r"[\u0370-\u1fff\u2c00-\udfff]"),
    ("a first person", r"\b(?:I|we)\b"),
    ("an apology", r"\b(?:sorry|apologi[sz]e|apologies)\b"),
)
"""What regular expressions tell of a text at a glance. They are matched with case ignored.

Nothing in them repeats without a bound what may begin anywhere: they are tried on whatever was answered.
"""
MAX_CHARS = 20_000
"""Of an output that are looked at, half from its beginning, half from its end."""


def atoms(examples: Sequence[Example], support: int, dropped: dict[str, int]) -> Iterator[Atom]:  # noqa: ARG001 - the seam
    """Yield shapes, refusals, lengths and reasons of finishing."""
    texts = [e.output.text for e in examples]
    ends = [t if len(t) <= MAX_CHARS else t[: MAX_CHARS // 2] + t[-MAX_CHARS // 2 :] for t in texts]
    for name, expression in SHAPES:
        search = re.compile(expression, re.IGNORECASE).search
        fires = np.array([search(t) is not None for t in ends], dtype=bool)
        yield from both(
            Atom(Regex(expression, ignore_case=True, negated=True), 1.1, "shape", fires, f"holds {name}"),
            Regex(expression, ignore_case=True),
            f"holds no {name.removeprefix('a ').removeprefix('an ')}",
        )
    fires = np.array([_refuses(t) for t in texts], dtype=bool)
    yield from both(
        Atom(Refusal(LATEST, negated=True), 1.0, "shape", fires, "refuses"), Refusal(LATEST), "does not refuse"
    )
    yield from _sizes(texts, [e.output.output_tokens for e in examples])
    yield from _finish([e.output.finish_reason for e in examples])


def _refuses(text: str) -> bool:
    opening = text[:OPENING_CHARS].casefold().replace("’", "'")
    return any(phrase in opening for phrase in REFUSALS[LATEST])


def _sizes(texts: Sequence[str], tokens: Sequence[int | None]) -> Iterator[Atom]:
    lengths = np.array([len(t) for t in texts])
    for limit in cuts([float(n) for n in lengths]):
        yield Atom(MaxChars(limit), 1.2, "size", lengths > limit, f"longer than {limit} characters")
    stripped = np.array([len(t.strip()) for t in texts])
    for limit in cuts([float(n) for n in stripped]):
        yield Atom(MinChars(limit + 1), 1.2, "size", stripped < limit + 1, f"shorter than {limit + 1} characters")
    counted = [t for t in tokens if t is not None]
    if len(counted) == len(texts):
        numbers = np.array(counted)
        for limit in cuts([float(n) for n in numbers]):
            yield Atom(MaxOutputTokens(limit), 1.2, "size", numbers > limit, f"more than {limit} output tokens")


def _finish(reasons: Sequence[str | None]) -> Iterator[Atom]:
    if any(r is None for r in reasons):
        return
    for reason in sorted({r for r in reasons if r}):
        fires = np.array([r == reason for r in reasons], dtype=bool)
        yield from both(
            Atom(FinishReason((reason,), negated=True), 1.0, "finish", fires, f"finished by {reason}"),
            FinishReason((reason,)),
            f"not finished by {reason}",
        )
