"""Conditions on traces: `--where "field op value"` to SQL with bound parameters.

Only names and operators of the tables below reach the SQL text; every value is a parameter.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass, field
from datetime import UTC, datetime
from enum import StrEnum
from typing import TYPE_CHECKING

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
    """Conditions that must all hold: SQL that begins with AND (or is empty), and what it binds."""

    sql: str = ""
    parameters: Mapping[str, object] = field(default_factory=dict)
    fields: frozenset[str] = frozenset()
    """What is asked of a trace."""

    def and_(self, name: str, operator: str, value: str) -> Where:
        """Return these conditions and one more; the field and operator must be known ones."""
        condition, bound = _condition(name, operator, value, f"w{len(self.parameters)}")
        return Where(f"{self.sql} AND {condition}", {**self.parameters, **bound}, self.fields | {name})

    def received_from(self, hour: datetime) -> Where:
        """Return these conditions on what was received, in part at least, from this whole hour on."""
        bound = {"received_from": min(int(hour.timestamp()), LATEST_UNIX_S)}
        return Where(f"{self.sql} AND {sql(__package__, 'received')}", {**self.parameters, **bound}, self.fields)


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


def _condition(name: str, operator: str, value: str, parameter: str) -> tuple[str, dict[str, object]]:
    kind = FIELDS.get(name)
    if kind is None:
        raise BadInput(f"--where: there is no field {name!r}.{did_you_mean(name, FIELDS)}")
    if operator not in OPERATORS[kind]:
        raise BadInput(f"--where: {name} is a {kind} field; it compares with {' '.join(OPERATORS[kind])}")
    match kind:
        case FieldType.TEXT if operator == "~":
            return f"positionCaseInsensitiveUTF8(ifNull({name}, ''), {{{parameter}:String}}) > 0", {parameter: value}
        case FieldType.TEXT:
            return f"ifNull({name}, '') {operator} {{{parameter}:String}}", {parameter: value}
        case FieldType.NUMBER:
            return f"{name} {operator} {{{parameter}:Float64}}", {parameter: _number(name, value)}
        case FieldType.FLAG:
            return f"{name} {operator} {{{parameter}:UInt8}}", {parameter: _flag(name, value)}
        case FieldType.TIME:
            nanoseconds = _unix_ns(name, value)
            return f"toUnixTimestamp64Nano({name}) {operator} {{{parameter}:Int64}}", {parameter: nanoseconds}
        case FieldType.TEXTS if operator == "~":
            found = f"positionCaseInsensitiveUTF8(x, {{{parameter}:String}}) > 0"
            return f"arrayExists(x -> {found}, {name})", {parameter: value}
        case FieldType.TEXTS:
            return f"{'NOT ' if operator == '!=' else ''}has({name}, {{{parameter}:String}})", {parameter: value}


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
