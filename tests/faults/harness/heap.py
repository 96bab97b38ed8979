"""Run a program, and write every second what of its memory is in use: `python heap.py FILE PROGRAM ARGUMENT …`.

Resident memory also has what was freed and is kept for the next batch: it rises to the highest mark of the heap, which
is no leak. A line is `seconds bytes`: what malloc gave out, Arrow's buffers and numba's code with it, and about what
Python's small objects take.

Source: mallinfo2(3); CPython's small objects are counted by `sys.getallocatedblocks`.
"""

from __future__ import annotations

import ctypes
import runpy
import sys
import threading
import time

BLOCK_BYTES = 64
"""About the mean of Python's small objects."""
EVERY_S = 1.0
FIELDS = ("arena", "ordblks", "smblks", "hblks", "hblkhd", "usmblks", "fsmblks", "uordblks", "fordblks", "keepcost")


class Mallinfo(ctypes.Structure):
    """`struct mallinfo2`."""

    _fields_ = tuple((name, ctypes.c_size_t) for name in FIELDS)


def watch(path: str) -> None:
    """Write a line each second, for ever."""
    libc = ctypes.CDLL(None)
    libc.mallinfo2.restype = Mallinfo
    began_s = time.monotonic()
    with open(path, "a", encoding="ascii", buffering=1) as out:  # noqa: PTH123 - the program's own imports are to come
        while True:
            time.sleep(EVERY_S)
            found = libc.mallinfo2()
            in_use = found.uordblks + found.hblkhd + BLOCK_BYTES * sys.getallocatedblocks()
            out.write(f"{time.monotonic() - began_s:.1f} {in_use}\n")


if __name__ == "__main__":
    threading.Thread(target=watch, args=(sys.argv[1],), daemon=True).start()
    sys.argv = sys.argv[2:]
    runpy.run_path(sys.argv[0], run_name="__main__")
