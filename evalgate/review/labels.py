"""Labels: saved append-only, each with its case; undone by a further row."""

from __future__ import annotations

import secrets
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from evalgate.database import sql
from evalgate.errors import BadInput
from evalgate.files import read_jsonl
from evalgate.review.cases import (
    CaseEvent,
    by_id,
    called,
    list_cases,
    make_case,
    needs_creating,
    record,
    relabelled,
)
from evalgate.review.decided import label_of, outranking, what_counts
from evalgate.review.numbers import open_issues, present_modes
from evalgate.select.recent import started_since
from evalgate.select.traces import load_trace, load_traces, resolve_trace
from evalgate.select.where import Where
from schema.case import case_id_of
from schema.verdict import Annotation, Label, Role, anchors_text, parse_label

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
    from pathlib import Path

    from evalgate.database import TenantDatabase
    from evalgate.review.cases import CaseRow
    from evalgate.select.traces import Trace
    from schema.case import Case


TRACES_AT_ONCE = 64
"""As many traces as are in memory at once; each may hold megabytes of content."""


def utc_now() -> datetime:
    """Return the present moment."""
    return datetime.now(UTC)


def new_annotation_id() -> str:
    """Return 32 random hex digits."""
    return secrets.token_hex(16)


@dataclass(frozen=True, slots=True)
class Draft:
    """A label that is sure to be saved: its trace exists."""

    annotation: Annotation
    case: Case | None
    """None: the trace holds no input that could be sent again; the label is kept all the same."""
    repeated: bool
    """The same annotator's latest label of this trace says exactly this already."""
    is_outranked: bool = False
    """Somebody decided about this trace when people differed; that decision stays what its case says."""


@dataclass(frozen=True, slots=True)
class Saved:
    """What saving did."""

    labels: int
    repeated: int
    cases: tuple[str, ...]
    """Ids of the cases that are quarantined now because of it."""
    without_case: int
    """Labels of traces that hold no input."""


@dataclass(frozen=True, slots=True)
class Faulty:
    """A line of a label file that cannot be saved."""

    line: int
    message: str


def read_labels(path: Path, annotator: str) -> tuple[list[tuple[int, Label]], list[Faulty]]:
    """Read a label file: what is right with its line numbers, and what is wrong."""
    labels: list[tuple[int, Label]] = []
    faulty: list[Faulty] = []
    for number, value in read_jsonl(path):
        try:
            if isinstance(value, ValueError):
                raise value
            label = parse_label(value)
            labels.append((number, label if label.annotator else replace(label, annotator=annotator)))
        except ValueError as e:
            faulty.append(Faulty(number, str(e)))
    return labels, faulty


def draft(
    database: TenantDatabase,
    label: Label,
    *,
    now: Callable[[], datetime] = utc_now,
    new_id: Callable[[], str] = new_annotation_id,
) -> Draft:
    """Find the trace (and span) a label means and make its case. Nothing is written.

    Raises:
        BadInput: there is no such trace or span, or it cannot be told which.

    """
    return draft_of(load_trace(database, resolve_trace(database, label.trace_id)), label, now=now, new_id=new_id)


def drafts_of(database: TenantDatabase, labels: Sequence[Label]) -> Iterator[Draft | BadInput]:
    """Yield what `draft` makes of each label, or why it can make nothing; traces are read many at a time."""
    for start in range(0, len(labels), TRACES_AT_ONCE):
        some = labels[start : start + TRACES_AT_ONCE]
        found = [_resolved(database, label.trace_id) for label in some]
        traces = load_traces(database, [i for i in found if isinstance(i, str)])
        for label, which in zip(some, found, strict=True):
            try:
                yield which if isinstance(which, BadInput) else draft_of(traces[which], label)
            except BadInput as e:
                yield e


