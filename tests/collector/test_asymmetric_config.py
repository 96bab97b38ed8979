"""Where `asymmetric_sampler` may stand: behind what decides, in front of what forwards, in one process."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest

from collector.config import parse
from collector.service import Service
from collector.workers.plan import require_sharable
from schema.errors import ConfigError

if TYPE_CHECKING:
    from pathlib import Path

    from collector.components import Registry
    from collector.config import Config

TEXT = """\
receivers: {{otlp: {{protocols: {{http: {{endpoint: "127.0.0.1:0"}}}}}}}}
processors: {{normalise: , failure: , sample: , asymmetric_sampler: {settings}, asymmetric_sampler/2: }}
exporters: {{debug: , clickhouse: }}
service:
  data_dir: {folder}
  workers: {workers}
  journal: {{max_bytes: 16777216}}
  pipelines:
    traces:
      receivers: [otlp]
      processors: [{processors}]
      exporters: [{exporters}]
"""
GOOD = "normalise, failure, sample, asymmetric_sampler"


def config(
    registry: Registry,
    folder: Path,
    *,
    processors: str = GOOD,
    exporters: str = "debug",
    settings: str = "{}",
    workers: int = 1,
) -> Config:
    text = TEXT.format(folder=folder, processors=processors, exporters=exporters, settings=settings, workers=workers)
    return parse(text, "c.yaml", registry, {})


def test_behind_failure_and_sample_in_front_of_a_forwarding_exporter(registry: Registry, tmp_path: Path) -> None:
    assert "asymmetric_sampler" in config(registry, tmp_path).processors


@pytest.mark.parametrize(
    ("processors", "exporters", "says"),
    [
        (
            GOOD,
            "clickhouse",
            r"c.yaml:11: .*: 'asymmetric_sampler' would lose what exporter 'clickhouse' must",
        ),
        (GOOD, "debug, clickhouse", r"here nothing needs to be dropped"),
        ("normalise, asymmetric_sampler, failure, sample", "debug", r"must come after 'failure'"),
        ("normalise, failure, asymmetric_sampler", "debug", r"must come after 'sample', which says what it keeps"),
        (f"{GOOD}, asymmetric_sampler/2", "debug", r"'asymmetric_sampler/2' is one too many"),
    ],
)
def test_elsewhere_it_is_refused_with_the_line_and_the_remedy(
    registry: Registry, tmp_path: Path, processors: str, exporters: str, says: str
) -> None:
    with pytest.raises(ConfigError, match=says):
        config(registry, tmp_path, processors=processors, exporters=exporters)


@pytest.mark.parametrize(
    "settings",
    ["{decision_wait_s: -1}", "{max_traces: 0}", "{at_shutdown: perhaps}", "{decision_wait: 3}", "{max_wait_bytes: 1}"],
)
def test_settings_that_cannot_be_are_refused(registry: Registry, tmp_path: Path, settings: str) -> None:
    with pytest.raises(ConfigError, match=r"c\.yaml:2: processors\.asymmetric_sampler"):
        config(registry, tmp_path, settings=settings)


def test_more_may_not_wait_than_the_journal_takes(registry: Registry, tmp_path: Path) -> None:
    service = Service(config(registry, tmp_path, settings="{max_wait_bytes: 16777216}"))
    with pytest.raises(ConfigError, match=r"max_wait_bytes is 16777216, but the journal refuses senders from 13421772"):
        asyncio.run(service.start())


def test_workers_that_see_parts_of_traces_are_refused(registry: Registry, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"workers is 2, but 'asymmetric_sampler' decides on whole traces"):
        require_sharable(config(registry, tmp_path, workers=2))
