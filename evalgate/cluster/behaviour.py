"""What a trace said and did, as clusters see it: one row per trace, texts cut."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import TYPE_CHECKING, Any, Final

from evalgate.database import sql

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from evalgate.database import TenantDatabase
    from evalgate.select.where import Where

TEXT_CHARS: Final = 1_500
"""Of a request and of an answer: what they are about is said by then."""
MAX_STEPS: Final = 200
"""Tool calls of a trace, and model calls that ask for tools; loops are plain by then."""
OF_IDS = "trace_id IN (SELECT toFixedString(unhex(arrayJoin({trace_ids:Array(String)})), 16))"
"""The spans of these traces."""
IDS_AT_A_TIME: Final = 1_000


class Scope(StrEnum):
    """Which traces are grouped."""

    FAILING = "failing"
    ALL = "all"
    """Every one that stands for traffic: failing, or of the sample."""


@dataclass(frozen=True, slots=True)
class Behaviour:
    """One trace."""

    trace_id: str
    start_unix_ns: int
    root_name: str = ""
    service_name: str = ""
    feature: str = ""
    failing: bool = False
    failure_reasons: tuple[str, ...] = ()
    weight: float = 1.0
    """How many traces it stands for."""
    in_window: bool = True
    """False: grouped along to know clusters again, or because a case was made of it."""
    spans: int = 1
    errors_counted: int = 0
    llm_calls: int = 0
    asked: str = ""
    answered: str = ""
    errors: tuple[str, ...] = ()
    """Type and message of each error, sorted."""
    comments: str = ""
    """What reviewers and users wrote."""
    tools: tuple[str, ...] = ()
    """In the order of the calls."""
    tools_failed: tuple[str, ...] = ()
    finish_reasons: tuple[str, ...] = ()
    kinds: Mapping[str, int] = field(default_factory=dict)
    """Spans by kind."""


@dataclass(frozen=True, slots=True)
class Corpus:
    """The traces of one run, by trace id."""

    behaviours: tuple[Behaviour, ...]
    found: int
    """Traces of the window that meet the conditions; more than are here, where there is a limit."""

    @property
    def window(self) -> list[Behaviour]:
        """Those that count."""
        return [b for b in self.behaviours if b.in_window]


def conditions_of(where: Where, scope: Scope) -> Where:
    """Return conditions and those of the scope."""
    if scope is Scope.FAILING:
        return where.and_("failing", "=", "true")
    return where.and_("sample_weight", ">", "0")


def read_corpus(database: TenantDatabase, where: Where, limit: int, along: Iterable[str] = ()) -> Corpus:
    """Return the latest traces that meet the conditions, and those of `along` that are still stored, outside of it.

    One row per trace leaves the database, no spans: at most about 6 kB each.
    """
    bound = {"limit": limit, **where.parameters}

    def text(name: str) -> str:
        return sql(__package__, name).replace("/* conditions */", where.sql)

    (counted,) = database.rows(text("counted"), where.parameters)
    picked = {str(r["trace_id"]): r for r in database.rows(text("picked"), bound)}
    found = list(_joined(database, picked, text("of_window"), bound))
    others = sorted(set(along) - picked.keys())
    for i in range(0, len(others), IDS_AT_A_TIME):
        ids: dict[str, object] = {"trace_ids": others[i : i + IDS_AT_A_TIME]}
        some = sql(__package__, "picked").replace("/* conditions */", "AND trace_id IN {trace_ids:Array(String)}")
        rows = {str(r["trace_id"]): r for r in database.rows(some, {**ids, "limit": IDS_AT_A_TIME})}
        joined = _joined(database, rows, OF_IDS, ids)
        found += [replace(b, in_window=False) for b in joined]
    return Corpus(tuple(sorted(found, key=lambda b: b.trace_id)), int(counted["n"]))


def _joined(
    database: TenantDatabase, picked: Mapping[str, Mapping[str, Any]], which: str, bound: Mapping[str, object]
) -> Iterator[Behaviour]:
    """Yield the behaviour of picked traces; `which` is the condition that means their spans."""
    if not picked:
        return
    text = sql(__package__, "behaviour").replace("/* which */", f"AND {which}")
    first = min(int(r["received_unix_s"]) for r in picked.values())
    rows = database.rows(text, {**bound, "chars": TEXT_CHARS, "steps": MAX_STEPS, "first_received": first})
    comments = _comments(database, sorted(picked))
    for row in rows:
        if known := picked.get(str(row["trace_hex"])):  # others came in between two statements
            yield behaviour(known, row, comments.get(str(row["trace_hex"]), ""))


def _comments(database: TenantDatabase, ids: Sequence[str]) -> dict[str, str]:
    found: dict[str, str] = {}
    for i in range(0, len(ids), IDS_AT_A_TIME):
        rows = database.rows(sql(__package__, "comments"), {"trace_ids": ids[i : i + IDS_AT_A_TIME]})
        found |= {str(r["trace_id"]): str(r["comments"]) for r in rows}
    return found


def behaviour(trace: Mapping[str, Any], said: Mapping[str, Any], comments: str) -> Behaviour:
    """Return the behaviour in rows of picked.sql and behaviour.sql."""
    kinds = {"tool": said["tool_spans"], "retrieval": said["retrieval_spans"], "agent": said["agent_spans"]}
    return Behaviour(
        trace_id=str(trace["trace_id"]),
        start_unix_ns=int(trace["start_unix_ns"]),
        root_name=str(trace["root_name"]),
        service_name=str(trace["service_name"]),
        feature=str(trace["feature_name"]),
        failing=bool(trace["failing"]),
        failure_reasons=tuple(map(str, trace["failure_reasons"])),
        weight=float(trace["sample_weight"]),
        spans=int(trace["span_count"]),
        errors_counted=int(trace["error_count"]),
        llm_calls=int(trace["llm_calls"]),
        asked=str(said["asked"]),
        answered=str(said["answered"]),
        errors=tuple(map(str, said["errors"])),
        comments=comments,
        tools=tuple(map(str, said["ran"] or said["called"]))[:MAX_STEPS],
        tools_failed=tuple(map(str, said["tools_failed"])),
        finish_reasons=tuple(map(str, said["finished"])),
        kinds={kind: int(n) for kind, n in kinds.items() if n},
    )
