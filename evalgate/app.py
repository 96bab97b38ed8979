"""The `evalgate` command.

Exit codes, always: 0 pass (or done), 1 fail (the gate says no), 2 error (nothing can be said). An error is one line on
stderr that says what to do. Sub-commands of other packages join by the entry-point group `otel_evalgate.commands`:
each is a callable that takes the root app.
"""

from __future__ import annotations

import os
import sys
import traceback
from dataclasses import dataclass
from importlib import import_module
from importlib.metadata import entry_points, version
from types import MappingProxyType
from typing import TYPE_CHECKING, Annotated

import typer
from typer.core import TyperGroup

from evalgate.options import new_app
from evalgate.terminal import Terminal, one_line
from schema.errors import EvalgateError

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from importlib.metadata import EntryPoint

COMMANDS = "otel_evalgate.commands"
ERROR = 2
CODES = (0, 1, 2)
INTERRUPTED = 130
"""What typer makes of Ctrl-C."""

ORDER = (
    "up",
    "traces",
    "signals",
    "stats",
    "queue",
    "label",
    "agreement",
    "golden",
    "issues",
    "modes",
    "cluster",
    "flag",
    "cases",
    "synthesize",
    "promote",
    "dataset",
    "evals",
    "model",
    "run",
    "compare",
    "gate",
    "baseline",
    "provenance",
    "init",
    "query",
    "top",
    "ledger",
)
"""How the help lists the commands: as one needs them; others follow."""
PARTS: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {
        "evalgate.select.commands": ("traces", "query"),
        "evalgate.select.dialects": ("schema",),
        "evalgate.signals.commands": ("signals",),
        "evalgate.stats.commands": ("stats",),
        "evalgate.sample.commands": ("sample",),
        "evalgate.cluster.commands": ("cluster",),
        "evalgate.flag.commands": ("flag",),
        "evalgate.queue.commands": ("queue",),
        "evalgate.top.commands": ("top",),
        "evalgate.ledger.commands": ("ledger",),
        "evalgate.label.commands": ("label", "agreement", "golden"),
        "evalgate.review.commands": ("cases",),
        "evalgate.dataset.commands": ("dataset", "promote"),
        "evalgate.synthesize.commands": ("synthesize",),
        "evalgate.evals.commands": ("evals", "issues", "modes"),
        "evalgate.evals.model": ("model",),
        "evalgate.run.commands": ("run", "compare"),
        "evalgate.gate.commands": ("gate", "baseline", "init"),
        "evalgate.provenance.commands": ("provenance",),
        "evalgate.erase.commands": ("erase",),
        "evalgate.demo.commands": ("demo",),
    }
)
"""Module to the commands that it registers: what is not asked for is not imported, which takes half of a start."""
HELP = "Turn the real traffic of an AI application into tests, and gate releases on them."


class InOrder(TyperGroup):
    """The root's commands in the order of ORDER."""

    def list_commands(self, ctx: typer.Context) -> list[str]:  # type: ignore[override]  # typer's own click is private
        """Return the names as the help shows them."""
        names = super().list_commands(ctx)
        return [n for n in ORDER if n in names] + [n for n in names if n not in ORDER]


@dataclass(frozen=True, slots=True)
class Broken:
    """A command package that could not be loaded."""

    name: str
    reason: str
    is_missing_extra: bool


def run(arguments: Sequence[str]) -> int:
    """Run one command line; return 0, 1 or 2."""
    terminal = Terminal()
    word = next((a for a in arguments if not a.startswith("-")), None)
    is_ours = word is None or any(word in words for words in PARTS.values())
    app = build_app(word) if is_ours else _bare_app()
    broken: list[Broken] = []
    if word not in _names(app):  # ours need nobody else, and others not ours: the gate and `up` start fast
        broken = add_commands(app, entry_points(group=COMMANDS))
        if not is_ours and word not in _names(app):  # nobody's: what was meant is among all
            _register(app, PARTS)
        for b in broken:
            if not b.is_missing_extra or word is not None:
                terminal.note(f"evalgate: the commands of {b.name!r} are not available: {b.reason}")
    try:
        code = app(list(arguments), prog_name="evalgate", standalone_mode=False) or 0
        sys.stdout.flush()
        if code == INTERRUPTED:
            terminal.note("\nevalgate: interrupted")
    except (BrokenPipeError, SystemExit):  # typer ends the process with 1, a verdict, when the reader goes away
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # or the interpreter complains at its end
    except EvalgateError as e:
        terminal.note(f"evalgate: {one_line(str(e))}")
    except (typer.Abort, EOFError):
        terminal.note("evalgate: stopped")
    except Exception as e:  # noqa: BLE001 - a crash must exit 2: 1 would read as a verdict
        return _unexpected(terminal, e)
    else:
        return code if code in CODES else ERROR
    return ERROR


def build_app(word: str | None = None) -> typer.Typer:
    """Return the app with our own commands; only with those beside `word`, where it is one: the gate starts fast."""
    app = _bare_app()
    _register(app, PARTS if word is None else [m for m, words in PARTS.items() if word in words] or PARTS)
    return app


def add_commands(app: typer.Typer, points: Iterable[EntryPoint]) -> list[Broken]:
    """Let other packages add their commands; return those that could not, which is no reason to stop."""
    broken = []
    for point in sorted(points, key=lambda p: p.name):
        try:
            point.load()(app)
        except ModuleNotFoundError as e:
            hint = f"{e}. Install what it needs: pip install 'otel-evalgate[collector]'"
            broken.append(Broken(point.name, hint, is_missing_extra=True))
        except Exception as e:  # noqa: BLE001 - a stranger's package may raise anything
            broken.append(Broken(point.name, one_line(f"{type(e).__name__}: {e}"), is_missing_extra=False))
    return broken


def _bare_app() -> typer.Typer:
    app = new_app(HELP, add_completion=True, cls=InOrder)
    app.callback()(_root)
    return app


def _register(app: typer.Typer, modules: Iterable[str]) -> None:
    for module in modules:
        import_module(module).register(app)


def _print_version(value: bool) -> None:  # noqa: FBT001 - typer's signature
    if value:
        Terminal().say(f"evalgate {version('otel-evalgate')}")
        raise typer.Exit


def _root(
    *,
    show_version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version and exit.")
    ] = False,
) -> None:
    """Hold the options of the root."""


def _names(app: typer.Typer) -> set[str | None]:
    commands = {c.name for c in app.registered_commands}
    return commands | {g.name for g in app.registered_groups}


def _unexpected(terminal: Terminal, error: Exception) -> int:
    """Word what argument parsing raised; anything else is a fault of ours, and still not a verdict."""
    message = getattr(error, "format_message", None)
    if type(error).__name__ == "NoArgsIsHelpError" and message is not None:  # typer keeps its click to itself
        terminal.note(message())
        return ERROR
    if message is not None:
        context = getattr(error, "ctx", None)
        hint = f" See: {context.command_path} --help" if context else ""
        if text := one_line(message()).replace(": Value error, ", ": "):  # the words of the library that checks values
            terminal.note(f"evalgate: {text}{hint}")
        return ERROR
    if os.environ.get("EVALGATE_DEBUG"):
        traceback.print_exception(error)
    terminal.note(
        f"evalgate: internal error: {one_line(f'{type(error).__name__}: {error}')}. "
        "Set EVALGATE_DEBUG=1 to see where, and please report it"
    )
    return ERROR
