"""What `evalgate erase` asks for, and what whoever keeps content answers.

The database and the datasets are the command's own. Others that keep content register an eraser by an entry point of
the group `otel_evalgate.erasers`; the journal is one. Each is a callable with the shape of `Eraser`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Protocol

if TYPE_CHECKING:
    from collections.abc import Sequence
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
    contexts: tuple[str, ...] = ()
    """Of a user: keys of the sessions and responses of hers alone, which the database command makes and understands."""

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
    until: int | None = None
    """Of a journal: the first request that was not there when the erasure was noted. What came before it may be on its
    way past the note: the database is erased for good once all of it is delivered (`Eraser.waiting`)."""


@dataclass(frozen=True, slots=True)
class Waiting:
    """Requests that were received before an erasure was noted and are not delivered yet."""

    place: str
    requests: int
    note: str
    """What they wait for."""
    is_stuck: bool = False
    """Whether nobody delivers them now."""


class Eraser(Protocol):
    """Erases from one kind of place."""

    def __call__(self, erasure: Erasure, data_dir: Path, *, only_show: bool) -> list[Erased]:
        """Erase, or with `only_show` say what would go. Doing it twice is harmless.

        Raises:
            EvalgateError: it cannot be done; the message says what to do.

        """

    def waiting(self, found: Sequence[Erased]) -> list[Waiting]:
        """Return what of these places lies before their `until` and is not delivered yet. Raises OSError."""

    def recall(self, erasure: Erasure, data_dir: Path) -> Erasure:
        """Return the erasure with what else this place knows of the user: `trace_ids`, `contexts`.

        They were found in requests, or by a run of the command that was not finished. Raises OSError.
        """

    def finish(self, erasure: Erasure, data_dir: Path) -> None:
        """Do what is to be done when everything is erased: forget what `recall` returned. Raises OSError."""
