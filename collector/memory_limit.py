"""How much memory this process may take: as configured, as its container is given, or a part of the machine's.

The container is the control group of the process and those above it (cgroups(7)):

    v2   /proc/self/cgroup  0::/a/b          memory.max in <root>/a/b, <root>/a, <root>: "max" or bytes
    v1   /proc/self/cgroup  4:memory:/a/b    memory.limit_in_bytes in <root>/memory/a/b, …: bytes, huge where unset
"""

from __future__ import annotations

import os
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterator

MIB: Final = 1 << 20
PART_OF_MACHINE: Final = 0.75
"""Where no container has a limit: the system and an embedded database's page cache need the rest."""
UNSET_V1: Final = 1 << 62
"""From here on a limit of v1 is none."""


def memory_limit_bytes(configured_mib: int | None, *, workers: int = 1, root: Path = Path("/")) -> int | None:
    """Return the limit of one of so many processes; None where neither a setting nor the system says anything."""
    if configured_mib is not None:
        return configured_mib * MIB // workers
    limits = [n for n in _container_limits(root) if n]
    if (machine := _machine_bytes()) is not None:
        limits.append(int(machine * PART_OF_MACHINE))
    return min(limits) // workers if limits else None


def _container_limits(root: Path) -> Iterator[int]:
    try:
        lines = (root / "proc/self/cgroup").read_text("ascii").splitlines()
    except (OSError, UnicodeDecodeError):
        return
    for line in lines:
        number, _, rest = line.partition(":")
        controllers, _, group = rest.partition(":")
        if number == "0" and not controllers:
            folder, name = root / "sys/fs/cgroup", "memory.max"
        elif "memory" in controllers.split(","):
            folder, name = root / "sys/fs/cgroup/memory", "memory.limit_in_bytes"
        else:
            continue
        path = PurePosixPath(group.lstrip("/"))
        for part in (path, *path.parents):
            try:
                text = (folder / part / name).read_text("ascii").strip()
            except OSError:
                continue
            if text.isdigit() and int(text) < UNSET_V1:
                yield int(text)


def _machine_bytes() -> int | None:
    try:
        return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    except (OSError, ValueError):
        return None
