"""docs/exporters.md says what there is."""

from __future__ import annotations

import re
from pathlib import Path

from collector.components import installed
from collector.config import parse
from exporters.otlp import OtlpConfig
from exporters.parquet import ParquetConfig

PAGE = Path("docs/exporters.md").read_text(encoding="utf-8")


def test_its_example_is_valid() -> None:
    [block] = re.findall(r"```yaml\n(.*?)```", PAGE, re.DOTALL)
    config = parse(block, "docs", installed(), {"EVALGATE_DSN": "chdb:///x/db"})
    assert list(config.exporters) == ["clickhouse", "otlp/tee", "parquet"]


def test_every_exporter_has_a_section_and_every_setting_a_word() -> None:
    names = {found.name for found in installed() if found.kind == "exporter"}
    assert names <= set(re.findall(r"^## (\w+)$", PAGE, re.MULTILINE))
    for name in (*OtlpConfig.model_fields, *ParquetConfig.model_fields):
        assert f"`{name}`" in PAGE, name
