"""Rows of one table that are to go."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Mapping

IDS_AT_A_TIME: Final = 500
"""Of a statement: they go along in the URL."""
OF_ID: Final = "lower(hex(trace_id)) IN {ids:Array(String)}"
IN_TENANT: Final = "({tenant:String} = '' OR tenant = {tenant:String})"


@dataclass(frozen=True, slots=True)
class Target:
    """Rows of one table: a condition with its parameters."""

    table: str
    condition: str
    parameters: Mapping[str, Any]
