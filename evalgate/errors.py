"""Errors of the `evalgate` command.

schema.errors.EvalgateError     one line on stderr, exit 2
└── BadInput                    a file, an argument or the state of the project does not allow it; nothing was done
"""

from __future__ import annotations

from schema.errors import EvalgateError


class BadInput(EvalgateError):
    """What the user gave does not allow the command. The message says what to do."""
