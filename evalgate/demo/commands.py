"""`evalgate demo`."""

from __future__ import annotations

import os
import shutil
import signal
import sys
import tempfile
import time
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from evalgate.errors import BadInput

if TYPE_CHECKING:
    from types import FrameType

REMOVE_TIMEOUT_S = 5.0
HERE = Path(__file__).resolve().parent


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("demo")(demo)


def demo(
    *, keep: Annotated[bool, typer.Option("--keep", help="Leave the folder it worked in, and say where it is.")] = False
) -> None:
    """Walk the whole loop on this terminal: spans in, failures labelled, a red gate, a green gate.

    In a folder of its own, without network or key; nothing is left running. Every line after a $ is a command that you
    would type.
    """
    for package in ("opentelemetry.sdk", "chdb"):
        if find_spec(package.partition(".")[0]) is None or find_spec(package) is None:
            raise BadInput(f"the demo needs {package}. Install it: pip install 'otel-evalgate[demo]'")
    from rich.console import Console  # noqa: PLC0415 - rich costs 0.1 s, which the gate must not pay

    from evalgate.demo.story import GENERATED, tell  # noqa: PLC0415 - as above
    from evalgate.demo.walk import Walk  # noqa: PLC0415 - as above

    console = Console(highlight=False)
    before = signal.signal(signal.SIGTERM, _terminated)
    folder = Path(tempfile.mkdtemp(prefix="evalgate-demo-"))
    steps = Walk(console, folder, _environment())
    try:
        _copy_app(folder, GENERATED)
        tell(steps)
    finally:
        steps.kill()
        if keep:
            console.print(f"\nkept: {folder}", soft_wrap=True)
        else:
            _remove(folder)
        signal.signal(signal.SIGTERM, before)


def _remove(folder: Path) -> None:
    """Remove a folder, also where what was killed a moment ago still puts a file there."""
    until = time.monotonic() + REMOVE_TIMEOUT_S
    while folder.exists() and time.monotonic() < until:
        shutil.rmtree(folder, ignore_errors=True)


def _copy_app(folder: Path, generated: str) -> None:
    """Lay out the folder as a user's repository: the app, and its evals beside it, but what is to be generated."""
    own = HERE / "support_agent"  # where the wheel has it
    app = own if own.is_dir() else HERE.parents[1] / "examples" / "support_agent"
    shutil.copytree(app, folder / "support_agent", ignore=shutil.ignore_patterns("evals", "__pycache__"))
    ignored = shutil.ignore_patterns(f"{generated}.yaml")
    shutil.copytree(app / "evals", folder / "evals", ignore=ignored)


def _environment() -> dict[str, str]:
    """Return the environment of the commands: this Python first, no setting of the user's own, no proxy to loopback."""
    kept = {k: v for k, v in os.environ.items() if not k.startswith(("OTEL_", "EVALGATE_", "GITHUB_"))}
    path = os.pathsep.join([str(Path(sys.executable).parent), kept.get("PATH", os.defpath)])
    loopback = {"NO_PROXY": "127.0.0.1,localhost", "no_proxy": "127.0.0.1,localhost"}
    return {**kept, **loopback, "PATH": path, "PYTHONDONTWRITEBYTECODE": "1"}


def _terminated(_signal: int, _frame: FrameType | None) -> None:
    raise KeyboardInterrupt
