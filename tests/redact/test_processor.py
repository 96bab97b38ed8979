"""The processor masks every text of a batch, keeps every length, and counts."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from collector.decode import protobuf
from collector.decode.columns import decode
from collector.processors.normalise import canonical
from collector.processors.redact import RedactConfig, RedactProcessor
from exporters.clickhouse.rows import blocks
from schema.component import Context
from schema.errors import ConfigError
from tests.redact.oracle import SECRETS, in_context
from tests.redact.places import canaries, record, value

if TYPE_CHECKING:
    from pathlib import Path

    from schema.batch import SpanBatch

READINGS = {"kernels": decode, "library": protobuf.decode}


def everything(batch: SpanBatch) -> str:
    """Return all that would be stored of a batch, as one text."""
    return "\n".join(str(block.rows.to_pydict()) for block in blocks(canonical(batch)))


@pytest.mark.parametrize("compiled", [True, False])
@pytest.mark.parametrize("reading", READINGS)
def test_no_place_of_a_request_keeps_a_secret(reading: str, *, compiled: bool) -> None:
    made = canaries(lambda i: f"sk-proj-{i:04d}abcdefghijklmnop")
    batch = READINGS[reading](made.records)
    before = everything(batch)
    assert all(c in before for c in made.secrets if c not in made.not_stored), "the test sees each of them"
    processor = RedactProcessor(compiled=compiled)
    after = everything(processor(batch))
    assert [made.where[c] for c in made.secrets if c in after] == []
    assert processor.redactions["openai"] >= len(made.secrets)
    assert everything(batch) == before, "a batch is never changed"


@pytest.mark.parametrize("reading", READINGS)
def test_both_ways_mask_the_same(reading: str) -> None:
    batch = READINGS[reading](canaries(lambda i: in_context(*SECRETS[i % len(SECRETS)])).records)
    one, other = (RedactProcessor(compiled=c) for c in (True, False))
    assert everything(one(batch)) == everything(other(batch))
    assert one.redactions == other.redactions


def redacted(attributes: dict[str, Any], processor: RedactProcessor | None = None) -> dict[str, Any]:
    """Return the attributes of a span as the processor leaves them."""
    request = ExportTraceServiceRequest()
    span = request.resource_spans.add().scope_spans.add().spans.add(trace_id=b"t" * 16, span_id=b"s" * 8)
    for key, given in attributes.items():
        span.attributes.add(key=key, value=value(given))
    batch = decode([record(request, "traces")])
    return (processor or RedactProcessor(compiled=True))(batch).attributes.of(0)


def test_a_mask_is_as_long_as_what_it_hides_and_says_what_that_was() -> None:
    text = json.dumps([{"role": "user", "content": 'my key "sk-proj-Zx81kd02LmQpRs7TuVwX", ok?'}])
    masked = redacted({"gen_ai.input.messages": text})["gen_ai.input.messages"]
    assert masked == text.replace("sk-proj-Zx81kd02LmQpRs7TuVwX", "[REDACTED:openai]***********")
    assert len(masked) == len(text)
    assert json.loads(masked)[0]["role"] == "user"


def test_a_mask_that_has_no_room_for_the_name_is_stars() -> None:
    assert redacted({"url": "redis://u:pw@host"})["url"] == "redis://u:**@host"


@pytest.mark.parametrize(
    "key",
    ["authorization", "http.request.header.authorization", "x-api-key", "OPENAI_API_KEY", "db.password", "apiKey",
     "http.request.header.cookie", "Set-Cookie", "client_secret", "aws.secret_access_key", "access_token", "auth.token",
     "langsmith.metadata.LANGSMITH_API_KEY", "ai.request.headers.x-gateway", "llm.headers", "user.credentials"],
)  # fmt: skip
def test_a_value_is_masked_whole_where_its_key_names_a_secret(key: str) -> None:
    found = redacted({key: "opensesame", "other": "stays"})
    assert found == {key: "[REDACTED]", "other": "stays"}
    nested = redacted({"outer": {"inner": {key: ["opensesame", 7]}}})
    assert nested["outer"]["inner"][key][0] == "[REDACTED]" or key.startswith(("langsmith", "ai.", "llm."))


@pytest.mark.parametrize(
    "key",
    ["gen_ai.usage.input_tokens", "llm.token_count.total", "gen_ai.server.time_to_first_token", "max_tokens",
     "session.id", "keyboard", "monkey", "author", "ai.request.headers.user-agent", "secretary", "gen_ai.token.type"],
)  # fmt: skip
def test_counts_of_tokens_and_their_like_stay(key: str) -> None:
    assert redacted({key: "42"}) == {key: "42"}


def test_numbers_under_such_a_key_go_too() -> None:
    assert redacted({"password": 12345678, "api_key": True, "tokens": 3}) == {
        "password": None,
        "api_key": None,
        "tokens": 3,
    }


def test_short_secrets_in_the_parameters_of_tools_are_masked_by_their_names() -> None:
    found = redacted({"tool.parameters": '{"user":"bob","password":"hunter2","n":1}'})
    assert found == {"tool.parameters": '{"user":"bob","password":"*******","n":1}'}


def test_redacting_again_changes_nothing_and_counts_nothing() -> None:
    request = ExportTraceServiceRequest()
    span = request.resource_spans.add().scope_spans.add().spans.add(trace_id=b"t" * 16, span_id=b"s" * 8)
    for i, (name, secret) in enumerate(SECRETS):
        span.attributes.add(key=f"k{i}", value=value(in_context(name, secret)))
    span.attributes.add(key="password", value=value("opensesame, said he"))
    once = RedactProcessor(compiled=True)(decode([record(request, "traces")]))
    again = RedactProcessor(compiled=True)
    assert again(once).attributes.of(0) == once.attributes.of(0)
    assert again.redactions == {}


def test_a_batch_without_secrets_is_handed_on_as_it_is() -> None:
    batch = decode([record(ExportTraceServiceRequest(), "traces"), record(ExportLogsServiceRequest(), "logs")])
    assert RedactProcessor(compiled=True)(batch) is batch


def test_detectors_are_switched_and_patterns_and_exceptions_added() -> None:
    attributes = {"a": "a@example.com", "b": "EMP-123456, EMP-7", "c": "sk-test-abcdefghijklmnop1", "f": ["EMP-999999"]}
    default = redacted(attributes)
    assert default == attributes | {"c": "[REDACTED:openai]********"}
    config = RedactConfig(
        detectors={"email": True}, patterns={"staff": "EMP-[0-9]{6}|zzz"}, allow=("sk-test-.*",), keys=("Colour",)
    )
    told = redacted(attributes | {"my.colour": "blue"}, RedactProcessor(config, compiled=True))
    assert told == {
        "a": "[REDACTED]***", "b": "[REDACTED], EMP-7", "c": attributes["c"], "f": ["[REDACTED]"], "my.colour": "****"
    }  # fmt: skip


@pytest.mark.parametrize(
    ("config", "says"),
    [
        (RedactConfig(detectors={"opnai": False}), "no detector 'opnai'. Did you mean 'openai'?"),
        (RedactConfig(patterns={"x": "(?=a)"}), "'x' is none that RE2 takes"),
        (RedactConfig(patterns={"x": "a*"}), "matches where there is nothing"),
        (RedactConfig(patterns={"openai": "a"}), "a detector is"),
        (RedactConfig(allow=("(",)), "'allow[0]' is none"),
    ],
)
def test_a_wrong_setting_is_an_error_before_anything_starts(config: RedactConfig, says: str, tmp_path: Path) -> None:
    from collector.processors.redact import redact  # noqa: PLC0415 - the component, not the package

    with pytest.raises(ConfigError, match=says.replace("[", r"\[").replace("?", r"\?")):
        redact(config, Context("redact", tmp_path))


@pytest.mark.timeout(10)
@pytest.mark.parametrize("piece", ["k", "api_", "secret_", "a-", "-", "access", "\u017f"])
def test_a_key_made_to_be_slow_is_not(piece: str) -> None:
    assert redacted({piece * 20_000: "v"}) == {piece * 20_000: "v"}
    value_of_it = {"k": {piece * 20_000: "v"}}
    assert redacted(value_of_it) == value_of_it


@pytest.mark.timeout(10)
@pytest.mark.parametrize("piece", ['"password":', "password", '\\\\"', '"', "\\", "authorization: "])
def test_parameters_made_to_be_slow_are_not(piece: str) -> None:
    redacted({"tool.parameters": piece * 20_000})
