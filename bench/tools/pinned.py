"""Peers from PyPI: installed once, at pinned versions and checksums, each in a venv of its own in .cache/."""

from __future__ import annotations

import subprocess
import sys
import venv
from typing import TYPE_CHECKING

from bench.tools.machine import ROOT

if TYPE_CHECKING:
    from pathlib import Path


def installed(name: str, requirements: str) -> Path:
    """Return the venv of a peer, installing it first where it is missing or was cut short.

    `requirements` is the text of a file for pip, with a hash for every package; `name` holds the version.

    Raises:
        SystemExit: it cannot be installed here; pip's words say why.

    """
    folder = ROOT / ".cache" / name
    done = folder / ".installed"
    if done.exists() and done.read_text() == requirements:
        return folder
    venv.create(folder, with_pip=True, clear=True)
    pinned = folder / "requirements.txt"
    pinned.write_text(requirements)
    pip = [str(folder / "bin" / "python"), "-m", "pip", "install", "--disable-pip-version-check", "--quiet"]
    ended = subprocess.run(
        [*pip, "--no-deps", "--only-binary=:all:", "--require-hashes", "-r", str(pinned)],
        capture_output=True,
        text=True,
        check=False,
    )
    if ended.returncode:
        last = (ended.stderr.strip().splitlines() or ["no message"])[-1]
        raise SystemExit(f"{name} cannot be installed for Python {sys.version.split()[0]}: {last}")
    done.write_text(requirements)
    return folder
