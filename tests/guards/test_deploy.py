"""What deploy/ offers works with the program of this tree."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from collector.components import installed
from collector.config import load

DEPLOY = Path(__file__).resolve().parents[2] / "deploy"


@pytest.mark.parametrize("name", sorted(p.name for p in DEPLOY.glob("*.yaml")))
def test_a_configuration_is_valid_and_prices_and_samples(name: str, tmp_path: Path) -> None:
    config = load(DEPLOY / name, installed(), {"EVALGATE_DATA_DIR": str(tmp_path)})
    for _, pipeline in config.service.pipelines.items():  # noqa: PERF102 - not a dict
        forwards = "forward" in name
        expected = ["redact", "normalise", "cost", "failure", "sample", "asymmetric_sampler" if forwards else "limits"]
        assert [p.partition("/")[0] for p in pipeline.processors] == expected
        assert list(pipeline.exporters) == ["otlp" if forwards else "clickhouse"]


def test_the_readme_lists_every_file() -> None:
    listed = set(re.findall(r"^\| \[(.+?)\]", (DEPLOY / "README.md").read_text("utf-8"), re.MULTILINE))
    assert listed == {p.name for p in DEPLOY.iterdir()} - {"README.md"}
