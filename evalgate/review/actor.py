"""Who decides something on the command line, why, and in which database."""

from __future__ import annotations

import getpass
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Annotated

import typer

from evalgate.database import open_tenant
from evalgate.errors import BadInput
from evalgate.options import Dsn, Json, Tenant, with_options
from evalgate.terminal import Terminal
from schema.person import person_of

if TYPE_CHECKING:
    from contextlib import AbstractContextManager

    from evalgate.database import TenantDatabase

Annotator = Annotated[
    str | None, typer.Option("--annotator", help="Whose word it is.  [default: your user name]", show_default=False)
]
Actor = Annotated[
    str | None, typer.Option("--actor", help="Who decides this.  [default: your user name]", show_default=False)
]
Reason = Annotated[str, typer.Option("--reason", help="Why, for who reads it later.")]


def user_name() -> str:
    """Return the name of the person at the keyboard."""
    try:
        return getpass.getuser()
    except (OSError, KeyError):  # a container without a user database
        return "unknown"


def actor_or_user(actor: str | None) -> str:
    """Return who acts: the name given, else that of the person at the keyboard.

    Raises:
        BadInput: that is no name.

    """
    try:
        return person_of(actor or "") or person_of(user_name())
    except ValueError as e:
        raise BadInput(f"{e}. Say who you are: --actor NAME, of a label --annotator NAME") from None


@dataclass(frozen=True, slots=True)
class Decided:
    """The options of a command by which a person changes what is stored."""

    reason: Reason = ""
    actor: Actor = None
    tenant: Tenant = None
    dsn: Dsn = None
    json: Json = False

    @property
    def who(self) -> str:
        """Return who decides."""
        return actor_or_user(self.actor)

    def open(self) -> AbstractContextManager[TenantDatabase]:
        """Open the database for writing; raises as `open_tenant`."""
        return open_tenant(self.dsn, self.tenant, writes=True)

    def tell(self, words: str, document: object) -> None:
        """Say what was done, or print it as JSON."""
        if self.json:
            Terminal().emit(document)
        else:
            Terminal().say(words)


with_decided = partial(with_options, Decided, "decided")
"""Decorate a command that takes what is `decided`."""
