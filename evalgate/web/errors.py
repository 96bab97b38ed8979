"""Errors of the pages.

evalgate.errors.BadInput    400, with its words
└── NotFound                404: there is no such thing
"""

from __future__ import annotations

from evalgate.errors import BadInput


class NotFound(BadInput):
    """There is no such thing; the message says where those are that exist."""
