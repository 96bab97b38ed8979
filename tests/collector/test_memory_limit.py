"""What a process may take is what was configured, what its container is given, or a part of the machine's."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest

from collector.memory_limit import PART_OF_MACHINE, memory_limit_bytes

if TYPE_CHECKING:
    from pathlib import Path

MIB = 1 << 20
MACHINE = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")


def system(root: Path, groups: str, **files: str) -> Path:
    (root / "proc/self").mkdir(parents=True)
    (root / "proc/self/cgroup").write_text(groups)
    for name, text in files.items():
        path = root / "sys/fs/cgroup" / name.replace("__", "/")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text + "\n")
    return root


def test_what_is_configured_holds_and_workers_share_it(tmp_path: Path) -> None:
    root = system(tmp_path, "0::/a\n")
    assert memory_limit_bytes(512, root=root) == 512 * MIB
    assert memory_limit_bytes(512, workers=4, root=root) == 128 * MIB


@pytest.mark.parametrize("where", ["", "a/", "a/b/"])
def test_the_smallest_limit_of_the_groups_above_holds(tmp_path: Path, where: str) -> None:
    files = {name.replace("/", "__") + "memory.max": "max" for name in ("", "a/", "a/b/")}
    files[where.replace("/", "__") + "memory.max"] = str(100 * MIB)
    root = system(tmp_path, "0::/a/b\n", **files)
    assert memory_limit_bytes(None, root=root) == 100 * MIB
    assert memory_limit_bytes(None, workers=2, root=root) == 50 * MIB


def test_the_older_control_groups_are_read_too(tmp_path: Path) -> None:
    groups = "5:cpu,cpuacct:/a\n4:memory:/a\n0::/\n"
    files = {"memory__memory.limit_in_bytes": str(2**63 - 4096), "memory__a__memory.limit_in_bytes": str(64 * MIB)}
    assert memory_limit_bytes(None, root=system(tmp_path, groups, **files)) == 64 * MIB


@pytest.mark.parametrize("groups", ["0::/a\n", "", "nonsense", "0::/\n"])
def test_without_a_container_it_is_a_part_of_the_machine(tmp_path: Path, groups: str) -> None:
    assert memory_limit_bytes(None, root=system(tmp_path, groups)) == int(MACHINE * PART_OF_MACHINE)
    assert memory_limit_bytes(None, root=tmp_path / "nothing") == int(MACHINE * PART_OF_MACHINE)
