"""Traces as the database tells of them."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from evalgate.database import sql
from evalgate.errors import BadInput

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from evalgate.database import TenantDatabase
    from evalgate.select.where import Where

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class TraceRow:
    """One trace, summed up; the columns of the view `traces`."""

    trace_id: str
    start_unix_ns: int
    duration_ms: float
    root_name: str
    service_name: str
    span_count: int
    error_count: int
    llm_calls: int
    input_tokens: int | None
    output_tokens: int | None
    cost_usd: float | None
    session_id: str | None
    user_id: str | None
    agent_name: str | None
    feature: str | None
    environment: str | None
    release: str | None
    failing: bool
    failure_reasons: tuple[str, ...]
    baseline: bool
    baseline_rate: float
    arrival_rate: float | None
    """Part of all traces that samplers before us let through; None: nobody said."""
    policy_versions: tuple[str, ...]
    flagged: bool
    inclusion_probability: float
    sample_weight: float
    """How many traces this one stands for; 0 where it is not flagged."""
    trace_defects: tuple[str, ...]
    """What is wrong with the record itself."""

    @property
    def start_time(self) -> str:
        """ISO 8601, UTC."""
        return iso_time(self.start_unix_ns)

    @property
    def why(self) -> str:
        """Why a person should look at it, or not."""
        if self.failing:
            return ", ".join(self.failure_reasons) or "failing"
        return f"baseline {self.baseline_rate * 100:g} %" if self.baseline else ""


@dataclass(frozen=True, slots=True)
class Span:
    """One span; JSON columns are parsed."""

    span_id: str
    parent_span_id: str
    start_unix_ns: int
    duration_ms: float
    name: str
    status_code: str
    status_message: str
    service_name: str
    kind: str
    counted: bool
    model: str | None
    input_tokens: int | None
    output_tokens: int | None
    finish_reasons: tuple[str, ...]
    input_messages: tuple[Mapping[str, Any], ...]
    output_messages: tuple[Mapping[str, Any], ...]
    input_text: str | None
    output_text: str | None
    tool_name: str | None
    tool_arguments: Any
    tool_result: Any
    error: bool
    error_type: str | None
    error_message: str | None
    feature: str | None
    tags: tuple[str, ...]
    defects: tuple[str, ...]
    failing: bool
    failure_reasons: tuple[str, ...]

    @property
    def problem(self) -> str:
        """What went wrong, in a few words; empty if nothing did."""
        words = [self.error_type or "", self.error_message or (self.status_message if self.error else "")]
        said = ": ".join(dict.fromkeys(w for w in words if w))
        return said or ", ".join(self.failure_reasons) or ("error" if self.error else "")


@dataclass(frozen=True, slots=True)
class Trace:
    """Everything that is known of one trace."""

    row: TraceRow
    spans: tuple[Span, ...]
    """In order of start; each span id once."""
    feedback: tuple[Mapping[str, Any], ...]
    labels: tuple[Mapping[str, Any], ...]
    """The labels that stand, the oldest first."""


@dataclass(frozen=True, slots=True)
class Totals:
    """How many traces meet the conditions."""

    traces: int
    failing: int
    flagged: int


def list_traces(database: TenantDatabase, where: Where, limit: int) -> list[TraceRow]:
    """Return the traces that meet the conditions: failing first, then sampled, then the rest; the latest first."""
    listed = sql(__package__, "listed").replace("/* conditions */", where.sql)
    text = sql(__package__, "traces").replace("/* conditions */", f"AND trace_id IN ({listed})")
    rows = database.rows(text, {"limit": limit, **where.parameters})
    return [trace_row(r) for r in rows]


def last_messages(database: TenantDatabase, where: Where, limit: int) -> dict[str, str]:
    """Return what the user said last, by trace id, of the traces that `list_traces` returns; cut for a line."""
    text = sql(__package__, "asked").replace("/* conditions */", where.sql)
    rows = database.rows(text, {"limit": limit, **where.parameters})
    return {r["trace_id_hex"]: r["asked"] for r in rows}


def count_traces(database: TenantDatabase, where: Where) -> Totals:
    """Return how many there are."""
    text = sql(__package__, "totals").replace("/* conditions */", where.sql)
    (row,) = database.rows(text, where.parameters)
    return Totals(row["n_traces"], row["n_failing"], row["n_flagged"])


def resolve_trace(database: TenantDatabase, prefix: str) -> str:
    """Return the one trace id that begins with these hex digits.

    Raises:
        BadInput: none does, or several do.

    """
    wanted = prefix.strip().lower()
    if not wanted or set(wanted) - set("0123456789abcdef") or len(wanted) > 32:
        raise BadInput(f"{prefix[:40]!r} is not a trace id: hex digits, at most 32. List them: evalgate traces")
    found = [r["trace_id"] for r in database.rows(sql(__package__, "prefix"), {"prefix": wanted})]
    if not found:
        raise BadInput(f"no trace begins with {wanted}. List them: evalgate traces")
    if len(found) > 1:
        some = ", ".join(found[:3])
        raise BadInput(f"{wanted} is not unique: {some}{', …' if len(found) > 3 else ''}. Give more digits")
    return str(found[0])


def load_trace(database: TenantDatabase, trace_id: str) -> Trace:
    """Read one trace by its whole id.

    Raises:
        BadInput: there is none.

    """
    found = load_traces(database, [trace_id])
    if trace_id not in found:
        raise BadInput(f"there is no trace {trace_id}. List them: evalgate traces")
    return found[trace_id]


def load_traces(database: TenantDatabase, trace_ids: Sequence[str]) -> dict[str, Trace]:
    """Read traces by their whole ids; those that are not there are left out. All are in memory at once."""
    which: dict[str, object] = {"trace_ids": list(trace_ids)}
    text = sql(__package__, "traces").replace("/* conditions */", "AND trace_id IN {trace_ids:Array(String)}")
    rows = database.rows(text, which)
    spans: dict[str, dict[str, Span]] = {}
    for r in database.rows(sql(__package__, "spans"), which):
        spans.setdefault(r["trace_hex"], {}).setdefault(r["span_hex"], _span(r))
    feedback, labels = (_by_trace(database.rows(sql(__package__, name), which)) for name in ("feedback", "labels"))
    return {
        row.trace_id: Trace(
            row=row,
            spans=tuple(spans.get(row.trace_id, {}).values()),
            feedback=tuple(feedback.get(row.trace_id, ())),
            labels=tuple(labels.get(row.trace_id, ())),
        )
        for row in map(trace_row, rows)
    }


def row_json(row: TraceRow) -> dict[str, Any]:
    """Return the JSON object of a trace in a list."""
    return {**asdict(row), "start_time": row.start_time}


def trace_row(r: Mapping[str, Any]) -> TraceRow:
    """Return the trace in a row of the list."""
    lists = {name: tuple(r[name]) for name in ("failure_reasons", "policy_versions", "trace_defects")}
    return TraceRow(**{**r, **lists})


def iso_time(unix_ns: int) -> str:
    """Return ISO 8601 in UTC, to the microsecond."""
    return (EPOCH + timedelta(microseconds=unix_ns // 1000)).isoformat(timespec="microseconds")


def _by_trace(rows: Iterable[Mapping[str, Any]]) -> dict[str, list[Mapping[str, Any]]]:
    """Return the rows of each trace, without its id."""
    found: dict[str, list[Mapping[str, Any]]] = {}
    for r in rows:
        found.setdefault(r["trace_id"], []).append({k: v for k, v in r.items() if k != "trace_id"})
    return found


def _span(r: Mapping[str, Any]) -> Span:
    return Span(
        span_id=r["span_hex"],
        parent_span_id=r["parent_hex"],
        start_unix_ns=r["start_unix_ns"],
        duration_ms=r["duration_ns"] / 1e6,
        name=r["name"],
        status_code=r["status_code"],
        status_message=r["status_message"],
        service_name=r["service_name"],
        kind=r["span_kind"] or "other",
        counted=bool(r["counted"]),
        model=r["response_model"] or r["request_model"],
        input_tokens=r["input_tokens"],
        output_tokens=r["output_tokens"],
        finish_reasons=tuple(r["finish_reasons"]),
        input_messages=_messages(r["input_messages"]),
        output_messages=_messages(r["output_messages"]),
        input_text=r["input_text"],
        output_text=r["output_text"],
        tool_name=r["tool_name"],
        tool_arguments=_parsed(r["tool_arguments"]),
        tool_result=_parsed(r["tool_result"]),
        error=bool(r["error"]) or r["status_code"] == "error",
        error_type=r["error_type"],
        error_message=r["error_message"],
        feature=r["feature"],
        tags=tuple(r["tags"]),
        defects=tuple(r["defects"]),
        failing=bool(r["failing"]),
        failure_reasons=tuple(r["failure_reasons"]),
    )


def _parsed(text: str | None) -> Any:
    """Return the value of a JSON column; text that is no JSON stays text."""
    if text is None:
        return None
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return text


def _messages(text: str | None) -> tuple[Mapping[str, Any], ...]:
    """Return the messages that have the canonical shape."""
    value = _parsed(text)
    if not isinstance(value, list):
        return ()
    return tuple(
        m
        for m in value
        if isinstance(m, dict) and isinstance(m.get("parts"), list) and all(isinstance(p, dict) for p in m["parts"])
    )
