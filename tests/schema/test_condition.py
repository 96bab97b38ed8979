"""Conditions: what is understood, what is refused and where, and that unknown is neither true nor false."""

from __future__ import annotations

import pytest

from schema.condition import ConditionError, like_to_regex, parse_condition

UNKNOWN_COLUMN = "span_kind = 'llm' AND servce_name = 'x'"


@pytest.mark.parametrize(
    ("text", "columns"),
    [
        ("span_kind = 'llm' AND duration_ms > 30000", {"span_kind", "duration_ms"}),
        ("NOT error OR (counted AND input_tokens BETWEEN 1 AND 5)", {"error", "counted", "input_tokens"}),
        ("tenant IN ('a', 'b') AND cost_usd >= 0.5", {"tenant", "cost_usd"}),
        ("output_text LIKE '%sorry%' AND output_text NOT ILIKE 'fine'", {"output_text"}),
        ("has(finish_reasons, 'length') AND length(output_text) < 20", {"finish_reasons", "output_text"}),
        ("span_attributes['retry.count'] > 2", {"span_attributes"}),
        ("resource_attributes['host'] IS NOT NULL", {"resource_attributes"}),
        ("30000 < duration_ms", {"duration_ms"}),
        ("name = '-- /* it''s # no comment */' AND\n\t output_text LIKE '{# %' ", {"name", "output_text"}),
    ],
)
def test_what_is_understood(text: str, columns: set[str]) -> None:
    condition = parse_condition(text)
    assert condition.text == text
    assert condition.columns == columns


@pytest.mark.parametrize(
    ("text", "offset", "said"),
    [
        (UNKNOWN_COLUMN, UNKNOWN_COLUMN.index("servce"), "Did you mean 'service_name'?"),
        ("span_kind = 'llm", 16, "a quote or comment does not end"),
        ("span_kind = 'llm' AND", 18, "does not parse"),
        ("span_kind = 'llm' 5", 18, "does not parse"),
        ("", 0, "write one condition"),
        ("error; error", 0, "write one condition"),
        ("name = 'x' AND sleep(3)", 15, "cannot hold 'sleep(3)'"),
        ("name IN (SELECT name FROM spans)", 0, "cannot hold"),
        ("duration_ms > 5 -- c", 16, "no comments"),
        ("duration_ms > 5 /* c */ AND error", 16, "no comments"),
        ("# c\nerror", 0, "no comments"),
        ("error #! x", 6, "no comments"),
        ("-- error", 0, "no comments"),
        ("name = 'it''s' AND {# c #} error", 19, "no comments"),
        ("name = 'a\0b'", 9, "NUL character"),
        ("error\0", 5, "NUL character"),
        ("error = NULL", 0, "IS NULL"),
        ("error IS TRUE", 0, "IS goes with NULL"),
        ("error > true", 0, "= and != only"),
        ("input_tokens > 'x'", 15, "input_tokens is a whole number"),
        ("span_kind = 3", 12, "span_kind is a text"),
        ("span_kind", 0, "compare it"),
        ("tags = 'x'", 7, "has(tags, 'x')"),
        ("tags IS NULL", 0, "length(tags) = 0"),
        ("has(name, 'x')", 0, "list column"),
        ("length(error) > 1", 0, "length"),
        ("name = provider", 7, "literal"),
        ("true", 0, "say nothing"),
        ("failing", 0, "decided by conditions"),
        ("span_attributes = 'x'", 0, "span_attributes['key']"),
        ("span_attributes['a']['b'] = 'x'", 0, "cannot hold"),
        ("spans.name = 'x'", 0, "cannot hold"),
        ("name LIKE 'x' ESCAPE '!'", 0, "cannot hold"),
        ("name = {p:String}", 0, "cannot hold"),
        ("input_tokens = 99999999999999999999", 15, "64 bits"),
        ("span_attributes['n'] > 0.0000000000000001", 23, "15 digits"),
        (f"name IN ({', '.join(['1'] * 1001)})", 0, "1000"),
        (f"name LIKE '{'a%' * 17}'", 10, "at most 16 %"),
        ("(" * 4000, 0, "nested"),
        ("name = '" + "x" * 5000 + "'", 4096, "4096"),
    ],
)
def test_what_is_refused_and_where(text: str, offset: int, said: str) -> None:
    with pytest.raises(ConditionError) as refused:
        parse_condition(text)
    assert said in str(refused.value)
    assert refused.value.offset == offset


def test_no_text_of_a_condition_reaches_the_sql() -> None:
    sql, bound = parse_condition(
        "name = 'a''); DROP' AND span_attributes['x'') OR 1'] LIKE '%q''%' AND has(tags, ''')')"
    ).sql("c")
    assert "'" not in sql.replace("nullIf(name, '')", "")
    assert list(bound) == [f"c_{i}" for i in range(len(bound))]
    assert bound["c_0"] == "a'); DROP"


@pytest.mark.parametrize(
    ("pattern", "regex"),
    [
        ("%a%", "(?s)a"),
        ("a%", "(?s)^a"),
        ("%a", "(?s)a$"),
        ("a", "(?s)^a$"),
        ("a_b%c", "(?s)^a.b.*c$"),
        (r"100\%", r"(?s)^100%$"),
        (r"a\\%", r"(?s)^a\\"),
        ("(.*)", r"(?s)^\(\.\*\)$"),
        ("%", "(?s)$"),
    ],
)
def test_patterns(pattern: str, regex: str) -> None:
    assert like_to_regex(pattern, ignore_case=False) == regex
