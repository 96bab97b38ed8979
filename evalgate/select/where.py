"""Conditions on traces: `--where "field op value"` to SQL with bound parameters.

    duration_ms > 2000                  a column of the view `traces`
    span.tool_name = search             a column of the spans: the trace has a span of which this holds
    span.error = true                   conditions on spans hold of one and the same span
    text ~ money back                   words that all stand in one text that a span was given, or gave

A column that only spans have needs no `span.`. Only names and operators of the tables below and of the canonical schema
reach the SQL text; every value is a parameter.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from enum import StrEnum
from functools import cache
from typing import TYPE_CHECKING, Final

from evalgate.database import sql
from evalgate.errors import BadInput
from schema.fields import did_you_mean

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping


class FieldType(StrEnum):
    """How a field compares."""

    TEXT = "text"
    NUMBER = "number"
    FLAG = "flag"
    TIME = "time"
    TEXTS = "texts"


FIELDS: Mapping[str, FieldType] = {
    "trace_id": FieldType.TEXT,
    "root_name": FieldType.TEXT,
    "service_name": FieldType.TEXT,
    "session_id": FieldType.TEXT,
    "user_id": FieldType.TEXT,
    "agent_name": FieldType.TEXT,
    "feature": FieldType.TEXT,
    "environment": FieldType.TEXT,
    "release": FieldType.TEXT,
    "duration_ms": FieldType.NUMBER,
    "span_count": FieldType.NUMBER,
    "error_count": FieldType.NUMBER,
    "llm_calls": FieldType.NUMBER,
    "input_tokens": FieldType.NUMBER,
    "output_tokens": FieldType.NUMBER,
    "cost_usd": FieldType.NUMBER,
    "baseline_rate": FieldType.NUMBER,
    "arrival_rate": FieldType.NUMBER,
    "inclusion_probability": FieldType.NUMBER,
    "sample_weight": FieldType.NUMBER,
    "failing": FieldType.FLAG,
    "baseline": FieldType.FLAG,
    "flagged": FieldType.FLAG,
    "start_time": FieldType.TIME,
    "end_time": FieldType.TIME,
    "failure_reasons": FieldType.TEXTS,
    "policy_versions": FieldType.TEXTS,
    "trace_defects": FieldType.TEXTS,
}
"""Columns of the view `traces` that may be asked for."""

TEXT: Final = "text"
"""What was said: the field of words in texts of spans."""
MAX_WORDS: Final = 20
OF_SPAN: Final = "span."
SPAN_FIELDS: Mapping[str, tuple[str, FieldType]] = {
    "name": ("name", FieldType.TEXT),
    "model": ("ifNull(response_model, request_model)", FieldType.TEXT),
    "status_code": ("status_code", FieldType.TEXT),
    "status_message": ("status_message", FieldType.TEXT),
    "scope_name": ("scope_name", FieldType.TEXT),
    "scope_version": ("scope_version", FieldType.TEXT),
    "duration_ms": ("(duration_ns / 1e6)", FieldType.NUMBER),
    "start_time": ("start_time", FieldType.TIME),
    "end_time": ("end_time", FieldType.TIME),
}
"""Columns of spans beside the canonical ones: name to SQL."""

CONTENT: Final = (
    "input_text", "output_text", "input_messages", "output_messages", "system_instructions", "tool_arguments",
    "tool_result", "metadata", "request_params",
)  # fmt: skip

OPERATORS: Mapping[FieldType, tuple[str, ...]] = {
    FieldType.TEXT: ("=", "!=", "~", ">", "<", ">=", "<="),
    FieldType.NUMBER: ("=", "!=", ">", "<", ">=", "<="),
    FieldType.FLAG: ("=", "!="),
    FieldType.TIME: ("=", "!=", ">", "<", ">=", "<="),
    FieldType.TEXTS: ("=", "!=", "~"),
}
CONDITION = re.compile(r"\s*([^\s=!<>~]+)\s*(!=|>=|<=|=|>|<|~)\s*(.*?)\s*", re.DOTALL)
LATEST_UNIX_S = 2**32 - 1
"""The end of ClickHouse's DateTime, in 2106."""
FLAGS = {"true": 1, "yes": 1, "1": 1, "false": 0, "no": 0, "0": 0}


