#!/usr/bin/env python3
"""Fetch axe-core, which tests check pages with for accessibility: once, checked, cached. Prints the path of axe.min.js.

It is the npm package below (Mozilla Public License 2.0; its own licence file stays beside it), used by tests alone.
"""

from __future__ import annotations

import fcntl
import sys
import tarfile
import tempfile
from pathlib import Path

if __package__ in (None, ""):
    sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from tests.tools.fetch_chserver import Unavailable, cache_dir, pack

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
                for name, content in _unpack(pack(Path(work), PACKAGE, VERSION, TARBALL_SHA512)).items():
                    (Path(work) / name).write_bytes(content)
                    (Path(work) / name).rename(folder / name)
    return folder / WANTED[0]


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
