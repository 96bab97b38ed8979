"""Cases in the database: made quarantined, promoted or rejected by a person. Append-only; the events are the audit."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from enum import StrEnum
from typing import TYPE_CHECKING, Any

from evalgate.database import sql
from evalgate.errors import BadInput
from evalgate.files import to_json_line
from evalgate.review.promotion import check_promotion
from evalgate.select.reading import final_output, finish_reason, tool_calls, user_input
from evalgate.select.traces import iso_time
from schema.case import Case, CaseInput, Observed, Provenance, case_id_of, case_to_json, parse_case

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from evalgate.database import TenantDatabase
    from evalgate.select.traces import Trace
    from schema.verdict import Annotation


class CaseStatus(StrEnum):
    """Where a case stands. Only promoted cases reach a dataset."""

    QUARANTINED = "quarantined"
    PROMOTED = "promoted"
    REJECTED = "rejected"


class CaseEvent(StrEnum):
    """What happens to a case; each but the last leads to one status."""

    CREATED = "created"
    PROMOTED = "promoted"
    REJECTED = "rejected"
    RENAMED = "renamed"
    """Its failure mode is called something else, or is another one; it stays where it stands."""


@dataclass(frozen=True, slots=True)
class CaseRow:
    """A case and where it stands."""

    case: Case
    status: CaseStatus
    created_at: str
    """ISO 8601, UTC."""


def make_case(trace: Trace, annotation: Annotation) -> Case | None:
    """Return the case that a label makes of a trace, None where the trace holds no input that could be sent again."""
    label = annotation.label
    messages, text = user_input(trace, label.span_id)
    if not messages and not text:
        return None
    if not messages:
        messages = ({"role": "user", "parts": [{"type": "text", "content": text}]},)
    span_tags = {tag for s in trace.spans for tag in s.tags}
    return Case(
        case_id=case_id_of(label.trace_id, label.span_id),
        input=CaseInput(messages, text),
        observed=_observed(trace, label.span_id),
        expected_output=label.corrected_output,
        verdict=label.verdict,
        failure_mode=label.failure_mode,
        feature=trace.row.feature,
        tags=tuple(sorted(span_tags)),
        cluster=cluster_of(trace.row.session_id) if trace.row.session_id else None,
        provenance=Provenance(
            trace_id=label.trace_id,
            span_id=label.span_id or None,
            annotation_id=annotation.annotation_id,
            annotator=label.annotator or None,
            labelled_at=annotation.created_at.isoformat(timespec="microseconds"),
            service=trace.row.service_name or None,
            start_time=iso_time(trace.row.start_unix_ns),
            sample_weight=trace.row.sample_weight or None,
        ),
    )


def cluster_of(session_id: str) -> str:
    """Return what cases of one session share. The session itself stays in the trace."""
    return "session-" + hashlib.sha256(f"cluster:{session_id}".encode()).hexdigest()[:12]


def _observed(trace: Trace, span_id: str) -> Observed:
    span = next((s for s in trace.spans if s.span_id == span_id), None) if span_id else None
    whole = span or trace.row
    return Observed(
        output=final_output(trace, span_id),
        tool_calls=tool_calls(trace, span_id),
        finish_reason=finish_reason(trace, span_id),
        input_tokens=whole.input_tokens,
        output_tokens=whole.output_tokens,
        duration_ms=round(whole.duration_ms, 3),
    )


def list_cases(
    database: TenantDatabase,
    *,
    status: CaseStatus | None = None,
    failure_mode: str | None = None,
    prefix: str = "",
    ids: Sequence[str] | None = None,
) -> list[CaseRow]:
    """Return the cases, the oldest first; with `ids`, only those."""
    conditions = ""
    bound: dict[str, object] = {}
    for name, value in (("status", status), ("failure_mode", failure_mode)):
        if value is not None:
            conditions += f" AND {name} = {{{name}:String}}"
            bound[name] = value
    if prefix:
        conditions += " AND startsWith(case_id, {prefix:String})"
        bound["prefix"] = prefix
    if ids is not None:
        conditions += " AND case_id IN {ids:Array(String)}"
        bound["ids"] = list(ids)
    rows = database.rows(sql(__package__, "cases").replace("/* conditions */", conditions), bound)
    return [_case_row(r) for r in rows]


def find_case(database: TenantDatabase, prefix: str) -> CaseRow:
    """Return the one case whose id begins so; "case-" may be left out.

    Raises:
        BadInput: none does, or several do.

    """
    wanted = prefix if prefix.startswith("case-") else f"case-{prefix}"
    found = list_cases(database, prefix=wanted)
    if not found:
        raise BadInput(f"no case begins with {wanted!r}. List them: evalgate cases list")
    if len(found) > 1:
        raise BadInput(f"{wanted!r} is not unique: {', '.join(c.case.case_id for c in found[:4])}. Give more digits")
    return found[0]


def case_history(database: TenantDatabase, case_id: str) -> list[Mapping[str, Any]]:
    """Return {at, event, actor, reason} of each event, the first one first."""
    rows = database.rows(sql(__package__, "case_events"), {"case_id": case_id})
    return [
        {"at": iso_time(r["at_unix_us"] * 1000), "event": r["event"], "actor": r["actor"], "reason": r["reason"]}
        for r in rows
    ]


def record(
    database: TenantDatabase,
    cases: Sequence[Case],
    event: CaseEvent,
    *,
    actor: str,
    reason: str,
    now: Callable[[], datetime] = lambda: datetime.now(UTC),
) -> None:
    """Append one event per case. The body travels with "created" and "renamed" only.

    Raises:
        BadInput: drafts are promoted by who had them made, or without a reason; nothing was written.

    """
    if event is CaseEvent.PROMOTED:
        check_promotion(cases, actor=actor, reason=reason)
    at = now()
    rows = [
        {
            "case_id": case.case_id,
            "at": at,
            "event": str(event),
            "actor": actor,
            "reason": reason,
            "body": to_json_line(case_to_json(case)) if event in (CaseEvent.CREATED, CaseEvent.RENAMED) else "",
        }
        for case in cases
    ]
    database.insert_rows("case_events", rows)


def needs_creating(case: Case, known: CaseRow | None, *, fresh: bool) -> bool:
    """Return whether a label asks for a new "created": there is no such case, or it says something else now.

    A case that a person rejected comes back by a fresh label only, never because old labels are read again.
    """
    if known is None:
        return True
    if known.status is CaseStatus.REJECTED:
        return fresh
    return known.case.content_hash != case.content_hash


def relabelled(case: Case, annotation: Annotation) -> Case:
    """Return the case as a later label of the same trace has it."""
    label = annotation.label
    provenance = replace(
        case.provenance,
        annotation_id=annotation.annotation_id,
        annotator=label.annotator or None,
        labelled_at=annotation.created_at.isoformat(timespec="microseconds"),
    )
    return replace(
        case,
        expected_output=label.corrected_output,
        verdict=label.verdict,
        failure_mode=label.failure_mode,
        provenance=provenance,
    )


def called(case: Case, names: Mapping[str, str]) -> Case:
    """Return the case with what its failure mode is called now."""
    name = names.get(case.failure_mode or "")
    return case if name is None else replace(case, failure_mode=name)


def by_id(rows: Iterable[CaseRow]) -> dict[str, CaseRow]:
    """Return the cases by id."""
    return {r.case.case_id: r for r in rows}


def _case_row(r: Mapping[str, Any]) -> CaseRow:
    return CaseRow(parse_case(json.loads(r["body"])), CaseStatus(r["status"]), iso_time(r["created_unix_us"] * 1000))
