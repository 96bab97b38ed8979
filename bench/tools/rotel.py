"""Rotel, the peer: fetched once from PyPI at a pinned version and checksum, kept out of the project's own venv.

PyPI's `rotel` 0.0.1a15 of 2025-07-31 holds the binary `rotel-agent`. It is older than Rotel's later speed-ups for
ClickHouse (github.com/streamfold/rotel, pull requests 196, 200 and 233): a ratio to it is a ratio to this release.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from bench.tools.pinned import installed

if TYPE_CHECKING:
    from pathlib import Path

VERSION: Final = "0.0.1a15"
REQUIREMENT: Final = (
    f"rotel=={VERSION} --hash=sha256:2f4117e58410c933e0dc042a268ef738dab2e3a5d63b5831209acdac2a6ddcb7\n"
)
"""The wheel for CPython 3.11 on Linux x86-64."""


def agent() -> Path:
    """Return the path of rotel-agent, installing it first where it is missing.

    Raises:
        SystemExit: it cannot be installed here; pip's words say why.

    """
    (path,) = installed(f"rotel-{VERSION}", REQUIREMENT).glob("lib/python3*/site-packages/rotel/rotel-agent")
    path.chmod(0o755)
    return path
