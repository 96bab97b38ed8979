"""Feedback that came as telemetry: evaluation events, annotation spans, annotation and ad-hoc attributes.

Sources: OpenTelemetry GenAI conventions, event gen_ai.evaluation.result; OpenInference semantic conventions,
annotations; Logfire's annotation spans (scope logfire.feedback).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow.compute as pc

from collector.processors.normalise.indexed import unflatten
from collector.processors.normalise.literal import read_value
from collector.processors.normalise.scalars import Source, owners_of
from collector.processors.normalise.view import PrefixIndex, View
from schema.anyvalue import dump_json, to_text
from schema.polarity import polarity

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    import pyarrow as pa

    from schema.batch import AttributeTable, SpanBatch
    from schema.dialect import Dialects

EVALUATION = "gen_ai.evaluation.result"
ANNOTATIONS = ("annotation.", "evaluation.")
NUMBERED = ("annotations.", "trace.annotations.", "session.annotations.")
LOGFIRE_NAME = "logfire.feedback.name"
Row = dict[str, Any]


def find_feedback(
    batch: SpanBatch, table: Dialects, sessions: pa.Array, lower_is_better: Mapping[str, bool]
) -> tuple[Row, ...]:
    """Return rows of `schema.span.FEEDBACK` in order of spans, then log records."""
    marked = _marked(batch, table)
    ids = [h[:2] for h in batch.hex_ids()] if marked or _among(EVALUATION, batch.events.name) else []
    rows: list[Row] = []
    index = PrefixIndex(batch.attributes.keys if marked else (), (*ANNOTATIONS, *NUMBERED))
    for row in marked:
        where = {
            "origin": int(batch.origin[row]),
            "time_unix_ns": int(batch.end_unix_ns[row]),
            "trace_id": ids[row][0],
            "span_id": ids[row][1],
            "session_id": sessions[row].as_py(),
        }
        view = View(batch.attributes, batch.attributes.rows(row), index=index)
        parent = batch.parent_span_id[row]
        annotated = {**where, "span_id": parent.tobytes().hex() if parent.any() else where["span_id"]}
        rows += [{**annotated, **f} for f in _logfire(view)]
        rows += [{**where, **f} for f in _openinference(view)]
        rows += [{**where, **f} for f in _ad_hoc(view, table)]
    rows += _from_span_events(batch, sessions, ids)
    rows += _from_logs(batch, sessions)
    return tuple(_finished(r, lower_is_better) for r in rows)


def _among(name: str, column: pa.Array) -> bool:
    return len(column) > 0 and bool(pc.any(pc.equal(column, name)).as_py())


def _marked(batch: SpanBatch, table: Dialects) -> list[int]:
    ad_hoc = frozenset(table.feedback.keys)

    def wanted(key: str) -> bool:
        return key == LOGFIRE_NAME or key in ad_hoc or key.startswith((*ANNOTATIONS, *NUMBERED))

    return [int(r) for r in np.flatnonzero(owners_of(len(batch), Source(batch.attributes), wanted))]


def _logfire(view: View) -> Iterator[Row]:
    name = view.get(LOGFIRE_NAME)
    if isinstance(name, str) and name:
        comment = view.get("logfire.feedback.comment")
        yield {"name": name, "value": view.value(name), "comment": comment, "source": "logfire"}


def _openinference(view: View) -> Iterator[Row]:
    found: list[Any] = [unflatten(view.under(p)) for p in ANNOTATIONS]
    for prefix in NUMBERED:
        nested = unflatten(view.under(prefix))
        found += [n.get("annotation", n) for n in nested if isinstance(n, dict)] if isinstance(nested, list) else []
    for item in found:
        if isinstance(item, dict) and isinstance(item.get("name"), str) and ("score" in item or "label" in item):
            yield {
                "name": item["name"],
                "value": item.get("score", item.get("label")),
                "label": item.get("label"),
                "comment": item.get("explanation"),
                "source": "openinference",
            }


def _ad_hoc(view: View, table: Dialects) -> Iterator[Row]:
    for key in table.feedback.keys:
        if key in view and (value := view.get(key)) not in (None, ""):
            comment = view.first(table.feedback.comment_keys)
            yield {"name": key, "value": value, "comment": comment, "source": "attribute"}
            return


def _evaluation(fields: View) -> Row:
    score, label = fields.get("gen_ai.evaluation.score.value"), fields.get("gen_ai.evaluation.score.label")
    return {
        "name": fields.get("gen_ai.evaluation.name"),
        "value": label if score is None else score,
        "label": label,
        "comment": fields.get("gen_ai.evaluation.explanation"),
        "response_id": fields.get("gen_ai.response.id"),
        "source": EVALUATION,
    }


def _from_span_events(batch: SpanBatch, sessions: pa.Array, ids: list[tuple[str, str]]) -> Iterator[Row]:
    events = batch.events
    for e in np.flatnonzero(_equal(events.name, EVALUATION)):
        row = int(events.owner[e])
        yield {
            "origin": int(batch.origin[row]),
            "time_unix_ns": int(events.time_unix_ns[e]),
            "trace_id": ids[row][0],
            "span_id": ids[row][1],
            "session_id": sessions[row].as_py(),
            **_evaluation(_view(events.attributes, int(e))),
        }


def _from_logs(batch: SpanBatch, sessions: pa.Array) -> Iterator[Row]:
    logs = batch.logs
    for r in np.flatnonzero(_equal(logs.event_name, EVALUATION)):
        view = _view(logs.attributes, int(r))
        body = logs.body.of(int(r)).get("body")
        if isinstance(body, dict):
            view = View(logs.attributes, logs.attributes.rows(int(r)), body)
        span = int(logs.span_row[r])
        trace, own = logs.trace_id[r], logs.span_id[r]
        session = view.first(("session.id", "gen_ai.conversation.id"))
        yield {
            "origin": int(logs.origin[r]),
            "time_unix_ns": int(logs.time_unix_ns[r] or logs.observed_unix_ns[r]),
            "trace_id": trace.tobytes().hex() if trace.any() else None,
            "span_id": own.tobytes().hex() if own.any() else None,
            "session_id": session or (sessions[span].as_py() if span >= 0 else None),
            **_evaluation(view),
        }


def _view(table: AttributeTable, owner: int) -> View:
    return View(table, table.rows(owner))


def _equal(column: pa.Array, name: str) -> Any:
    return pc.equal(column, name).to_numpy(zero_copy_only=False) if len(column) else np.zeros(0, np.bool_)


def _finished(row: Row, lower_is_better: Mapping[str, bool]) -> Row:
    value, label = read_value(row.get("value")), _text(row.get("label"))
    return {
        **{k: row.get(k) for k in ("origin", "time_unix_ns", "trace_id", "span_id")},
        "response_id": _text(row.get("response_id")),
        "session_id": _text(row.get("session_id")),
        "name": _text(row.get("name")) or "feedback",
        "value": dump_json(value),
        "label": label,
        "comment": _text(row.get("comment")),
        "source": row["source"],
        "polarity": polarity(_text(row.get("name")), value, label, lower_is_better=lower_is_better),
    }


def _text(value: Any) -> str | None:
    return None if value is None or value == "" else to_text(value)
