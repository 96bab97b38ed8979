"""Whether the processors' kernels may be used: from when `load` has compiled them in this process.

    load ─▶ a few spans go through every processor by its kernels, which compiles them ─▶ are_ready() is true

Compiling takes seconds, and importing numba a third of one, so nothing does either by the way. Until somebody has
called `load` (the service does, in the thread that loads the decoder's kernels), processors take their path in plain
Python and Arrow. Both give the same.
"""

from __future__ import annotations

from functools import cache


@cache
def load() -> None:
    """Compile the kernels of all processors, or take them from numba's cache. Blocks; the second time it does not.

    Raises:
        Exception: whatever keeps numba from working here.

    """
    from collector.processors.normalise.warm import run_all  # noqa: PLC0415 - numba takes 0.3 s to import

    run_all()


def are_ready() -> bool:
    """Tell whether `load` has come to its end."""
    return load.cache_info().currsize > 0
