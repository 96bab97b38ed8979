"""What a person said of a trace."""

from __future__ import annotations

import unicodedata
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Any

from schema.fields import Fields

if TYPE_CHECKING:
    from datetime import datetime

MAX_FAILURE_MODE_CHARS = 120


class Verdict(StrEnum):
    """Good passes, bad fails; partial stays outside binary agreement and is reported beside it."""

    GOOD = "good"
    BAD = "bad"
    PARTIAL = "partial"


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

    def __post_init__(self) -> None:
        if self.verdict is Verdict.GOOD and self.failure_mode is not None:
            raise ValueError("a good verdict has no failure_mode; leave it out, or say bad or partial")


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
    spelled = fields.text("verdict")
    try:
        verdict = Verdict(spelled)
    except ValueError:
        raise ValueError(f"the verdict must be good, bad or partial, not {spelled!r}") from None
    label = Label(
        trace_id=trace_id,
        span_id=_hex(span_id, 16, "span_id") if span_id else "",
        verdict=verdict,
        failure_mode=failure_mode_of(fields.optional_text("failure_mode")),
        corrected_output=fields.optional_text("corrected_output"),
        comment=fields.optional_text("comment") or "",
        annotator=fields.optional_text("annotator") or "",
    )
    fields.close()
    return label


def _hex(text: str, digits: int, name: str) -> str:
    lowered = text.strip().lower()
    if not 4 <= len(lowered) <= digits or set(lowered) - set("0123456789abcdef"):
        raise ValueError(f"{name} must be 4 to {digits} hex digits (a unique prefix is enough), not {text[:40]!r}")
    return lowered
