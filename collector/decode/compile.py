"""How kernels are compiled: see `schema.compile`, where exporters find it too."""

from __future__ import annotations

from schema.compile import inlined, kernel

__all__ = ["inlined", "kernel"]
