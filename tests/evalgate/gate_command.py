"""The gate's commands without the others: the whole command line takes longer to make than most gates to judge."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import typer
from typer.main import get_command

from evalgate.gate import commands
from evalgate.options import new_app
from schema.errors import EvalgateError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence


def gate_command() -> Callable[[Sequence[str]], int]:
    """Return what runs one command line; as evalgate.app does, an error is one line on stderr and 2."""
    app = new_app("")
    commands.register(app)
    command = get_command(app)

    def call(arguments: Sequence[str]) -> int:
        try:
            return int(command.main(list(arguments), prog_name="evalgate", standalone_mode=False) or 0)
        except EvalgateError as e:
            sys.stderr.write(f"evalgate: {e}\n")
        except typer.Exit as e:
            return e.exit_code
        except Exception as e:
            if not hasattr(e, "format_message"):  # not a mistake on the command line: ours
                raise
            sys.stderr.write(f"evalgate: {e.format_message()}\n")
        return 2

    return call
