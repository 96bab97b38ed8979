"""What several labels of one trace come to. Pure.

Of each person the latest label counts. Where these differ in the verdict, or name different failure modes, the trace is
disputed until somebody decides: an adjudication outranks every label, whenever it was given. Nobody ends a dispute by
saying what the other said: from where people differ on, a further label of one of them is no second opinion.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from schema.verdict import Label, Role, Severity, Verdict, anchors_of

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping, Sequence

    Row = Mapping[str, Any]
    """A label as the database has it: annotator, verdict, failure_mode, role, created_unix_us, span_id ..."""


def label_of(row: Row, trace_id: str) -> Label:
    """Return the label in a row."""
    severity = str(row["severity"])
    return Label(
        trace_id=trace_id,
        span_id=row["span_id"],
        verdict=Verdict(row["verdict"]),
        failure_mode=row["failure_mode"] or None,
        corrected_output=row["corrected_output"],
        comment=row["comment"],
        annotator=row["annotator"],
        severity=Severity(severity) if severity in set(Severity) else None,
        anchors=anchors_of(row["anchor"]),
        queue=row["queue"],
        role=Role.ADJUDICATION if row["role"] == Role.ADJUDICATION else Role.LABEL,
    )


def outranking(rows: Iterable[Row], span_id: str) -> Row | None:
    """Return the latest adjudication of a span (or of the whole trace); None where nobody decided."""
    decisions = [r for r in rows if r["role"] == Role.ADJUDICATION and r["span_id"] == span_id]
    return max(decisions, key=_when, default=None)


def what_counts(rows: Sequence[Row]) -> Row:
    """Return what a case says, of the labels of one trace or span: an adjudication, else the latest label."""
    return outranking(rows, rows[0]["span_id"]) or max(rows, key=_when)


def latest_each(rows: Iterable[Row]) -> dict[str, Row]:
    """Return the latest label of each person, by name; adjudications are none."""
    found: dict[str, Row] = {}
    for row in sorted((r for r in rows if r["role"] != Role.ADJUDICATION), key=_when):
        found[row["annotator"]] = row
    return found


def independent_each(rows: Iterable[Row]) -> dict[str, Row]:
    """Return the latest label of each person up to where people differed, or his first; adjudications are none."""
    found: dict[str, Row] = {}
    for row in sorted((r for r in rows if r["role"] != Role.ADJUDICATION), key=_when):
        if row["annotator"] not in found or not _differ(found.values()):
            found[row["annotator"]] = row
    return found


def differ(rows: Iterable[Row]) -> bool:
    """Tell whether people disagree: about the verdict, or about the failure mode where both name one."""
    return _differ(independent_each(rows).values())


def is_disputed(rows: Sequence[Row]) -> bool:
    """Tell whether the labels of one trace or span differ, and nobody has decided."""
    return differ(rows) and not any(r["role"] == Role.ADJUDICATION for r in rows)


def _differ(said: Collection[Row]) -> bool:
    return len({r["verdict"] for r in said}) > 1 or len({r["failure_mode"] for r in said if r["failure_mode"]}) > 1


def _when(row: Row) -> tuple[int, str]:
    return row["created_unix_us"], row["annotation_id"]