def draft_of(
    trace: Trace,
    label: Label,
    *,
    now: Callable[[], datetime] = utc_now,
    new_id: Callable[[], str] = new_annotation_id,
) -> Draft:
    """Make the case of a label of this trace. Nothing is written.

    Raises:
        BadInput: there is no such span, or it cannot be told which.

    """
    span_id = _resolve_span([s.span_id for s in trace.spans], label.span_id)
    label = replace(label, trace_id=trace.row.trace_id, span_id=span_id)
    mine = [x for x in trace.labels if x["annotator"] == label.annotator and x["span_id"] == span_id]
    # Its failure mode may have been renamed since: who says the old word again says nothing new.
    stands = label_of(mine[-1], label.trace_id) if mine else None
    repeated = False
    if stands is not None:
        repeated = label in (stands, replace(stands, failure_mode=mine[-1]["failure_mode_said"] or None))
        label = stands if repeated else label
    annotation = Annotation(mine[-1]["annotation_id"] if repeated else new_id(), now(), label)
    is_outranked = label.role is Role.LABEL and outranking(trace.labels, span_id) is not None
    return Draft(annotation, make_case(trace, annotation), repeated, is_outranked)


def save(database: TenantDatabase, drafts: Sequence[Draft]) -> Saved:
    """Save labels, their cases and issues. Saving the same again changes nothing, and repairs what was cut short."""
    drafts = _in_time(drafts)
    fresh = [d for d in drafts if not d.repeated]
    database.insert_rows("annotations", [_row(d.annotation, undone=0) for d in fresh])
    known = by_id(list_cases(database, ids=[d.case.case_id for d in drafts if d.case is not None]))
    # Of two labels of one trace the later one counts, unless somebody decided between them.
    latest = {d.case.case_id: (d.case, not d.repeated) for d in drafts if d.case is not None and not d.is_outranked}
    names = present_modes(database) if any(case.failure_mode for case, _ in latest.values()) else {}
    latest = {i: (called(case, names), is_new) for i, (case, is_new) in latest.items()}
    cases = [case for i, (case, is_new) in latest.items() if needs_creating(case, known.get(i), fresh=is_new)]
    for annotator in sorted({c.provenance.annotator or "" for c in cases}):
        own = [c for c in cases if (c.provenance.annotator or "") == annotator]
        record(database, own, CaseEvent.CREATED, actor=annotator, reason="labelled")
    modes = {d.annotation.label.failure_mode: d.annotation.label.annotator for d in drafts}
    for annotator in sorted(set(modes.values())):
        open_issues(database, [m for m, who in modes.items() if m and who == annotator], actor=annotator)
    without_case = sum(d.case is None for d in drafts)
    return Saved(len(fresh), len(drafts) - len(fresh), tuple(c.case_id for c in cases), without_case)


def latest_labels(
    database: TenantDatabase, count: int, annotator: str, *, queue: str | None = None, trace_id: str | None = None
) -> list[Annotation]:
    """Return the last labels of an annotator that stand, the latest first; of one queue or trace where it is named."""
    conditions = ""
    bound: dict[str, object] = {"annotator": annotator, "limit": count}
    for name, value in (("queue", queue), ("trace_id", trace_id)):
        if value is not None:
            conditions += f" AND {name} = {{{name}:String}}"
            bound[name] = value
    rows = database.rows(sql(__package__, "latest_labels").replace("/* conditions */", conditions), bound)
    return [Annotation(r["annotation_id"], _moment(r), label_of(r, r["trace_id"])) for r in rows]