@dataclass(frozen=True, slots=True)
class Where:
    """Conditions that must all hold, and what they bind."""

    of_trace: str = ""
    """SQL that begins with AND, or is empty."""
    parameters: Mapping[str, object] = field(default_factory=dict)
    fields: frozenset[str] = frozenset()
    """What is asked of a trace."""
    of_span: str = ""
    """The same, of one span of the trace."""
    texts: tuple[str, ...] = ()
    """The same; each of a span of its own."""

    @property
    def sql(self) -> str:
        """Return SQL that begins with AND (or is empty)."""
        received = " AND received_at >= toDateTime({received_from:UInt32}, 'UTC')"
        bound = received if "received_from" in self.parameters else ""
        text = sql(__package__, "of_span") if self.reads_spans else ""
        spans = [s for s in (self.of_span, *self.texts) if s]
        return self.of_trace + "".join(f" AND {text.replace('/* conditions */', bound + s)}" for s in spans)

    @property
    def reads_spans(self) -> bool:
        """Return whether something is asked of spans."""
        return bool(self.of_span or self.texts)

    @property
    def reads_content(self) -> bool:
        """Return whether something is asked of what was said, which is most of what is stored."""
        return bool(self.texts) or any(OF_SPAN + name in self.fields for name in CONTENT)

    def and_(self, name: str, operator: str, value: str) -> Where:
        """Return these conditions and one more; the field and operator must be known ones."""
        parameter = f"w{len(self.parameters)}"
        if name == TEXT:
            found, bound = _words(operator, value, len(self.parameters))
            return self._with(bound, name, texts=(*self.texts, f" AND {found}"))
        if name in FIELDS:
            found, bound = _condition(name, name, FIELDS[name], operator, value, parameter)
            return self._with(bound, name, of_trace=f"{self.of_trace} AND {found}")
        own = name.removeprefix(OF_SPAN)
        known = span_fields()
        if own not in known:
            every = [*FIELDS, TEXT, *(known if name == own else (OF_SPAN + k for k in known))]
            raise BadInput(f"--where: there is no field {name!r}.{did_you_mean(name, every)}")
        column, kind = known[own]
        found, bound = _condition(name, column, kind, operator, value, parameter)
        return self._with(bound, OF_SPAN + own, of_span=f"{self.of_span} AND {found}")

    def received_from(self, hour: datetime) -> Where:
        """Return these conditions on what was received, in part at least, from this whole hour on."""
        found = self.spans_from(hour)
        return replace(found, of_trace=f"{self.of_trace} AND {sql(__package__, 'received')}")

    def spans_from(self, hour: datetime) -> Where:
        """Return these conditions, of which those on spans are asked of what was received from this whole hour on."""
        bound = {"received_from": min(max(int(hour.timestamp()), 0), LATEST_UNIX_S)}
        return replace(self, parameters={**self.parameters, **bound})

    def with_sql(self, condition: str, parameters: Mapping[str, object]) -> Where:
        """Return these conditions and one out of a file of ours."""
        return replace(self, of_trace=f"{self.of_trace} AND {condition}", parameters={**self.parameters, **parameters})

    def _with(
        self,
        bound: Mapping[str, object],
        name: str,
        *,
        of_trace: str | None = None,
        of_span: str | None = None,
        texts: tuple[str, ...] | None = None,
    ) -> Where:
        return Where(
            of_trace=self.of_trace if of_trace is None else of_trace,
            parameters={**self.parameters, **bound},
            fields=self.fields | {name},
            of_span=self.of_span if of_span is None else of_span,
            texts=self.texts if texts is None else texts,
        )


@cache
def span_fields() -> Mapping[str, tuple[str, FieldType]]:
    """Return every column of spans that may be asked for: name to SQL and how it compares."""
    import pyarrow as pa  # noqa: PLC0415 - the gate must not need it

    from schema.span import CANONICAL  # noqa: PLC0415

    def kind(of: pa.DataType) -> FieldType:
        if pa.types.is_list(of):
            return FieldType.TEXTS
        if pa.types.is_boolean(of):
            return FieldType.FLAG
        return FieldType.TEXT if pa.types.is_string(of) else FieldType.NUMBER

    return {**SPAN_FIELDS, **{f.name: (f.name, kind(f.type)) for f in CANONICAL}}


