"""Whatever is written where a condition belongs is understood, or refused with its place, and does nothing else."""

from __future__ import annotations

import numpy as np
from hypothesis import example, given, settings
from hypothesis import strategies as st

from schema.condition import Condition, ConditionError, like_to_regex, parse_condition
from schema.condition.operands import COLUMNS
from schema.condition.predicates import Matches
from tests.clickhouse.otlp import batch_of, span, spans_record

WORDS = (
    *sorted(COLUMNS),
    *("AND", "OR", "NOT", "IN", "BETWEEN", "IS", "NULL", "LIKE", "ILIKE", "has", "length", "true", "false"),
    *(
        "=",
        "!=",
        "<",
        "<=",
        ">",
        ">=",
        "(",
        ")",
        ",",
        "[",
        "]",
        "-",
        "+",
        "*",
        "/",
        "%",
        ".",
        ";",
        "--",
        "/*",
        "*/",
        "::",
    ),
    *(
        "span_attributes",
        "resource_attributes",
        "'k'",
        "'a%'",
        "''",
        "1",
        "2.5",
        "1e3",
        "0x1F",
        "-7",
        "'",
        '"',
        "`",
        "\\",
    ),
    *("SELECT", "FROM", "CASE", "WHEN", "THEN", "END", "CAST", "AS", "INTERVAL", "ARRAY", "{p:String}", "?", "@", "$1"),
    *("EXISTS", "ANY", "lambda", "->", "x", "||", "&&", "COLLATE", "OVER", "DISTINCT", "UNION", "WITH", "SETTINGS"),
)
BATCH = batch_of(spans_record([span(1, 1, attributes={"k": "a"}), span(1, 2)]))


def understood(text: str) -> Condition | None:
    try:
        return parse_condition(text)
    except ConditionError as e:
        refused = e
    assert 0 <= refused.offset <= max(len(text), 1)
    assert refused.message
    return None


@settings(max_examples=400, deadline=None)
@given(st.lists(st.sampled_from(WORDS), min_size=1, max_size=12).map(" ".join) | st.text(max_size=40))
@example("name = 'a' " + "AND name = 'a' " * 250)
@example("NOT " * 1000 + "error")
@example("[" * 1000)
@example("- " * 1000 + "1 = 1")
@example("\x00")
@example("name = '\ud800'")
def test_nothing_else_comes_of_any_text(text: str) -> None:
    condition = understood(text)
    if condition is not None:
        mask = condition.mask(BATCH)
        assert mask.dtype == np.bool_
        assert len(mask) == len(BATCH)
        sql, bound = condition.sql("c")
        assert sql.count("{") == sql.count("}") >= len(bound)
        assert condition.columns <= {*COLUMNS, "span_attributes", "resource_attributes"}


def like(pattern: str, text: str) -> bool:
    """Say what LIKE says, character by character."""
    if not pattern:
        return not text
    if pattern[0] == "%":
        return any(like(pattern[1:], text[i:]) for i in range(len(text) + 1))
    if pattern[0] == "\\" and len(pattern) > 1:
        return text[:1] == pattern[1] and like(pattern[2:], text[1:])
    return bool(text) and pattern[0] in {"_", text[0]} and like(pattern[1:], text[1:])


@settings(max_examples=300, deadline=None)
@given(st.text("ab%_\\.*[é\n ", max_size=6), st.text("ab%_\\.*[é\n ", max_size=6))
@example("%\\", "\\")
@example("\\%%", "%a")
def test_patterns_mean_what_like_means(pattern: str, text: str) -> None:
    batch = batch_of(spans_record([span(1, 1)]), columns={"tool_name": [text]})
    condition = parse_condition("tool_name LIKE 'x'")
    root = condition._root
    assert isinstance(root, Matches)
    found = Matches(root.operand, like_to_regex(pattern, ignore_case=False)).holds(batch).to_pylist()
    assert found == [like(pattern, text)]
