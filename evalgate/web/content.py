"""What a reader of a trace sees, on its page and in the queue runner: what was said, what failed, what people think."""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, Final

from evalgate.review.anchors import locate
from evalgate.review.decided import label_of
from evalgate.select.reading import conversation, failed_spans, span_input, user_input
from evalgate.select.reading import tool_calls as called
from evalgate.web.conversation import view

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from evalgate.queue.blind import Blind
    from evalgate.select.reading import Line
    from evalgate.select.traces import Trace
    from evalgate.web.conversation import View
    from schema.verdict import Anchor

EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
MAX_TOOL_CALLS: Final = 100
MAX_FAILURES: Final = 20
MAX_TEXT_CHARS: Final = 20_000
"""Of an input, argument or result."""


@dataclass(frozen=True, slots=True)
class Pointed:
    """An anchor of a label, and where it is now."""

    number: int
    """From 1 on, over all labels that are shown."""
    line: int | None
    """Of the conversation; None: what it was about is no longer there."""
    quote: str


@dataclass(frozen=True, slots=True)
class Shown:
    """A label as a page shows it."""

    annotation_id: str
    created_at: datetime
    annotator: str
    verdict: str
    failure_mode: str | None
    severity: str | None
    comment: str
    corrected_output: str | None
    role: str
    queue: str
    anchors: tuple[Pointed, ...]


@dataclass(frozen=True, slots=True)
class ToolCall:
    """A tool call as a page shows it; texts are cut."""

    name: str
    arguments: str
    result: str | None
    """None: it is not known, or was left out."""
    problem: str
    left_out: str


@dataclass(frozen=True, slots=True)
class Failure:
    """A span that failed, with the exact input it had."""

    span_id: str
    kind: str
    name: str
    problem: str
    input: str


@dataclass(frozen=True, slots=True)
class Feedback:
    """What a user or an evaluator said."""

    name: str
    words: str
    polarity: str


@dataclass(frozen=True, slots=True)
class Content:
    """What reviewers and readers see alike of a trace."""

    trace: Trace
    asked: str
    talk: View
    failures: tuple[Failure, ...]
    tools: tuple[ToolCall, ...]
    tools_left_out: int
    feedback: tuple[Feedback, ...]
    labels: tuple[Shown, ...]
    hidden_labels: int
    """Of people whose verdict this visitor may not see yet."""


def content_of(trace: Trace, blind: Blind, *, is_whole: bool = False) -> Content:
    """Return what a reader of the trace sees; of labels what he may know."""
    lines = conversation(trace)
    rows = blind.labels(trace.row.trace_id, trace.labels)
    labels, anchors = shown_labels(rows, trace.row.trace_id, lines)
    ran = called(trace)
    return Content(
        trace=trace,
        asked=user_input(trace)[1] or "",
        talk=view(lines, anchors, is_whole=is_whole),
        failures=tuple(
            Failure(s.span_id, s.kind, s.name, s.problem[:MAX_TEXT_CHARS], span_input(s)[:MAX_TEXT_CHARS])
            for s in failed_spans(trace)[:MAX_FAILURES]
        ),
        tools=tuple(_tool(call) for call in ran[:MAX_TOOL_CALLS]),
        tools_left_out=max(len(ran) - MAX_TOOL_CALLS, 0),
        feedback=tuple(_feedback(f) for f in trace.feedback),
        labels=labels,
        hidden_labels=len(trace.labels) - len(rows),
    )


def shown_labels(
    rows: Sequence[Mapping[str, Any]], trace_id: str, lines: Sequence[Line]
) -> tuple[tuple[Shown, ...], tuple[Anchor, ...]]:
    """Return labels with their anchors numbered over all of them, and these anchors in that order."""
    anchors: list[Anchor] = []
    found = []
    for row in rows:
        label = label_of(row, trace_id)
        pointed = []
        for anchor in label.anchors:
            anchors.append(anchor)
            at = locate(anchor, lines)
            pointed.append(Pointed(len(anchors), None if at is None else at.message, anchor.quote))
        found.append(
            Shown(
                annotation_id=row["annotation_id"],
                created_at=_moment(int(row["created_unix_us"])),
                annotator=label.annotator,
                verdict=str(label.verdict),
                failure_mode=label.failure_mode,
                severity=str(label.severity) if label.severity else None,
                comment=label.comment,
                corrected_output=label.corrected_output,
                role=str(label.role),
                queue=label.queue,
                anchors=tuple(pointed),
            )
        )
    return tuple(found), tuple(anchors)


def _tool(call: Mapping[str, Any]) -> ToolCall:
    return ToolCall(
        name=str(call.get("name") or "?"),
        arguments=_text(call.get("arguments")),
        result=_text(call["result"]) if "result" in call else None,
        problem=str(call.get("error") or ""),
        left_out=str(call.get("omitted") or ""),
    )


def _text(value: Any) -> str:
    """Return a value as people read it: objects over several lines."""
    if value is None:
        return ""
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, indent=2)
    cut = len(text) - MAX_TEXT_CHARS
    return text if cut <= 0 else f"{text[:MAX_TEXT_CHARS]}… {cut} more characters"


def _feedback(row: Mapping[str, Any]) -> Feedback:
    words = [str(row[k]) for k in ("label", "value", "comment") if row.get(k)]
    return Feedback(str(row["name"]), ", ".join(dict.fromkeys(words)), str(row["polarity"]))


def _moment(unix_us: int) -> datetime:
    return EPOCH + timedelta(microseconds=unix_us)
