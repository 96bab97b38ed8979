"""The statements of settlement; each is a file in `sql/`."""

from __future__ import annotations

from importlib.resources import files

from schema.span import CANONICAL

FIXED = frozenset({"service_name", "baseline", "baseline_rate", "arrival_rate", "policy_version"})
"""Canonical columns that the rest of the trace cannot change: of the resource, and of the trace id."""

REVISED = tuple(name for name in CANONICAL.names if name not in FIXED)
"""Columns of which the whole trace may say something else; `span_revisions` has them all."""


def statement(name: str) -> str:
    """Return the text of a statement; `/* columns */` stands for REVISED."""
    text = files(__package__).joinpath("sql", f"{name}.sql").read_text(encoding="utf-8")
    return text.replace("/* columns */", ", ".join(REVISED))
