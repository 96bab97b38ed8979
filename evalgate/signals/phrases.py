"""Words of doubt and of refusal: data, in phrases.yaml, and the patterns that the database counts them with."""

from __future__ import annotations

import re
from dataclasses import dataclass
from importlib import resources
from typing import TYPE_CHECKING, Final

import yaml

if TYPE_CHECKING:
    from collections.abc import Sequence

FILE: Final = "phrases.yaml"
PHRASE: Final = re.compile(r"[^\W\d_]+(?:[ ',-]+[^\W\d_]+)*")
"""What an entry may be: so nothing in it means something to a pattern."""


@dataclass(frozen=True, slots=True)
class Phrases:
    """Patterns in the syntax of RE2, for text in lower case; the phrase is their one group."""

    version: int
    languages: tuple[str, ...]
    hedging: str
    refusal: str


def read_phrases() -> Phrases:
    """Return what the product ships."""
    return parse_phrases(resources.files(__package__).joinpath(FILE).read_text(encoding="utf-8"))


def parse_phrases(text: str) -> Phrases:
    """Read the file.

    Raises:
        ValueError: an entry is more than letters in lower case, spaces, apostrophes, commas and hyphens.

    """
    document = yaml.safe_load(text)
    languages: dict[str, dict[str, list[str]]] = document["languages"]
    hedging, refusal = (
        [phrase for lists in languages.values() for phrase in lists[kind]] for kind in ("hedging", "refusal")
    )
    return Phrases(int(document["version"]), tuple(languages), _pattern(hedging), _pattern(refusal))


def _pattern(phrases: Sequence[str]) -> str:
    for phrase in phrases:
        if not PHRASE.fullmatch(phrase) or phrase != phrase.lower():
            raise ValueError(f"{FILE}: {phrase!r} has more than small letters, spaces, apostrophes, commas and hyphens")
    # The longest first: RE2 takes the first alternative that fits. Its \b knows ASCII alone, hence the two ends.
    alternatives = sorted(set(phrases), key=lambda p: (-len(p), p))
    words = "|".join(p.replace("'", "['’]").replace(" ", r"\s+") for p in alternatives)
    return rf"(?:^|[^\pL\pN])({words})(?:[^\pL\pN]|$)"
