"""The table of dialects is whole: what it names exists, and the docs' example is true."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from collector.processors.normalise import NormaliseConfig, normalise
from schema.component import Context
from schema.dialect import dialects, parse
from schema.span import CANONICAL, FEEDBACK, Kind
from tests.normalise.payload import only, span, text

DOCS = Path(__file__).parent.parent.parent / "docs"


def test_every_column_filled_by_keys_is_canonical_or_used_on_the_way() -> None:
    working = {"total_tokens", "either_model", "latest_model", "entity_name", "level", "tool_status", "tool_success"}
    assert set(dialects().columns) - set(CANONICAL.names) == working
    assert set(dialects().resource) <= set(CANONICAL.names)


@pytest.mark.parametrize("section", ["columns", "content"])
def test_no_key_stands_twice_in_one_list(section: str) -> None:
    for name, keys in getattr(dialects(), section).items():
        assert len(keys) == len(set(keys)), name


def test_marks_and_spellings_are_in_lower_case() -> None:
    for mark in dialects().kinds:
        assert all(v == v.lower() for v in mark.values), mark.key
    for spelling in (*dialects().finish.values, *dialects().providers.names, *dialects().operations.values):
        assert spelling == spelling.lower()


def test_every_kind_can_be_told() -> None:
    assert {k for mark in dialects().kinds for k in mark.values.values()} == set(Kind)


def test_a_table_that_names_no_kind_is_refused() -> None:
    text_ = (Path(__file__).parent.parent.parent / "schema" / "genai.toml").read_text(encoding="utf-8")
    with pytest.raises(ValueError, match="nonsense"):
        parse(text_.replace('values = { workflow = "workflow"', 'values = { workflow = "nonsense"'))


def test_the_example_of_the_docs() -> None:
    page = (DOCS / "dialects.md").read_text(encoding="utf-8")
    values = {
        "lmnr.span.type": "LLM",
        "gen_ai.input.messages": '[{"role": "user", "content": "hi"}]',
        "gen_ai.output.messages": '[{"finish_reason": "stop", "message": {"role": "assistant", "content": "hello"}}]',
        "lmnr.association.properties.session_id": "s1",
    }
    for key, value in values.items():
        assert f"{key} = " in page
        assert value in page
    found = only(span("openai.chat", values))
    assert (found["kind"], found["session_id"], found["finish_reasons"]) == ("llm", "s1", ["stop"])
    assert found["input_messages"] == [text("user", "hi")]
    assert found["output_text"] == "hello"


def test_the_page_explains_every_key_of_a_span() -> None:
    page = (DOCS / "normalized.md").read_text(encoding="utf-8")
    for key in only(span()):
        assert f"`{key}`" in page, key


def test_the_component_is_the_function_with_its_settings(tmp_path: Path) -> None:
    config = NormaliseConfig(lower_is_better={"user.feedback": True})
    process = normalise(config, Context("normalise", tmp_path))
    from collector.decode import decode  # noqa: PLC0415 - the one test that needs it
    from collector.journal.record import Record  # noqa: PLC0415 - as above

    body = span("chat", {"gen_ai.operation.name": "chat", "user.feedback": 1.0})
    batch = process(decode([Record(0, "default", "traces", "protobuf", gzip=False, received_unix_ns=0, body=body)]))
    assert json.dumps([f["polarity"] for f in batch.feedback]) == '["negative"]'
    assert set(batch.feedback[0]) == set(FEEDBACK.names)
    assert batch.columns["span_kind"].to_pylist() == ["llm"]
    assert [f.type for f in CANONICAL if f.name in batch.columns] == [c.type for c in batch.columns.values()]


def test_prompt_and_tier_come_from_the_answer_before_the_request(tmp_path: Path) -> None:
    from collector.decode import decode  # noqa: PLC0415 - as above
    from collector.journal.record import Record  # noqa: PLC0415 - as above

    keys = {
        "gen_ai.operation.name": "chat",
        "openai.request.service_tier": "flex",
        "openai.response.service_tier": "default",
        "gen_ai.prompt.name": "greeting",
        "langfuse.observation.prompt.version": 3,
    }
    bodies = [
        span("chat", keys),
        span("chat", {"gen_ai.operation.name": "chat", "openai.request.service_tier": "auto"}),
    ]
    records = [
        Record(i, "t", "traces", "protobuf", gzip=False, received_unix_ns=0, body=b) for i, b in enumerate(bodies)
    ]
    found = normalise(NormaliseConfig(), Context("normalise", tmp_path))(decode(records)).columns
    assert found["service_tier"].to_pylist() == ["default", None]
    assert found["prompt_name"].to_pylist() == ["greeting", None]
    assert found["prompt_version"].to_pylist() == ["3", None]
