"""The collector's sub-commands of `evalgate`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from collector.normalize import normalize_command

if TYPE_CHECKING:
    import typer


def register(app: typer.Typer) -> None:
    """Add them to the root app."""
    app.command("normalize")(normalize_command)