def undo(
    database: TenantDatabase,
    count: int,
    annotator: str,
    *,
    queue: str | None = None,
    trace_id: str | None = None,
    now: Callable[[], datetime] = utc_now,
) -> list[Annotation]:
    """Undo the last labels of an annotator, of one queue or trace where it is named; return them, the latest first.

    The case goes back to what the label before says; where there is none, it is rejected. Cases are written first: who
    is cut short in between still finds these labels, and undoes them and no others when he does it again.

    Raises:
        BadInput: this annotator has no such label that stands.

    """
    found = latest_labels(database, count, annotator, queue=queue, trace_id=trace_id)
    if not found:
        others = database.rows(sql(__package__, "annotators"))
        words = ", ".join(f"{r['annotator'] or '(nobody)'} {r['labels']}" for r in others)
        hint = f" There are labels by: {words} (--annotator)" if words else ""
        where = f" of trace {trace_id}" if trace_id else f" in queue {queue}" if queue else ""
        raise BadInput(f"there is no label by {annotator!r}{where} to undo.{hint}")
    undone = [replace(a, created_at=now() + timedelta(microseconds=i)) for i, a in enumerate(found)]
    gone = {a.annotation_id for a in undone}
    for case in list_cases(database, ids=[case_id_of(a.label.trace_id, a.label.span_id) for a in undone]):
        _restore(database, case, gone, annotator)
    database.insert_rows("annotations", [_row(a, undone=1) for a in undone])
    return undone


def unlabelled(database: TenantDatabase, since: datetime | None = None) -> list[str]:
    """Return the flagged traces that nobody has labelled, failing ones first."""
    where = started_since(Where(), since)
    text = sql(__package__, "unlabelled").replace("/* conditions */", where.sql)
    rows = database.rows(text, where.parameters)
    return [str(r["trace_id"]) for r in rows]


def failure_modes(database: TenantDatabase) -> list[str]:
    """Return the failure modes that people have named, the frequent ones first."""
    return [str(r["failure_mode"]) for r in database.rows(sql(__package__, "modes"))]


def _restore(database: TenantDatabase, known: CaseRow, gone: Collection[str], actor: str) -> None:
    """Make the case say what the labels that stand say, without those that are about to go."""
    provenance = known.case.provenance
    trace = load_trace(database, provenance.trace_id or "")
    own = [x for x in trace.labels if x["span_id"] == (provenance.span_id or "")]
    standing = [x for x in own if x["annotation_id"] not in gone]
    if not standing:
        record(database, [known.case], CaseEvent.REJECTED, actor=actor, reason="label undone")
        return
    counted = what_counts(standing)
    label = label_of(counted, trace.row.trace_id)
    case = relabelled(known.case, Annotation(counted["annotation_id"], _moment(counted), label))
    if case.content_hash != known.case.content_hash:
        record(database, [case], CaseEvent.CREATED, actor=actor, reason="a later label was undone")


def _resolved(database: TenantDatabase, prefix: str) -> str | BadInput:
    try:
        return resolve_trace(database, prefix)
    except BadInput as e:
        return e


def _resolve_span(known: Sequence[str], prefix: str) -> str:
    if not prefix:
        return ""
    found = [s for s in known if s.startswith(prefix)]
    if len(found) != 1:
        raise BadInput(f"{'no span' if not found else 'more than one span'} of the trace begins with {prefix}")
    return found[0]


def _in_time(drafts: Sequence[Draft]) -> list[Draft]:
    """Return the drafts with times that differ, in their order: the latest label of a trace is told by time."""
    moved: list[Draft] = []
    for d in drafts:
        at = d.annotation.created_at
        if moved and at <= moved[-1].annotation.created_at:
            at = moved[-1].annotation.created_at + timedelta(microseconds=1)
        moved.append(replace(d, annotation=replace(d.annotation, created_at=at)))
    return moved


def _row(annotation: Annotation, *, undone: int) -> dict[str, Any]:
    label = annotation.label
    return {
        "annotation_id": annotation.annotation_id,
        "created_at": annotation.created_at,
        "trace_id": label.trace_id,
        "span_id": label.span_id,
        "verdict": str(label.verdict),
        "failure_mode": label.failure_mode or "",
        "corrected_output": label.corrected_output,
        "comment": label.comment,
        "annotator": label.annotator,
        "undone": undone,
        "severity": label.severity or "",
        "anchor": anchors_text(label.anchors),
        "queue": label.queue,
        "role": str(label.role),
    }


def _moment(row: Mapping[str, Any]) -> datetime:
    return datetime.fromtimestamp(row["created_unix_us"] / 1e6, UTC)
