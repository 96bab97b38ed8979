"""What a listener serves, and what each of it takes: said in one place, so that a test can walk all of it.

A listener has `ROUTES`. What is not in there is not served; what is there without a scope says why.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from schema.identity import Scope


@dataclass(frozen=True, slots=True)
class Route:
    """One thing that can be asked for over HTTP or gRPC."""

    path: str
    """As it is written; percent-encoded it is another one."""
    methods: tuple[str, ...]
    scopes: tuple[Scope, ...]
    """One of these is needed where keys are asked for; none: `public` says why."""
    public: str = ""
