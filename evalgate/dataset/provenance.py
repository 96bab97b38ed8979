"""Chains of cases, read from the database: what they were made of, as it stands now."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final

from evalgate.database import sql
from evalgate.select.traces import iso_time
from schema.draft import Approval
from schema.provenance import (
    AnnotationLink,
    Chain,
    IssueLink,
    Promotion,
    SpanLink,
    annotation_hash,
    case_hash,
    span_hash,
)

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from evalgate.database import TenantDatabase
    from schema.case import Case

NOBODY: Final = "(nobody)"
UNSAID: Final = "(none given)"
PORTION = 200
"""Traces that one statement asks for: bounds the list that it carries and the content that is held at once."""


def record(cases: Sequence[Case], database: TenantDatabase, issues: Mapping[str, int]) -> list[Chain]:
    """Return the chain of each case that came from a trace, in the order of the cases; hand-written ones have none.

    The cases are promoted ones; `issues` gives the issue of a failure mode. An annotation belongs to a case when it
    was said of the same trace and span; spans are those of its trace, or the one that the annotation was said of.
    """
    traced = [c for c in cases if c.provenance.trace_id]
    promotions = _promotions(database, [c.case_id for c in traced])
    chains = []
    for portion in _portions(traced):
        ids = sorted({c.provenance.trace_id or "" for c in portion})
        annotations = annotations_of(database, ids)
        spans = spans_of(database, ids)
        chains += [
            Chain(
                case_id=case.case_id,
                case=case_hash(case),
                status="promoted" if case.case_id in promotions else "unknown",
                promoted=promotions.get(case.case_id),
                issue=_issue(case, issues),
                annotations=tuple(
                    annotation_link(row)
                    for row in annotations.get(case.provenance.trace_id or "", ())
                    if row["span_id"] == (case.provenance.span_id or "")
                ),
                spans=tuple(
                    link
                    for link in spans.get(case.provenance.trace_id or "", ())
                    if case.provenance.span_id in (None, link.span_id)
                ),
            )
            for case in portion
        ]
    return chains


def annotations_of(database: TenantDatabase, trace_ids: Sequence[str]) -> dict[str, list[dict[str, Any]]]:
    """Return the annotations that stand, by trace, the oldest first."""
    found: dict[str, list[dict[str, Any]]] = {}
    for row in database.rows(sql(__package__, "annotations"), {"trace_ids": list(trace_ids)}):
        at = iso_time(row.pop("created_unix_us") * 1000)
        found.setdefault(row["trace_id"], []).append({**row, "at": at})
    return found


def spans_of(database: TenantDatabase, trace_ids: Sequence[str]) -> dict[str, list[SpanLink]]:
    """Return the spans as they are stored, by trace; of a span that was stored twice the first counts."""
    found: dict[str, dict[str, SpanLink]] = {}
    for row in database.rows(sql(__package__, "spans"), {"trace_ids": list(trace_ids)}):
        trace, span = row["trace_hex"], row["span_hex"]
        found.setdefault(trace, {}).setdefault(span, SpanLink(trace, span, span_hash(row)))
    return {trace: list(spans.values()) for trace, spans in found.items()}


def annotation_link(row: Mapping[str, Any]) -> AnnotationLink:
    """Return the link to an annotation of the database."""
    return AnnotationLink(
        annotation_id=row["annotation_id"],
        annotator=row["annotator"],
        at=row["at"],
        verdict=row["verdict"],
        failure_mode=row["failure_mode"] or None,
        hash=annotation_hash(row),
    )


def _issue(case: Case, issues: Mapping[str, int]) -> IssueLink | None:
    mode = case.failure_mode
    return IssueLink(issues[mode], mode) if mode is not None and mode in issues else None


def with_approvals(cases: Sequence[Case], database: TenantDatabase) -> tuple[Case, ...]:
    """Return promoted cases as they go into a file: a draft says there who let it in, when and why."""
    events = _events(database, [c.case_id for c in cases if c.provenance.is_draft])
    return tuple(
        replace(c, provenance=replace(c.provenance, promoted=_approval(events[c.case_id])))
        if c.case_id in events
        else c
        for c in cases
    )


def _approval(row: Mapping[str, Any]) -> Approval:
    return Approval(row["promoted_by"] or NOBODY, iso_time(row["at_unix_us"] * 1000), row["reason"] or UNSAID)


def _promotions(database: TenantDatabase, case_ids: Sequence[str]) -> dict[str, Promotion]:
    events = _events(database, case_ids)
    return {i: Promotion(r["promoted_by"] or NOBODY, iso_time(r["at_unix_us"] * 1000)) for i, r in events.items()}


def _events(database: TenantDatabase, case_ids: Sequence[str]) -> dict[str, Mapping[str, Any]]:
    """Return the last promotion of each case that has one."""
    rows = database.rows(sql(__package__, "promotions"), {"case_ids": list(case_ids)}) if case_ids else []
    return {r["case_id"]: r for r in rows}


def _portions(cases: Sequence[Case]) -> Iterator[Sequence[Case]]:
    for start in range(0, len(cases), PORTION):
        yield cases[start : start + PORTION]
