"""Names by which people sign what they decide. They prove nothing, but nobody is two people by how he is spelled."""

from __future__ import annotations

import unicodedata
from typing import Final

MAX_NAME_CHARS: Final = 80
INVISIBLE: Final = frozenset("\u115f\u1160\u2800\u3164\uffa0")
"""Letters and signs that show nothing, though Unicode calls them printable."""


def person_of(text: str) -> str:
    """Return a name with its white space collapsed, "" of a blank one.

    Raises:
        ValueError: it is too long, or holds characters that nobody sees; in words that can be shown.

    """
    name = " ".join(text.split())
    if len(name) > MAX_NAME_CHARS:
        raise ValueError(f"a name has at most {MAX_NAME_CHARS} characters, not {len(name)}")
    if not name.isprintable() or not INVISIBLE.isdisjoint(name):
        raise ValueError(f"the name {name!a} holds characters that nobody sees; leave them out")
    return name


def is_same_person(one: str, other: str) -> bool:
    """Tell whether two names are the same to who reads them: case, accents, width and what is invisible apart."""
    return _folded(one) == _folded(other)


def _folded(name: str) -> str:
    """Return what of a name is seen; of accents and other marks only the letters below them."""
    plain = unicodedata.normalize("NFKD", unicodedata.normalize("NFKD", name).casefold())
    seen = (c for c in plain if c.isspace() or (unicodedata.category(c)[0] not in "CM" and c not in INVISIBLE))
    return " ".join("".join(seen).split())
