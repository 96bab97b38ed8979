"""What in a message is a fact: addresses, ids, dates and numbers. Pure."""

from __future__ import annotations

import re
from typing import Final

URL: Final = r"https?://[^\s<>\"']+"
EMAIL: Final = r"[\w.+-]{1,64}@[\w-]{1,64}(?:\.[\w-]{1,64}){1,5}"
DATE: Final = r"\d{4}-\d{2}-\d{2}|\d{1,2}[./]\d{1,2}[./]\d{4}"
ID: Final = r"(?<![A-Za-z0-9_])(?=[A-Za-z_-]{0,60}[0-9])(?=[A-Za-z0-9_-]{0,60}[A-Za-z])[A-Za-z0-9_-]{2,60}"
"""Letters and digits in one, such as ORD-8812; of the Latin alphabet, for others set no spaces round a number."""
NUMBER: Final = r"(?<![A-Za-z0-9_.,/-])\d{1,15}(?:[.,]\d{1,9})*(?![A-Za-z0-9_/-])"
FACT: Final = re.compile(
    f"(?P<url>{URL})|(?P<email>{EMAIL})|(?P<date>\\b(?:{DATE})\\b)|(?P<id>{ID})|(?P<number>{NUMBER})"
)
SENTENCE_END: Final = re.compile(r"(?<=[.!?…])\s+|(?<=[。！？])|\n+")


def facts_of(text: str) -> frozenset[str]:
    """Return the facts of a text, folded; a full stop at the end of an address is none of it."""
    return frozenset(m[0].casefold().rstrip(".,;:!?)") for m in FACT.finditer(text))


def sentences_of(text: str) -> list[str]:
    """Return the sentences and lines of a text that are not blank."""
    return [s.strip() for s in SENTENCE_END.split(text.strip()) if s.strip()]
