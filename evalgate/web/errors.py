"""Errors of the pages.

evalgate.errors.BadInput    400, with its words
└── NotFound                404: there is no such thing
"""

from __future__ import annotations

from evalgate.errors import BadInput


def page_words(error: Exception) -> str:
    """Return what an error says, without the names of options: a page has fields."""
    words = str(error)
    if words.startswith("--where"):
        words = words.replace("--where: ", "").replace("--where ", "condition ")
    return words


class NotFound(BadInput):
    """There is no such thing; the message says where those are that exist."""
