"""What a sitting has come to so far."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from evalgate.review.guidance import Counts

if TYPE_CHECKING:
    from collections.abc import Sequence

    from evalgate.label.drafts import Drafts
    from evalgate.label.form import Form
    from schema.verdict import Annotation


@dataclass(slots=True)
class Tally:
    """What a sitting came to."""

    labelled: int = 0
    undone: int = 0
    removed: int = 0

    @property
    def kept(self) -> int:
        """Labels that stand."""
        return self.labelled - self.undone


@dataclass(slots=True)
class State:
    """What a sitting remembers; the walk owns it, and lends it to what judges one trace."""

    trace_ids: list[str] = field(default_factory=list)
    """In the order in which they are walked."""
    forms: dict[str, Form] = field(default_factory=dict)
    """What was typed and not saved, by trace."""
    done: list[Annotation] = field(default_factory=list)
    """The labels of this sitting that stand, the latest last."""
    passed_over: set[str] = field(default_factory=set)
    """Skipped; some may have been labelled later on."""
    gone: set[str] = field(default_factory=set)
    """Removed, or somebody else's."""
    tally: Tally = field(default_factory=Tally)
    counts: Counts = field(default_factory=Counts)
    """What had been labelled before."""
    modes: list[str] = field(default_factory=list)
    """Failure modes in the order of their keys."""
    message: str = ""
    """What is told above the prompt, once."""
    drafts: Drafts | None = None
    """Where `forms` outlive the sitting; None: nowhere."""

    def settled(self, modes: Sequence[str]) -> list[str]:
        """Return failure modes in the order that this sitting saw first, new ones at the end: numbers are keys."""
        known = set(modes)
        self.modes = list(dict.fromkeys([m for m in self.modes if m in known] + list(modes)))
        return self.modes

    def typed(self, trace_id: str, form: Form | None) -> None:
        """Remember what was typed of a trace; None: it is saved, or thrown away."""
        before = self.forms.pop(trace_id, None)
        if form is not None:
            self.forms[trace_id] = form
        if self.drafts is not None and form != before:
            self.drafts.write(self.forms)

    @property
    def labelled(self) -> set[str]:
        """The traces with a label of this sitting."""
        return {a.label.trace_id for a in self.done}

    @property
    def skipped(self) -> int:
        """How many were skipped and have no label yet."""
        return len(self.passed_over - self.labelled - self.gone)

    @property
    def to_go(self) -> int:
        """How many of those that waited have no label yet, skipped ones with them."""
        return len(set(self.trace_ids) - self.labelled - self.gone)
