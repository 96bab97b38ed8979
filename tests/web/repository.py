"""A project in git, as nobody in particular."""

from __future__ import annotations

import subprocess
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from pathlib import Path

AS_ADA: Final = ("-c", "user.name=Ada", "-c", "user.email=ada@example.com", "-c", "commit.gpgsign=false")


def commit(folder: Path, message: str) -> None:
    """Commit what stands in evals/; the first time it makes the repository."""
    steps = [("add", "evals"), ("commit", "-q", "-m", message)]
    if not (folder / ".git").exists():
        steps.insert(0, ("init", "-q"))
    for step in steps:
        subprocess.run(["git", "-C", str(folder), *AS_ADA, *step], check=True, capture_output=True)