def parse_where(conditions: Iterable[str]) -> Where:
    """Read conditions such as "duration_ms > 2000", "service_name = shop" or "failure_reasons ~ feedback".

    Raises:
        BadInput: not a condition, an unknown field, an operator that does not fit, a value of the wrong kind.

    """
    where = Where()
    for text in conditions:
        match = CONDITION.fullmatch(text)
        if match is None:
            raise BadInput(f"--where {text!r} is not a condition; write for example: --where 'duration_ms > 2000'")
        name, operator, value = match.groups()
        where = where.and_(name, operator, _unquoted(value))
    return where


def _words(operator: str, value: str, first: int) -> tuple[str, dict[str, object]]:
    """Return a condition on a span: all words stand in its input text, or all in its output text."""
    words = value.split()
    if operator != "~":
        raise BadInput(f"--where: {TEXT} compares with ~ alone: --where '{TEXT} ~ money back'")
    if not 0 < len(words) <= MAX_WORDS:
        raise BadInput(f"--where: {TEXT} ~ takes 1 to {MAX_WORDS} words, not {len(words)}")
    bound: dict[str, object] = {f"w{first + i}": word for i, word in enumerate(words)}

    def all_in(column: str) -> str:
        text = f"ifNull({column}, '')"
        return " AND ".join(f"positionCaseInsensitiveUTF8({text}, {{{w}:String}}) > 0" for w in bound)

    return f"(({all_in('input_text')}) OR ({all_in('output_text')}))", bound


def _condition(  # noqa: PLR0917 - what a condition is made of
    name: str, column: str, kind: FieldType, operator: str, value: str, parameter: str
) -> tuple[str, dict[str, object]]:
    if operator not in OPERATORS[kind]:
        raise BadInput(f"--where: {name} is a {kind} field; it compares with {' '.join(OPERATORS[kind])}")
    match kind:
        case FieldType.TEXT if operator == "~":
            return f"positionCaseInsensitiveUTF8(ifNull({column}, ''), {{{parameter}:String}}) > 0", {parameter: value}
        case FieldType.TEXT:
            return f"ifNull({column}, '') {operator} {{{parameter}:String}}", {parameter: value}
        case FieldType.NUMBER:
            return f"{column} {operator} {{{parameter}:Float64}}", {parameter: _number(name, value)}
        case FieldType.FLAG:
            return f"{column} {operator} {{{parameter}:UInt8}}", {parameter: _flag(name, value)}
        case FieldType.TIME:
            nanoseconds = _unix_ns(name, value)
            return f"toUnixTimestamp64Nano({column}) {operator} {{{parameter}:Int64}}", {parameter: nanoseconds}
        case FieldType.TEXTS if operator == "~":
            found = f"positionCaseInsensitiveUTF8(x, {{{parameter}:String}}) > 0"
            return f"arrayExists(x -> {found}, {column})", {parameter: value}
        case FieldType.TEXTS:
            return f"{'NOT ' if operator == '!=' else ''}has({column}, {{{parameter}:String}})", {parameter: value}


def _unquoted(value: str) -> str:
    quoted = len(value) >= 2 and value[0] == value[-1] and value[0] in "'\""
    return value[1:-1] if quoted else value


def _number(name: str, value: str) -> float:
    try:
        number = float(value)
    except ValueError:
        raise BadInput(f"--where: {name} compares with a number, not {value!r}") from None
    if not math.isfinite(number):
        raise BadInput(f"--where: {name} compares with a finite number, not {value!r}")
    return number


def _flag(name: str, value: str) -> int:
    if value.lower() not in FLAGS:
        raise BadInput(f"--where: {name} is true or false, not {value!r}")
    return FLAGS[value.lower()]


def _unix_ns(name: str, value: str) -> int:
    try:
        moment = datetime.fromisoformat(value)
    except ValueError:
        raise BadInput(f"--where: {name} compares with a time such as 2026-11-20T09:30, not {value!r}") from None
    return unix_ns(moment if moment.tzinfo else moment.replace(tzinfo=UTC))


def unix_ns(moment: datetime) -> int:
    """Return the nanoseconds of an aware time since 1970, exactly."""
    since = moment - datetime(1970, 1, 1, tzinfo=UTC)
    return ((since.days * 86_400 + since.seconds) * 1_000_000 + since.microseconds) * 1000
