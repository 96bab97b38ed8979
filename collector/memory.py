"""How the process asks for memory: large buffers are used again instead of being given back and asked for anew.

A page that the kernel gives costs 0.7 µs (measured, a virtual machine): a batch of 32 MiB, copied a few times on its
way, costs 1 µs a 3 kB span in pages alone. glibc gives every buffer above some size (128 KiB, later up to 32 MiB) back
at once, and each thread has a heap of its own, whose free memory the others cannot use. So: one heap, nothing given
back below a bound; Arrow takes its memory from there as well.

    mallopt(3): M_MMAP_THRESHOLD, M_TRIM_THRESHOLD, M_ARENA_MAX
"""

from __future__ import annotations

import contextlib
import ctypes
import importlib
import os
import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterator

ARROW_POOL: Final = "ARROW_DEFAULT_MEMORY_POOL"
"""The variable by which a user says which allocator Arrow takes."""
M_TRIM_THRESHOLD: Final = -1
M_MMAP_THRESHOLD: Final = -3
M_ARENA_MAX: Final = -8
MAPPED_FROM_BYTES: Final = 1 << 30
"""What is larger than this is still given back at once."""
LARGEST_OLD_BYTES: Final = 32 << 20
"""The most that glibc takes for that before 2.35."""
KEPT_BYTES: Final = 128 << 20
"""Free memory at the end of the heap that is kept: about what a batch needs."""


def keep_memory() -> bool:
    """Tell the allocator; call once, before threads and buffers. Return False where there is no glibc: nothing is lost.

    A user who sets MALLOC_ variables of glibc has decided: then nothing is changed.
    """
    if any(name.startswith("MALLOC_") or name == "GLIBC_TUNABLES" for name in os.environ):
        return False
    if sys.platform != "linux":
        return False
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (AttributeError, OSError):  # musl has none
        return False
    if not mallopt(M_MMAP_THRESHOLD, MAPPED_FROM_BYTES):
        mallopt(M_MMAP_THRESHOLD, LARGEST_OLD_BYTES)
    kept = bool(mallopt(M_TRIM_THRESHOLD, KEPT_BYTES) and mallopt(M_ARENA_MAX, 1))
    if kept and ARROW_POOL not in os.environ:
        _share_with_arrow()
    return kept


def _share_with_arrow() -> None:
    """Let Arrow take its memory from the heap of all others, so that what one stage frees serves the next.

    Arrow reads the variable when it is loaded. Where it is loaded already, as by the imports of a service, it is told:
    else a heap of its own keeps 20 MB more (measured, batches of 32 MiB).
    """
    os.environ[ARROW_POOL] = "system"
    if "pyarrow" in sys.modules:
        import pyarrow as pa  # noqa: PLC0415 - only where somebody else has imported it

        pa.set_memory_pool(pa.system_memory_pool())


def forget_pandas() -> None:
    """Keep Arrow and ClickHouse's driver from importing pandas: 27 MB and 0.3 s (measured) to tell what is none of it.

    Both ask once whether pandas can be imported. Whoever imports it himself still can, Arrow's `to_pandas` as well.
    """
    if "pandas" in sys.modules:
        return
    with _hidden("pandas"):
        import pyarrow as pa  # noqa: PLC0415 - 25 MB that other commands do not need

        if "clickhouse_connect" in sys.modules:
            importlib.import_module("clickhouse_connect.driver.options").pd  # noqa: B018 - it asks when it is read
        pa.array(["asked"])


def forget_scipy() -> None:
    """Keep numba from importing scipy.linalg: 15 MB and 0.2 s (measured) for what no kernel of ours does.

    numba asks once, with its first kernel, whether it can. Whoever imports it himself still can, and kernels may use
    `np.dot` and the like; only `np.correlate` and `np.convolve` in a kernel then add up without BLAS.
    """
    if "scipy.linalg" in sys.modules:
        return
    with _hidden("scipy.linalg"), contextlib.suppress(ImportError):  # no numba, or another: then it is as it is
        importlib.import_module("numba.np.arraymath")


@contextlib.contextmanager
def _hidden(name: str) -> Iterator[None]:
    """Let nobody import a module in this block; call it where only one thread runs."""
    finder = _Hidden(name)
    sys.meta_path.insert(0, finder)
    try:
        yield
    finally:
        sys.meta_path.remove(finder)


@dataclass(frozen=True, slots=True)
class _Hidden:
    """Says that there is no such module."""

    name: str

    def find_spec(self, name: str, path: object = None, target: object = None) -> None:
        """Raise for that module, know nothing of others."""
        del path, target
        if name == self.name:
            raise ModuleNotFoundError(f"{name} is hidden for a moment", name=name)
