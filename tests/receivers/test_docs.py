"""docs/otlp.md says what the code does."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from google.rpc import code_pb2

from collector.receivers.answers import CODES
from collector.receivers.otlp import GrpcConfig, HttpConfig, OtlpConfig
from schema.errors import Limit, Reason

if TYPE_CHECKING:
    from schema.component import ComponentConfig

PAGE = (Path(__file__).parents[2] / "docs" / "otlp.md").read_text(encoding="utf-8")


def test_the_answer_table_is_the_one_in_the_code() -> None:
    rows = re.findall(r"^\| ([a-z_]+) \| ([A-Z_]+) \| (\d+) \| (.+) \|$", PAGE, re.MULTILINE)
    assert {reason: (grpc, int(http), must == "retry") for reason, grpc, http, must in rows} == {
        reason.value: (code_pb2.Code.Name(CODES[reason].grpc), CODES[reason].http, CODES[reason].retryable)
        for reason in Reason
    }


@pytest.mark.parametrize(
    ("heading", "config"), [("protocols.grpc", GrpcConfig), ("protocols.http", HttpConfig), ("otlp", OtlpConfig)]
)
def test_every_key_is_there_with_its_default(heading: str, config: type[ComponentConfig]) -> None:
    table = PAGE.partition(f"| key of `{heading}` |")[2].partition("\n\n")[0]
    listed = dict(re.findall(r"^\| `(\w+)` \| `?([^`|]+?)`? \|", table, re.MULTILINE))
    defaults = {name: field.default for name, field in config.model_fields.items() if name != "protocols"}
    assert {name: str(d).lower().removesuffix(".0") for name, d in defaults.items()} == listed


def test_every_limit_that_is_counted_is_in_the_table() -> None:
    table = PAGE.partition("## Limits")[2].partition("\n## ")[0]
    assert set(re.findall(r"^\| `(\w+)` \|", table, re.MULTILINE)) == {limit.value for limit in Limit}
