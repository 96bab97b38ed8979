"""Where the traces come from that a reviewer labels: a list, the disagreements, or a queue with its reservations."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol

from evalgate.errors import BadInput
from evalgate.label.page import Shown
from schema.verdict import Role

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from evalgate.database import TenantDatabase
    from evalgate.queue.definition import Queue
    from evalgate.queue.items import Item
    from evalgate.select.traces import Trace

PARTS = 4
"""Parts of a score that are told of an item."""


@dataclass(frozen=True, slots=True)
class Turn:
    """One trace that is the reviewer's to judge now."""

    why: tuple[str, ...] = ()
    role: Role = Role.LABEL
    """A decision, where reviewers differ."""
    instructions: str = ""

    def shown(self, trace: Trace, *, is_full: bool) -> Shown:
        """Return what is shown beside the trace: labels of others only to who decides between them."""
        labels = trace.labels if self.role is Role.ADJUDICATION else ()
        return Shown(self.why, self.instructions, tuple(labels), is_full)


class Feed(Protocol):
    """What a sitting walks through. A queue keeps every trace for one reviewer; a list has nothing to keep."""

    @property
    def queue(self) -> str:
        """The name of the queue; empty: none."""

    def waiting(self) -> Sequence[str]:
        """Return the traces that wait for this reviewer now, in their order."""

    def enter(self, trace_id: str) -> Turn | None:
        """Begin with a trace; None where it is somebody else's by now, or done."""

    def leave(self, trace_id: str) -> None:
        """Stop without a label: others may have it."""

    def keep(self, trace_id: str) -> None:
        """Go on having it; whoever sits in front of it presses keys now and then.

        Raises:
            BadInput: somebody else has it by now.

        """

    def check(self, trace_id: str) -> None:
        """Return if a label is still welcome.

        Raises:
            BadInput: somebody else has it by now; the words say who.

        """

    def remove(self, trace_id: str, reason: str) -> None:
        """Take a trace out for good.

        Raises:
            BadInput: there is nothing to take it out of.

        """


@dataclass(frozen=True, slots=True)
class ListFeed:
    """Traces that nobody keeps for anybody: those that were named, or the flagged ones without a label."""

    trace_ids: tuple[str, ...]
    why: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    """By trace: what the signals say."""
    role: Role = Role.LABEL

    @property
    def queue(self) -> str:
        """None."""
        return ""

    def waiting(self) -> Sequence[str]:
        """Return all of them."""
        return self.trace_ids

    def enter(self, trace_id: str) -> Turn:
        """Begin with any of them."""
        return Turn(self.why.get(trace_id, ()), self.role)

    def leave(self, trace_id: str) -> None:
        """Nothing is kept."""

    def keep(self, trace_id: str) -> None:
        """Nothing is kept."""

    def check(self, trace_id: str) -> None:
        """Every label is welcome."""

    def remove(self, trace_id: str, reason: str) -> None:  # noqa: ARG002 - the seam
        """Raise: a list is no queue."""
        raise BadInput("traces are removed from queues: evalgate label --queue NAME; here: s skips")


@dataclass(frozen=True, slots=True)
class QueueFeed:
    """The items of a queue that this reviewer may have, each reserved while he looks at it."""

    database: TenantDatabase
    definition: Queue
    reviewer: str
    is_adjudicating: bool = False
    """Only what waits for a decision."""

    @property
    def queue(self) -> str:
        """Its name."""
        return self.definition.name

    def waiting(self) -> Sequence[str]:
        """Return the items that this reviewer may take now, what he has already first."""
        from evalgate.queue.items import list_items, refusal  # noqa: PLC0415 - needs the extra packages

        found = list_items(self.database, self.definition, reviewer=self.reviewer)
        return [
            i.trace_id
            for i in found
            if i.is_open
            and not refusal(self.definition, i, self.reviewer)
            and (i.is_disputed or not self.is_adjudicating)
        ]

    def enter(self, trace_id: str) -> Turn | None:
        """Reserve it."""
        from evalgate.queue.blind import role_of  # noqa: PLC0415 - as above
        from evalgate.queue.reserve import take  # noqa: PLC0415 - as above

        try:
            item = take(self.database, self.definition, self.reviewer, trace_id=trace_id)
        except BadInput:  # somebody was faster, or it is done: the next one waits
            return None
        return None if item is None else Turn(_why(item), role_of(item), self.definition.instructions)

    def leave(self, trace_id: str) -> None:
        """Give it back."""
        from evalgate.queue.reserve import release  # noqa: PLC0415 - as above

        release(self.database, self.definition, trace_id, self.reviewer)

    def keep(self, trace_id: str) -> None:
        """Reserve it for the whole time again."""
        from evalgate.queue.reserve import extend  # noqa: PLC0415 - as above

        extend(self.database, self.definition, trace_id, self.reviewer)

    def check(self, trace_id: str) -> None:
        """Ask the queue."""
        from evalgate.queue.reserve import may_label  # noqa: PLC0415 - as above

        may_label(self.database, self.definition, trace_id, self.reviewer)

    def remove(self, trace_id: str, reason: str) -> None:
        """Take it out of the queue; it does not come back by itself."""
        from evalgate.queue.store import remove  # noqa: PLC0415 - as above

        remove(self.database, self.definition, trace_id, actor=self.reviewer, reason=reason)


def _why(item: Item) -> tuple[str, ...]:
    """Return why an item is in its queue: its score in parts, or that it was drawn."""
    lines = [f"drawn at random out of everything that queue {item.queue} takes"] if item.is_random else []
    ranked = sorted(item.parts.items(), key=lambda part: -abs(part[1]))
    told = [
        f"{name} {points:+.0f}" + (f" ({item.words[name]})" if item.words.get(name) else "") for name, points in ranked
    ]
    if told:
        more = f", {len(told) - PARTS} more" if len(told) > PARTS else ""
        lines.append(f"{item.score:.0f} points: {', '.join(told[:PARTS])}{more}")
    return tuple(lines)
