"""`evalgate schema`: the table is shown whole, and what no rule reads is found."""

from __future__ import annotations

from typing import Any

import pytest

from evalgate.select.dialects import find_unmapped
from schema.dialect import dialects
from schema.mapping import field_rules, known_keys, looks_like_genai, pattern


def row(key: str, spans: int = 3, scope: str = "new.library", version: str = "1.0") -> dict[str, Any]:
    return {"key": key, "spans": spans, "scope_name": scope, "scope_version": version, "example_trace": "ab" * 16}


def test_every_key_of_the_table_is_shown_and_known() -> None:
    shown = {key for rule in field_rules() for key in rule.keys}
    table = dialects()
    for keys in (*table.columns.values(), *table.content.values(), table.finish.keys, table.feedback.keys):
        assert shown >= set(keys)
        assert all(known_keys().reads(key) for key in keys)


def test_a_key_that_no_rule_reads_is_listed_and_indices_are_one() -> None:
    (a, b) = find_unmapped(
        [
            row("gen_ai.brand.new", 9),
            row("llm.parts.0.kind", 4),
            row("llm.parts.1.kind", 5),
            row("gen_ai.request.model"),
        ]
    )
    assert (a.key, a.spans) == ("gen_ai.brand.new", 9)
    assert (b.key, b.spans) == ("llm.parts.N.kind", 5)


def test_versions_and_scopes_are_told_apart() -> None:
    found = find_unmapped([row("gen_ai.x"), row("gen_ai.x", version="2.0"), row("gen_ai.x", scope="other")])
    assert [(u.scope, u.version) for u in found] == [("new.library", "1.0"), ("new.library", "2.0"), ("other", "1.0")]


@pytest.mark.parametrize("key", ["http.request.method", "db.system", "my.own.key", "gen_airline", "", "__proto__"])
def test_keys_of_other_worlds_are_left_out(key: str) -> None:
    assert not looks_like_genai(key)
    assert find_unmapped([row(key)]) == []


def test_what_a_prefix_reads_is_mapped() -> None:
    assert known_keys().reads("llm.input_messages.12.message.role")
    assert pattern("a.0.b.10") == "a.N.b.N"
    assert pattern("a.v2.b") == "a.v2.b"
