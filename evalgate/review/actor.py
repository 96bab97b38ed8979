"""Who decides something on the command line."""

from __future__ import annotations

import getpass
from typing import Annotated

import typer

Annotator = Annotated[
    str | None, typer.Option("--annotator", help="Whose word it is.  [default: your user name]", show_default=False)
]
Actor = Annotated[
    str | None, typer.Option("--actor", help="Who decides this.  [default: your user name]", show_default=False)
]


def user_name() -> str:
    """Return the name of the person at the keyboard."""
    try:
        return getpass.getuser()
    except (OSError, KeyError):  # a container without a user database
        return "unknown"
