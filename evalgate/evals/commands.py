"""The group `evalgate evals`. Each room adds its commands in `register`, with one line here."""

from __future__ import annotations

from typing import TYPE_CHECKING

from evalgate.evals import align, attack, check, issues, listing, modes, upkeep
from evalgate.generate import commands as generate_commands
from evalgate.options import new_app

if TYPE_CHECKING:
    import typer

HELP = "Evaluators: what they are, how far they agree with people, what they cover."


def register(app: typer.Typer) -> None:
    """Add the group, and `evalgate issues` and `modes`, which ask the same rooms."""
    group = new_app(HELP)
    listing.register(group)
    check.register(group)
    generate_commands.register(group)
    align.register(group)
    attack.register(group)
    upkeep.register(group)
    app.add_typer(group, name="evals")
    issues.register(app)
    modes.register(app)
