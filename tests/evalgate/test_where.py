"""Conditions: names and operators from tables, everything else a bound parameter."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from evalgate.errors import BadInput
from evalgate.options import since_time
from evalgate.select.recent import RECENT_TRACES, SPAN_TRACES, TEXT_TRACES, most_traces
from evalgate.select.where import FIELDS, OPERATORS, parse_where, span_fields, unix_ns

ALLOWED = re.compile(
    r"( AND (NOT )?(positionCaseInsensitiveUTF8|ifNull|has|arrayExists|toUnixTimestamp64Nano|x -> |[a-z_]+|, ''|, |[()]"
    r"| (=|!=|>|<|>=|<=) |\{w\d+:(String|Float64|UInt8|Int64)\}| > 0)+)*"
)
WORDS = set(FIELDS) | {
    *("AND", "NOT", "positionCaseInsensitiveUTF8", "ifNull", "has", "arrayExists", "toUnixTimestamp64Nano", "x"),
}


@given(st.lists(st.text() | st.from_regex(r"[a-z_]+ ?(=|!=|~|>|<|>=|<=) ?.*", fullmatch=True), max_size=3))
def test_whatever_is_typed_never_reaches_the_sql(conditions: list[str]) -> None:
    try:
        where = parse_where(conditions)
    except BadInput:
        return
    assert ALLOWED.fullmatch(where.sql)


@given(
    st.sampled_from(sorted(FIELDS)),
    st.data(),
    st.text(max_size=30) | st.sampled_from(["1", "true", "2026-01-01"]),
)
def test_a_known_field_gives_known_words_only(field: str, data: st.DataObject, value: str) -> None:
    operator = data.draw(st.sampled_from(OPERATORS[FIELDS[field]]))
    try:
        where = parse_where([f"{field} {operator} {value}"])
    except BadInput:
        return
    assert ALLOWED.fullmatch(where.sql)
    assert set(re.findall(r"[A-Za-z_]\w*", re.sub(r"\{w\d+:\w+\}", "", where.sql))) <= WORDS
    assert list(where.parameters) == ["w0"]


@pytest.mark.parametrize(
    ("text", "sql", "value"),
    [
        ("service_name = shop", " AND ifNull(service_name, '') = {w0:String}", "shop"),
        ("service_name='a = b'", " AND ifNull(service_name, '') = {w0:String}", "a = b"),
        ("duration_ms>2e3", " AND duration_ms > {w0:Float64}", 2000.0),
        ("failing = Yes", " AND failing = {w0:UInt8}", 1),
        (
            "failure_reasons ~ feed",
            " AND arrayExists(x -> positionCaseInsensitiveUTF8(x, {w0:String}) > 0, failure_reasons)",
            "feed",
        ),
        ("failure_reasons != x", " AND NOT has(failure_reasons, {w0:String})", "x"),
        ("start_time >= 1970-01-01T00:00:01", " AND toUnixTimestamp64Nano(start_time) >= {w0:Int64}", 10**9),
        ("start_time < 1970-01-01T01:00:00+01:00", " AND toUnixTimestamp64Nano(start_time) < {w0:Int64}", 0),
        ("feature = ", " AND ifNull(feature, '') = {w0:String}", ""),
    ],
)
def test_what_a_condition_becomes(text: str, sql: str, value: object) -> None:
    where = parse_where([text])
    assert where.sql == sql
    assert where.parameters == {"w0": value}


SPAN = re.compile(
    r" AND -- A condition: traces with a span that meets conditions\.\ntrace_id IN \(\n"
    r"    SELECT lower\(hex\(trace_id\)\)\n    FROM tenant_settled_spans\(tenant = \{tenant:String\}\)\n"
    r"    WHERE true (.+)\n\)\n"
)


@pytest.mark.parametrize(
    ("texts", "sql"),
    [
        (["tool_name = search"], [" AND ifNull(tool_name, '') = {w0:String}"]),
        (["span.input_tokens > 9"], [" AND input_tokens > {w0:Float64}"]),
        (
            ["span.model ~ m"],
            [" AND positionCaseInsensitiveUTF8(ifNull(ifNull(response_model, request_model), ''), {w0:String}) > 0"],
        ),
        (["finish_reasons = length"], [" AND has(finish_reasons, {w0:String})"]),
        (
            ["span.error = true", "error_type = Timeout"],
            [" AND error = {w0:UInt8} AND ifNull(error_type, '') = {w1:String}"],
        ),
        (
            ["text ~ money back"],
            [
                (
                    " AND ((positionCaseInsensitiveUTF8(ifNull(input_text, ''), {w0:String}) > 0"
                    " AND positionCaseInsensitiveUTF8(ifNull(input_text, ''), {w1:String}) > 0)"
                    " OR (positionCaseInsensitiveUTF8(ifNull(output_text, ''), {w0:String}) > 0"
                    " AND positionCaseInsensitiveUTF8(ifNull(output_text, ''), {w1:String}) > 0))"
                )
            ],
        ),
    ],
)
def test_what_a_condition_on_spans_becomes(texts: list[str], sql: list[str]) -> None:
    where = parse_where(texts)
    assert SPAN.findall(where.sql) == sql
    assert SPAN.sub("", where.sql) == ""
    assert set(re.findall(r"\{(w\d+):", where.sql)) == set(where.parameters)


def test_conditions_on_spans_are_asked_of_the_hours_that_are_read() -> None:
    hour = datetime(2026, 11, 20, tzinfo=UTC)
    where = parse_where(["tool_name = search", "text ~ refund", "service_name = shop"]).received_from(hour)
    bounds = [
        found.startswith(" AND received_at >= toDateTime({received_from:UInt32}") for found in SPAN.findall(where.sql)
    ]
    assert bounds == [True, True]
    assert where.parameters["received_from"] == int(hour.timestamp())


@pytest.mark.parametrize(
    ("condition", "most"),
    [
        ("service_name = shop", RECENT_TRACES),
        ("tool_name = search", SPAN_TRACES),
        ("text ~ refund", TEXT_TRACES),
        ("tool_arguments ~ refund", TEXT_TRACES),
    ],
)
def test_the_more_is_read_of_a_trace_the_fewer_are_looked_at(condition: str, most: int) -> None:
    assert most_traces(parse_where([condition])) == most
    assert RECENT_TRACES > SPAN_TRACES > TEXT_TRACES


@given(
    st.sampled_from(sorted(span_fields())),
    st.data(),
    st.text(max_size=30) | st.sampled_from(["1", "true", "2026-01-01", "' OR 1=1 --"]),
)
def test_a_field_of_spans_gives_known_words_only(field: str, data: st.DataObject, value: str) -> None:
    column, kind = span_fields()[field]
    operator = data.draw(st.sampled_from(OPERATORS[kind]))
    try:
        where = parse_where([f"span.{field} {operator} {value}"])
    except BadInput:
        return
    (found,) = SPAN.findall(where.sql)
    allowed = WORDS | set(re.findall(r"[A-Za-z_]\w*", column)) | {"e6"}
    assert set(re.findall(r"[A-Za-z_]\w*", re.sub(r"\{w\d+:\w+\}", "", found))) <= allowed
    assert list(where.parameters) == ["w0"]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("shop", "is not a condition"),
        ("servic_name = x", "Did you mean 'service_name'?"),
        ("tool_nam = x", "Did you mean 'tool_name'?"),
        ("span.tool_nam = x", "Did you mean 'span.tool_name'?"),
        ("span.trace_id = x", "there is no field"),
        ("span.finish_reasons > x", "it compares with = != ~"),
        ("text = x", "compares with ~ alone"),
        ("text ~ ", "takes 1 to 20 words, not 0"),
        ("1=1 OR service_name = x", "there is no field '1'"),
        ("duration_ms ~ 3", "is a number field; it compares with"),
        ("duration_ms > fast", "compares with a number"),
        ("duration_ms > nan", "finite"),
        ("failing = perhaps", "is true or false"),
        ("failing > 1", "it compares with = !="),
        ("start_time > monday", "compares with a time"),
        ("failure_reasons > x", "it compares with = != ~"),
    ],
)
def test_a_wrong_condition_says_what_is_right(text: str, words: str) -> None:
    with pytest.raises(BadInput) as error:
        parse_where([text])
    assert words in str(error.value)


NOW = datetime(2026, 11, 20, 12, 0, tzinfo=UTC)


@pytest.mark.parametrize(
    ("text", "moment"),
    [
        (None, None),
        ("30m", NOW - timedelta(minutes=30)),
        ("24h", NOW - timedelta(days=1)),
        ("7d", NOW - timedelta(days=7)),
        ("2w", NOW - timedelta(days=14)),
        ("2026-11-01", datetime(2026, 11, 1, tzinfo=UTC)),
        ("2026-11-01T10:00:00+02:00", datetime(2026, 11, 1, 8, tzinfo=UTC)),
    ],
)
def test_since(text: str | None, moment: datetime | None) -> None:
    assert since_time(text, NOW) == moment


@pytest.mark.parametrize("text", ["", "d", "7", "7y", "-7d", "٣d", "yesterday", "9999999999999d", "99999999d"])
def test_since_refuses_what_is_no_time(text: str) -> None:
    with pytest.raises(BadInput, match="--since"):
        since_time(text, NOW)


@given(st.datetimes(min_value=datetime(1900, 1, 1), max_value=datetime(2261, 1, 1), timezones=st.just(UTC)))  # noqa: DTZ001 - the strategy takes naive bounds
def test_nanoseconds_are_exact(moment: datetime) -> None:
    assert datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=unix_ns(moment) // 1000) == moment
