"""The collector's sub-commands of `evalgate`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from collector.auth.commands import keys_app
from collector.journal_commands import journal_app
from collector.normalize import normalize_command
from collector.quarantine_commands import quarantine_app
from collector.retention.commands import hold_app, retention_app
from collector.up import up_command

if TYPE_CHECKING:
    import typer


def register(app: typer.Typer) -> None:
    """Add them to the root app."""
    app.command("up")(up_command)
    app.command("normalize")(normalize_command)
    app.add_typer(journal_app(), name="journal")
    app.add_typer(quarantine_app(), name="quarantine")
    app.add_typer(keys_app(), name="keys")
    app.add_typer(retention_app(), name="retention")
    app.add_typer(hold_app(), name="hold")
