"""How kernels are compiled: without the GIL, and kept on disk where that is possible.

A kernel is a function over arrays that numba compiles to machine code. With `NUMBA_DISABLE_JIT=1` the same source runs
as plain Python.
"""

from __future__ import annotations

from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Final, TypeVar

import numba

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

OPTIONS: Final[Mapping[str, Any]] = MappingProxyType({"nogil": True, "_nrt": False})
"""Kernels allocate nothing, so numba need not count references: that costs them twice the time (measured)."""

Function = TypeVar("Function", bound="Callable[..., Any]")


def kernel(function: Function) -> Function:
    """Compile a function on its first call.

    Machine code is kept beside the source, in the user's cache folder, or in `NUMBA_CACHE_DIR`; numba refuses to
    cache when none of them can be written, and then every process compiles for itself.
    """
    return _compiled(function, OPTIONS)


def inlined(function: Function) -> Function:
    """Compile a function into each of its callers: for the innermost, where a call costs more than what it does."""
    return _compiled(function, {**OPTIONS, "forceinline": True})


def _compiled(function: Function, options: Mapping[str, Any]) -> Function:
    try:
        compiled: Function = numba.njit(cache=True, **options)(function)
    except RuntimeError:  # "cannot cache function: no locator available"
        compiled = numba.njit(**options)(function)
    return compiled
