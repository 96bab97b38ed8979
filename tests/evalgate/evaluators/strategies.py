"""Rules of every type, cases and outputs, for hypothesis."""

from __future__ import annotations

import json
from typing import Any

from hypothesis import strategies as st

from schema.case import Case, CaseInput, Observed
from schema.run import Output

WORDS = st.sampled_from(
    ["90 days", "30 days", "Refund", "refund!", "a", "ß", "SS", "\u2019", "I can't help with", "\n"]
)
TEXTS = st.lists(WORDS, max_size=6).map(" ".join)
SOME_TEXT = TEXTS.filter(str.strip)
VALUES = st.sampled_from([1, 1.0, True, "o-7", None, [1], {"a": 1}])
ARGUMENTS = st.dictionaries(st.sampled_from(["id", "full"]), VALUES, max_size=2)
CALLS = st.lists(st.fixed_dictionaries({"name": st.sampled_from(["t", "u"]), "arguments": ARGUMENTS}), max_size=4)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-5, 5) | st.sampled_from([0.5, 1.0, "x", "xyz", ""]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["a", "b", "c"]), inner, max_size=3),
    max_leaves=6,
)
BOOLEANS = st.booleans()
SIZES = st.integers(0, 30)


def _rule(kind: str, **fields: Any) -> st.SearchStrategy[dict[str, Any]]:
    return st.fixed_dictionaries({"type": st.just(kind), **fields})


SCHEMAS = st.recursive(
    st.booleans()
    | st.fixed_dictionaries(
        {},
        optional={
            "type": st.sampled_from(
                ["string", "integer", "number", "object", "array", "boolean", "null", ["null", "string"]]
            ),
            "enum": st.lists(JSON, min_size=1, max_size=3),
            "const": JSON,
            "minLength": st.integers(0, 3),
            "pattern": st.sampled_from(["^x", "z"]),
            "minimum": st.integers(-3, 3),
            "exclusiveMaximum": st.integers(-3, 3),
            "required": st.lists(st.sampled_from(["a", "b"]), max_size=2, unique=True),
            "maxItems": st.integers(0, 2),
            "maxProperties": st.integers(0, 2),
        },
    ),
    lambda inner: st.fixed_dictionaries(
        {},
        optional={
            "properties": st.dictionaries(st.sampled_from(["a", "b"]), inner, max_size=2),
            "additionalProperties": inner,
            "items": inner,
            "anyOf": st.lists(inner, min_size=1, max_size=2),
            "oneOf": st.lists(inner, min_size=1, max_size=2),
            "not": inner,
        },
    ),
    max_leaves=5,
)
PATTERN = st.sampled_from([r"\b[39]0 days?\b", "^Refund", "(a|ß)", "days$"])
CASE_FLAG = {"ignore_case": BOOLEANS}
SIMPLE = st.one_of(
    _rule("contains", text=st.lists(WORDS, min_size=1, max_size=2), **CASE_FLAG),
    _rule("not_contains", text=st.lists(WORDS, min_size=1, max_size=2), **CASE_FLAG),
    _rule("equals", text=SOME_TEXT, **CASE_FLAG),
    _rule("equals", **CASE_FLAG),
    _rule("regex", pattern=PATTERN, **CASE_FLAG),
    _rule("not_regex", pattern=PATTERN, **CASE_FLAG),
    _rule(
        "similarity",
        min=st.sampled_from([0, 0.3, 0.5, 0.9, 1]),
        to=st.sampled_from(["expected", "observed"]),
        method=st.sampled_from(["ratio", "token_set", "rouge_l"]),
        **CASE_FLAG,
    ),
    _rule("refusal"),
    _rule("not_refusal"),
    _rule("finish_reason", one_of=st.sampled_from(["stop", ["stop", "length"]])),
    _rule("not_finish_reason", one_of=st.just("length")),
    _rule("valid_json"),
    _rule("json_fields", required=st.sampled_from(["/a", "/0", ["/a/b", "/c"]])),
    _rule("json_schema", schema=SCHEMAS.filter(lambda s: isinstance(s, dict) and bool(s))),
    _rule("tool_called", name=st.just("t"), arguments=ARGUMENTS),
    _rule("tool_not_called", name=st.just("t"), argument_patterns=st.just({"id": "o-"})),
    _rule(
        "tool_trajectory",
        match=st.sampled_from(["exact", "in_order", "any_order", "subset"]),
        calls=CALLS | st.lists(st.sampled_from(["t", "u"]), max_size=3),
    ),
    _rule(
        "tool_trajectory",
        match=st.sampled_from(["exact", "in_order", "any_order", "subset"]),
        compare_arguments=BOOLEANS,
        **{"from": st.sampled_from(["expected", "observed"])},
    ),
    _rule("max_tool_calls", limit=st.integers(0, 3), identical=BOOLEANS),
    _rule("max_steps", times=st.sampled_from([0.5, 1, 1.5]), of=st.sampled_from(["expected", "observed"])),
    _rule("max_chars", limit=SIZES),
    _rule("min_chars", limit=SIZES),
    _rule("max_output_tokens", limit=SIZES),
    _rule("max_cost_usd", limit=st.sampled_from([0, 0.001])),
)
RULES = SIMPLE | st.fixed_dictionaries(
    {"type": st.sampled_from(["all", "any"]), "rules": st.lists(SIMPLE, min_size=1, max_size=3)}
)
OUTPUTS = st.builds(
    Output,
    text=TEXTS | JSON.map(json.dumps),
    tool_calls=CALLS.map(tuple),
    finish_reason=st.sampled_from(["stop", "length", None]),
    output_tokens=st.none() | SIZES,
    cost_usd=st.sampled_from([None, 0.0, 0.01]),
)
CASES = st.builds(
    Case,
    case_id=st.just("c"),
    input=st.just(CaseInput((), "?")),
    observed=st.builds(Observed, output=st.none() | TEXTS, tool_calls=CALLS.map(tuple)),
    expected_output=st.none() | TEXTS,
    expected_tool_calls=st.none() | CALLS.map(tuple),
)
