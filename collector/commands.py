"""The collector's sub-commands of `evalgate`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from collector.app import journal_app
from collector.auth.commands import keys_app
from collector.normalize import normalize_command
from collector.up import up_command

if TYPE_CHECKING:
    import typer


def register(app: typer.Typer) -> None:
    """Add them to the root app."""
    app.command("up")(up_command)
    app.command("normalize")(normalize_command)
    app.add_typer(journal_app(), name="journal")
    app.add_typer(keys_app(), name="keys")
