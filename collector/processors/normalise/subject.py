"""What converters work on: one marked span, and what they found in it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from collector.processors.normalise.exchange import Request, Response
    from collector.processors.normalise.view import View
    from schema.dialect import Dialects


@dataclass(frozen=True, slots=True)
class Event:
    """A span event or a log record of the span: its name and what it carries."""

    name: str
    fields: Mapping[str, Any]


@dataclass(slots=True)
class Subject:
    """A span that a converter is asked to read, and the facts found so far.

    `found` holds canonical column -> Python value (JSON columns as values, not text), `figures` token counts as the
    sender counts them. The first to find a fact wins.
    """

    view: View
    kind: str
    name: str
    scope_name: str
    events: Sequence[Event]
    known: Mapping[str, Any]
    """Token figures that single keys have told already."""
    table: Dialects
    found: dict[str, Any] = field(default_factory=dict)
    request: Request | None = None
    response: Response | None = None

    def put(self, column: str, value: Any) -> None:
        """Keep a fact unless it is empty or known."""
        if column not in self.found and value not in (None, "", [], {}):
            self.found[column] = value
