"""What a sitting reads and writes: traces, and the labels of one reviewer."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from evalgate.review.labels import draft_of, failure_modes, latest_labels, save, undo, utc_now
from evalgate.select.traces import load_trace

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime

    from evalgate.database import TenantDatabase
    from evalgate.select.traces import Trace
    from schema.verdict import Annotation, Label


@dataclass(frozen=True, slots=True)
class Kept:
    """What saving a label did."""

    annotation: Annotation
    is_repeated: bool
    """It says what his latest label of the trace says already: nothing was written."""
    case_id: str | None
    """The case that is quarantined because of it; None: none is, now."""
    is_without_input: bool
    """The trace holds nothing that could be sent again, so no case can come of it."""


class Records(Protocol):
    """Where labels are kept; each call sees what the calls before it wrote."""

    def trace(self, trace_id: str) -> Trace:
        """Return a trace.

        Raises:
            BadInput: there is none, any more.

        """

    def modes(self) -> list[str]:
        """Return the failure modes that people have named, the frequent ones first."""

    def save(self, trace: Trace, label: Label) -> Kept:
        """Keep a label of a trace that was read before."""

    def latest(self, queue: str) -> Annotation | None:
        """Return the last label of this reviewer that stands, of a queue where one is named; None: there is none."""

    def undo(self, trace_id: str) -> Annotation:
        """Take back the last label of this reviewer of a trace.

        Raises:
            BadInput: there is none.

        """


@dataclass(frozen=True, slots=True)
class DatabaseRecords:
    """The database."""

    database: TenantDatabase
    annotator: str
    now: Callable[[], datetime] = utc_now

    def trace(self, trace_id: str) -> Trace:
        """Read it."""
        return load_trace(self.database, trace_id)

    def modes(self) -> list[str]:
        """Read them."""
        return failure_modes(self.database)

    def save(self, trace: Trace, label: Label) -> Kept:
        """Write it, with its case and its issue."""
        made = draft_of(trace, label, now=self.now)
        saved = save(self.database, [made])
        return Kept(made.annotation, made.repeated, next(iter(saved.cases), None), bool(saved.without_case))

    def latest(self, queue: str) -> Annotation | None:
        """Read it."""
        found = latest_labels(self.database, 1, self.annotator, queue=queue or None)
        return found[0] if found else None

    def undo(self, trace_id: str) -> Annotation:
        """Write that it stands no more."""
        (undone,) = undo(self.database, 1, self.annotator, trace_id=trace_id, now=self.now)
        return undone
