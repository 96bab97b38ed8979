"""What `evalgate erase` asks for, and what whoever keeps content answers.

The database and the datasets are the command's own. Others that keep content register an eraser by an entry point of
the group `otel_evalgate.erasers`; the journal is one. Each is a callable with the shape of `Eraser`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Protocol

if TYPE_CHECKING:
    from pathlib import Path

ERASERS: Final = "otel_evalgate.erasers"


@dataclass(frozen=True, slots=True)
class Erasure:
    """What is to go: traces, all of a user, or all of a tenant. What is received later is not meant."""

    at_unix_ns: int
    """When it was asked for."""
    tenant: str | None = None
    """Whose: None for any tenant's, where a trace or a user is named."""
    trace_ids: tuple[str, ...] = ()
    """Lower-case hex."""
    user_id: str | None = None

    @property
    def is_whole_tenant(self) -> bool:
        """Whether nothing but the tenant says what goes."""
        return not self.trace_ids and self.user_id is None


@dataclass(frozen=True, slots=True)
class Erased:
    """What went, or would go, of one place."""

    place: str
    """A table, a file, "journal", "quarantine"."""
    unit: str
    """What is counted: "rows", "cases", "requests", "files"."""
    count: int
    note: str = ""
    """What else is to be known, for a person."""
    is_left: bool = False
    """Whether it could not be erased and a person has to."""
    is_under_way: bool = False
    """Whether something is being delivered that may hold what is erased: look at the database again after it."""


class Eraser(Protocol):
    """Erases from one kind of place."""

    def __call__(self, erasure: Erasure, data_dir: Path, *, only_show: bool) -> list[Erased]:
        """Erase, or with `only_show` say what would go. Doing it twice is harmless.

        Raises:
            EvalgateError: it cannot be done; the message says what to do.

        """
