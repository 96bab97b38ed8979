"""Where and when something was measured, and the files that keep it."""

from __future__ import annotations

import json
import os
import platform
import subprocess
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    import argparse
    from collections.abc import Mapping

ROOT: Final = Path(__file__).resolve().parents[2]
RESULTS: Final = ROOT / "bench" / "results"
PRODUCT: Final = ("collector", "exporters", "schema")
"""What is measured: a change there that is not committed makes a figure hard to reproduce, and is said."""
FLOOR_SYNCS: Final = 50
FLOOR_BYTES: Final = 1 << 20


def machine(folder: Path) -> dict[str, Any]:
    """Describe the machine, the code and the moment; `folder` is where the journals are written."""
    return {
        "at": datetime.now(UTC).isoformat(timespec="seconds"),
        "commit": _git("rev-parse", "--short", "HEAD"),
        "uncommitted": _git("status", "--porcelain", "--", *PRODUCT).splitlines(),
        "python": platform.python_version(),
        "kernel": platform.release().split("-")[0],
        "processor": _field("/proc/cpuinfo", "model name"),
        "cores": os.cpu_count(),
        "memory_mib": int(_field("/proc/meminfo", "MemTotal").split()[0]) >> 10,
        "load_average": os.getloadavg(),
        "fdatasync_ms": fsync_floor(folder),
    }


def _git(*arguments: str) -> str:
    done = subprocess.run(["git", *arguments], cwd=ROOT, capture_output=True, text=True, check=False)
    return done.stdout.strip()


def _field(path: str, name: str) -> str:
    for line in Path(path).read_text().splitlines():
        key, _, value = line.partition(":")
        if key.strip() == name:
            return value.strip()
    return "0"


def fsync_floor(folder: Path, *, size_bytes: int = FLOOR_BYTES) -> dict[str, float]:
    """Return what no acknowledgement can undercut: the time of one write into an existing file and its fdatasync."""
    path = folder / "floor"
    data = os.urandom(size_bytes)
    times_s = []
    with path.open("wb") as file:
        os.posix_fallocate(file.fileno(), 0, 8 * size_bytes)
        os.fsync(file.fileno())
        for i in range(FLOOR_SYNCS):
            began = time.perf_counter()
            os.pwrite(file.fileno(), data, i % 8 * size_bytes)
            os.fdatasync(file.fileno())
            times_s.append(time.perf_counter() - began)
    path.unlink()
    times_s.sort()
    return {"p50": round(times_s[len(times_s) // 2] * 1e3, 2), "max": round(times_s[-1] * 1e3, 2)}


def settings(options: argparse.Namespace) -> dict[str, Any]:
    """Return a command line's options as they are kept: without where the output goes."""
    return {k: v for k, v in vars(options).items() if k not in ("results", "json", "picture")}


def keep(name: str, document: Mapping[str, Any], folder: Path = RESULTS) -> Path:
    """Write raw results to `results/<date>-<commit>-<name>.json`; those of the same day and commit are added to.

    Returns:
        The file: a list of documents, oldest first.

    """
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{datetime.now(UTC):%Y-%m-%d}-{document['machine']['commit'] or 'unknown'}-{name}.json"
    earlier = json.loads(path.read_text()) if path.exists() else []
    path.write_text(json.dumps([*earlier, document], indent=1) + "\n")
    return path
