"""What a person said of a trace."""

from __future__ import annotations

import json
import unicodedata
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Any

from schema.fields import Fields
from schema.person import person_of

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

MAX_FAILURE_MODE_CHARS = 120
MAX_QUOTE_CHARS = 500
MAX_ANCHORS = 20
MAX_QUEUE_CHARS = 63


class Verdict(StrEnum):
    """Good passes, bad fails; partial stays outside binary agreement and is reported beside it."""

    GOOD = "good"
    BAD = "bad"
    PARTIAL = "partial"


class Severity(StrEnum):
    """How much harm a failure does; low annoys, critical must not happen again."""

    LOW = "low"
    MEDIUM = "medium"
    HIGH = "high"
    CRITICAL = "critical"


class Role(StrEnum):
    """Whether somebody judged a trace, or decided between those who had judged it differently."""

    LABEL = "label"
    ADJUDICATION = "adjudication"


@dataclass(frozen=True, slots=True)
class Anchor:
    """What in a conversation a label is about: a message, or some characters of one.

    The quote is what stands there. It finds the place again when the conversation reads differently, as it does once
    a late span has come.
    """

    message: int | None = None
    """Which message of the conversation, from 0; None: wherever the quote is found."""
    start: int | None = None
    """The first character of the range within the message; None: the whole message."""
    end: int | None = None
    """The character after the last one."""
    quote: str = ""
    """At most `MAX_QUOTE_CHARS` characters; of a longer text its beginning."""

    def __post_init__(self) -> None:
        if self.message is None and not self.quote:
            raise ValueError("an anchor names a message, or quotes one")
        if (self.start is None) != (self.end is None):
            raise ValueError("an anchor has a start and an end, or neither")
        if self.message is not None and self.message < 0:
            raise ValueError(f"an anchor's message counts from 0, not {self.message}")
        if self.start is not None and self.end is not None and not 0 <= self.start < self.end:
            raise ValueError(f"an anchor's range must hold a character, not {self.start} to {self.end}")
        if self.start is not None and self.message is None:
            raise ValueError("an anchor with a range names its message")
        if len(self.quote) > MAX_QUOTE_CHARS:
            raise ValueError(f"an anchor's quote has {len(self.quote)} characters; the limit is {MAX_QUOTE_CHARS}")


@dataclass(frozen=True, slots=True)
class Label:
    """A verdict before it is saved: what was typed or imported."""

    trace_id: str
    """Hex; a unique prefix is enough until it is resolved."""
    span_id: str
    """Hex; empty: the whole trace."""
    verdict: Verdict
    failure_mode: str | None = None
    corrected_output: str | None = None
    comment: str = ""
    annotator: str = ""
    severity: Severity | None = None
    anchors: tuple[Anchor, ...] = ()
    queue: str = ""
    """The queue it was given in; empty: none."""
    role: Role = Role.LABEL

    def __post_init__(self) -> None:
        for name, value in (("failure_mode", self.failure_mode), ("severity", self.severity)):
            if self.verdict is Verdict.GOOD and value is not None:
                raise ValueError(f"a good verdict has no {name}; leave it out, or say bad or partial")
        if len(self.anchors) > MAX_ANCHORS:
            raise ValueError(f"a label has at most {MAX_ANCHORS} anchors, not {len(self.anchors)}")
        if len(self.queue) > MAX_QUEUE_CHARS:
            raise ValueError(f"the queue's name has {len(self.queue)} characters; the limit is {MAX_QUEUE_CHARS}")


@dataclass(frozen=True, slots=True)
class Annotation:
    """A saved label."""

    annotation_id: str
    created_at: datetime
    label: Label


def failure_mode_of(text: str | None) -> str | None:
    """Return a failure mode with its white space collapsed, None if it is empty.

    Raises:
        ValueError: it is too long or holds control characters; it is a name that people type and files match.

    """
    name = " ".join((text or "").split())
    if not name:
        return None
    if len(name) > MAX_FAILURE_MODE_CHARS:
        raise ValueError(f"the failure mode has {len(name)} characters; the limit is {MAX_FAILURE_MODE_CHARS}")
    if any(unicodedata.category(c) in ("Cc", "Cf", "Cs") for c in name):
        raise ValueError("the failure mode holds control characters")
    return name


def parse_label(value: Any) -> Label:
    """Read one line of a label file.

    Raises:
        ValueError: in words for its author.

    """
    fields = Fields(value, "a label")
    trace_id, span_id = _hex(fields.text("trace_id"), 32, "trace_id"), fields.optional_text("span_id") or ""
    verdict = Verdict(_one_of(Verdict, fields.text("verdict"), "verdict"))
    severity, role = fields.optional_text("severity"), fields.optional_text("role")
    label = Label(
        trace_id=trace_id,
        span_id=_hex(span_id, 16, "span_id") if span_id else "",
        verdict=verdict,
        failure_mode=failure_mode_of(fields.optional_text("failure_mode")),
        corrected_output=fields.optional_text("corrected_output"),
        comment=fields.optional_text("comment") or "",
        annotator=person_of(fields.optional_text("annotator") or ""),
        severity=severity_of(severity),
        anchors=parse_anchors(fields.sequence("anchors")),
        queue=fields.optional_text("queue") or "",
        role=Role(_one_of(Role, role, "role")) if role else Role.LABEL,
    )
    fields.close()
    return label


def severity_of(text: str | None) -> Severity | None:
    """Return the severity of this name, None of none.

    Raises:
        ValueError: there is no such severity.

    """
    return Severity(_one_of(Severity, text.strip().lower(), "severity")) if text and text.strip() else None


def parse_anchors(values: Sequence[Any]) -> tuple[Anchor, ...]:
    """Read a list of anchors, as label files and rows have them.

    Raises:
        ValueError: in words for its author.

    """
    anchors = []
    for value in values:
        fields = Fields(value, "an anchor")
        message, start, end = (fields.optional_int(n) for n in ("message", "start", "end"))
        anchors.append(Anchor(message, start, end, fields.optional_text("quote") or ""))
        fields.close()
    return tuple(anchors)


def anchors_json(anchors: Sequence[Anchor]) -> list[dict[str, Any]]:
    """Return the JSON list of anchors, without what an anchor does not say."""
    return [
        {n: v for n in ("message", "start", "end", "quote") if (v := getattr(a, n)) not in (None, "")} for a in anchors
    ]


def anchors_text(anchors: Sequence[Anchor]) -> str:
    """Return anchors as a row has them: a JSON list, or nothing where there is none."""
    return json.dumps(anchors_json(anchors)) if anchors else ""


def anchors_of(text: str) -> tuple[Anchor, ...]:
    """Return the anchors of a row. What cannot be read points nowhere: the label itself still stands."""
    try:
        found = json.loads(text) if text else []
        return parse_anchors(found) if isinstance(found, list) else ()
    except (ValueError, RecursionError):
        return ()


def _one_of(kind: type[StrEnum], spelled: str, name: str) -> str:
    """Return the spelled value if the enumeration has it."""
    known = [str(k) for k in kind]
    if spelled not in known:
        raise ValueError(f"the {name} must be {', '.join(known[:-1])} or {known[-1]}, not {spelled[:40]!r}")
    return spelled


def _hex(text: str, digits: int, name: str) -> str:
    lowered = text.strip().lower()
    if not 4 <= len(lowered) <= digits or set(lowered) - set("0123456789abcdef"):
        raise ValueError(f"{name} must be 4 to {digits} hex digits (a unique prefix is enough), not {text[:40]!r}")
    return lowered
