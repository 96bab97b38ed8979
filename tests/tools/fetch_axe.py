#!/usr/bin/env python3
"""Fetch axe-core, which tests check pages with for accessibility: once, checked, cached. Prints the path of axe.min.js.

It is the npm package below (Mozilla Public License 2.0; its own licence file stays beside it), used by tests alone.
"""

from __future__ import annotations

import base64
import fcntl
import hashlib
import subprocess
import sys
import tarfile
import tempfile
from pathlib import Path

if __package__ in (None, ""):
    sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from tests.tools.fetch_chserver import FETCH_TIMEOUT_S, Unavailable, _npm, cache_dir

PACKAGE = "axe-core"
VERSION = "4.14.1"
TARBALL_SHA512 = "FHfa+lmNjQZfJz1q8wKqIDwC6DExcHt/pkjNQb09a3NPjCKg2rhu5qb2S4r76ASyFNNtuFooJpZe37OgudVGtQ=="
"""Subresource integrity of the tarball, as in a package-lock.json."""
WANTED = ("axe.min.js", "LICENSE")


def axe() -> Path:
    """Return the path of axe.min.js, fetching it first where it is missing.

    Raises:
        Unavailable: it cannot be fetched, or what came is not what is pinned.

    """
    folder = cache_dir() / f"axe-core-{VERSION}"
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not all((folder / name).exists() for name in WANTED):
            with tempfile.TemporaryDirectory(dir=folder) as work:
                for name, content in _unpack(_pack(Path(work))).items():
                    (Path(work) / name).write_bytes(content)
                    (Path(work) / name).rename(folder / name)
    return folder / WANTED[0]


def _pack(work: Path) -> Path:
    command = [*_npm(), "pack", f"{PACKAGE}@{VERSION}", "--ignore-scripts", "--pack-destination", str(work)]
    try:
        done = subprocess.run(command, cwd=work, capture_output=True, text=True, timeout=FETCH_TIMEOUT_S, check=False)
    except (OSError, subprocess.TimeoutExpired) as e:
        raise Unavailable(f"npm could not fetch {PACKAGE}@{VERSION}: {e}") from None
    tarballs = list(work.glob("*.tgz"))
    if done.returncode or len(tarballs) != 1:
        last = (done.stderr.strip().splitlines() or ["no message"])[-1]
        raise Unavailable(f"npm could not fetch {PACKAGE}@{VERSION} (exit {done.returncode}): {last}")
    found = base64.b64encode(hashlib.sha512(tarballs[0].read_bytes()).digest()).decode()
    if found != TARBALL_SHA512:
        raise Unavailable(f"{PACKAGE}@{VERSION} has sha512 {found}, not {TARBALL_SHA512}: not used")
    return tarballs[0]


def _unpack(tarball: Path) -> dict[str, bytes]:
    found = {}
    with tarfile.open(tarball) as tar:
        for name in WANTED:
            member = tar.extractfile(f"package/{name}")
            if member is None:
                raise Unavailable(f"{tarball.name} holds no package/{name}")
            found[name] = member.read()
    return found


def main() -> int:
    """Fetch and print the path."""
    try:
        sys.stdout.write(f"{axe()}\n")
    except Unavailable as e:
        sys.stderr.write(f"{e}\n")
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
