"""A reviewer who types, and records in memory."""

from __future__ import annotations

import subprocess
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from evalgate.errors import BadInput
from evalgate.label.records import Kept
from evalgate.select.traces import Span, Trace, TraceRow
from schema.verdict import Annotation, anchors_text

if TYPE_CHECKING:
    from collections import deque

    from schema.verdict import Label

NINE = datetime(2026, 11, 20, 9, 0, tzinfo=UTC)


@dataclass
class Typed:
    """A reviewer who types what the test says; a line answers each prompt."""

    answers: deque[str]
    edited: str = ""
    offered: list[str] = field(default_factory=list)

    def key(self) -> str:
        if not self.answers:
            raise EOFError
        return self.answers.popleft()

    def line(self, prompt: str) -> str:  # noqa: ARG002 - the seam
        return self.key()

    def edit(self, text: str) -> str:
        self.offered.append(text)
        if self.edited == "fail":
            raise subprocess.CalledProcessError(1, "vi")
        return self.edited


def message(role: str, text: str) -> dict[str, Any]:
    """Return a message with one part."""
    return {"role": role, "parts": [{"type": "text", "content": text}]}


def trace_of(trace_id: str, question: str = "Can I return my shoes?", answer: str = "You have 90 days.") -> Trace:
    """Return a trace with one call of a model."""
    names = dict.fromkeys(TraceRow.__dataclass_fields__, "")
    known: dict[str, Any] = {
        "start_unix_ns": int(NINE.timestamp()) * 10**9,
        "duration_ms": 1200.0,
        "span_count": 1,
        "input_tokens": 12,
        "output_tokens": 5,
        "failing": True,
        "failure_reasons": ("tool_error",),
        "policy_versions": (),
        "trace_defects": (),
        "sample_weight": 1.0,
        "service_name": "shop",
        "trace_id": trace_id,
    }
    span: dict[str, Any] = dict.fromkeys(Span.__dataclass_fields__) | {
        "span_id": "0000000000000001",
        "parent_span_id": "",
        "start_unix_ns": known["start_unix_ns"],
        "duration_ms": 1200.0,
        "name": "chat",
        "kind": "llm",
        "counted": True,
        "input_messages": (message("system", "You are kind."), message("user", question)),
        "output_messages": (message("assistant", answer),),
        "output_text": answer,
        "error": False,
        "failing": False,
        "tags": (),
        "defects": (),
        "failure_reasons": (),
        "finish_reasons": (),
    }
    return Trace(TraceRow(**{**names, **known}), (Span(**span),), (), ())


@dataclass
class MemoryRecords:
    """Labels in a list, the way the database keeps them: of one reviewer, each undone by what comes later."""

    traces: dict[str, Trace]
    annotator: str = "me"
    known_modes: list[str] = field(default_factory=list)
    kept: list[Annotation] = field(default_factory=list)

    def trace(self, trace_id: str) -> Trace:
        if trace_id not in self.traces:
            raise BadInput(f"there is no trace {trace_id}")
        labels = tuple(_row(a) for a in self.kept if a.label.trace_id == trace_id)
        return replace(self.traces[trace_id], labels=labels)

    def modes(self) -> list[str]:
        said = [a.label.failure_mode for a in self.kept if a.label.failure_mode]
        return list(dict.fromkeys([*self.known_modes, *said]))

    def save(self, trace: Trace, label: Label) -> Kept:
        is_repeated = any(a.label == label for a in self.kept)
        annotation = Annotation(f"{len(self.kept):032x}", NINE + timedelta(seconds=len(self.kept)), label)
        if not is_repeated:
            self.kept.append(annotation)
        return Kept(annotation, is_repeated, f"case-{trace.row.trace_id[:4]}", is_without_input=False)

    def latest(self, queue: str) -> Annotation | None:
        return next((a for a in reversed(self.kept) if queue in ("", a.label.queue)), None)

    def undo(self, trace_id: str) -> Annotation:
        found = next(a for a in reversed(self.kept) if a.label.trace_id == trace_id)
        self.kept.remove(found)
        return found

    @property
    def said(self) -> dict[str, tuple[str, str | None, str | None, str]]:
        """Return verdict, failure mode, corrected output and comment of each labelled trace."""
        found = {a.label.trace_id: a.label for a in self.kept}
        return {t: (str(x.verdict), x.failure_mode, x.corrected_output, x.comment) for t, x in found.items()}


def _row(annotation: Annotation) -> dict[str, Any]:
    label = annotation.label
    return {
        "annotation_id": annotation.annotation_id,
        "created_unix_us": int(annotation.created_at.timestamp() * 1e6),
        "span_id": label.span_id,
        "verdict": str(label.verdict),
        "failure_mode": label.failure_mode or "",
        "corrected_output": label.corrected_output,
        "comment": label.comment,
        "annotator": label.annotator,
        "severity": label.severity or "",
        "anchor": anchors_text(label.anchors),
        "queue": label.queue,
        "role": str(label.role),
    }
